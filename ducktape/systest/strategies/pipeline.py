"""The loops that every asyncio strategy runs, so that they differ in their library alone.

In a closed loop of single records or of batches one coroutine sends: it awaits `produce()`, keeps the future, and looks
through its window for futures that are done as often as a synchronous caller would poll. While the window is full it
waits for the oldest. So the caller learns of an acknowledgement at most one look (`look_s_of`: 1 ms for a window of
4,000, 2.5 ms for 10,000) after its future is done, also when an older record is late. That is where latency is stamped,
for every asyncio strategy alike.

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
import contextlib
import itertools
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, TypeVar

from systest.history.columns import Outcome
from systest.strategies.base import (
    SAMPLE_MASK,
    ArgumentNames,
    CannotRun,
    Done,
    Job,
    Strategy,
    elapsed_ns,
    extras_of,
)
from systest.worker.loops import new_loop
from systest.worker.protocol import CodePath
from systest.worker.recorder import Recorder, outcome_of
from systest.worker.resources import LagSampler

_Count = TypeVar("_Count", int | None, float | None)

_CLOSE_LIMIT_S = 20.0
_STRAGGLERS_S = 1.0
_PAUSES_MAX = 5
"""A task pauses for so many times the average at the most: at the end the slowest one holds up the round."""
_LOOK_S_MIN = 0.001
_LOOK_S_PER_RECORD = 250e-9


def look_s_of(in_flight_max: int) -> float:
    """Seconds between two looks: a full window costs some 30 ns a record to look through, so an eighth of the time."""
    return max(_LOOK_S_MIN, in_flight_max * _LOOK_S_PER_RECORD)


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
    def taker(self, recorder: Recorder) -> Callable[[int, Any], None]:
        """The recorder's method for what those futures hold."""

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
        deadline_s = time.monotonic() + work.warmup_s + work.duration_s + job.spec.drain_s
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
        topics, value, produce = (
            itertools.cycle(job.stream.topic_names),
            job.stream.value_maker(),
            self.sender(),
        )
        extras = extras_of(job.stream, self.names, self.client)
        called_ns, clock_ns, keep = recorder.called_ns, time.perf_counter_ns, window.keep
        topic, payload = next(topics), value(0)  # made outside of the timed call
        schedule.start()
        look_ns = 0
        sequence = allowed = 0
        while sequence < schedule.records:
            now_ns = clock_ns()
            if now_ns >= look_ns:
                window.look()
                if now_ns >= schedule.boundary_ns and not schedule.passed(sequence):
                    return
                look_ns = min(now_ns + window.look_ns, schedule.boundary_ns)
                continue
            if sequence >= allowed:
                allowed = schedule.allowed(now_ns, recorder.told)
                if sequence >= allowed:
                    await window.wait(min((look_ns - now_ns) / 1e9, schedule.wait_s(sequence, now_ns)))
                continue
            called_ns[sequence] = now_ns
            try:
                if extras is None:
                    future = await produce(topic, payload)
                else:
                    future = await produce(topic, payload, **extras(sequence))
            except Exception as error:  # noqa: BLE001  # whatever a library raises for a record is that record's outcome
                await self._refused(recorder, sequence, error)
            else:
                keep((sequence, future))
            if not sequence & SAMPLE_MASK:
                times.produce_ns += clock_ns() - now_ns
                times.produce_sampled += 1
            sequence += 1
            window.sent = sequence
            topic, payload = next(topics), value(sequence)

    async def _send_tasks(self, job: Job, window: _Window) -> None:
        """Each task sends, under the next number, whenever its last record's outcome is known."""
        schedule, recorder, times = job.schedule, job.recorder, job.times
        topics, value, produce = job.stream.topic_names, job.stream.value_maker(), self.sender()
        extras = extras_of(job.stream, self.names, self.client)
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
                payload, topic = value(sequence), topics[sequence % len(topics)]
                now_ns = clock_ns()
                if now_ns >= schedule.boundary_ns:
                    if not schedule.passed(sequence):
                        return
                    continue
                window.sent += 1
                called_ns[sequence] = now_ns
                try:
                    if extras is None:
                        future = await produce(topic, payload)
                    else:
                        future = await produce(topic, payload, **extras(sequence))
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
        schedule, recorder, times, value = job.schedule, job.recorder, job.times, job.stream.value_maker()
        produce_batch, keep, topic = self.batch_sender(), window.keep, job.stream.topic
        extras = extras_of(job.stream, self.names, self.client)
        batch = job.spec.workload.batch
        assert batch is not None
        schedule.start()
        look_ns = 0
        while window.sent < schedule.records:
            sequence, now_ns = window.sent, time.perf_counter_ns()
            if now_ns >= look_ns:
                window.look()
                if now_ns >= schedule.boundary_ns and not schedule.passed(sequence):
                    return
                look_ns = min(now_ns + window.look_ns, schedule.boundary_ns)
                continue
            end = min(sequence + batch, schedule.records)
            if end > schedule.allowed(now_ns, recorder.told):
                await window.wait((look_ns - now_ns) / 1e9)
                continue
            messages = [{"value": value(n), **(extras(n) if extras else {})} for n in range(sequence, end)]
            now_ns = time.perf_counter_ns()
            recorder.called(sequence, end - sequence, now_ns)
            window.sent = end
            keep((sequence, await produce_batch(topic, messages)))
            times.produce_ns += elapsed_ns(now_ns)
            times.produce_sampled += end - sequence

    async def _refused(self, recorder: Recorder, sequence: int, error: Exception) -> None:
        """produce() raised. Whoever sends only such records must let the loop run, too."""
        recorder.not_acked(sequence, Outcome.FAILED if self.refusal_is_certain else outcome_of(error))
        await asyncio.sleep(0)

    async def _drain(self, job: Job, window: _Window, limit_s: float) -> None:
        """Flushes, looking all the while, and waits a moment for futures that are settled a little after it."""
        deadline_s = time.monotonic() + limit_s
        flushing = asyncio.create_task(self._flush(job, limit_s))
        while not flushing.done() and time.monotonic() < deadline_s:
            await asyncio.wait({flushing}, timeout=window.look_ns / 1e9)
            window.look()
        if not flushing.done():
            flushing.cancel()
            await asyncio.wait({flushing}, timeout=_STRAGGLERS_S)
            return
        flushing.result()
        deadline_s = min(deadline_s, time.monotonic() + _STRAGGLERS_S)
        while window.untold and time.monotonic() < deadline_s:
            await asyncio.sleep(_LOOK_S_MIN)
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
        window.look()
        if not closing.done():
            raise CannotRun(
                f"{self.client} has not closed within {_CLOSE_LIMIT_S:.0f} s; "
                f"{window.untold} records are without an outcome"
            )
        closing.result()
        if window.untold:  # its futures are settled now, and whoever waits for them hears of it
            await asyncio.wait({sending}, timeout=_STRAGGLERS_S)


@dataclass(slots=True)
class _Window:
    """The records that a caller has produced and heard nothing of, in call order."""

    recorder: Recorder
    take: Callable[[int, Any], None]
    outcome_of: Callable[[BaseException], Outcome]
    in_flight_max: int
    look_ns: int = field(init=False)
    sent: int = 0
    pending: deque[tuple[int, asyncio.Future[Any]]] = field(default_factory=deque)
    keep: Callable[[tuple[int, asyncio.Future[Any]]], None] = field(init=False)
    """Takes a record that was just sent."""

    def __post_init__(self) -> None:
        self.look_ns = round(look_s_of(self.in_flight_max) * 1e9)
        self.keep = self.pending.append

    @property
    def untold(self) -> int:
        """How many sent records have no outcome yet."""
        return self.sent - self.recorder.told

    async def wait(self, limit_s: float) -> None:
        """Waits for the oldest record, and no longer than `limit_s` if others may be done before it."""
        oldest = self.pending[0][1]
        if self.in_flight_max > 1:
            await asyncio.wait({oldest}, timeout=limit_s)
        else:
            # The shortest way, as a caller goes who has one record at a time.
            with contextlib.suppress(Exception):  # learned below
                await oldest
        pending = self.pending
        while pending and pending[0][1].done():
            self.learn(*pending.popleft())

    def look(self) -> None:
        """Learns the outcome of every record whose future is done."""
        done: list[tuple[int, asyncio.Future[Any]]] = []
        left: list[tuple[int, asyncio.Future[Any]]] = []
        # Each is asked once: a library may settle futures on a thread of its own, between two questions.
        for record in self.pending:
            (done if record[1].done() else left).append(record)
        if done:
            self.pending.clear()
            self.pending.extend(left)
        for sequence, future in done:
            self.learn(sequence, future)

    def learn(self, sequence: int, future: asyncio.Future[Any]) -> None:
        try:
            report = future.result()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # whatever it is, it is the outcome
            self.recorder.not_acked(sequence, self.outcome_of(error))
        else:
            self.take(sequence, report)


@dataclass(slots=True)
class _OpenWindow(_Window):
    """Of a caller that waits for the clock and not for records: each future tells by itself."""

    def __post_init__(self) -> None:
        _Window.__post_init__(self)
        self.keep = self._listen

    def _listen(self, record: tuple[int, asyncio.Future[Any]]) -> None:
        sequence, future = record
        future.add_done_callback(partial(self.learn, sequence))

    async def wait(self, limit_s: float) -> None:
        await asyncio.sleep(limit_s)


@dataclass(slots=True)
class _BatchWindow(_Window):
    """Of batches: the number that is kept with a future is that of the batch's first record.

    `batch` is how many a batch has, `records` how many there are in all: the last batch may be a short one.
    """

    batch: int = 1
    records: int = 0

    def learn(self, sequence: int, future: asyncio.Future[Any]) -> None:
        count = min(self.batch, self.records - sequence)
        try:
            failures = {index: self.outcome_of(error) for index, error in future.result().failures.items()}
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # whatever it is, it is the outcome
            failures = dict.fromkeys(range(count), self.outcome_of(error))
        self.recorder.told_batch(sequence, count, failures)
