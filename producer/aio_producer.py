"""AIOProducer: the API and the life cycle. Everything else is done by the parts it owns.

    AIOProducer ------------------ a record, while there is room ---------------> Records -> librdkafka
         |                                                                           |
         +-> ProducerBatchManager -> ProducerBatchExecutor -> Transport -------------+
                      ^                                           |
             BufferTimeoutManager              CallbackManager <- reports

A transaction's calls are made by TransactionCalls, through the executor as all calls that block are.

None of the parts refers back to the AIOProducer, so that one which is dropped without close() is noticed and
told of. All of it runs on the thread of the loop that the producer was made on, except the client's blocking
calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import sys
import time
import warnings
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict
from functools import partial, wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from producer import arguments
from producer.access import Access
from producer.batch_executor import ProducerBatchExecutor
from producer.batch_manager import ProducerBatchManager
from producer.callbacks import BatchReport, BatchResult, CallbackManager, OnDelivery
from producer.client_conf import client_conf
from producer.errors import ProducerClosedError
from producer.lifecycle import LifeCycle, State
from producer.message import Message
from producer.message_batch import PARTITIONER, MessageBatch
from producer.statistics import ProducerStatistics
from producer.time_limits import as_timeout, left_s, moment_after
from producer.transaction import Transaction, Transactions
from producer.transaction_calls import TransactionCalls
from producer.transports import choose_transport, transport_kind

if TYPE_CHECKING:
    from confluent_kafka.admin import ClusterMetadata  # type: ignore[attr-defined]  # not exported, but documented

PURGE_S_MAX = 5.0
"""How long close() waits for the reports of records that it gave up."""
STOP_S_MAX = 10.0
"""How long close() waits for the client to end its own threads."""
ASK_S_MAX = 5.0
"""How long one call asks for metadata; without a limit the next call asks again, so that none keeps its thread for
ever.
"""

_Producer = TypeVar("_Producer", bound="AIOProducer")
_T = TypeVar("_T")
_P = ParamSpec("_P")
_logger = logging.getLogger("producer")


def _until_closed(
    call: Callable[Concatenate[AIOProducer, _P], Coroutine[Any, Any, _T]],
) -> Callable[Concatenate[AIOProducer, _P], Coroutine[Any, Any, _T]]:
    """A method that may wait for long, and raises ProducerClosedError as soon as the producer is closed."""

    @wraps(call)
    async def made(producer: AIOProducer, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await producer._access.until_closed(call.__name__, partial(call, producer, *args, **kwargs))

    return made


class AIOProducer:
    """An asyncio producer for Apache Kafka.

    Parameters:
        conf: librdkafka's settings, and `error_cb`, `stats_cb`, `throttle_cb`, `oauth_cb`, `on_delivery`,
            `logger`, plain or async. Copied, never changed. `producer_conf` is its other name.
        batch_size: most records in one hand-over to librdkafka, at least 1.
        buffer_timeout: seconds after which a record that librdkafka's full queue kept out is tried again at
            the latest; others leave at the end of the loop's tick. 0: only when a report makes room.
        max_workers: most threads for blocking calls such as list_topics, at least 1.
        executor: where to run those instead; it is left running by close().
        exit_timeout: seconds that records have to be acknowledged once an exception leaves `async with`, or the
            program is about to end (Ctrl-C): after them close() gives up what is unsettled. Also how long a
            transaction may take to end then.
        transport: how librdkafka is reached: "compiled" or "pure". Default: the environment variable
            PRODUCER_TRANSPORT, else "compiled" where it was built, and "pure" elsewhere.

    Made on a running loop and used on that loop only; RuntimeError where there is none. Raises TypeError or
    ValueError that names the parameter, and KafkaException for settings that librdkafka refuses.
    """

    def __init__(
        self,
        conf: Mapping[str, Any] | None = None,
        *,
        producer_conf: Mapping[str, Any] | None = None,
        batch_size: int = 1000,
        buffer_timeout: float = 5.0,
        max_workers: int = 4,
        executor: Executor | None = None,
        exit_timeout: float = 3.0,
        transport: str | None = None,
    ) -> None:
        self._life = life = LifeCycle()
        self._closing: asyncio.Task[None] | None = None
        self._close_until_s = math.inf
        settings = arguments.checked_conf(conf, producer_conf)
        arguments.checked_count("batch_size", batch_size)
        arguments.checked_seconds("buffer_timeout", buffer_timeout)
        arguments.checked_count("max_workers", max_workers)
        arguments.checked_executor(executor)
        arguments.checked_seconds("exit_timeout", exit_timeout)
        make_transport = transport_kind(choose_transport(transport))
        self._exit_timeout_s = exit_timeout
        self._access = access = Access(life)
        self._loop = loop = access.loop
        prepared = client_conf(settings, loop, partial(_note_fatal, life))
        self._transactions = transactions = Transactions(bool(prepared.conf.get("transactional.id")))
        self._callbacks = callbacks = CallbackManager(loop, prepared.only_failures)
        callbacks.on_failure = partial(_note_failure, life, transactions)
        self._transport = made = make_transport(prepared, loop, callbacks, batch_size)
        self._records = made.records
        self._accept = made.records.accept
        self._executor = ProducerBatchExecutor(loop, made, max_workers, executor, prepared.gets_producer_id)
        self._manager = ProducerBatchManager(
            loop,
            self._executor,
            partial(access.require_may_produce, transactions),
            partial(access.require_may_go_on, transactions),
            batch_size,
            buffer_timeout,
            arguments.queue_messages_max(prepared.conf),
        )
        made.on_progress = self._manager.make_progress
        self._transaction_calls = TransactionCalls(
            access,
            transactions,
            self._manager,
            self._executor,
            arguments.transaction_s_max(prepared.conf),
            partial(_note_fatal, life),
        )

    @property
    def transport(self) -> str:
        """Which transport this producer uses."""
        return self._transport.name

    @property
    def closed(self) -> bool:
        """Whether close() has come to its end."""
        return self._life.state is State.CLOSED

    def __repr__(self) -> str:
        state = self._life.state.value
        if not hasattr(self, "_manager"):
            return f"<AIOProducer, {state}>"
        return f"<AIOProducer over the {self.transport} transport, {state}, {len(self)} records unsettled>"

    # Producing

    async def produce(
        self,
        topic: str,
        value: arguments.Payload = None,
        key: arguments.Payload = None,
        partition: int = PARTITIONER,
        on_delivery: OnDelivery | None = None,
        timestamp: int = 0,
        headers: arguments.Headers | None = None,
        *,
        callback: OnDelivery | None = None,
    ) -> asyncio.Future[Message]:
        """Queue one record; returns the future of its acknowledged Message. Waits while the queue is full.

        Parameters:
            topic, value, key: str is sent as UTF-8; None is Kafka's null.
            partition: -1 lets the partitioner choose.
            on_delivery: called once as `on_delivery(error, message)` on the loop, plain or async. `callback`
                is its other name.
            timestamp: milliseconds since the epoch; 0 means now.
            headers: a mapping, or a list of (key, value) pairs.

        The future raises KafkaException with librdkafka's error when the record failed. Cancelling it gives
        up the wait, not the record. Raises TypeError or ValueError for an argument that cannot be sent
        (nothing is queued then), ProducerClosedError, ProducerFailedError, WrongLoopError.

        With a `transactional.id`, raises TransactionStateError outside of a transaction, and
        AbortableTransactionError once a record of the open one has failed: the commit would raise it too, so
        a future need not be read there.

        If cancelled: while it waits in line the record is not queued; otherwise it is, and on_delivery still
            runs.
        """
        if on_delivery is None:
            on_delivery = callback
        future = self._accept(topic, value, key, partition, on_delivery, timestamp, headers)
        if future is None:
            return await self._manager.enter(topic, value, key, partition, on_delivery, timestamp, headers)
        return future

    def produce_nowait(
        self,
        topic: str,
        value: arguments.Payload = None,
        key: arguments.Payload = None,
        partition: int = PARTITIONER,
        on_delivery: OnDelivery | None = None,
        timestamp: int = 0,
        headers: arguments.Headers | None = None,
        *,
        callback: OnDelivery | None = None,
    ) -> asyncio.Future[Message]:
        """Queue one record without waiting; parameters, future and errors as for produce().

        Raises BufferError when the queue is full or others wait for it. Let the loop run, or use produce().
        """
        if on_delivery is None:
            on_delivery = callback
        return self._manager.enter_nowait(topic, value, key, partition, on_delivery, timestamp, headers)

    async def send_and_wait(
        self,
        topic: str,
        value: arguments.Payload = None,
        key: arguments.Payload = None,
        partition: int = PARTITIONER,
        on_delivery: OnDelivery | None = None,
        timestamp: int = 0,
        headers: arguments.Headers | None = None,
        *,
        callback: OnDelivery | None = None,
    ) -> Message:
        """Produce one record and wait for its acknowledged Message. Parameters and errors as for produce().

        If cancelled: as produce() while it waits in line; afterwards the record is queued and only the wait
            is given up.
        """
        delivery = await self.produce(
            topic, value, key, partition, on_delivery, timestamp, headers, callback=callback
        )
        return await delivery

    async def produce_batch(
        self,
        topic: str,
        messages: Sequence[Mapping[str, Any]],
        partition: int = PARTITIONER,
        on_delivery: OnDelivery | None = None,
        *,
        callback: OnDelivery | None = None,
        keep_messages: bool = False,
    ) -> asyncio.Future[BatchResult]:
        """Queue many records in the given order; returns one future of a BatchResult that names every failure
        by its index.

        Parameters:
            messages: mappings with any of "value", "key", "partition", "headers", "timestamp", and
                "on_delivery" or "callback". They are read at once, and left unchanged.
            partition: for the records that name none; -1 lets the partitioner choose.
            on_delivery: called once for each record that was queued and names none of its own, as for produce().
            keep_messages: whether the result has the Message of each record, with its partition and offset. They
                hold the records' values as long as the result is held.

        A record that cannot be sent at all (a bad type, say) is a failure of its index and harms no other.
        Waits in line while the queue is full. Raises as produce() does for arguments that concern all
        records; also half-way, where the producer is closed meanwhile.

        If cancelled: the records that are queued stay so, in order from the first; the rest is not queued.
        """
        self._access.require_may_produce(self._transactions)
        messages = arguments.checked_messages(messages)
        if keep_messages:
            messages = list(
                messages
            )  # else reading one might make the caller's list longer than there are places
        count = len(messages)
        future: asyncio.Future[BatchResult] = self._loop.create_future()
        report = BatchReport(count, future, self._callbacks.on_failure, keep_messages)
        chosen = on_delivery if on_delivery is not None else callback
        made = self._records.make_batch(topic, messages, partition, chosen, report)
        if not count:
            future.set_result(BatchResult(0))
        if made:
            await self._manager.enter_batch(made)
        return future

    # Waiting

    def __len__(self) -> int:
        """Number of records that are not settled."""
        return self._records.unsettled()

    async def flush(self, timeout: float | None = -1) -> int:
        """Wait until every record produced before this call, by any task, is settled and its caller told.

        Parameters:
            timeout: seconds; negative or None means no limit.

        Returns how many records are unsettled at the end, those produced since included: 0 means none at all.

        If cancelled: nothing changes but the wait.
        """
        timeout_s = arguments.checked_timeout(timeout)
        self._access.require_here()
        if self._life.state is State.CLOSED:
            return 0
        end_s = moment_after(timeout_s)
        return await self._manager.flush(lambda: end_s)

    @_until_closed
    async def poll(self, timeout: float | None = 0) -> int:
        """Serve reports and events now, or wait up to `timeout` seconds for the first (negative or None:
        without limit).

        Returns the number of records settled meanwhile. Never needed for delivery to go on.

        If cancelled: nothing changes but the wait.
        """
        timeout_s = arguments.checked_timeout(timeout)
        self._access.require_usable()
        settled_before = self._records.settled
        self._manager.hand_over()
        self._transport.serve()
        if self._records.settled == settled_before and timeout_s != 0:
            settlement = self._manager.next_settlement()
            try:
                await asyncio.wait([settlement], timeout=timeout_s)
            finally:
                settlement.cancel()  # else an idle producer would keep it for good
        return self._records.settled - settled_before

    @_until_closed
    async def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        """Give up records: those in the queue, those in flight (which may have been written), or both.

        Their futures raise KafkaException with _PURGE_QUEUE or _PURGE_INFLIGHT.

        If cancelled: the purge itself goes on.
        """
        self._access.require_usable()
        if in_queue:
            self._manager.drop_buffer(KafkaError(KafkaError._PURGE_QUEUE))
        await self._executor.run_blocking("purge", in_queue, in_flight, blocking)
        self._transport.serve()

    # Blocking calls of the client

    @_until_closed
    async def list_topics(self, topic: str | None = None, timeout: float | None = -1) -> ClusterMetadata:
        """The cluster's metadata, as confluent's `list_topics`; `timeout` in seconds, -1 without limit.
        KafkaException on failure.

        If cancelled: the answer is dropped.
        """
        self._access.require_usable()
        end_s = moment_after(arguments.checked_timeout(timeout))
        while True:
            asked_s, left = time.monotonic(), left_s(end_s)
            try:
                metadata: ClusterMetadata = await self._executor.run_blocking(
                    "list_topics", *([] if topic is None else [topic]), timeout=min(left, ASK_S_MAX)
                )
            except KafkaException:
                if left <= ASK_S_MAX or time.monotonic() - asked_s < ASK_S_MAX / 2:
                    raise  # it is no matter of time
            else:
                return metadata

    async def cluster_id(self, timeout: float | None = -1) -> str | None:
        """The cluster's id, or None where its brokers tell none; `timeout` and errors as for list_topics().

        If cancelled: the answer is dropped.
        """
        cluster_id: str | None = (await self.list_topics(timeout=timeout)).cluster_id
        return cluster_id

    @_until_closed
    async def set_sasl_credentials(self, username: str, password: str) -> None:
        """Use other SASL credentials for connections made from now on.

        If cancelled: they are set all the same.
        """
        self._access.require_usable()
        await self._executor.run_blocking("set_sasl_credentials", username, password)

    # Transactions

    @_until_closed
    async def init_transactions(self, timeout: float | None = -1) -> None:
        """Register the transactional.id: once, before the first transaction. Fences an older producer with the
        same id, and waits until the transaction that it left is settled.

        Parameters:
            timeout: seconds; negative or None means `transaction.timeout.ms`. A call that librdkafka has not
                ended 5 s after that raises FatalTransactionError; see send_offsets_to_transaction().

        Raises, as every call here does, RetriableTransactionError (make the same call again),
        AbortableTransactionError (abort), FatalTransactionError and in it ProducerFencedError (close),
        TransactionStateError (a mistake: the call does not fit here), or another KafkaException; and
        ProducerClosedError.

        If cancelled: the call itself goes on, and the next one here waits for it.
        """
        await self._transaction_calls.init(arguments.checked_timeout(timeout))

    @_until_closed
    async def begin_transaction(self) -> None:
        """Begin a transaction: what is produced from now on belongs to it. Raises as init_transactions().

        If cancelled: the transaction may have begun; abort_transaction() ends it.
        """
        await self._transaction_calls.begin()

    @_until_closed
    async def send_offsets_to_transaction(
        self, positions: list[TopicPartition], group_metadata: Any, timeout: float | None = -1
    ) -> None:
        """Commit a consumer group's offsets with the transaction: both or neither. Raises as
        init_transactions().

        Parameters:
            positions: TopicPartitions with the offset of the next record to read; those without one (as a
                consumer's position() has them where it read nothing) are left out.
            group_metadata: what the consumer's consumer_group_metadata() returned after its last poll.
            timeout: seconds, as for init_transactions(). Until then the call is repeated where it may be: while
                the transaction before is still being settled, as behind a leader that is gone, the coordinator
                takes none.

        librdkafka may hang here when the group's coordinator goes away. Then the call raises
        FatalTransactionError 5 s after its limit. A new producer with the same transactional.id settles the
        transaction and goes on; the hanging call keeps its thread until librdkafka lets it go.

        If cancelled: the call itself goes on, and the next one here waits for it.
        """
        arguments.checked_positions(positions)
        arguments.checked_group_metadata(group_metadata)
        timeout_s = arguments.checked_timeout(timeout)
        await self._transaction_calls.send_offsets(positions, group_metadata, timeout_s)

    @_until_closed
    async def commit_transaction(self, timeout: float | None = -1) -> None:
        """Flush, then commit: all records and offsets of the transaction, or none. Raises as
        init_transactions(); AbortableTransactionError also when any record of it failed, read or not.

        Parameters:
            timeout: seconds for both together, as for init_transactions().

        A produce() that still waits in line does not belong to it and gets TransactionStateError.

        If cancelled: while it flushes nothing is committed, and the transaction is as it was; afterwards the
            commit itself goes on, and the next call here waits for it.
        """
        await self._transaction_calls.commit(arguments.checked_timeout(timeout))

    @_until_closed
    async def abort_transaction(self, timeout: float | None = -1) -> None:
        """Abort: records that librdkafka has not taken fail with _PURGE_QUEUE, the others are sent, but never
        shown to read_committed readers. Raises as init_transactions().

        Parameters:
            timeout: seconds for both together, as for init_transactions().

        If cancelled: the call itself goes on, and the next one here waits for it.
        """
        await self._transaction_calls.abort(arguments.checked_timeout(timeout))

    def transaction(self) -> Transaction:
        """`async with producer.transaction():` begins, commits on leaving, and aborts when the block raised
        or was cancelled. Its futures need not be read: the commit raises if any record failed.
        """
        return Transaction(self, self._transaction_calls.call_s_max, self._exit_timeout_s)

    # What is going on inside

    def create_batches_preview(self, target_topic: str | None = None) -> list[MessageBatch]:
        """The batches that a hand-over now would make, of one topic or of all. Changes nothing."""
        return self._records.preview(target_topic)

    def statistics(self) -> ProducerStatistics:
        """What the producer has done and what it holds, as one frozen value; cheap, and made when asked for.

        The hook for metrics: a collector asks when it is asked itself (docs/producer.md, "Metrics").
        """
        records, transport = self._records, self._transport
        settled, unsettled, buffered = records.settled, records.unsettled(), records.buffered()
        failures = dict(self._callbacks.failures)
        failed = sum(failures.values())
        pooled = records.created + records.reused
        return ProducerStatistics(
            accepted=records.accepted,
            settled=settled,
            acknowledged=settled - failed,
            failed=failed,
            failures=failures,
            unsettled=unsettled,
            buffered=buffered,
            in_flight=unsettled - buffered,
            waiting=self._manager.waiting,
            batches=records.batches,
            records_per_batch=records.handed_over / records.batches if records.batches else 0.0,
            queue_full=records.queue_full,
            polls=transport.polls,
            poll_s=transport.poll_s,
            callbacks_created=records.created,
            callbacks_reused=records.reused,
            reuse_ratio=records.reused / pooled if pooled else 0.0,
            latency=self._callbacks.latencies.histogram(),
        )

    def get_batch_processor_stats(self) -> dict[str, Any]:
        """`statistics()` as a dict: the proposal's name and shape for it."""
        return asdict(self.statistics())

    # The end

    async def close(self, timeout: float | None = None) -> None:
        """Flush, settle every future ever given out, and stop. Safe twice, from several tasks at once, and from
        on_delivery.

        Parameters:
            timeout: seconds for the flush. Records unsettled then are given up: their futures raise
                KafkaException with _PURGE_QUEUE, or _PURGE_INFLIGHT where the record was on its way, and a
                warning of the logger "producer" tells how many.
                None or negative: as long as `delivery.timeout.ms` lets librdkafka try; `exit_timeout` where the
                caller is being ended by a cancellation, KeyboardInterrupt or SystemExit. Of several calls the
                shortest limit holds.

        An open transaction is aborted first, within `timeout` too (else `transaction.timeout.ms`). Callers that
        wait in line or in a blocking call get ProducerClosedError at once. An `executor` that was given is left
        running. Beyond its limit the closing takes 15 s at most, or as long as on_delivery takes: no broker need
        answer.

        If cancelled: the closing goes on; calling close() again waits for it. At the program's end, where the
            closing itself is cancelled, `exit_timeout` is left to it.
        """
        timeout_s = arguments.checked_timeout(timeout)
        self._access.require_here()
        await self._close(timeout_s, is_ending=not isinstance(sys.exc_info()[1], Exception | None))

    async def _close(self, timeout_s: float | None, is_ending: bool) -> None:
        if self._life.state is State.CLOSED:
            return
        if timeout_s is None and is_ending:
            timeout_s = self._exit_timeout_s
        self._close_until_s = min(self._close_until_s, moment_after(timeout_s))
        self._callbacks.wait_for_all_but_this()
        if self._closing is None:
            self._life.move(State.CLOSING)
            self._manager.close_room()
            self._closing = self._loop.create_task(self._shut_down())
        elif is_ending:
            self._closing.cancel()
        await asyncio.shield(self._closing)

    async def _shut_down(self) -> None:
        """To its end, also where it is cancelled: then it hurries, and what it waits for besides is left."""
        try:
            self._manager.refuse_line(
                ProducerClosedError("The producer was closed while this record waited for room.")
            )
            ended = self._access.end_calls()
            while True:
                try:
                    await self._settle_all(ended)
                    break
                except asyncio.CancelledError:
                    self._close_until_s = min(self._close_until_s, moment_after(self._exit_timeout_s))
            with contextlib.suppress(asyncio.CancelledError):
                if self._records.unsettled():
                    await self._give_up()
            with contextlib.suppress(asyncio.CancelledError):
                if pending := self._callbacks.pending():
                    await asyncio.wait(pending, timeout=as_timeout(self._close_until_s))
        finally:
            self._manager.stop()
            self._executor.stop_threads()
            with contextlib.suppress(asyncio.CancelledError):
                await self._executor.stop_seeking()
            stopping = asyncio.ensure_future(self._transport.stop())
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([stopping], timeout=STOP_S_MAX)
            self._life.move(State.CLOSED)

    async def _settle_all(self, ended: Collection[asyncio.Future[Any]]) -> None:
        """Wait for all that was begun, as long as there is time."""
        if ended:
            await asyncio.wait(ended, timeout=as_timeout(self._close_until_s))
        await self._transaction_calls.abort_at_the_end(self._close_until_s)
        await self._manager.flush(lambda: self._close_until_s)

    async def _give_up(self) -> None:
        failures = self._callbacks.failures
        before = failures.copy()
        try:
            self._manager.drop_buffer(KafkaError(KafkaError._PURGE_QUEUE))
            await self._executor.run_blocking_apart("purge", True, True, True)
            end_s = moment_after(PURGE_S_MAX)
            await self._manager.flush(lambda: end_s)
        finally:
            given_up = failures - before
            queued, sent = given_up["_PURGE_QUEUE"], given_up["_PURGE_INFLIGHT"] + self._records.unsettled()
            if queued or sent:
                _logger.warning(
                    "The producer was closed before all records were acknowledged: %d were in the queue, %d on their "
                    "way. They may be lost.",
                    queued,
                    sent,
                )

    async def __aenter__(self: _Producer) -> _Producer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._access.require_here()
        await self._close(None, is_ending=raised is not None)

    def __del__(self) -> None:
        if (
            not hasattr(self, "_manager")
            or self._life.state is State.CLOSED
            or not self._access.is_this_process()
        ):
            return
        self._transport.abandon()
        self._executor.stop_threads()
        warnings.warn(
            f"AIOProducer dropped without close(), {len(self)} records unsettled. Await close(), or use it "
            "as `async with AIOProducer(...)`.",
            ResourceWarning,
            stacklevel=2,
            source=self,
        )


def _note_failure(life: LifeCycle, transactions: Transactions, error: KafkaError) -> bool:
    """A record failed; whether a transaction's end will tell of it."""
    if error.fatal():
        _note_fatal(life, error)
    return transactions.note_failure(error)


def _note_fatal(life: LifeCycle, error: KafkaError) -> None:
    """Remember the first fatal error; later calls raise it."""
    if life.may_move(State.FAILED):
        life.move(State.FAILED, KafkaException(error))
