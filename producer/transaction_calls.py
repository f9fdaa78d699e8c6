"""TransactionCalls: a transaction's calls of the client, each in its turn and within its time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from producer.access import Access
from producer.batch_executor import ProducerBatchExecutor
from producer.batch_manager import ProducerBatchManager
from producer.errors import (
    AbortableTransactionError,
    FatalTransactionError,
    RetriableTransactionError,
    transaction_error,
)
from producer.time_limits import as_timeout, left_s, moment_after
from producer.transaction import Phase, Transactions

REPEAT_AFTER_S = 0.1
"""How soon a call that may be repeated is repeated."""
STALL_S = 0.1
"""How long no end of a transaction's records is in sight before librdkafka is asked whether it still sends them."""
OVERTIME_S_MAX = 5.0
"""How long after its time limit a call of the client may return before the producer gives it up."""


class TransactionCalls:
    """Of one producer. `call_s_max` is the time limit where a caller gives none: librdkafka has none for some calls
    that may take forever. `note_fatal` is told of an error that ends the producer.
    """

    def __init__(
        self,
        access: Access,
        transactions: Transactions,
        manager: ProducerBatchManager,
        executor: ProducerBatchExecutor,
        call_s_max: float,
        note_fatal: Callable[[KafkaError], None],
    ) -> None:
        self._access = access
        self._transactions = transactions
        self._manager = manager
        self._executor = executor
        self.call_s_max = call_s_max
        self._note_fatal = note_fatal

    async def init(self, limit_s: float | None) -> None:
        """As AIOProducer.init_transactions(), and so with the others."""
        limit_s = self._limited(limit_s)
        async with self._turn("init_transactions"):
            await self._carry_out("init_transactions", limit_s, limit_s=limit_s)

    async def begin(self) -> None:
        async with self._turn("begin_transaction"):
            await self._carry_out("begin_transaction", limit_s=self.call_s_max)

    async def send_offsets(
        self, positions: list[TopicPartition], group_metadata: Any, limit_s: float | None
    ) -> None:
        name = "send_offsets_to_transaction"
        end_s = moment_after(self._limited(limit_s))
        async with self._turn(name):
            while True:
                left = left_s(end_s)
                try:
                    return await self._carry_out(name, positions, group_metadata, left, limit_s=left)
                except RetriableTransactionError:
                    if left_s(end_s) < REPEAT_AFTER_S:
                        raise
                await asyncio.sleep(REPEAT_AFTER_S)

    async def commit(self, limit_s: float | None) -> None:
        transactions = self._transactions
        end_s = moment_after(self._limited(limit_s))
        async with self._turn("commit_transaction"):
            if transactions.phase is Phase.OPEN:
                self._manager.refuse_line(transactions.too_late())
                await self._flush(end_s)
                transactions.require_whole()
                transactions.phase = Phase.COMMITTING
            left = left_s(end_s)
            await self._carry_out("commit_transaction", left, limit_s=left)

    async def abort(self, limit_s: float | None) -> None:
        limit_s = self._limited(limit_s)
        async with self._turn("abort_transaction"):
            await self._abort(moment_after(limit_s))

    async def abort_at_the_end(self, end_s: float) -> None:
        """The producer closes: abort what nobody is about to end."""
        await self._transactions.wait_for_given_up(as_timeout(end_s))
        if self._access.life.cause is None and self._transactions.is_left_open():
            with contextlib.suppress(KafkaException):
                await self._abort(min(end_s, moment_after(self.call_s_max)))

    async def _abort(self, end_s: float) -> None:
        transactions = self._transactions
        transactions.phase = Phase.ABORTING
        self._manager.refuse_line(transactions.too_late())
        self._manager.drop_buffer(KafkaError(KafkaError._PURGE_QUEUE))
        aborting = asyncio.ensure_future(self._flush_and_abort(end_s))
        await transactions.follow("abort_transaction", aborting)

    async def _flush_and_abort(self, end_s: float) -> None:
        """librdkafka, made to abort records that it has not sent, asks Kafka 4 to end a transaction that has not
        begun there, and takes the refusal as fatal. Where it has given the transaction up it sends none, and would
        itself wait in vain for those that a broker's answer puts back into its queue.
        """
        while True:
            try:
                await self._flush(end_s)
                break
            except AbortableTransactionError:
                await self._executor.run_blocking_apart("purge", in_flight=False, blocking=False)
        left = left_s(end_s)
        await self._call_client("abort_transaction", left, limit_s=left)

    async def _flush(self, end_s: float) -> None:
        """Raises AbortableTransactionError where librdkafka has given the transaction up meanwhile: of a record
        that is to be sent again it then tells nothing more until the abort, or until its time is up.
        """
        while await self._manager.flush(partial(min, end_s, time.monotonic() + STALL_S)):
            if not left_s(end_s):
                raise RetriableTransactionError(
                    KafkaError(
                        KafkaError._TIMED_OUT,
                        "Not all records of the transaction were sent in time. Make the same call again.",
                        retriable=True,
                    )
                )
            await self._require_not_given_up()

    async def _require_not_given_up(self) -> None:
        """librdkafka has no call that asks. One that begins a transaction within another changes nothing, and is
        told that it can't, or that the other is to be aborted.
        """
        asking = asyncio.ensure_future(self._executor.run_blocking_apart("begin_transaction"))
        try:
            await asyncio.shield(asking)
        except KafkaException as told:
            if told.args[0].txn_requires_abort():
                raise transaction_error(told) from told
        finally:
            await asyncio.wait([asking])  # also if cancelled: librdkafka takes no other call beside it

    def _limited(self, limit_s: float | None) -> float:
        return self.call_s_max if limit_s is None else limit_s

    @contextlib.asynccontextmanager
    async def _turn(self, call: str) -> AsyncIterator[None]:
        """The block makes `call`, alone, of a producer that is alive."""
        self._access.require_alive()
        self._manager.close_room()
        async with self._transactions.turn(call):
            self._access.require_alive()  # the call that was waited for may have ended it
            yield

    async def _carry_out(self, name: str, *args: Any, limit_s: float) -> None:
        """The client's call `name`, in its turn."""
        calling = asyncio.ensure_future(self._call_client(name, *args, limit_s=limit_s))
        await self._transactions.follow(name, calling)

    async def _call_client(self, name: str, *args: Any, limit_s: float) -> None:
        """librdkafka forgets the limit of send_offsets_to_transaction while the group's coordinator is out of
        reach, also when that has moved: then the call stays in its thread, and the producer fails.
        """
        try:
            await asyncio.wait_for(self._executor.run_blocking(name, *args), limit_s + OVERTIME_S_MAX)
        except asyncio.TimeoutError as overdue:
            raise self._hanging(name, limit_s) from overdue
        except KafkaException as failed:
            if failed.args[0].fatal():
                self._note_fatal(failed.args[0])
            raise transaction_error(failed) from failed

    def _hanging(self, name: str, limit_s: float) -> FatalTransactionError:
        error = KafkaError(
            KafkaError._TIMED_OUT,
            f"{name}() hangs in librdkafka, {OVERTIME_S_MAX:g} s after its limit of {limit_s:g} s, as when a "
            "coordinator went away. Close this producer and make a new one with the same transactional.id, "
            "which settles the open transaction.",
            fatal=True,
        )
        self._note_fatal(error)
        return FatalTransactionError(error)
