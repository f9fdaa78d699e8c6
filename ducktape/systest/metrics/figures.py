"""The figures of one producer in one round. Only records that the checks found in the log count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from systest.history.columns import Outcome
from systest.history.load import SendHistory
from systest.metrics.percentile import percentile
from systest.metrics.stalls import Stall, stalls
from systest.worker.protocol import CodePath, Summary

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Throughput:
    """Of the measured time.

    `sent` counts the calls in it; the rates are of the verified records that were acknowledged in it, with
    `megabytes_per_s` (10^6 bytes) counting their values and keys.
    """

    sent: int
    seconds: float
    records_per_s: float
    megabytes_per_s: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Until user code learned of the acknowledgement, of verified records."""

    average_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    p99_9_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class CodePathFigures:
    """Where the caller's time went: microseconds a record sent, but the flush at the end as a whole."""

    produce_us: float | None
    poll_us: float | None
    flush_ms: float | None
    poll_calls: int | None
    records_per_poll: float | None


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of the records called in the measured time, in percent of them.

    `success` is acknowledged and verified; all others are `error`, those that nobody was told of included.
    """

    success_percent: float
    error_percent: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of the worker without the harness's history, from the begin of the measured time on."""

    growth_mib: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU time a record, user and system, in microseconds.

    The client's is its whole process, the caller's of that the thread that sends, which has the event loop.
    """

    client_us: float | None
    caller_us: float | None
    broker_us: float | None


@dataclass(frozen=True, slots=True)
class LoopLag:
    """By how much a timer of the event loop fired late.

    `work_p99_ms` is the same of that part alone which can have been work of the loop's own thread; what remains is
    time in which the machine ran something else.
    """

    p99_ms: float
    max_ms: float
    work_p99_ms: float


@dataclass(frozen=True, slots=True)
class RoundFigures:
    """All of it; what is None could not be measured, and `why_not` has the reason by the figure's path.

    `latency` is from when the record was due in an open loop, and from the call in a closed one, where a slow
    acknowledgement delays the calls behind it. `service` is from the call in either.
    """

    throughput: Throughput
    latency: Latency | None
    service: Latency | None
    code_path: CodePathFigures
    outcomes: Outcomes
    memory: Memory
    cpu: Cpu
    loop_lag: LoopLag | None
    stalls: tuple[Stall, ...]
    why_not: Mapping[str, str]


def round_figures(
    send: SendHistory,
    verified: npt.NDArray[np.bool_],
    summary: Summary,
    broker_cpu_us: float | None,
) -> RoundFigures:
    """The figures of one producer.

    Args:
        send: what its caller was told.
        verified: which of its records were acknowledged and found in the log.
        summary: what its worker said at the end.
        broker_cpu_us: CPU time of all brokers a verified record of the round; None if it can't be measured.
    """
    why_not: dict[str, str] = {}
    first = summary.first_measured
    measured = verified[first:]
    sent, good = len(measured), int(np.count_nonzero(measured))
    if not good:
        lacking = ("latency", "service", "cpu.client_us", "cpu.caller_us")
        why_not |= dict.fromkeys(lacking, "no record was acknowledged and verified")
    if broker_cpu_us is None:
        why_not["cpu.broker_us"] = "the broker's processes are out of reach, or it wrote nothing"
    if not summary.lag_ns:
        why_not["loop_lag"] = (
            "it has no event loop" if summary.lag_ns is None else "the loop never got to its timer"
        )
    assert summary.code_path is not None, "a producer's summary has a code path"
    code_path = _code_path(summary.code_path, sent, why_not)
    settled = send.settled_ns[first:][measured]
    called, intended = send.called_ns[first:][measured], send.intended_ns[first:][measured]
    resources = summary.resources
    return RoundFigures(
        throughput=_throughput(send, verified, summary, sent),
        latency=_latency(settled - np.where(intended < 0, called, intended)) if good else None,
        service=_latency(settled - called) if good else None,
        code_path=code_path,
        outcomes=Outcomes(_percent(good, sent), _percent(sent - good, sent)),
        memory=Memory(
            growth_mib=(resources.rss_end_bytes - resources.rss_start_bytes) / _MIB,
            peak_mib=resources.rss_peak_bytes / _MIB,
        ),
        cpu=Cpu(_us_each(resources.cpu_s, good), _us_each(resources.caller_cpu_s, good), broker_cpu_us),
        loop_lag=loop_lag(summary.lag_ns, summary.lag_work_ns or ()) if summary.lag_ns else None,
        stalls=stalls(send.called_ns[first:][measured], send.settled_ns[first:][measured]),
        why_not=why_not,
    )


def _throughput(
    send: SendHistory, verified: npt.NDArray[np.bool_], summary: Summary, sent: int
) -> Throughput:
    # By the time of the acknowledgement, not of the call: what is in flight at both ends of the measured time
    # evens out, and a client that hoards records until its flush gains nothing.
    settled = send.settled_ns
    within = (settled >= summary.measured_from_ns) & (settled < summary.measured_to_ns)
    records = int(np.count_nonzero(verified & within & (send.outcome == Outcome.ACKED)))
    seconds = (summary.measured_to_ns - summary.measured_from_ns) / 1e9
    a_record = send.stream.value_bytes + len(send.stream.key(0) or b"")
    rate = records / seconds if seconds > 0 else 0.0
    return Throughput(sent, seconds, rate, rate * a_record / 1e6)


def _latency(waited_ns: npt.NDArray[Any]) -> Latency:
    sorted_ms = np.sort(waited_ns) / 1e6
    p50, p90, p95, p99, p99_9 = (percentile(sorted_ms, percent) for percent in (50, 90, 95, 99, 99.9))
    return Latency(float(sorted_ms.mean()), p50, p90, p95, p99, p99_9, float(sorted_ms[-1]))


def _code_path(path: CodePath, sent: int, why_not: dict[str, str]) -> CodePathFigures:
    per_poll = None
    if path.polled_reports is not None and path.poll_calls:
        per_poll = path.polled_reports / path.poll_calls
    figures = {
        "produce_us": ("produce_s", _us_each(path.produce_s, sent)),
        "poll_us": ("poll_s", _us_each(path.poll_s, sent)),
        "flush_ms": ("flush_s", None if path.flush_s is None else path.flush_s * 1e3),
        "poll_calls": ("poll_calls", path.poll_calls),
        "records_per_poll": ("polled_reports", per_poll),
    }
    for name, (source, value) in figures.items():
        if value is None:
            why_not[f"code_path.{name}"] = path.why_not.get(source) or "nothing was sent or polled"
    return CodePathFigures(**{name: value for name, (_, value) in figures.items()})  # type: ignore[arg-type]


def loop_lag(lag_ns: Sequence[int], work_ns: Sequence[int] = ()) -> LoopLag:
    """What at least one lateness, in nanoseconds, amounts to; `work_ns` is each one's own work, none if left out."""
    sorted_ms = np.sort(np.asarray(lag_ns)) / 1e6
    work_ms = np.sort(np.asarray(work_ns)) / 1e6
    work_p99_ms = percentile(work_ms, 99) if len(work_ms) else 0.0
    return LoopLag(percentile(sorted_ms, 99), float(sorted_ms[-1]), work_p99_ms)


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0


def _us_each(seconds: float | None, count: int) -> float | None:
    return None if seconds is None or not count else seconds / count * 1e6
