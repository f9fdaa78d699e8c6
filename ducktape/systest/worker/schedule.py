"""When each record may be sent, when a round begins to count, and when sending stops."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable

from systest.workloads.workload import FIRST_OUTCOME_LIMIT_S, Workload

_S = 1_000_000_000
_MS = 1_000_000
_ASK_NS = 10 * _MS


class Schedule:
    """In a closed loop the wait for a first outcome; then the warm-up, the measured time, the end.

    A sender calls `start`, sends record n once n is below `allowed`, compares each call's time with `boundary_ns` and,
    once there, asks `passed`. Sending is over when that says so, or when `records` are sent. All times are
    `time.perf_counter_ns`.

    Args:
        workload: what to send.
        late_s: how long after the end an open loop may go on with what was due before it.
    """

    def __init__(self, workload: Workload, late_s: float) -> None:
        self.boundary_ns = 0
        self.first_measured = -1
        self.measured_from_ns = 0
        self.measured_to_ns = 0
        self.records = workload.records_due
        self._rate_per_s = workload.rate_per_s
        self._in_flight_max = workload.in_flight
        self._duration_ns = round(workload.duration_s * _S)
        self._late_ns = round(late_s * _S) if workload.rate_per_s else 0
        self._started_ns = 0
        self._warmup_ns = round(workload.warmup_s * _S)
        self._is_at_work = not workload.awaits_outcome
        self._on_begin: list[Callable[[], None]] = []

    def at_begin(self, act: Callable[[], None]) -> None:
        """Has `act` called when the measured time begins."""
        self._on_begin.append(act)

    def start(self) -> None:
        """The client is connected, and the first record is about to be sent."""
        self._started_ns = time.perf_counter_ns()
        self.boundary_ns = self._started_ns + (self._warmup_ns if self._is_at_work else _ASK_NS)

    def allowed(self, now_ns: int, told: int) -> int:
        """How many records may have been sent by now, when the outcome of `told` of them is known."""
        if self._rate_per_s is None:
            return told + self._in_flight_max
        return min(self.records, -(-(now_ns - self._started_ns + 1) * self._rate_per_s // _S))

    def wait_s(self, sequence: int, now_ns: int) -> float:
        """How long a caller may wait that must not send record `sequence` yet: to the boundary, or until it is due.

        The latter in whole milliseconds, rounded up: asyncio's loops and librdkafka's poll() know no shorter time, and
        every caller of an open loop is to be as late as any other. Whoever wakes up sends all that is due by then.
        """
        left_ns = self.boundary_ns - now_ns
        if self._rate_per_s is not None:
            left_ns = min(left_ns, self._due_ns(sequence) - now_ns)
            left_ns = -(-left_ns // _MS) * _MS
        return left_ns / _S

    def intended_ns(self, count: int) -> array[int]:
        """When each of the first `count` records was due; empty in a closed loop."""
        return array("q", () if self._rate_per_s is None else map(self._due_ns, range(count)))

    def passed(self, sequence: int, told: int) -> bool:
        """Moves on past the boundary; False once sending is over.

        Args:
            sequence: of the next record to be sent.
            told: how many have an outcome.
        """
        if not self._is_at_work:
            now_ns = time.perf_counter_ns()
            self._is_at_work = told > 0 or now_ns - self._started_ns >= FIRST_OUTCOME_LIMIT_S * _S
            self.boundary_ns = now_ns + (self._warmup_ns if self._is_at_work else _ASK_NS)
            return True
        if self.first_measured < 0:
            self._begin(sequence)
            return True
        return False

    def end(self, sequence: int) -> None:
        """Sending is over, because the time was up or every record is sent. `sequence` is how many were."""
        if self.first_measured < 0:
            self._begin(sequence)
        # A sender that waits for room sees the boundary late, and begins nothing past it.
        self.measured_to_ns = min(self.boundary_ns - self._late_ns, time.perf_counter_ns())

    def _begin(self, sequence: int) -> None:
        for act in self._on_begin:
            act()
        self.first_measured = sequence
        self.measured_from_ns = time.perf_counter_ns()
        self.boundary_ns = self.measured_from_ns + self._duration_ns + self._late_ns

    def _due_ns(self, sequence: int) -> int:
        assert self._rate_per_s is not None
        return self._started_ns + sequence * _S // self._rate_per_s
