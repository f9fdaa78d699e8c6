"""Transactions of one producer: which call fits where, which one runs, and the block that makes them all.

librdkafka carries a transaction out. It also answers a call out of place, in words of its own states; and it
commits a transaction of which a record never reached it (too large, say). Here both are kept from it: a call
out of place is told what to do instead, and a transaction is committed whole or not at all.

A call that its caller gave up goes on in librdkafka, which takes no second one beside it. The next call waits
for that one to end. A call beside one that somebody still awaits is a mistake, and told so.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from enum import Enum
from functools import partial
from types import TracebackType
from typing import Any, Protocol

from confluent_kafka import KafkaError

from producer.errors import (
    AbortableTransactionError,
    ProducerClosedError,
    ProducerFailedError,
    RetriableTransactionError,
    TransactionError,
    TransactionStateError,
)

ATTEMPTS_MAX = 5
"""How often a block makes a call that may be made again."""


class Phase(Enum):
    """Where a producer stands between two of its calls."""

    UNCONFIGURED = "without a transactional.id"
    NEW = "not initialised"
    READY = "between two transactions"
    OPEN = "in a transaction"
    COMMITTING = "in a commit that has not ended"
    ABORTING = "in an abort that has not ended"


FITS: Mapping[str, frozenset[Phase]] = {
    "init_transactions": frozenset({Phase.NEW}),
    "begin_transaction": frozenset({Phase.READY}),
    "produce": frozenset({Phase.OPEN}),
    "send_offsets_to_transaction": frozenset({Phase.OPEN}),
    "commit_transaction": frozenset({Phase.OPEN, Phase.COMMITTING}),
    "abort_transaction": frozenset({Phase.OPEN, Phase.ABORTING}),
}

_LEADS_TO: Mapping[str, Phase] = {
    "init_transactions": Phase.READY,
    "begin_transaction": Phase.OPEN,
    "commit_transaction": Phase.READY,
    "abort_transaction": Phase.READY,
}

_INSTEAD: Mapping[Phase, str] = {
    Phase.UNCONFIGURED: (
        "the producer has no transactional.id. Set one in its configuration, another for each instance that "
        "runs at once."
    ),
    Phase.NEW: "the producer is not initialised. Await init_transactions() first, once.",
    Phase.READY: (
        "no transaction is open: none was begun, or it was committed or aborted already. Await "
        "begin_transaction() first, or use `async with producer.transaction():`."
    ),
    Phase.OPEN: (
        "a transaction is open, and a producer has one at a time. Commit or abort it first; for two at once "
        "make two producers, each with a transactional.id of its own."
    ),
    Phase.COMMITTING: "a commit has not ended. Await commit_transaction(), again if it timed out.",
    Phase.ABORTING: "an abort has not ended. Await abort_transaction(), again if it timed out.",
}


class Transactions:
    """Where one producer's transactions stand. `failure` is the first of a record in the open one.

    All on the loop's thread.
    """

    def __init__(self, configured: bool) -> None:
        self.phase = Phase.NEW if configured else Phase.UNCONFIGURED
        self.failure: KafkaError | None = None
        self._running: str | None = None
        self._given_up: asyncio.Future[Any] | None = None

    def require(self, call: str) -> None:
        """Raise TransactionStateError where `call` does not fit, AbortableTransactionError where the open
        transaction is past saving and `call` would add to it.
        """
        if self._running is not None:
            raise _state_error(
                call, f"{self._running}() of this producer runs in another task. Await that first."
            )
        if self.phase not in FITS[call]:
            is_second_init = call == "init_transactions" and self.phase is not Phase.UNCONFIGURED
            raise _state_error(
                call, "the producer is initialised already." if is_second_init else _INSTEAD[self.phase]
            )
        if call in ("produce", "send_offsets_to_transaction"):
            self.require_whole()

    def require_in_place(self) -> None:
        """As `require("produce")`, for a call that began to produce and let others run meanwhile."""
        if self.phase not in (Phase.UNCONFIGURED, Phase.OPEN) or self._running is not None:
            raise self.too_late()

    def is_left_open(self) -> bool:
        """Whether nobody is about to end the open transaction."""
        return self.phase is Phase.OPEN and self._running is None and self._given_up is None

    def too_late(self) -> TransactionStateError:
        """For records that were to enter a transaction which ends without them."""
        return _state_error(
            "produce", "the transaction ends before the record could be queued. Await produce() first."
        )

    def require_whole(self) -> None:
        """Raise AbortableTransactionError if a record of the open transaction failed."""
        if self.failure is not None:
            raise AbortableTransactionError(
                KafkaError(
                    self.failure.code(),
                    f"A record of this transaction was not sent: {self.failure.str()}. Abort the transaction, "
                    "then begin another.",
                    txn_requires_abort=True,
                )
            )

    def note_failure(self, error: KafkaError) -> bool:
        """A record failed; whether that is told by the transaction's own end.

        librdkafka refuses records behind one that failed with _STATE, which explains nothing.
        """
        if self.phase not in (Phase.OPEN, Phase.COMMITTING, Phase.ABORTING):
            return False
        if self.failure is None or self.failure.code() == KafkaError._STATE:
            self.failure = error
        return True

    async def wait_for_given_up(self, timeout_s: float | None) -> None:
        """Wait for the end of a call that its caller gave up."""
        while self._given_up is not None:
            ended, _ = await asyncio.wait([self._given_up], timeout=timeout_s)
            if not ended:
                return

    @contextlib.asynccontextmanager
    async def turn(self, call: str) -> AsyncIterator[None]:
        """The block makes `call`, alone. Raises as `require` does; waits for a call that was given up."""
        await self.wait_for_given_up(None)
        self.require(call)
        self._running = call
        try:
            yield
        finally:
            self._running = None

    async def follow(self, call: str, outcome: asyncio.Future[Any]) -> None:
        """Wait for librdkafka's end of `call`, in its turn; where that leads is noted also when given up."""
        outcome.add_done_callback(partial(self._ended, call))
        try:
            await asyncio.shield(outcome)
        except asyncio.CancelledError:
            if not outcome.done():
                self._given_up = outcome
            raise

    def _ended(self, call: str, outcome: asyncio.Future[Any]) -> None:
        self._given_up = None
        if outcome.cancelled():
            return
        failed = outcome.exception()
        if failed is None:
            self.phase = _LEADS_TO.get(call, self.phase)
            if call == "begin_transaction":
                self.failure = None
        elif self.phase is Phase.COMMITTING and not isinstance(failed, RetriableTransactionError):
            self.phase = Phase.OPEN


def _state_error(call: str, why: str) -> TransactionStateError:
    return TransactionStateError(KafkaError(KafkaError._STATE, f"{call}() does not fit here: {why}"))


class TransactionalProducer(Protocol):
    """What a transaction needs of its producer."""

    async def begin_transaction(self) -> None: ...
    async def commit_transaction(self, timeout: float = -1) -> None: ...
    async def abort_transaction(self, timeout: float = -1) -> None: ...


class Transaction:
    """One transaction as a block.

    Left normally it commits, repeating a commit that may be repeated; when that fails it aborts and raises
    the commit's error. Left by an exception or a cancellation it aborts and lets that go on. After a fatal
    error neither is tried. Nothing is repeated `repeat_s_max` seconds after the first attempt.

    If cancelled: while it begins or flushes, nothing is committed; while it commits, the commit is waited for
        and stands, then the cancellation goes on. For either it has `exit_timeout_s`. A second cancellation ends
        the wait; what runs then goes on, and the producer's next call waits for it.
    """

    def __init__(self, producer: TransactionalProducer, repeat_s_max: float, exit_timeout_s: float) -> None:
        self._producer = producer
        self._repeat_s_max = repeat_s_max
        self._exit_timeout_s = exit_timeout_s

    async def __aenter__(self) -> None:
        try:
            await self._producer.begin_transaction()
        except asyncio.CancelledError:
            await self._abort(is_ending=True)  # it may have begun all the same, and nobody else would end it
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        if raised is None:
            try:
                await self._commit()
            except ProducerFailedError:
                raise
            except BaseException as failed:
                await self._abort(is_ending=not isinstance(failed, Exception))
                raise
        elif not isinstance(raised, ProducerFailedError):
            await self._abort(is_ending=not isinstance(raised, Exception))

    async def _commit(self) -> None:
        repeat_until_s = time.monotonic() + self._repeat_s_max
        for attempts_left in reversed(range(ATTEMPTS_MAX)):
            try:
                await self._producer.commit_transaction()
            except RetriableTransactionError:
                if not attempts_left or time.monotonic() > repeat_until_s:
                    raise
            else:
                return

    async def _abort(self, is_ending: bool) -> None:
        """Abort to the end, also while being cancelled. The block's own error is the one to be raised."""
        timeout_s = self._exit_timeout_s if is_ending else self._repeat_s_max
        aborting = asyncio.ensure_future(self._abort_repeatedly(timeout_s))
        try:
            await asyncio.wait([aborting], timeout=timeout_s if is_ending else None)
        except asyncio.CancelledError:
            await asyncio.wait([aborting], timeout=self._exit_timeout_s)
            raise
        finally:
            aborting.cancel()

    async def _abort_repeatedly(self, timeout_s: float) -> None:
        repeat_until_s = time.monotonic() + timeout_s
        for _ in range(ATTEMPTS_MAX):
            try:
                await self._producer.abort_transaction(timeout_s)
            except RetriableTransactionError:
                if time.monotonic() > repeat_until_s:
                    return
            except (TransactionError, ProducerClosedError, ProducerFailedError):
                return  # ended already, or past ending: the producer's next call says so
            else:
                return
