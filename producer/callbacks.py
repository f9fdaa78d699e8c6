"""Where delivery reports end: each settles its own record, once, on the loop's thread.

A transport calls the callback that a record carries with `(KafkaError or None, Message)`, exactly once a
record:

- a plain record carries its DeliveryFuture, which is its own callback: nothing to look up, nothing to
  allocate;
- a record with an `on_delivery`, or one produced while a flush waits, carries a pooled
  ReusableMessageCallback;
- the records of one `produce_batch` share a BatchReport, whose slots know their index.

Code of the user never runs inside librdkafka's poll(), where polling again would abort the process:
`on_delivery` calls are queued and run when poll() has returned. A report that arrives on another thread is
only caught there and settled on the loop.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from threading import get_ident
from typing import Any, ClassVar

from confluent_kafka import KafkaError, KafkaException

from producer.message_batch import MessageBatch, Record, UnsentMessage

OnDelivery = Callable[[KafkaError | None, Any], Awaitable[None] | None]
ReportCallback = Callable[[KafkaError | None, Any], None]
AddRecord = Callable[[str, int, Record, bool], None]

REPORTS_BETWEEN_CLOCK_READS = 64
_CLOCK_MASK = REPORTS_BETWEEN_CLOCK_READS - 1
CALLBACK_POOL_MAX = 10_000
BATCH_REPORT_POOL_MAX = 16
BATCH_REPORT_SLOTS_MAX = 10_000


class StopServing(Exception):
    """Raised out of a report to make librdkafka keep the remaining ones; the report itself is never lost."""


class DeliveryFuture(asyncio.Future[Any]):
    """The future of one record's acknowledged Message, and the callback of that record's report.

    Each producer has a subclass of its own, so that a future finds its manager without carrying a pointer to
    it.
    """

    __slots__ = ()
    manager: ClassVar[CallbackManager]

    def __call__(self, error: KafkaError | None, message: Any) -> None:
        manager = self.manager
        if manager.threads_serving and manager.caught_elsewhere(self, error, message):
            return
        manager.settled += 1
        if error is None:
            try:  # noqa: SIM105 (suppress() would cost every record as much as settling it)
                self.set_result(message)
            except asyncio.InvalidStateError:
                pass  # the caller gave up the wait
        else:
            manager.fail(self, error)
        if not manager.settled & _CLOCK_MASK:
            manager.keep_budget()


class FlushMark:
    """One waiting flush. `younger` counts the unsettled records that it does not wait for."""

    __slots__ = ("done", "younger")

    def __init__(self, done: asyncio.Future[None]) -> None:
        self.done = done
        self.younger = 0


class ReusableMessageCallback:
    """The callback of a record that needs more than its future; pooled again once it was settled."""

    __slots__ = ("_manager", "future", "marks", "on_delivery")

    def __init__(self, manager: CallbackManager) -> None:
        self._manager = manager
        self.future: DeliveryFuture | None = None
        self.on_delivery: OnDelivery | None = None
        self.marks: tuple[FlushMark, ...] = ()

    def __call__(self, error: KafkaError | None, message: Any) -> None:
        manager = self._manager
        if manager.threads_serving and manager.caught_elsewhere(self, error, message):
            return
        future, on_delivery, marks = self.future, self.on_delivery, self.marks
        self.future, self.on_delivery, self.marks = None, None, ()
        manager.release(self)
        if future is not None and not future.done():
            if error is None:
                future.set_result(message)
            else:
                manager.fail(future, error)
                if on_delivery is not None:
                    future.exception()  # on_delivery hears of it: an unread future is no unheard failure
        if on_delivery is None or (error is None and manager.only_failures):
            manager.settle(marks)
        else:
            manager.call_later(on_delivery, error, message, marks)


@dataclass(frozen=True)
class BatchResult:
    """What became of the records of one `produce_batch`: `failures` names each failed one by its index."""

    count: int
    failures: Mapping[int, BaseException] = field(default_factory=dict)

    @property
    def acknowledged(self) -> int:
        """Number of records that were acknowledged."""
        return self.count - len(self.failures)

    @property
    def ok(self) -> bool:
        """Whether every record was acknowledged."""
        return not self.failures


class BatchReport:
    """Collects the reports of one `produce_batch`. `slots[i]` is the callback of the record at index i.

    The slots outlive the batch and are used again by a later one, so that a record of a batch costs no
    callback object.
    """

    __slots__ = ("_count", "_failures", "_manager", "_remaining", "future", "marks", "on_delivery", "slots")

    def __init__(self, manager: CallbackManager) -> None:
        self._manager = manager
        self.slots: list[ReportCallback] = []
        self.future: asyncio.Future[BatchResult] | None = None
        self.on_delivery: OnDelivery | None = None
        self.marks: tuple[FlushMark, ...] = ()
        self._count = self._remaining = 0
        self._failures: dict[int, BaseException] = {}

    def begin(self, count: int, future: asyncio.Future[BatchResult], on_delivery: OnDelivery | None) -> None:
        """Expect `count` outcomes, one an index."""
        self.future, self.on_delivery = future, on_delivery
        self._count = self._remaining = count
        self._failures = {}
        self.marks = self._manager.marks
        self.slots.extend(partial(self._report, index) for index in range(len(self.slots), count))

    def enter(self, topic: str, partition: int, record: Record, bulk: bool, add: AddRecord) -> None:
        """Add a record of the batch to the buffer."""
        for mark in self.marks:
            mark.younger += 1
        add(topic, partition, record, bulk)

    def reject(self, index: int, reason: BaseException) -> None:
        """The record at `index` never entered the buffer."""
        self._failures[index] = reason
        self._one_less()

    def _report(self, index: int, error: KafkaError | None, message: Any) -> None:
        manager = self._manager
        if manager.threads_serving and manager.caught_elsewhere(self.slots[index], error, message):
            return
        marks, on_delivery = self.marks, self.on_delivery
        if error is not None:
            manager.note_fatal(error)
            self._failures[index] = KafkaException(error)
        self._one_less()
        if on_delivery is None or (error is None and manager.only_failures):
            manager.settle(marks)
        else:
            manager.call_later(on_delivery, error, message, marks)

    def _one_less(self) -> None:
        self._remaining -= 1
        if self._remaining:
            return
        future, result = self.future, BatchResult(self._count, self._failures)
        self.future, self.on_delivery, self.marks, self._failures = None, None, (), {}
        self._manager.release_batch_report(self)
        if future is not None and not future.done():
            future.set_result(result)


class CallbackManager:
    """Makes, pools and runs the callbacks of one producer, and counts what they settled.

    Everything here runs on the loop's thread except `caught_elsewhere`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, only_failures: bool = False) -> None:
        self._loop = loop
        self.only_failures = only_failures
        """Whether on_delivery is to be called for failures alone (`delivery.report.only.error`)."""
        self._loop_thread = get_ident()
        self.future_type: type[DeliveryFuture] = type(
            "DeliveryFuture", (DeliveryFuture,), {"__slots__": (), "manager": self}
        )
        self.settled = 0
        self.threads_serving = 0
        """Other threads that may be in a call that serves reports; 0 spares the look at the thread."""
        self.on_caught: Callable[[], None] = lambda: None
        """Called on the other thread when it caught a report; may raise StopServing."""
        self.on_fatal: Callable[[KafkaError], None] = lambda error: None
        self._caught: deque[tuple[ReportCallback, KafkaError | None, Any]] = deque()
        self._due: deque[tuple[OnDelivery, KafkaError | None, Any, tuple[FlushMark, ...]]] = deque()
        self._deadline_s = float("inf")
        self.marks: tuple[FlushMark, ...] = ()
        """The waiting flushes, which new records must remember."""
        self._pool: list[ReusableMessageCallback] = []
        self._batch_pool: list[BatchReport] = []
        self._tasks: set[asyncio.Future[None]] = set()
        self._watchers: list[tuple[int, asyncio.Future[None]]] = []
        self.created = 0
        self.reused = 0

    # The callbacks of new records

    def callback_for(self, future: DeliveryFuture, on_delivery: OnDelivery | None) -> ReportCallback:
        """The callback for a new record: the future itself where that is enough."""
        if on_delivery is None and not self.marks:
            return future
        if self._pool:
            self.reused += 1
            callback = self._pool.pop()
        else:
            self.created += 1
            callback = ReusableMessageCallback(self)
        callback.future, callback.on_delivery, callback.marks = future, on_delivery, self.marks
        for mark in self.marks:
            mark.younger += 1
        return callback

    def batch_report(
        self, count: int, future: asyncio.Future[BatchResult], on_delivery: OnDelivery | None
    ) -> BatchReport:
        """A report for `count` records that share one future."""
        if self._batch_pool:
            self.reused += 1
            report = self._batch_pool.pop()
        else:
            self.created += 1
            report = BatchReport(self)
        report.begin(count, future, on_delivery)
        return report

    def release(self, callback: ReusableMessageCallback) -> None:
        """Take a settled callback back."""
        if len(self._pool) < CALLBACK_POOL_MAX:
            self._pool.append(callback)

    def release_batch_report(self, report: BatchReport) -> None:
        """Take a settled batch report back."""
        if len(self._batch_pool) < BATCH_REPORT_POOL_MAX and len(report.slots) <= BATCH_REPORT_SLOTS_MAX:
            self._batch_pool.append(report)

    # Reports

    def fail(self, future: asyncio.Future[Any], error: KafkaError) -> None:
        """Settle a future with the error of its record."""
        self.note_fatal(error)
        if not future.done():
            future.set_exception(KafkaException(error))

    def note_fatal(self, error: KafkaError) -> None:
        """Tell the producer of an error that ends it."""
        if error.fatal():
            self.on_fatal(error)

    def settle(self, marks: tuple[FlushMark, ...]) -> None:
        """Count one record as settled."""
        self.settled += 1
        for mark in marks:
            mark.younger -= 1
        if not self.settled & _CLOCK_MASK:
            self.keep_budget()

    def refuse(self, batch: MessageBatch, record: Record, error: KafkaError) -> None:
        """Settle a record that librdkafka did not take and will therefore never report."""
        record["callback"](error, UnsentMessage(batch, record, error))

    def caught_elsewhere(self, callback: ReportCallback, error: KafkaError | None, message: Any) -> bool:
        """Whether this is another thread; then the report is kept for the loop. May raise StopServing."""
        if get_ident() == self._loop_thread:
            return False
        self._caught.append((callback, error, message))
        self.on_caught()
        return True

    def serve_within(self, budget_s: float) -> float:
        """Reports settled from now on stop the serving at the monotonic time returned."""
        self._deadline_s = time.monotonic() + budget_s
        return self._deadline_s

    def serve_without_limit(self) -> None:
        """Outside poll() a settled report must not raise."""
        self._deadline_s = float("inf")

    def keep_budget(self) -> None:
        """Raise StopServing when the time of this serving is spent."""
        if time.monotonic() > self._deadline_s:
            raise StopServing

    def settle_caught(self) -> bool:
        """Settle the reports that other threads caught; whether there was any."""
        if not self._caught:
            return False
        while self._caught:
            callback, error, message = self._caught.popleft()
            callback(error, message)
        return True

    # on_delivery

    def call_later(
        self, on_delivery: OnDelivery, error: KafkaError | None, message: Any, marks: tuple[FlushMark, ...]
    ) -> None:
        """Run on_delivery once poll() has returned; the record counts as settled then."""
        self._due.append((on_delivery, error, message, marks))
        if not len(self._due) & _CLOCK_MASK:
            self.keep_budget()

    def run_due(self, until_s: float) -> bool:
        """Run the queued on_delivery calls until the monotonic time `until_s`; whether some are left."""
        due = self._due
        while due:
            on_delivery, error, message, marks = due.popleft()
            self.settle(marks)
            self._run(on_delivery, error, message)
            if time.monotonic() > until_s:
                break
        return bool(due)

    def _run(self, on_delivery: OnDelivery, error: KafkaError | None, message: Any) -> None:
        try:
            outcome = on_delivery(error, message)
        except Exception as raised:  # noqa: BLE001 (user code: whatever it raises is reported, and harms no other record)
            self._report_raised(raised, message)
            return
        if inspect.isawaitable(outcome):
            task = asyncio.ensure_future(outcome, loop=self._loop)
            self._tasks.add(task)
            task.add_done_callback(partial(self._finished, message))

    def _finished(self, message: Any, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (raised := task.exception()) is not None:
            self._report_raised(raised, message)

    def _report_raised(self, raised: BaseException, message: Any) -> None:
        self._loop.call_exception_handler(
            {
                "message": f"on_delivery raised for {_name(message)}",
                "exception": raised,
                "record": message,
            }
        )

    def running_tasks(self) -> set[asyncio.Future[None]]:
        """The async on_delivery calls that have not ended."""
        return set(self._tasks)

    # Flushes and polls

    def next_settlement(self) -> asyncio.Future[None]:
        """A future that is done when more records are settled than now."""
        self._watchers.append((self.settled, self._loop.create_future()))
        return self._watchers[-1][1]

    def add_mark(self) -> FlushMark:
        """Begin a flush: records produced from now on are younger than it."""
        mark = FlushMark(self._loop.create_future())
        self.marks = (*self.marks, mark)
        return mark

    def remove_mark(self, mark: FlushMark) -> None:
        """End a flush."""
        self.marks = tuple(other for other in self.marks if other is not mark)

    def wake_waiters(self, unsettled: int) -> None:
        """Wake the polls that waited for any report, and the flushes with nothing older unsettled."""
        if self._watchers:
            for settled, watcher in self._watchers:
                if self.settled > settled and not watcher.done():
                    watcher.set_result(None)
            self._watchers = [entry for entry in self._watchers if not entry[1].done()]
        for mark in self.marks:
            if unsettled <= mark.younger and not mark.done.done():
                mark.done.set_result(None)


def _name(message: Any) -> str:
    where = f"{message.topic()} [{message.partition()}]"
    if message.error() is not None or message.offset() is None:
        return f"the record with key {message.key()!r} for {where}"
    return f"the record at {where} offset {message.offset()}"
