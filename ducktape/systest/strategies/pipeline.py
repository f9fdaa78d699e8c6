"""The loops that every asyncio strategy runs, so that they differ in their library alone.

In a closed loop of single records or of batches one coroutine sends, in bursts as far as its window has room: it awaits
`produce()`, keeps the future, and looks through its window for futures that are done, as a synchronous caller polls.
While the window is full it waits for the oldest. A look asks each group of records that were called one after another
for its oldest, and goes on in the group while that is done; now and then it asks every record, so that a late one holds
up what is known of its group for as long at the most (`look_at_all_s`: 1 ms for a window of 1,000, 10 ms for 10,000).
Looks are 1 ms apart, and latency is stamped there, for every asyncio strategy alike.

In an open loop one coroutine sends what is due and sleeps until the next record is; a callback on each future tells of
its outcome in the loop's next turn, as a task that awaited it would learn. With `tasks` each of many tasks awaits
produce() and then the future that it gave.

Two other idioms were measured on this project's producer (10,000 in flight, medians of six interleaved runs).
Awaiting the futures one by one in call order lets a late record hold up what is known of those behind it: p50 15 ms
instead of 4. A callback on each future tells at once, but costs asyncio a turn of its loop for each record: a third of
the throughput.
"""

from __future__ import annotations

import abc
import asyncio
import itertools
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, TypeVar

from systest.history.columns import Outcome
from systest.strategies.base import (
    BURST_MAX,
    SAMPLE_MASK,
    ArgumentNames,
    CannotRun,
    Done,
    Fields,
    Job,
    Strategy,
    elapsed_ns,
    fields_of,
)
from systest.worker.loops import new_loop
from systest.worker.protocol import CodePath
from systest.worker.recorder import Recorder, Taker, outcome_of
from systest.worker.resources import LagSampler

_Count = TypeVar("_Count", int | None, float | None)

_CLOSE_LIMIT_S = 20.0
_STRAGGLERS_S = 1.0
_PAUSES_MAX = 5
"""A task pauses for so many times the average at the most: at the end the slowest one holds up the round."""
_LOOK_S = 0.001
_LOOK_NS = 1_000_000
_LOOK_AT_ALL_S_PER_RECORD = 1e-6
_GROUP = 64
"""Records that a window groups; learning of them together is cheap, and few are held up by one that is late."""
_ROW_MIN = 4
"""From so many consecutive records on it is cheaper to learn of them together."""


def look_at_all_s(in_flight_max: int) -> float:
    """Seconds between two looks at every record, which costs some 35 ns for each: a twenty-fifth of the time."""
    return max(_LOOK_S, in_flight_max * _LOOK_AT_ALL_S_PER_RECORD)


@dataclass(frozen=True, slots=True)
class Polls:
    """A library's calls of poll(), the caller's time in them, and the reports they served.

    What is None has the reason in `why_not`, by the names of `CodePath`.
    """

    calls: int | None
    seconds: float | None
    reports: int | None
    why_not: Mapping[str, str] = field(default_factory=dict)


def _since(before: _Count, now: _Count) -> _Count:
    return None if before is None or now is None else now - before


class AsyncioStrategy(Strategy):
    """An adapter: how one asyncio library starts, sends one record, and stops."""

    has_loop = True
    names: ClassVar[ArgumentNames] = ArgumentNames()
    refusal_is_certain: ClassVar[bool] = True
    """Whether a record whose produce() raised was certainly not queued."""

    @abc.abstractmethod
    async def start(self, job: Job) -> None:
        """Makes the producer and has it know the topic. Raises CannotRun if it can't be had as the spec wants it."""

    @abc.abstractmethod
    def sender(self) -> Callable[..., Any]:
        """`await sender(topic, value, ...)` queues a record and gives the future of its acknowledgement."""

    def batch_sender(self) -> Callable[..., Any]:
        """`await batch_sender(topic, messages)` queues many and gives one future of a `producer.BatchResult`."""
        raise CannotRun(f"{self.client} has no call that gives many records one outcome")

    @abc.abstractmethod
    def taker(self, recorder: Recorder) -> Taker:
        """The recorder's methods for what those futures hold."""

    @abc.abstractmethod
    async def flush(self, limit_s: float) -> None:
        """Returns once nothing is in flight."""

    def transport(self) -> str | None:
        """Which of its transports the producer says that it uses; None for a library that has but one way."""
        return None

    async def give_up(self) -> None:
        """Has the library drop what is in flight, if it can, so that close() needn't wait for it."""

    @abc.abstractmethod
    async def close(self) -> None: ...

    @abc.abstractmethod
    def polls(self) -> Polls:
        """So far; asked when the measured time begins and when it is over."""

    def outcome_of(self, error: BaseException) -> Outcome:
        """What the exception in a future says about the log."""
        return outcome_of(error)

    def run(self, job: Job) -> Done:
        # Not asyncio.run(), which waits without limit for threads that a library may have left in a blocking call.
        return new_loop(job.spec.loop).run_until_complete(self._run(job))

    async def _run(self, job: Job) -> Done:
        await self.start(job)
        work, schedule = job.spec.workload, job.schedule
        window = self._window(job)
        lag = LagSampler()
        before = self.polls()

        def begin() -> None:
            nonlocal before
            before = self.polls()
            lag.begin()

        schedule.at_begin(begin)
        deadline_s = time.monotonic() + work.sending_s_max + job.spec.drain_s
        send = self._send_tasks if work.tasks else self._send if work.batch is None else self._send_batches
        sending = asyncio.create_task(send(job, window))
        await asyncio.wait({sending}, timeout=deadline_s - time.monotonic())
        lag.end()
        schedule.end(window.sent)
        now = self.polls()
        # A sender that still hangs in the library is left there: cancelling it would settle the record's future.
        if sending.done():
            sending.result()
            await self._drain(job, window, max(0.0, deadline_s - time.monotonic()))
        resources = job.meter.end()
        await self._close(window, sending)
        calls = window.sent - schedule.first_measured
        path = CodePath(
            produce_calls=calls,
            produce_s=job.times.produce_s(calls),
            poll_calls=_since(before.calls, now.calls),
            poll_s=_since(before.seconds, now.seconds),
            polled_reports=_since(before.reports, now.reports),
            flush_s=job.times.flush_ns / 1e9,
            why_not=now.why_not,
        )
        return Done(window.sent, path, resources, tuple(lag.lag_ns), tuple(lag.work_ns), self.transport())

    def _window(self, job: Job) -> _Window:
        work, take = job.spec.workload, self.taker(job.recorder)
        if work.rate_per_s is not None:
            return _OpenWindow(job.recorder, take, self.outcome_of, work.in_flight)
        if work.batch is not None:
            return _BatchWindow(
                job.recorder,
                take,
                self.outcome_of,
                work.in_flight,
                batch=work.batch,
                records=job.schedule.records,
            )
        return _Window(job.recorder, take, self.outcome_of, work.in_flight)

    async def _send(self, job: Job, window: _Window) -> None:
        schedule, recorder, times = job.schedule, job.recorder, job.times
        topics, values = itertools.cycle(job.stream.topic_names), job.stream.sent_values()
        fields, produce = self._fields(job), self.sender()
        clock_ns = time.perf_counter_ns
        schedule.start()
        look_ns = 0
        while (first := window.sent) < schedule.records:
            now_ns = clock_ns()
            if now_ns >= look_ns:
                window.look()
                if now_ns >= schedule.boundary_ns and not schedule.passed(first, recorder.told):
                    return
                look_ns = min(now_ns + _LOOK_NS, schedule.boundary_ns)
                continue
            end = min(schedule.allowed(now_ns, recorder.told), schedule.records, first + BURST_MAX)
            if end <= first:
                await window.wait(min((look_ns - now_ns) / 1e9, schedule.wait_s(first, now_ns)))
                continue
            burst = [*zip(range(first, end), topics, values, fields, strict=False)]
            group = window.open_group()
            now_ns = clock_ns()
            recorder.called(first, end - first, now_ns)
            for sequence, topic, payload, given in burst:
                try:
                    if given is None:
                        group[sequence] = await produce(topic, payload)
                    else:
                        group[sequence] = await produce(topic, payload, **given)
                except Exception as error:  # noqa: BLE001  # whatever a library raises for a record is that record's outcome
                    await self._refused(recorder, sequence, error)
                window.sent = sequence + 1
            window.has_sent(group)
            times.produce_ns += clock_ns() - now_ns
            times.produce_sampled += end - first

    async def _send_tasks(self, job: Job, window: _Window) -> None:
        """Each task sends, under the next number, whenever its last record's outcome is known."""
        schedule, recorder, times = job.schedule, job.recorder, job.times
        topics, values = job.stream.topic_names, job.stream.sent_values()
        fields, produce = self._fields(job), self.sender()
        called_ns, clock_ns, learn = recorder.called_ns, time.perf_counter_ns, window.learn
        pause_s, chance = job.spec.workload.pause_s, random.Random(job.stream.run)
        schedule.start()

        async def work() -> None:
            while True:
                if pause_s:
                    await asyncio.sleep(min(chance.expovariate(1 / pause_s), _PAUSES_MAX * pause_s))
                sequence = window.sent
                if sequence >= schedule.records:
                    return
                if clock_ns() >= schedule.boundary_ns:
                    if not schedule.passed(sequence, recorder.told):
                        return
                    continue
                window.sent += 1
                payload, given, topic = next(values), next(fields), topics[sequence % len(topics)]
                now_ns = clock_ns()
                called_ns[sequence] = now_ns
                try:
                    if given is None:
                        future = await produce(topic, payload)
                    else:
                        future = await produce(topic, payload, **given)
                except Exception as error:  # noqa: BLE001  # as in _send
                    await self._refused(recorder, sequence, error)
                    continue
                if not sequence & SAMPLE_MASK:
                    times.produce_ns += clock_ns() - now_ns
                    times.produce_sampled += 1
                try:  # noqa: SIM105  # suppress() costs 0.2 us more, for each record
                    await future
                except (Exception, asyncio.CancelledError):  # noqa: BLE001  # learned below
                    pass
                learn(sequence, future)

        await asyncio.gather(*(work() for _ in range(job.spec.workload.in_flight)))

    async def _send_batches(self, job: Job, window: _Window) -> None:
        schedule, recorder, times = job.schedule, job.recorder, job.times
        values, fields = job.stream.sent_values(), self._fields(job)
        produce_batch, topic = self.batch_sender(), job.stream.topic
        batch = job.spec.workload.batch
        assert batch is not None
        schedule.start()
        look_ns = 0
        while window.sent < schedule.records:
            sequence, now_ns = window.sent, time.perf_counter_ns()
            if now_ns >= look_ns:
                window.look()
                if now_ns >= schedule.boundary_ns and not schedule.passed(sequence, recorder.told):
                    return
                look_ns = min(now_ns + _LOOK_NS, schedule.boundary_ns)
                continue
            end = min(sequence + batch, schedule.records)
            if end > schedule.allowed(now_ns, recorder.told):
                await window.wait((look_ns - now_ns) / 1e9)
                continue
            messages = [
                {"value": value} if given is None else {"value": value, **given}
                for _, value, given in zip(range(sequence, end), values, fields, strict=False)
            ]
            now_ns = time.perf_counter_ns()
            recorder.called(sequence, end - sequence, now_ns)
            window.sent = end
            window.open_group()[sequence] = await produce_batch(topic, messages)
            times.produce_ns += elapsed_ns(now_ns)
            times.produce_sampled += end - sequence

    def _fields(self, job: Job) -> Iterator[Fields | None]:
        """Of each record in turn, with callbacks if it is to have some."""
        every = job.stream.callback_every
        callbacks = job.recorder.callbacks(every) if every else None
        return fields_of(job.stream, self.names, self.client, callbacks) or itertools.repeat(None)

    async def _refused(self, recorder: Recorder, sequence: int, error: Exception) -> None:
        """produce() raised. Whoever sends only such records must let the loop run, too."""
        recorder.refused(sequence, Outcome.FAILED if self.refusal_is_certain else outcome_of(error))
        await asyncio.sleep(0)

    async def _drain(self, job: Job, window: _Window, limit_s: float) -> None:
        """Flushes, looking all the while, and waits a moment for futures that are settled a little after it."""
        deadline_s = time.monotonic() + limit_s
        flushing = asyncio.create_task(self._flush(job, limit_s))
        while not flushing.done() and time.monotonic() < deadline_s:
            await asyncio.wait({flushing}, timeout=_LOOK_S)
            window.look()
        if not flushing.done():
            flushing.cancel()
            await asyncio.wait({flushing}, timeout=_STRAGGLERS_S)
            return
        flushing.result()
        deadline_s = min(deadline_s, time.monotonic() + _STRAGGLERS_S)
        while window.untold and time.monotonic() < deadline_s:
            await asyncio.sleep(_LOOK_S)
            window.look()

    async def _flush(self, job: Job, limit_s: float) -> None:
        began_ns = time.perf_counter_ns()
        try:
            await self.flush(limit_s)
        finally:
            job.times.flush_ns = elapsed_ns(began_ns)

    async def _close(self, window: _Window, sending: asyncio.Task[None]) -> None:
        if window.untold:
            await self.give_up()
        closing = asyncio.create_task(self.close())
        await asyncio.wait({closing}, timeout=_CLOSE_LIMIT_S)
        window.look(at_all=True)
        if not closing.done():
            raise CannotRun(
                f"{self.client} has not closed within {_CLOSE_LIMIT_S:.0f} s; "
                f"{window.untold} records are without an outcome"
            )
        closing.result()
        if window.untold:  # its futures are settled now, and whoever waits for them hears of it
            await asyncio.wait({sending}, timeout=_STRAGGLERS_S)


_Group = dict[int, asyncio.Future[Any]]


@dataclass(slots=True)
class _Window:
    """The records that a caller has produced and heard nothing of, by their numbers, in groups in call order."""

    recorder: Recorder
    take: Taker
    outcome_of: Callable[[BaseException], Outcome]
    in_flight_max: int
    sent: int = 0
    groups: list[_Group] = field(default_factory=lambda: [{}])
    """None of them is empty but the last, perhaps, which is the open one."""
    _look_at_all_ns: int = 0

    @property
    def untold(self) -> int:
        """How many sent records have no outcome yet."""
        return self.sent - self.recorder.told

    def open_group(self) -> _Group:
        """Where the next records belong."""
        if len(self.groups[-1]) >= _GROUP:
            self.groups.append({})
        return self.groups[-1]

    def has_sent(self, group: _Group) -> None:
        """A burst of records was sent and put into this group."""

    async def wait(self, limit_s: float) -> None:
        """Waits for the oldest record, and no longer than `limit_s` if others may be done before it."""
        if self.in_flight_max > 1:
            await asyncio.wait({next(iter(self.groups[0].values()))}, timeout=limit_s)
            self.look()
            return
        # The shortest way, as a caller goes who has one record at a time.
        group = self.groups[0]
        [(sequence, future)] = group.items()
        try:  # noqa: SIM105  # suppress() costs 0.2 us more, for each record
            await future
        except (Exception, asyncio.CancelledError):  # noqa: BLE001  # learned below
            pass
        if group.pop(sequence, None) is not None:  # a look that came first has learned of it
            self.learn(sequence, future)

    def look(self, at_all: bool = False) -> None:
        """Learns of the records that are done: the oldest of each group, and now and then, or if asked to, all."""
        now_ns = time.perf_counter_ns()
        if at_all or now_ns >= self._look_at_all_ns:
            at_all = True
            self._look_at_all_ns = now_ns + round(look_at_all_s(self.in_flight_max) * 1e9)
        for group in self.groups:
            # Each is asked once: a library may settle futures on a thread of its own, between two questions.
            done = []
            for number, future in group.items():
                if future.done():
                    done.append(number)
                elif not at_all:
                    break
            if done:
                self._learn_all(group, done)
        *older, last = self.groups
        self.groups = [*filter(None, older), last]

    def _learn_all(self, group: _Group, done: list[int]) -> None:
        """Learns of these records of a group, those together that follow upon each other."""
        for first, end in _rows(done):
            if end - first == len(group):  # as it is mostly
                futures = [*group.values()]
                group.clear()
            else:
                futures = [group.pop(sequence) for sequence in range(first, end)]
            if end - first >= _ROW_MIN:
                try:
                    reports = [future.result() for future in futures]
                except (Exception, asyncio.CancelledError):  # noqa: BLE001  # then each tells for itself
                    pass
                else:
                    self.take.row(first, reports)
                    continue
            for sequence, future in zip(range(first, end), futures, strict=True):
                self.learn(sequence, future)

    def learn(self, sequence: int, future: asyncio.Future[Any]) -> None:
        try:
            report = future.result()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # whatever it is, it is the outcome
            self.recorder.not_acked(sequence, self.outcome_of(error))
        else:
            self.take.one(sequence, report)


def _rows(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """The runs of consecutive numbers in an ascending list: the first of each, and the one past its last."""
    first, end = numbers[0], numbers[0] + 1
    if numbers[-1] - first == len(numbers) - 1:
        yield first, first + len(numbers)  # as it is mostly
        return
    for number in itertools.islice(numbers, 1, None):
        if number != end:
            yield first, end
            first = number
        end = number + 1
    yield first, end


@dataclass(slots=True)
class _OpenWindow(_Window):
    """Of a caller that waits for the clock and not for records: each future tells by itself."""

    def has_sent(self, group: _Group) -> None:
        for sequence, future in group.items():
            future.add_done_callback(partial(self.learn, sequence))
        group.clear()

    async def wait(self, limit_s: float) -> None:
        await asyncio.sleep(limit_s)


@dataclass(slots=True)
class _BatchWindow(_Window):
    """Of batches: the number that is kept with a future is that of the batch's first record.

    `batch` is how many a batch has, `records` how many there are in all: the last batch may be a short one.
    """

    batch: int = 1
    records: int = 0

    def _learn_all(self, group: _Group, done: list[int]) -> None:
        for first in done:
            self.learn(first, group.pop(first))

    def learn(self, sequence: int, future: asyncio.Future[Any]) -> None:
        count = min(self.batch, self.records - sequence)
        try:
            failures = {index: self.outcome_of(error) for index, error in future.result().failures.items()}
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # whatever it is, it is the outcome
            failures = dict.fromkeys(range(count), self.outcome_of(error))
        self.recorder.told_batch(sequence, count, failures)
