"""PureRecords: a producer's records in call order, over confluent-kafka's public API. The compiled twin is
`producer._librdkafka.Records`.

A record is the mapping that confluent's `produce_batch` reads. What it carries as its callback takes its report: a
plain record's own future; a pooled ReusableMessageCallback where there is more to tell than that. Reports come
inside librdkafka's poll(), where polling again would abort the process: so code of the user never runs there, but
when poll() has returned. A report that arrives on another thread is only caught there and settled on the loop.

A signal's handler may raise where CPython looks for signals: where a function begins, after a call, where a loop jumps
back. So what belongs together (what was told of a record and that it was, its entry and its count) is changed by
statements without a call, `+=` instead of `append()`; what comes before them may be repeated, and is.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import starmap
from threading import get_ident
from traceback import walk_tb
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from producer import arguments
from producer.callbacks import LOOK_MASK_MAX, LOOK_S_MAX, LOOK_S_MIN, BatchReport, CallbackManager, OnDelivery
from producer.errors import never_fits, state_refusal
from producer.message import UnsentMessage
from producer.message_batch import PARTITIONER, MessageBatch, Record, create_message_batch

CALLBACK_POOL_MAX = 10_000
_NO_END_S = float("inf")
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
    """The callback of a record with more to tell than its future: an on_delivery, a place in a batch's report, headers,
    which confluent-kafka keeps from its Message, or an error. Pooled again once it was settled.
    """

    __slots__ = (
        "_records",
        "epoch",
        "error",
        "future",
        "headers",
        "message",
        "on_delivery",
        "place",
        "report",
    )

    def __init__(self, records: PureRecords) -> None:
        self._records = records
        self.epoch: Epoch | None = None
        """None from when its record's outcome was told to all but its on_delivery."""
        self.future: asyncio.Future[Any] | None = None
        self.report: BatchReport | None = None
        self.place = 0
        self.on_delivery: OnDelivery | None = None
        self.headers: list[tuple[str, bytes | None]] | None = None
        self.error: KafkaError | None = None
        self.message: Any = None
        """From when it is due, its report."""

    def __call__(self, error: KafkaError | None, message: Any) -> None:
        records = self._records
        if get_ident() != records.thread:
            records.catch(self, error, message)
            return
        if self.headers is not None and isinstance(message, Message):
            message.set_headers(list(self.headers))
        if error is not None or (self.on_delivery is not None and not records.only_failures):
            records.make_due(self, error, message)
            return
        epoch, future, report = self.epoch, self.future, self.report
        assert epoch is not None, "a callback is told once"
        if report is not None and report.messages is not None:
            report.messages[self.place] = message
        if future is not None and not future.done():
            future.set_result(message)
        self.epoch = self.future = self.report = self.on_delivery = self.headers = None
        epoch.settled += 1
        if report is not None:
            report.remaining -= 1
            if not report.remaining:
                records.finished = report
                records.finish()
        records.free(self)
        if not epoch.settled & records.look_mask:
            records.look(message)


def _delivery_future(records: PureRecords) -> type[asyncio.Future[Any]]:
    """The type of one producer's futures: each takes its record's report when it is called, and knows the records
    without carrying a pointer to them.
    """

    def settle(future: Any, error: KafkaError | None, message: Any) -> None:
        if get_ident() != records.thread:
            records.catch(future, error, message)
            return
        if error is not None:
            records.make_due_of(future, error, message)
            return
        epoch = future.epoch
        try:  # noqa: SIM105 (suppress() would cost every record as much as the settling)
            future.set_result(message)
        except asyncio.InvalidStateError:
            pass  # the caller gave up the wait
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
        self.only_failures = callbacks.only_failures
        self._settling = {ReusableMessageCallback.__call__.__code__}
        """The code whose frame has a report."""
        self._producer: Producer | None = producer
        self._produce_batch = getattr(producer, "produce_batch", None)  # from 2.12 on
        self._future_type = _delivery_future(self)
        self._settling.add(self._future_type.__call__.__code__)
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
        self._alive: set[ReusableMessageCallback] = set()
        """Those in the pool and in use, which else librdkafka alone would refer to."""
        self._submitted: list[Record] = []
        """What `produce_batch` was called with."""
        self._accepted: list[int] = []
        """What it returned, until that is noted."""
        self._taken: list[None] = []
        """One for each record at the head of the buffer that librdkafka took or refused."""
        self._caught: deque[tuple[Any, KafkaError | None, Any]] = deque()
        self._refused: deque[tuple[Carried, KafkaError, UnsentMessage]] = deque()
        self._due: deque[ReusableMessageCallback] = deque()
        self._is_unsure = False
        """Whether an exception may have taken a report along."""
        self.finished: BatchReport | None = None
        """Its last record was settled; its future perhaps not."""
        self._until_s = _NO_END_S
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
        future: asyncio.Future[Any] = self._enter(
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
        entered: Any = made[2]["callback"]
        if entered is not None:
            return entered.future if isinstance(entered, ReusableMessageCallback) else entered
        return self._enter(made)

    def _enter(self, made: Made) -> Any:
        topic, partition, record, on_delivery, report, place = made
        run = self._run
        if run is None:
            self.on_first()
        bulk = len(record) == 3
        future: Any = None if report is not None else self._future_type(loop=self._loop)
        carried: Any = future
        if report is not None or on_delivery is not None or not (bulk or "headers" not in record):
            carried = self._callback(future, report, place, on_delivery, record.get("headers"))
        is_first = run is None
        if run is None or run.topic != topic or run.partition != partition or run.bulk is not bulk:
            run = Run(topic, partition, bulk)
            self._runs.append(run)
            self._run = run
        # From here on in one step, which is over with the call.
        record["callback"] = carried
        carried.epoch = epoch = self._epoch
        epoch.entered += 1
        self.room -= 1
        run.records.append(record)
        if is_first and self.unsettled() == 1:
            self.on_alone()
        return future

    def _callback(
        self,
        future: asyncio.Future[Any] | None,
        report: BatchReport | None,
        place: int,
        on_delivery: OnDelivery | None,
        headers: Any,
    ) -> ReusableMessageCallback:
        if self._pool:
            callback = self._pool.pop()
            self.reused += 1
        else:
            callback = self._new_callback()
            self.created += 1
        callback.future, callback.report, callback.place = future, report, place
        callback.on_delivery, callback.headers = on_delivery, headers
        return callback

    def enter_many(self, made: list[Made], start: int) -> int:
        stop = min(len(made), start + max(self.room, 0))
        for index in range(start, stop):
            self._enter(made[index])
        return stop

    # Hand-over

    def hand_over(self) -> bool:
        if self._producer is None:
            return True
        try:
            self._forget_taken()
            while self._runs:
                run = self._runs[0]
                is_full = self._submit(self._producer, run)
                self.batches += 1
                self._forget_taken()
                if not is_full:
                    continue
                if len(self._producer):
                    self.queue_full += 1
                    return False
                self._refuse(run, run.records[0], never_fits())
            return True
        finally:
            self._forget_taken()
            if self._refused:
                self.on_refused()

    def _forget_taken(self) -> None:
        if not self._runs:
            return
        run = self._runs[0]
        if self._accepted:
            self._note_accepted(run)
        count = len(self._taken)
        del run.records[:count]
        self._taken = []
        self.handed_over += count
        if not run.records:
            del self._runs[0]
            if run is self._run:
                self._run = None

    def _submit(self, producer: Producer, run: Run) -> bool:
        """Hand over records of a run; whether the queue is full for the next.

        What librdkafka took is noted in C, by lists that grow by an iterator of calls: whatever is raised then.
        """
        if not (run.bulk and len(run.records) > 1 and self._produce_batch is not None):
            return self._submit_singly(producer, run)
        self._submitted = messages = run.records[: self._batch_size]
        try:
            self._accepted.extend(starmap(self._produce_batch, [(run.topic, messages, run.partition)]))
        except Exception as raised:
            if self._accepted or _is_foreign(raised):
                raise
            # The call took nothing: one by one, each record gets its own error or its way.
            return self._submit_singly(producer, run)
        self._note_accepted(run)
        return len(self._taken) < len(messages)

    def _note_accepted(self, run: Run) -> None:
        messages = self._submitted
        if self._accepted[0] == len(messages):
            self._taken += [None] * self._accepted[0]
            self._accepted, self._submitted = [], []
            return
        while len(self._taken) < len(messages):
            message = messages[len(self._taken)]
            error = message.get("_error")
            if error is None:
                self._taken += (None,)
            elif error.code() != KafkaError._QUEUE_FULL:
                self._refuse(run, message, error)
            else:  # librdkafka takes nothing after the first that found the queue full
                for kept_out in messages[len(self._taken) + 1 :]:
                    kept_out.pop("_error", None)
                del message["_error"]
                self._accepted, self._submitted = [], []
                return
        self._accepted, self._submitted = [], []

    def _submit_singly(self, producer: Producer, run: Run) -> bool:
        topic, partition = run.topic, run.partition
        while len(self._taken) < len(run.records):
            given = (
                (
                    topic,
                    m["value"],
                    m["key"],
                    partition,
                    m["callback"],
                    None,
                    m.get("timestamp", 0),
                    m.get("headers"),
                )
                for m in run.records[len(self._taken) :]
            )
            try:
                self._taken.extend(starmap(producer.produce, given))
            except BufferError as raised:
                if _is_foreign(raised):
                    raise
                return True
            except Exception as raised:
                if _is_foreign(raised):
                    raise
                self._refuse(run, run.records[len(self._taken)], _refusal(raised))
        return False

    def _refuse(self, run: Run, message: Record, error: KafkaError) -> None:
        """The next record at the head will have no report: the next drain settles it."""
        if error.code() == KafkaError._STATE:
            error = state_refusal()
        unsent = UnsentMessage(run.topic, run.partition, message, error)
        self._refused += ((message["callback"], error, unsent),)
        self._taken += (None,)

    def take(self) -> Iterator[Run]:
        """Empty the buffer."""
        self._run = None
        while self._runs:
            run = self._runs.popleft()
            self.handed_over += len(run.records)
            yield run

    def drop(self, error: KafkaError) -> None:
        try:
            self._forget_taken()
            while self._runs:
                run = self._runs[0]
                while len(self._taken) < len(run.records):
                    self._refuse(run, run.records[len(self._taken)], error)
                self._forget_taken()
        finally:
            self._forget_taken()
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
        until_s = time.monotonic() + budget_s
        self._until_s = until_s
        self._is_busy = True
        try:
            more = self._poll()
            self._until_s = _NO_END_S
            more = self.run_due(until_s) or more
            if self._is_unsure and not more:
                self._give_up_lost()
        except BaseException as raised:
            self._is_unsure = True
            self._catch_interrupted(raised)
            raise
        finally:
            self._until_s = _NO_END_S
            self._is_busy = False
        return more

    def _poll(self) -> bool:
        """Settle what was caught and refused, and what is reported; whether some of that is left."""
        assert self._producer is not None
        self.finish()
        has_caught = bool(self._caught)
        try:
            for waiting in (self._caught, self._refused):
                while waiting:
                    carried, error, message = waiting[0]
                    del waiting[0]
                    carried(error, message)
            if self.unsettled() or not has_caught:
                self._producer.poll(0)
        except StopServing as stop:
            forget_trace(stop)
            return True
        return False

    def _catch_interrupted(self, raised: BaseException) -> None:
        """A report whose settling was interrupted, be it where that began, is settled by the next `drain`. Before
        Python 3.12 confluent-kafka drops the trace of what left a callback: see `_give_up_lost`.
        """
        for frame, _ in walk_tb(raised.__traceback__):
            if frame.f_code in self._settling:
                carried, error, message = (frame.f_locals[name] for name in frame.f_code.co_varnames[:3])
                if carried.epoch is not None and getattr(carried, "message", None) is None:
                    self._caught.append((carried, error, message))

    def _give_up_lost(self) -> None:
        """Fail the records that librdkafka does not have, and nobody here: an exception took their reports along."""
        if self._runs or self._caught or self._refused or len(self._producer or ()):
            return
        error = KafkaError(
            KafkaError._INTR, "Whether it was sent is unknown: an exception took its report along."
        )
        futures = gc.get_referrers(*self._epochs) if self.unsettled() else []
        carriers: list[Any] = [found for found in futures if type(found) is self._future_type]
        carriers += [callback for callback in self._alive if callback.epoch is not None]
        lost = [(carried, error, Message(error=error)) for carried in carriers]
        for epoch in self._epochs:  # nothing is left of those that nobody waits for
            epoch.settled = epoch.entered - sum(carried.epoch is epoch for carried, _, _ in lost)
        self._caught += lost
        self._is_unsure = False
        if lost:
            self.on_refused()

    def make_due(self, callback: ReusableMessageCallback, error: KafkaError | None, message: Any) -> None:
        """Have it settled when poll() has returned: code of the user's runs then, or there is an error to tell."""
        callback.error, callback.message = error, message
        self._due += (callback,)
        if not len(self._due) & LOOK_MASK_MAX:
            self._keep_budget(time.monotonic())

    def make_due_of(self, future: Any, error: KafkaError, message: Any) -> None:
        """As `make_due`, of a record that had its future alone to tell."""
        callback = self._pool.pop() if self._pool else self._new_callback()
        callback.epoch, callback.future, callback.error, callback.message = (
            future.epoch,
            future,
            error,
            message,
        )
        future.epoch = None
        self._due += (callback,)

    def run_due(self, until_s: float) -> bool:
        """Settle records that had to wait for the end of poll(), and call their on_delivery; whether some are left."""
        due = self._due
        while due:
            callback = due[0]
            error, message = callback.error, callback.message
            if callback.epoch is not None:
                self._settle_due(callback, error)
            on_delivery = callback.on_delivery
            if on_delivery is not None:
                callback.on_delivery = None
                try:
                    outcome = on_delivery(error, message)
                except BaseException as raised:  # noqa: BLE001 (user code)
                    self._callbacks.note_raised(raised, message)
                else:
                    if outcome is not None:
                        self._callbacks.follow(outcome, message)
            callback.error = callback.message = None
            del due[0]
            self.free(callback)
            if time.monotonic() > until_s:
                break
        return bool(due)

    def _settle_due(self, callback: ReusableMessageCallback, error: KafkaError | None) -> None:
        """Tell everybody but on_delivery. What may be repeated comes first, and is, where it is interrupted."""
        epoch, future, report = callback.epoch, callback.future, callback.report
        assert epoch is not None, "it was not told"
        failures, name, failed = self._callbacks.failures, "", 0
        if report is not None and report.messages is not None:
            report.messages[callback.place] = callback.message
        if error is not None:
            self.room = 0  # what the failure means for the next record is asked first
            is_heard = self._callbacks.on_failure(error) or callback.on_delivery is not None
            if report is not None:
                report.fail(callback.place, error)
            elif future is not None:
                if not future.done():
                    future.set_exception(KafkaException(error))
                if is_heard and not future.cancelled():
                    future.exception()
            name = error.name()
            failed = failures[name] + 1
        elif future is not None and not future.done():
            future.set_result(callback.message)
        if error is not None:
            failures[name] = failed
        callback.epoch = callback.future = callback.report = callback.headers = None
        epoch.settled += 1
        if report is not None:
            report.remaining -= 1
            if not report.remaining:
                self.finished = report
                self.finish()
        if not epoch.settled & self.look_mask:
            self.look(callback.message)

    def finish(self) -> None:
        """Tell a batch whose last record was settled."""
        if self.finished is not None:
            self.finished.finish()
            self.finished = None

    def _new_callback(self) -> ReusableMessageCallback:
        callback = ReusableMessageCallback(self)
        self._alive.add(callback)
        return callback

    def free(self, callback: ReusableMessageCallback) -> None:
        """It was settled and is not referred to any more."""
        if len(self._pool) < self._pool_max:
            self._pool.append(callback)
        else:
            self._alive.discard(callback)

    def catch(self, carried: Carried, error: KafkaError | None, message: Any) -> None:
        """Keep a report that arrived on another thread for the loop. May raise StopServing."""
        self._caught.append((carried, error, message))
        self.on_caught()

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
            epoch = Epoch(self._epoch.number + 1)
            self._epochs.append(epoch)
            self._epoch = epoch
        return self._epoch.number

    def oldest_epoch(self) -> int:
        while len(self._epochs) > 1 and self._epochs[0].entered == self._epochs[0].settled:
            self._epochs_over += self._epochs[0].settled
            del self._epochs[0]
        return self._epochs[0].number


def _is_foreign(raised: Exception) -> bool:
    """Whether a call of C code did not raise this itself, but a signal's handler when it was over."""
    return raised.__traceback__ is not None and raised.__traceback__.tb_next is not None


def _refusal(raised: Exception) -> KafkaError:
    """Whatever produce() raises, it is its record's outcome and no other's."""
    if isinstance(raised, KafkaException):
        refused: KafkaError = raised.args[0]
        return refused
    return KafkaError(KafkaError._INVALID_ARG, f"{type(raised).__name__}: {raised}")


def _nothing() -> None:
    """Until somebody wants to be told."""
