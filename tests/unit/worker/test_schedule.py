"""An open loop's timetable, which leaves out nothing that is due; a closed loop's warm-up of a client at work."""

from __future__ import annotations

import time

import pytest

from systest.worker import schedule as schedules
from systest.worker.schedule import Schedule
from systest.workloads.workload import workload_named

S = 1_000_000_000


def started(name: str, late_s: float = 5.0) -> tuple[Schedule, int]:
    """A schedule of half a second and two, and when its first record is due."""
    schedule = Schedule(workload_named(name, duration_s=2.0, warmup_s=0.5), late_s)
    schedule.start()
    return schedule, schedule.boundary_ns - S // 2


@pytest.mark.parametrize("rate", [1, 3, 100, 999, 7_919, 50_000, 1_000_000])
def test_allowed__at_the_moment_a_record_is_due__counts_it_and_a_nanosecond_before_does_not(
    rate: int,
) -> None:
    schedule, _ = started(f"open:{rate}")
    for sequence, due_ns in enumerate(schedule.intended_ns(min(200, schedule.records))):
        assert schedule.allowed(due_ns, told=0) == sequence + 1
        assert schedule.allowed(due_ns - 1, told=0) == sequence


def test_intended__is_evenly_spaced_from_the_first_record_on() -> None:
    schedule, start_ns = started("open:50000")
    intended = schedule.intended_ns(schedule.records)
    assert (len(intended), intended[0], intended[-1]) == (125_000, start_ns, start_ns + 124_999 * 20_000)


def test_intended__of_a_closed_loop__is_not_there() -> None:
    assert len(started("saturate")[0].intended_ns(10)) == 0


def test_allowed__long_after_the_end__is_what_was_due_before_it() -> None:
    schedule, start_ns = started("open:1000")
    assert schedule.allowed(start_ns + 100 * S, told=0) == schedule.records == 2_500


def test_allowed__closed_loop__is_the_window_behind_what_was_told() -> None:
    schedule, start_ns = started("window:10")
    assert schedule.allowed(start_ns, told=5) == 15


@pytest.mark.parametrize(("left_us", "wait_ms"), [(1, 1), (999, 1), (1_000, 1), (1_001, 2), (9_500, 10)])
def test_wait__open_loop__is_whole_milliseconds_and_never_short(left_us: int, wait_ms: int) -> None:
    schedule, start_ns = started("open:10")
    due_ns = start_ns + S // 10
    assert schedule.wait_s(1, due_ns - left_us * 1_000) == pytest.approx(wait_ms / 1e3)


def test_passed__open_loop_behind_at_its_end__may_go_on_for_a_while_and_counts_to_its_end() -> None:
    schedule, _ = started("open:1000", late_s=5.0)
    assert schedule.passed(500, told=0)
    end_ns = schedule.measured_from_ns + 2 * S
    assert schedule.boundary_ns == end_ns + 5 * S
    assert not schedule.passed(2_000, told=0)


def test_passed__closed_loop_told_of_nothing_yet__has_its_warm_up_before_it() -> None:
    schedule, _ = started("window:10")
    assert schedule.passed(10, told=0)
    assert schedule.boundary_ns < time.perf_counter_ns() + S // 2, "it will be asked again before long"
    told_ns = time.perf_counter_ns()
    assert schedule.passed(10, told=1)
    assert schedule.boundary_ns >= told_ns + S // 2
    assert schedule.first_measured == -1
    assert schedule.passed(1_000, told=990)
    assert schedule.first_measured == 1_000
    assert not schedule.passed(2_000, told=1_990)


def test_passed__closed_loop_told_of_nothing_for_long__goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "FIRST_OUTCOME_LIMIT_S", 0.0)
    schedule, _ = started("window:10")
    assert schedule.passed(10, told=0)
    assert schedule.passed(10, told=0)
    assert schedule.first_measured == 10


def test_passed__closed_loop_without_warm_up__measures_from_its_first_record() -> None:
    schedule = Schedule(workload_named("window:10", duration_s=2.0, warmup_s=0.0), 0.0)
    schedule.start()
    assert schedule.passed(0, told=0)
    assert schedule.first_measured == 0
