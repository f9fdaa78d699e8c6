"""The figures of a round, from histories small enough to reckon by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from systest.history.columns import Outcome
from systest.history.load import SendHistory
from systest.metrics import RoundFigures, round_figures
from systest.worker.protocol import CodePath, Resources, Summary
from systest.workloads.stream import RecordStream

STREAM = RecordStream(run=1, producer=0, topic="orders", partitions=1, value_bytes=100)
MIB = 2**20


def history(latencies_ms: list[float], failed: frozenset[int] = frozenset()) -> SendHistory:
    """Records called a millisecond apart from 0 on, record n acknowledged `latencies_ms[n]` later."""
    rows = len(latencies_ms)
    called = np.arange(rows, dtype=np.int64) * 1_000_000
    outcome = [Outcome.FAILED if n in failed else Outcome.ACKED for n in range(rows)]
    return SendHistory(
        stream=STREAM,
        rows=rows,
        intended_ns=np.full(rows, -1, dtype=np.int64),
        called_ns=called,
        settled_ns=called + (np.array(latencies_ms) * 1e6).astype(np.int64),
        outcome=np.array(outcome, dtype=np.int8),
        partition=np.zeros(rows, dtype=np.int32),
        offset=np.arange(rows, dtype=np.int64),
        timestamp_ms=np.full(rows, -1, dtype=np.int64),
        reports=np.ones(rows, dtype=np.int8),
        reported=np.full(rows, -1, dtype=np.int64),
    )


def summary(send: SendHistory, first_measured: int = 0, lag_ns: tuple[int, ...] | None = None) -> Summary:
    return Summary(
        records=send.rows,
        first_measured=first_measured,
        measured_from_ns=first_measured * 1_000_000,
        measured_to_ns=send.rows * 1_000_000,
        code_path=CodePath(send.rows, 0.01, 5, 0.02, 50, 0.25, {}),
        resources=Resources(
            cpu_s=0.1,
            caller_cpu_s=0.05,
            rss_start_bytes=10 * MIB,
            rss_end_bytes=12 * MIB,
            rss_peak_bytes=20 * MIB,
        ),
        transport=None,
        lag_ns=lag_ns,
        lag_work_ns=None if lag_ns is None else tuple(each // 2 for each in lag_ns),
    )


def figures_of(
    send: SendHistory, told: Summary | None = None, broker_cpu_us: float | None = 2.0
) -> RoundFigures:
    return round_figures(send, send.outcome == Outcome.ACKED, told or summary(send), broker_cpu_us)


def test_latency__is_from_call_to_the_moment_the_caller_knew() -> None:
    latency = figures_of(history([float(n) for n in range(1, 101)])).latency
    assert latency is not None
    assert dataclasses.astuple(latency) == (50.5, 50, 90, 95, 99, 100, 100)


def test_latency__of_an_open_loop__is_from_when_each_was_due() -> None:
    send = history([2.0] * 10)
    called_ns, settled_ns = send.called_ns + 30_000_000, send.settled_ns + 30_000_000
    figures = figures_of(
        dataclasses.replace(send, intended_ns=send.called_ns, called_ns=called_ns, settled_ns=settled_ns)
    )
    assert figures.latency is not None
    assert figures.service is not None
    assert (figures.latency.max_ms, figures.service.max_ms) == (32.0, 2.0)


def test_latency__of_the_warm_up__does_not_count() -> None:
    send = history([500.0] * 10 + [2.0] * 10)
    latency = figures_of(send, summary(send, first_measured=10)).latency
    assert latency is not None
    assert latency.max_ms == 2.0


def test_throughput__counts_what_was_acknowledged_within_the_measured_time() -> None:
    throughput = figures_of(history([0.5] * 99 + [10.0])).throughput  # the last one settles after its end
    assert (throughput.sent, throughput.seconds) == (100, 0.1)
    assert throughput.records_per_s == pytest.approx(990)
    assert throughput.megabytes_per_s == pytest.approx(0.099)


def test_throughput__of_records_that_are_not_in_the_log__is_none() -> None:
    send = history([0.5] * 100)
    nothing = np.zeros(send.rows, dtype=np.bool_)
    figures = round_figures(send, nothing, summary(send), None)
    assert figures.throughput.records_per_s == 0
    assert (figures.latency, figures.cpu.client_us) == (None, None)
    assert figures.why_not["latency"] == "no record was acknowledged and verified"


def test_outcomes__failures_are_errors() -> None:
    outcomes = figures_of(history([1.0] * 10, failed=frozenset({3, 4}))).outcomes
    assert (outcomes.success_percent, outcomes.error_percent) == (80, 20)


def test_code_path__is_a_record() -> None:
    path = figures_of(history([1.0] * 100)).code_path
    assert path.produce_us == pytest.approx(100)
    assert path.poll_us == pytest.approx(200)
    assert (path.flush_ms, path.poll_calls, path.records_per_poll) == (250, 5, 10)


def test_code_path__without_a_poll__says_why() -> None:
    send = history([1.0] * 10)
    path = CodePath(10, 0.01, None, None, None, 0.1, {"poll_s": "it has no poll()"})
    figures = figures_of(send, dataclasses.replace(summary(send), code_path=path))
    assert figures.code_path.poll_us is None
    assert figures.why_not["code_path.poll_us"] == "it has no poll()"


def test_memory_and_cpu__are_the_workers() -> None:
    figures = figures_of(history([1.0] * 100))
    assert (figures.memory.growth_mib, figures.memory.peak_mib) == (2, 20)
    assert figures.cpu.client_us == pytest.approx(1000)
    assert figures.cpu.caller_us == pytest.approx(500)
    assert figures.cpu.broker_us == 2


def test_loop_lag__is_only_of_an_event_loop() -> None:
    send = history([1.0] * 10)
    with_loop = figures_of(send, summary(send, lag_ns=tuple(n * 1_000_000 for n in range(1, 101))))
    assert with_loop.loop_lag is not None
    assert (with_loop.loop_lag.p99_ms, with_loop.loop_lag.max_ms) == (99, 100)
    assert with_loop.loop_lag.work_p99_ms == 49.5
    without = figures_of(send)
    assert without.loop_lag is None
    assert without.why_not["loop_lag"] == "it has no event loop"
