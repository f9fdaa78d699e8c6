"""The produce worker: one strategy on one workload, its history and what it cost."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from systest import strategies
from systest.strategies.base import CannotRun, Job
from systest.strategies.mutants import MUTABLE
from systest.worker.loops import Loop
from systest.worker.protocol import VERSION, Event, Measure, Progress, Ready, Summary
from systest.worker.recorder import Recorder, TopicsRecorder
from systest.worker.resources import ResourceMeter
from systest.worker.schedule import Schedule
from systest.worker.spec import ProduceSpec

_SAMPLE_S = 0.1
_PROGRESS_S = 1.0


def produce(spec: ProduceSpec, emit: Callable[[Event], None]) -> Summary:
    """Runs the strategy, writes its history to the spec's directory and returns what it cost.

    Raises:
        CannotRun: the strategy can't do it; one sentence that says what and why.
        ValueError: there is no such strategy.
    """
    strategy = strategies.create(spec.strategy)
    if spec.mutant is not None and spec.strategy not in MUTABLE:
        raise CannotRun(f"mutants are planted in {', '.join(MUTABLE)} only, not in {spec.strategy}")
    if reason := strategies.refusal(spec.strategy, spec.workload):
        raise CannotRun(f"{spec.strategy} can't run {spec.workload.name}: {reason}")
    if spec.loop is not Loop.ASYNCIO and not strategy.has_loop:
        raise CannotRun(f"{spec.strategy} has no event loop, so it can't run on {spec.loop.value}")
    if spec.workload.batch is not None and (spec.mutant is not None or spec.stream.topics > 1):
        raise CannotRun(
            f"{spec.workload.name} takes neither a mutant nor several topics: a call is of one topic"
        )
    schedule = Schedule(spec.workload, spec.drain_s)
    recorder = _recorder(spec, schedule.records)
    meter = ResourceMeter(recorder.held_bytes)
    emit(Ready(VERSION, os.getpid(), spec.run_id, strategy.client, strategy.idiom))
    job = Job(spec, recorder, schedule, meter)
    job.schedule.at_begin(lambda: emit(Measure()))
    job.schedule.at_begin(job.times.begin)
    job.schedule.at_begin(meter.begin)
    # What the harness itself holds is no work for the collector while a producer is measured.
    gc.collect()
    gc.freeze()
    with _Ticker(recorder, meter, emit):
        done = strategy.run(job)
    if spec.workload.rate_per_s is not None and done.records < schedule.records:
        raise CannotRun(
            f"{spec.strategy} fell behind {spec.workload.name}: {spec.drain_s:g} s after its end, "
            f"{schedule.records - done.records:,} of {schedule.records:,} records were still to be sent"
        )
    recorder.write(Path(spec.directory), done.records, schedule.intended_ns(done.records))
    return Summary(
        records=done.records,
        first_measured=job.schedule.first_measured,
        measured_from_ns=job.schedule.measured_from_ns,
        measured_to_ns=job.schedule.measured_to_ns,
        code_path=done.code_path,
        resources=done.resources,
        lag_ns=done.lag_ns,
        lag_work_ns=done.lag_work_ns,
        transport=done.transport,
    )


def _recorder(spec: ProduceSpec, records: int) -> Recorder:
    if spec.stream.topics == 1:
        return Recorder(records, spec.identify_reports)
    return TopicsRecorder(records, spec.identify_reports, spec.stream.first_partitions)


class _Ticker:
    """Samples memory and tells of progress, on a thread of its own: a strategy has the main one."""

    def __init__(self, recorder: Recorder, meter: ResourceMeter, emit: Callable[[Event], None]) -> None:
        self._recorder, self._meter, self._emit = recorder, meter, emit
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _tick(self) -> None:
        # By the clock and not by counting: a caller that never lets go of the interpreter's lock delays each look.
        began_s = time.monotonic()
        progress_due_s = began_s + _PROGRESS_S
        while not self._ended.wait(_SAMPLE_S):
            self._meter.sample()
            if time.monotonic() >= progress_due_s:
                progress_due_s += _PROGRESS_S
                recorder = self._recorder
                self._emit(
                    Progress(time.monotonic() - began_s, recorder.told - recorder.failed, recorder.failed)
                )
