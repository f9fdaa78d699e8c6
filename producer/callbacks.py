"""Where delivery reports end: each settles its own record, once, on the loop's thread.

A transport tells what a record carries of `(KafkaError or None, Message)`, exactly once a record:

- a plain record carries its future alone: nothing to look up, nothing to allocate. confluent-kafka calls what a record
  carries, so that its futures are their own callbacks (CallableFuture); to the compiled transport any future is enough;
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
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from threading import get_ident
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from producer.message import UnsentMessage
from producer.message_batch import MessageBatch, Record
from producer.statistics import LatencySampler

OnDelivery = Callable[[KafkaError | None, Any], Awaitable[None] | None]
"""The message is a `Message`; Any, so that a callback may have confluent's type for it."""
Carried = asyncio.Future[Any] | Callable[[KafkaError | None, Any], None]
"""What a record carries, to be told of its report by `CallbackManager.tell`."""
AddRecord = Callable[[str, int, Record, bool], None]

SERVE_BUDGET_S = 0.001
"""How long a transport serves reports before it lets the loop go on."""
LOOK_MASK_MAX = 63
"""At most so many records, less one, between two looks at the clock."""
LOOK_S_MIN, LOOK_S_MAX = 0.0005, 0.002
"""Looks closer together than the one become rarer, further apart than the other more frequent."""
CALLBACK_POOL_MAX = 10_000
BATCH_REPORT_POOL_MAX = 16
BATCH_REPORT_SLOTS_MAX = 10_000


class StopServing(Exception):
    """Raised out of a report to make librdkafka keep the remaining ones; the report itself is never lost."""


def _settler(manager: CallbackManager) -> Callable[[asyncio.Future[Any], KafkaError | None, Any], None]:
    """What settles one producer's futures: it knows the manager without any of them carrying a pointer to it."""

    def settle(future: asyncio.Future[Any], error: KafkaError | None, message: Any) -> None:
        if manager.threads_serving and manager.caught_elsewhere(future, error, message):
            return
        manager.settled += 1
        if error is None:
            try:  # noqa: SIM105 (suppress() would cost every record as much as settling it)
                future.set_result(message)
            except asyncio.InvalidStateError:
                pass  # the caller gave up the wait
        else:
            manager.fail(future, error)
            manager.count_failure(error)
        if not manager.settled & manager.look_mask:
            manager.look(message)

    return settle


def _callable_future(
    settle: Callable[[asyncio.Future[Any], KafkaError | None, Any], None],
) -> type[asyncio.Future[Any]]:
    """The type of futures that take their record's report when they are called."""
    return type("CallableFuture", (asyncio.Future,), {"__slots__": (), "__call__": settle})


CallbackPool = deque["ReusableMessageCallback"]
_NOWHERE: CallbackPool = deque(maxlen=0)
"""Where callbacks go that are one too many to be kept: what enters is dropped."""


class FlushMark:
    """One waiting flush. `younger` counts the unsettled records that it does not wait for."""

    __slots__ = ("done", "younger")

    def __init__(self, done: asyncio.Future[None]) -> None:
        self.done = done
        self.younger = 0


class ReusableMessageCallback:
    """The callback of a record that needs more than its future; pooled again once it was settled."""

    __slots__ = ("_manager", "_pool", "future", "marks", "on_delivery")

    def __init__(self, manager: CallbackManager, pool: CallbackPool) -> None:
        self._manager = manager
        self._pool = pool
        self.future: asyncio.Future[Any] | None = None
        self.on_delivery: OnDelivery | None = None
        self.marks: tuple[FlushMark, ...] = ()

    def __call__(self, error: KafkaError | None, message: Any) -> None:
        manager = self._manager
        if manager.threads_serving and manager.caught_elsewhere(self, error, message):
            return
        future, on_delivery, marks = self.future, self.on_delivery, self.marks
        self.future = self.on_delivery = None
        self.marks = ()
        self._pool.append(self)
        assert future is not None, "a callback is told once"
        if error is not None:
            manager.fail(future, error, is_heard=on_delivery is not None)
        elif not future.done():
            future.set_result(message)
        if on_delivery is None or (error is None and manager.only_failures):
            manager.settle(marks, error, message)
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


class BatchSlot:
    """The callback of one record of a `produce_batch`: its place in the report."""

    __slots__ = ("_index", "report")

    def __init__(self, report: BatchReport, index: int) -> None:
        self.report = report
        self._index = index

    def __call__(self, error: KafkaError | None, message: Any) -> None:
        report = self.report
        manager = report.manager
        if manager.threads_serving and manager.caught_elsewhere(self, error, message):
            return
        if error is not None or report.needs_more:
            report.settle(self._index, error, message)
            return
        manager.settled += 1
        report.remaining -= 1
        if not report.remaining:
            report.finish()
        if not manager.settled & manager.look_mask:
            manager.look(message)


class BatchReport:
    """Collects the reports of one `produce_batch`. `slots[i]` is the callback of the record at index i.

    The slots outlive the batch and are used again by a later one, so that a record of a batch costs no
    callback object.
    """

    __slots__ = (
        *("_count", "_failures", "_future", "_marks", "_on_delivery"),
        *("manager", "needs_more", "remaining", "slots"),
    )

    def __init__(self, manager: CallbackManager) -> None:
        self.manager = manager
        self.slots: list[BatchSlot] = []
        self.needs_more = False
        """Whether an acknowledgement concerns more than the count: an on_delivery, or a waiting flush."""
        self.remaining = 0
        self._count = 0
        self._future: asyncio.Future[BatchResult] | None = None
        self._on_delivery: OnDelivery | None = None
        self._marks: tuple[FlushMark, ...] = ()
        self._failures: dict[int, BaseException] = {}

    def begin(self, count: int, future: asyncio.Future[BatchResult], on_delivery: OnDelivery | None) -> None:
        """Expect `count` outcomes, one an index."""
        self._future, self._on_delivery, self._marks = future, on_delivery, self.manager.marks
        self._count = self.remaining = count
        self._failures = {}
        self.needs_more = on_delivery is not None or bool(self._marks)
        self.slots.extend(BatchSlot(self, index) for index in range(len(self.slots), count))

    def enter(self, topic: str, partition: int, record: Record, bulk: bool, add: AddRecord) -> None:
        """Add a record of the batch to the buffer."""
        for mark in self._marks:
            mark.younger += 1
        add(topic, partition, record, bulk)

    def reject(self, index: int, reason: BaseException) -> None:
        """The record at `index` never entered the buffer."""
        self.manager.on_failure(KafkaError(KafkaError._INVALID_ARG, str(reason)))
        self._failures[index] = reason
        self._one_less()

    def settle(self, index: int, error: KafkaError | None, message: Any) -> None:
        """Take an outcome that concerns more than the count."""
        manager, marks, on_delivery = self.manager, self._marks, self._on_delivery
        if error is not None:
            manager.on_failure(error)
            self._failures[index] = KafkaException(error)
        self._one_less()
        if on_delivery is None or (error is None and manager.only_failures):
            manager.settle(marks, error, message)
        else:
            manager.call_later(on_delivery, error, message, marks)

    def acknowledge(self, count: int) -> None:
        """Take so many acknowledgements that concern nothing but the count."""
        self.remaining -= count
        if not self.remaining:
            self.finish()

    def finish(self) -> None:
        """Every outcome is there: settle the future, and be free for another batch."""
        future, result = self._future, BatchResult(self._count, self._failures)
        self._future, self._on_delivery, self._marks, self._failures = None, None, (), {}
        self.manager.release_batch_report(self)
        if future is not None and not future.done():
            future.set_result(result)

    def _one_less(self) -> None:
        self.remaining -= 1
        if not self.remaining:
            self.finish()


class CallbackManager:
    """Makes, pools and runs the callbacks of one producer, and counts what they settled.

    Everything here runs on the loop's thread except `caught_elsewhere`.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, only_failures: bool = False, calls_futures: bool = True
    ) -> None:
        self._loop = loop
        self.only_failures = only_failures
        """Whether on_delivery is to be called for failures alone (`delivery.report.only.error`)."""
        self._loop_thread = get_ident()
        self._settle_future = _settler(self)
        self.future_type = _callable_future(self._settle_future) if calls_futures else asyncio.Future
        """Of records' futures; callable where the transport knows no other way to tell them."""
        self.settled = 0
        self.failures: Counter[str] = Counter()
        """Failed records by the name of their error."""
        self.latencies = LatencySampler()
        self.look_mask = 0
        """`look` at a record when `settled & look_mask` is 0; a power of two less one."""
        self._looked_s = 0.0
        self.threads_serving = 0
        """Other threads that may be in a call that serves reports; 0 spares the look at the thread."""
        self.on_caught: Callable[[], None] = lambda: None
        """Called on the other thread when it caught a report; may raise StopServing."""
        self.on_failure: Callable[[KafkaError], bool] = lambda error: False
        """Told of every record's failure; whether the caller hears of it otherwise than by the future."""
        self._caught: deque[tuple[Carried, KafkaError | None, Any]] = deque()
        self._due: deque[tuple[OnDelivery, KafkaError | None, Any, tuple[FlushMark, ...]]] = deque()
        self._deadline_s = float("inf")
        self.stop: type[StopServing] | StopServing = StopServing
        """What is raised to stop the serving."""
        self.marks: tuple[FlushMark, ...] = ()
        """The waiting flushes, which new records must remember."""
        self._pool: CallbackPool = deque()
        self._pool_room = CALLBACK_POOL_MAX
        self._batch_pool: list[BatchReport] = []
        self._tasks: set[asyncio.Future[None]] = set()
        self._watchers: list[tuple[int, asyncio.Future[None]]] = []
        self.created = 0
        self.reused = 0

    # The callbacks of new records

    def callback_for(self, future: asyncio.Future[Any], on_delivery: OnDelivery | None) -> Carried:
        """What a new record carries: the future itself where that is enough."""
        if on_delivery is None and not self.marks:
            return future
        if self._pool:
            self.reused += 1
            callback = self._pool.pop()
        else:
            self.created += 1
            self._pool_room -= 1
            callback = ReusableMessageCallback(self, self._pool if self._pool_room >= 0 else _NOWHERE)
        callback.future = future
        callback.on_delivery = on_delivery
        callback.marks = self.marks
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

    def release_batch_report(self, report: BatchReport) -> None:
        """Take a settled batch report back."""
        if len(self._batch_pool) < BATCH_REPORT_POOL_MAX and len(report.slots) <= BATCH_REPORT_SLOTS_MAX:
            self._batch_pool.append(report)

    # Reports

    def fail(self, future: asyncio.Future[Any], error: KafkaError, is_heard: bool = False) -> None:
        """Settle a future with the error of its record; unread, it is reported, unless the error is heard of
        otherwise.
        """
        is_heard = self.on_failure(error) or is_heard
        if not future.done():
            future.set_exception(KafkaException(error))
            if is_heard:
                future.exception()

    def count_failure(self, error: KafkaError) -> None:
        """Count a settled record as failed."""
        self.failures[error.name()] += 1

    def settle(self, marks: tuple[FlushMark, ...], error: KafkaError | None, message: Any) -> None:
        """Count one record as settled."""
        self.settled += 1
        if error is not None:
            self.count_failure(error)
        for mark in marks:
            mark.younger -= 1
        if not self.settled & self.look_mask:
            self.look(message)

    def refuse(self, batch: MessageBatch, record: Record, error: KafkaError) -> None:
        """Settle a record that librdkafka did not take and will therefore never report."""
        if error.code() == KafkaError._STATE:
            error = KafkaError(
                KafkaError._STATE, "Not sent: an earlier record of the transaction failed, or it had ended."
            )
        self.tell(record["callback"], error, UnsentMessage(batch, record, error))

    def tell(self, carried: Carried, error: KafkaError | None, message: Any) -> None:
        """Give a record's report to what the record carries."""
        if isinstance(carried, asyncio.Future):
            self._settle_future(carried, error, message)
        else:
            carried(error, message)

    def caught_elsewhere(self, carried: Carried, error: KafkaError | None, message: Any) -> bool:
        """Whether this is another thread; then the report is kept for the loop. May raise StopServing."""
        if get_ident() == self._loop_thread:
            return False
        self._caught.append((carried, error, message))
        self.on_caught()
        return True

    def serve_within(self, budget_s: float) -> float:
        """Reports settled from now on stop the serving at the monotonic time returned."""
        self._deadline_s = time.monotonic() + budget_s
        return self._deadline_s

    def serve_without_limit(self) -> None:
        """Outside poll() a settled report must not raise."""
        self._deadline_s = float("inf")

    def look(self, message: Any) -> None:
        """What is not done for every record: sample its latency, and keep the time budget by `keep_budget`.

        At each record up to a thousand a second, then about so often.
        """
        now_s = time.monotonic()
        since_s = now_s - self._looked_s
        self._looked_s = now_s
        if since_s < LOOK_S_MIN:
            self.look_mask = min(2 * self.look_mask + 1, LOOK_MASK_MAX)
        elif since_s > LOOK_S_MAX:
            self.look_mask >>= 1
        if message.error() is None and (latency_s := message.latency()) is not None:
            self.latencies.add(latency_s)
        self.keep_budget(now_s)

    def keep_budget(self, now_s: float) -> None:
        """Raise StopServing when the time of this serving is spent."""
        if now_s > self._deadline_s:
            raise self.stop

    def settle_caught(self) -> bool:
        """Settle the reports that other threads caught; whether there was any."""
        if not self._caught:
            return False
        while self._caught:
            self.tell(*self._caught.popleft())
        return True

    # on_delivery

    def call_later(
        self, on_delivery: OnDelivery, error: KafkaError | None, message: Any, marks: tuple[FlushMark, ...]
    ) -> None:
        """Run on_delivery once poll() has returned; the record counts as settled then."""
        self._due.append((on_delivery, error, message, marks))
        if not len(self._due) & LOOK_MASK_MAX:
            self.keep_budget(time.monotonic())

    def run_due(self, until_s: float) -> bool:
        """Run the queued on_delivery calls until the monotonic time `until_s`; whether some are left."""
        due = self._due
        while due:
            on_delivery, error, message, marks = due.popleft()
            self.settle(marks, error, message)
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
