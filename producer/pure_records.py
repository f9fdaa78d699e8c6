"""PureRecords: a producer's records in call order, over confluent-kafka's public API. The compiled twin is
`producer._librdkafka.Records`.

A record is the mapping that confluent's `produce_batch` reads. What it carries as its callback takes its report: a
plain record's own future; a pooled ReusableMessageCallback where there is more to tell than that. Reports come
inside librdkafka's poll(), where polling again would abort the process: so code of the user never runs there, but
when poll() has returned. A report that arrives on another thread is only caught there and settled on the loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from threading import get_ident
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from producer import arguments
from producer.callbacks import LOOK_MASK_MAX, LOOK_S_MAX, LOOK_S_MIN, BatchReport, CallbackManager, OnDelivery
from producer.errors import never_fits, state_refusal
from producer.message import UnsentMessage
from producer.message_batch import PARTITIONER, MessageBatch, Record, create_message_batch

CALLBACK_POOL_MAX = 10_000
_NOW = 0
"""Compared by identity, as the partitioner: what is equal alone may be of a wrong type, which the checks tell."""
Carried = Callable[[KafkaError | None, Any], None]


class StopServing(Exception):
    """Raised out of a report to make librdkafka keep the remaining ones; the report itself is never lost."""


STOP = StopServing()
"""One for all, since confluent-kafka never gives back its reference to what a callback raised (2.16)."""


def forget_trace(stop: StopServing) -> None:
    """Else what its trace can see would never go."""
    stop.with_traceback(None)


class Epoch:
    """The records between two flushes."""

    __slots__ = ("entered", "number", "settled")

    def __init__(self, number: int) -> None:
        self.number = number
        self.entered = 0
        self.settled = 0


Made = tuple[str, int, Record, OnDelivery | None, "BatchReport | None", int]
"""A checked record on its way into the buffer: topic, partition, mapping, on_delivery, and of a batch its report
and the record's place in it. A plain tuple, since one is made for every record.
"""


class Run:
    """Records that follow one another and may go in one call; `bulk` as in MessageBatch."""

    __slots__ = ("bulk", "partition", "records", "topic")

    def __init__(self, topic: str, partition: int, bulk: bool) -> None:
        self.topic = topic
        self.partition = partition
        self.bulk = bulk
        self.records: list[Record] = []


class ReusableMessageCallback:
    """The callback of a record with more to tell than its future: an on_delivery, a place in a batch's report, or
    headers, which confluent-kafka keeps from its Message. Pooled again once it was settled.
    """

    __slots__ = ("_records", "epoch", "future", "headers", "on_delivery", "place", "report")

    def __init__(self, records: PureRecords) -> None:
        self._records = records
        self.epoch: Epoch | None = None
        self.future: asyncio.Future[Any] | None = None
        self.report: BatchReport | None = None
        self.place = 0
        self.on_delivery: OnDelivery | None = None
        self.headers: list[tuple[str, bytes | None]] | None = None

    def __call__(self, error: KafkaError | None, message: Any) -> None:
        records = self._records
        if get_ident() != records.thread:
            records.catch(self, error, message)
        elif self.headers is not None or self.on_delivery is not None or error is not None:
            records.take_report(self, error, message)
        else:
            records.settle(self, None, message)


def _delivery_future(records: PureRecords) -> type[asyncio.Future[Any]]:
    """The type of one producer's futures: each takes its record's report when it is called, and knows the records
    without carrying a pointer to them.
    """

    def settle(future: Any, error: KafkaError | None, message: Any) -> None:
        if get_ident() != records.thread:
            records.catch(future, error, message)
            return
        epoch = future.epoch
        if error is not None:
            records.fail(future, error, False)
        else:
            try:
                future.set_result(message)
            except asyncio.InvalidStateError:
                pass  # the caller gave up the wait
            except BaseException:
                records.catch_again(future, error, message)
                raise
        future.epoch = None
        epoch.settled += 1
        if not epoch.settled & records.look_mask:
            records.look(message)

    return type("DeliveryFuture", (asyncio.Future,), {"__slots__": ("epoch",), "__call__": settle})


class PureRecords:
    """The pure `producer.transport.Records`. On the loop's thread, where not said otherwise."""

    def __init__(
        self,
        producer: Producer,
        loop: asyncio.AbstractEventLoop,
        callbacks: CallbackManager,
        batch_size: int,
        on_delivery: OnDelivery | None,
        pool_max: int = CALLBACK_POOL_MAX,
    ) -> None:
        self.room = 0
        self.on_first: Callable[[], object] = _nothing
        self.on_alone: Callable[[], object] = _nothing
        self.on_refused: Callable[[], object] = _nothing
        self.on_caught: Callable[[], None] = _nothing
        """Called on the other thread when it caught a report; may raise StopServing."""
        self.handed_over = 0
        self.batches = 0
        self.queue_full = 0
        self.created = 0
        self.reused = 0
        self.thread = get_ident()
        self.look_mask = 0
        """`look` at a record when its epoch's `settled & look_mask` is 0."""
        self._loop = loop
        self._callbacks = callbacks
        self._batch_size = batch_size
        self._on_delivery = on_delivery
        self._producer: Producer | None = producer
        self._produce_batch = getattr(producer, "produce_batch", None)  # from 2.12 on
        self._future_type = _delivery_future(self)
        self._topics: set[str] = set()
        """Those that were checked."""
        self._runs: deque[Run] = deque()
        self._run: Run | None = None
        """The last of them, which the next record may join."""
        self._epoch = Epoch(1)
        self._epochs = deque([self._epoch])
        self._epochs_over = 0
        self._pool: list[ReusableMessageCallback] = []
        self._pool_max = pool_max
        self._caught: deque[tuple[Carried, KafkaError | None, Any]] = deque()
        self._refused: deque[tuple[Carried, KafkaError, UnsentMessage]] = deque()
        self._due: deque[tuple[ReusableMessageCallback, KafkaError | None, Any]] = deque()
        self._until_s = float("inf")
        self._looked_s = 0.0
        self._is_busy = False

    def release(self) -> None:
        self.room = 0
        self._producer = self._produce_batch = None

    # Entry

    def accept(
        self, topic: Any, value: Any, key: Any, partition: Any, on_delivery: Any, timestamp: Any, headers: Any
    ) -> asyncio.Future[Any] | None:
        if self.room <= 0 or get_ident() != self.thread:
            return None
        future: asyncio.Future[Any] = self.enter(
            self.make(topic, value, key, partition, on_delivery, timestamp, headers)
        )
        return future

    def make(
        self, topic: Any, value: Any, key: Any, partition: Any, on_delivery: Any, timestamp: Any, headers: Any
    ) -> Made:
        if type(topic) is not str or topic not in self._topics:
            topic = arguments.checked_topic(topic)
            self._topics.add(topic)
        if type(value) is not bytes:
            value = arguments.checked_payload("value", value)
        if key is not None and type(key) is not bytes:
            key = arguments.checked_payload("key", key)
        if partition is not PARTITIONER:
            partition = arguments.checked_partition(partition)
        record: Record = {"value": value, "key": key, "callback": None}
        if timestamp is not _NOW and (timestamp := arguments.checked_timestamp(timestamp)):
            record["timestamp"] = timestamp
        if headers is not None and (headers := arguments.checked_headers(headers)):
            record["headers"] = headers
        if on_delivery is None:
            on_delivery = self._on_delivery
        elif not callable(on_delivery):
            arguments.checked_callback(on_delivery)
        return topic, partition, record, on_delivery, None, 0

    def make_batch(
        self, topic: Any, messages: Iterable[Any], partition: Any, on_delivery: Any, report: BatchReport
    ) -> list[Made]:
        topic, on_delivery = arguments.checked_topic(topic), arguments.checked_callback(on_delivery)
        partition = arguments.checked_partition(partition)
        if on_delivery is None:
            on_delivery = self._on_delivery
        made: list[Made] = []
        for index, message in enumerate(messages):
            try:
                if (
                    type(message) is dict
                    and len(message) == 1
                    and type(value := message.get("value")) is bytes
                ):
                    record: Record = {"value": value, "key": None, "callback": None}
                    made.append((topic, partition, record, on_delivery, report, index))
                else:
                    place, record, own = self._made_of(topic, message, partition, on_delivery)
                    made.append((topic, place, record, own, report, index))
            except (TypeError, ValueError) as refused:
                report.reject(index, refused)
        return made

    def _made_of(
        self, topic: str, message: Any, partition: int, on_delivery: OnDelivery | None
    ) -> tuple[int, Record, OnDelivery | None]:
        given = arguments.checked_message(message)
        own_partition = given.get("partition")
        _, place, record, own, _, _ = self.make(
            topic,
            given.get("value"),
            given.get("key"),
            partition if own_partition is None else own_partition,
            arguments.callback_of(given, on_delivery),
            given.get("timestamp") or 0,
            given.get("headers"),
        )
        return place, record, own

    def enter(self, made: Made) -> Any:
        topic, partition, record, on_delivery, report, place = made
        run, epoch = self._run, self._epoch
        is_first = run is None
        if is_first:
            self.on_first()
        bulk = len(record) == 3
        future: Any = None
        if report is None:
            future = self._future_type(loop=self._loop)
        if report is None and on_delivery is None and "headers" not in record:
            future.epoch = epoch
            record["callback"] = future
        else:
            if self._pool:
                callback = self._pool.pop()
                self.reused += 1
            else:
                callback = ReusableMessageCallback(self)
                self.created += 1
            callback.epoch, callback.future, callback.report, callback.place = epoch, future, report, place
            if on_delivery is not None:
                callback.on_delivery = on_delivery
            if not bulk:
                callback.headers = record.get("headers")
            record["callback"] = callback
        if run is None or run.topic != topic or run.partition != partition or run.bulk is not bulk:
            run = self._run = Run(topic, partition, bulk)
            self._runs.append(run)
        run.records.append(record)
        epoch.entered += 1
        self.room -= 1
        if is_first and self.unsettled() == 1:
            self.on_alone()
        return future

    def enter_many(self, made: list[Made], start: int) -> int:
        stop = min(len(made), start + max(self.room, 0))
        for index in range(start, stop):
            self.enter(made[index])
        return stop

    # Hand-over

    def hand_over(self) -> bool:
        if self._producer is None:
            return True
        try:
            while self._runs:
                run = self._runs[0]
                taken, is_full = self._submit(self._producer, run)
                self.batches += 1
                self.handed_over += taken
                if taken == len(run.records):
                    self._runs.popleft()
                else:
                    del run.records[:taken]
                if not is_full:
                    continue
                if len(self._producer):
                    self.queue_full += 1
                    return False
                self._refuse(run, run.records[0], never_fits())
                self.handed_over += 1
                del run.records[0]
                if not run.records:
                    self._runs.popleft()
            return True
        finally:
            self._run = self._runs[-1] if self._runs else None
            if self._refused:
                self.on_refused()

    def _submit(self, producer: Producer, run: Run) -> tuple[int, bool]:
        """Hand over records of a run; how many were taken or refused, and whether the queue is full for the next."""
        if run.bulk and len(run.records) > 1 and self._produce_batch is not None:
            messages = run.records[: self._batch_size]
            try:
                accepted = self._produce_batch(run.topic, messages, run.partition)
            except Exception:  # noqa: BLE001 (the call took nothing; one by one, each record gets its own error or its way)
                return self._submit_singly(producer, run)
            if accepted == len(messages):
                return accepted, False
            return self._taken_of(run, messages)
        return self._submit_singly(producer, run)

    def _taken_of(self, run: Run, messages: list[Record]) -> tuple[int, bool]:
        taken, is_full = len(messages), False
        for index, message in enumerate(messages):
            error = message.pop("_error", None)
            if error is None:
                continue
            if error.code() != KafkaError._QUEUE_FULL:
                self._refuse(run, message, error)
            elif not is_full:
                is_full = True  # librdkafka takes nothing after the first that found the queue full
                taken = index
        return taken, is_full

    def _submit_singly(self, producer: Producer, run: Run) -> tuple[int, bool]:
        for index, message in enumerate(run.records):
            try:
                producer.produce(
                    run.topic,
                    message["value"],
                    message["key"],
                    run.partition,
                    on_delivery=message["callback"],
                    timestamp=message.get("timestamp", 0),
                    headers=message.get("headers"),
                )
            except BufferError:
                return index, True
            except KafkaException as refused:
                self._refuse(run, message, refused.args[0])
            except Exception as refused:  # noqa: BLE001 (whatever it is, it is this record's outcome and no other's)
                self._refuse(
                    run, message, KafkaError(KafkaError._INVALID_ARG, f"{type(refused).__name__}: {refused}")
                )
        return len(run.records), False

    def _refuse(self, run: Run, message: Record, error: KafkaError) -> None:
        if error.code() == KafkaError._STATE:
            error = state_refusal()
        unsent = UnsentMessage(run.topic, run.partition, message, error)
        self._refused.append((message["callback"], error, unsent))

    def take(self) -> Iterator[Run]:
        """Empty the buffer."""
        self._run = None
        while self._runs:
            run = self._runs.popleft()
            self.handed_over += len(run.records)
            yield run

    def drop(self, error: KafkaError) -> None:
        for run in self.take():
            for message in run.records:
                self._refuse(run, message, error)
        if self._refused:
            self.on_refused()

    def preview(self, target_topic: str | None) -> list[MessageBatch]:
        return list(self._batches(target_topic))

    def _batches(self, target_topic: str | None) -> Iterator[MessageBatch]:
        for run in self._runs:
            if target_topic in (None, run.topic):
                for start in range(0, len(run.records), self._batch_size):
                    records = run.records[start : start + self._batch_size]
                    yield create_message_batch(run.topic, records, run.partition, run.bulk)

    # Reports

    def drain(self, budget_s: float) -> bool:
        """Raises KafkaException for a fatal error, which poll() tells in no other way."""
        if self._is_busy or self._producer is None:
            return self._is_busy  # busy: called by what a report set off, and the outer call goes on
        self._is_busy = True
        self._until_s = until_s = time.monotonic() + budget_s
        more = False
        try:
            has_caught = bool(self._caught)
            for waiting in (self._caught, self._refused):
                while waiting:
                    carried, error, message = waiting.popleft()
                    carried(error, message)
            if self.unsettled() or not has_caught:
                self._producer.poll(0)
        except StopServing as stop:
            forget_trace(stop)
            more = True
        finally:
            self._until_s = float("inf")
            self._is_busy = False
        return self.run_due(until_s) or more

    def take_report(self, callback: ReusableMessageCallback, error: KafkaError | None, message: Any) -> None:
        """The report of a record with headers, with an on_delivery, or with an error."""
        if callback.headers is not None:
            if isinstance(message, Message):
                message.set_headers(list(callback.headers))
            callback.headers = None
        if callback.on_delivery is None or (error is None and self._callbacks.only_failures):
            self.settle(callback, error, message)
        else:
            self._due.append((callback, error, message))
            if not len(self._due) & LOOK_MASK_MAX:
                self._keep_budget(time.monotonic())

    def run_due(self, until_s: float) -> bool:
        """Settle records whose on_delivery had to wait for the end of poll(), and call it; whether some are left."""
        due = self._due
        while due:
            callback, error, message = due.popleft()
            on_delivery = callback.on_delivery
            assert on_delivery is not None, "it is due for that"
            try:
                self.settle(callback, error, message)
            finally:
                self._callbacks.call(on_delivery, error, message)
            if time.monotonic() > until_s:
                break
        return bool(due)

    def settle(self, callback: ReusableMessageCallback, error: KafkaError | None, message: Any) -> None:
        """Tell a record's future, or its batch's report, of its outcome."""
        epoch, future, report = callback.epoch, callback.future, callback.report
        assert epoch is not None, "a callback is told once"
        is_heard = callback.on_delivery is not None
        callback.epoch = callback.future = callback.report = callback.on_delivery = None
        epoch.settled += 1
        try:
            if report is not None:
                if error is None:
                    report.acknowledge(1)
                else:
                    self._callbacks.note_failure(error)
                    self.room = 0
                    report.fail(callback.place, error)
            elif error is not None:
                self.fail(future, error, is_heard)
            elif future is not None and not future.done():
                future.set_result(message)
        finally:
            if len(self._pool) < self._pool_max:
                self._pool.append(callback)
        if not epoch.settled & self.look_mask:
            self.look(message)

    def fail(self, future: Any, error: KafkaError, is_heard: bool) -> None:
        """Settle a future with the error of its record; unread, it is reported, unless the error is heard of
        otherwise.
        """
        self.room = 0  # what the failure means for the next record is asked first
        is_heard = self._callbacks.note_failure(error) or is_heard
        if not future.done():
            future.set_exception(KafkaException(error))
            if is_heard:
                future.exception()

    def catch(self, carried: Carried, error: KafkaError | None, message: Any) -> None:
        """Keep a report that arrived on another thread for the loop. May raise StopServing."""
        self._caught.append((carried, error, message))
        self.on_caught()

    def catch_again(self, carried: Carried, error: KafkaError | None, message: Any) -> None:
        """Settling was interrupted: the next `drain` does it again."""
        self._caught.append((carried, error, message))
        self.on_refused()

    def look(self, message: Any) -> None:
        """What is not done for every record, see `callbacks.LOOK_MASK_MAX`. Raises StopServing when the time is
        over.
        """
        now_s = time.monotonic()
        since_s = now_s - self._looked_s
        self._looked_s = now_s
        if since_s < LOOK_S_MIN:
            self.look_mask = min(2 * self.look_mask + 1, LOOK_MASK_MAX)
        elif since_s > LOOK_S_MAX:
            self.look_mask >>= 1
        if message.error() is None and (latency_s := message.latency()) is not None:
            self._callbacks.latencies.add(latency_s)
        self._keep_budget(now_s)

    def _keep_budget(self, now_s: float) -> None:
        if now_s > self._until_s:
            raise STOP

    # Counts

    @property
    def accepted(self) -> int:
        return self._epochs_over + sum(epoch.entered for epoch in tuple(self._epochs))

    @property
    def settled(self) -> int:
        return self._epochs_over + sum(epoch.settled for epoch in tuple(self._epochs))

    def unsettled(self) -> int:
        return sum(epoch.entered - epoch.settled for epoch in tuple(self._epochs))

    def buffered(self) -> int:
        return self.accepted - self.handed_over

    def new_epoch(self) -> int:
        if self._epoch.entered > self._epoch.settled:
            self._epoch = Epoch(self._epoch.number + 1)
            self._epochs.append(self._epoch)
        return self._epoch.number

    def oldest_epoch(self) -> int:
        while len(self._epochs) > 1 and self._epochs[0].entered == self._epochs[0].settled:
            self._epochs_over += self._epochs.popleft().settled
        return self._epochs[0].number


def _nothing() -> None:
    """Until somebody wants to be told."""
