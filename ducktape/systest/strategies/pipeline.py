"""The closed loop that every asyncio strategy runs, so that they differ in their library alone.

One coroutine sends: it awaits `produce()`, keeps the future, and looks through its window for futures that are done
as often as a synchronous caller would poll. While the window is full it waits for the oldest. So the caller learns
of an acknowledgement at most one look (`look_s_of`: 1 ms for a window of 4,000, 2.5 ms for 10,000) after its future is
done, also when an older record is late. That is where latency is stamped, for every asyncio strategy alike.

Two other idioms were measured on this project's producer (10,000 in flight, medians of six interleaved runs).
Awaiting the futures one by one in call order lets a late record hold up what is known of those behind it: p50 15 ms
instead of 4. A callback on each future tells at once, but costs asyncio a turn of its loop for each record: a third of
the throughput.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
from systest.worker.protocol import CodePath
from systest.worker.recorder import Recorder, outcome_of
from systest.worker.resources import LagSampler

_Count = TypeVar("_Count", int | None, float | None)

_CLOSE_LIMIT_S = 20.0
_STRAGGLERS_S = 1.0
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

    names: ClassVar[ArgumentNames] = ArgumentNames()
    refusal_is_certain: ClassVar[bool] = True
    """Whether a record whose produce() raised was certainly not queued."""

    @abc.abstractmethod
    async def start(self, job: Job) -> None:
        """Makes the producer and has it know the topic. Raises CannotRun if it can't be had as the spec wants it."""

    @abc.abstractmethod
    def sender(self) -> Callable[..., Any]:
        """`await sender(topic, value, ...)` queues a record and gives the future of its acknowledgement."""

    @abc.abstractmethod
    def taker(self, recorder: Recorder) -> Callable[[int, Any], None]:
        """The recorder's method for what those futures hold."""

    @abc.abstractmethod
    async def flush(self, limit_s: float) -> None:
        """Returns once nothing is in flight."""

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
        return asyncio.new_event_loop().run_until_complete(self._run(job))

    async def _run(self, job: Job) -> Done:
        await self.start(job)
        work, schedule = job.spec.workload, job.schedule
        window = _Window(job.recorder, self.taker(job.recorder), self.outcome_of, work.in_flight)
        lag = LagSampler()
        before = self.polls()

        def begin() -> None:
            nonlocal before
            before = self.polls()
            lag.begin()

        schedule.at_begin(begin)
        deadline_s = time.monotonic() + work.warmup_s + work.duration_s + job.spec.drain_s
        sending = asyncio.create_task(self._send(job, window))
        await asyncio.wait({sending}, timeout=deadline_s - time.monotonic())
        lag.end()
        schedule.end(window.sent)
        now = self.polls()
        # A sender that still hangs in the library is left there: cancelling it would settle the record's future.
        if sending.done():
            sending.result()
            await self._drain(job, window, max(0.0, deadline_s - time.monotonic()))
        resources = job.meter.end()
        await self._close(window)
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
        return Done(window.sent, path, resources, tuple(lag.lag_ns))

    async def _send(self, job: Job, window: _Window) -> None:
        schedule, times, pending = job.schedule, job.times, window.pending
        topic, value, produce = job.stream.topic, job.stream.value_maker(), self.sender()
        extras = extras_of(job.stream, self.names, self.client)
        in_flight_max, records_max = job.spec.workload.in_flight, job.spec.workload.records_max
        called_ns, clock_ns = job.recorder.called_ns, time.perf_counter_ns
        payload = value(0)  # made outside of the timed call
        schedule.start()
        look_ns = 0
        sequence = 0
        while sequence < records_max:
            now_ns = clock_ns()
            if now_ns >= look_ns:
                window.look()
                if now_ns >= schedule.boundary_ns and not schedule.passed(sequence):
                    return
                look_ns = min(now_ns + window.look_ns, schedule.boundary_ns)
                continue
            if len(pending) >= in_flight_max:
                await window.wait(look_ns)
                continue
            called_ns[sequence] = now_ns
            try:
                if extras is None:
                    future = await produce(topic, payload)
                else:
                    future = await produce(topic, payload, **extras(sequence))
            except Exception as error:  # noqa: BLE001  # whatever a library raises for a record is that record's outcome
                certain = self.refusal_is_certain
                job.recorder.not_acked(sequence, Outcome.FAILED if certain else outcome_of(error))
                await asyncio.sleep(0)
            else:
                pending.append((sequence, future))
            if not sequence & SAMPLE_MASK:
                times.produce_ns += clock_ns() - now_ns
                times.produce_sampled += 1
            sequence += 1
            window.sent = sequence
            payload = value(sequence)

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
        while window.pending and time.monotonic() < deadline_s:
            await asyncio.sleep(_LOOK_S_MIN)
            window.look()

    async def _flush(self, job: Job, limit_s: float) -> None:
        began_ns = time.perf_counter_ns()
        try:
            await self.flush(limit_s)
        finally:
            job.times.flush_ns = elapsed_ns(began_ns)

    async def _close(self, window: _Window) -> None:
        if window.pending:
            await self.give_up()
        closing = asyncio.create_task(self.close())
        await asyncio.wait({closing}, timeout=_CLOSE_LIMIT_S)
        window.look()
        if not closing.done():
            raise CannotRun(
                f"{self.client} has not closed within {_CLOSE_LIMIT_S:.0f} s; "
                f"{len(window.pending)} records are without an outcome"
            )
        closing.result()


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

    def __post_init__(self) -> None:
        self.look_ns = round(look_s_of(self.in_flight_max) * 1e9)

    async def wait(self, until_ns: int) -> None:
        """Waits for the oldest record, and no longer than `until_ns` if others may be done before it."""
        oldest = self.pending[0][1]
        if self.in_flight_max > 1:
            await asyncio.wait({oldest}, timeout=max(0, until_ns - time.perf_counter_ns()) / 1e9)
        else:
            # The shortest way, as a caller goes who has one record at a time.
            with contextlib.suppress(Exception):  # learned below
                await oldest
        pending = self.pending
        while pending and pending[0][1].done():
            self._learn(*pending.popleft())

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
            self._learn(sequence, future)

    def _learn(self, sequence: int, future: asyncio.Future[Any]) -> None:
        try:
            report = future.result()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # whatever it is, it is the outcome
            self.recorder.not_acked(sequence, self.outcome_of(error))
        else:
            self.take(sequence, report)
