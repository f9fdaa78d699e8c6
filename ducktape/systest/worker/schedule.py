"""When a round begins to count, and when sending stops: one comparison a record on the sender's path."""

from __future__ import annotations

import time
from collections.abc import Callable

from systest.workloads.workload import Workload


class Schedule:
    """Warm-up, then the measured time, then the end.

    A sender calls `start`, compares each call's time with `boundary_ns` and, once there, asks `passed`. All times
    are `time.perf_counter_ns`.
    """

    def __init__(self, workload: Workload) -> None:
        self.boundary_ns = 0
        self.first_measured = -1
        self.measured_from_ns = 0
        self.measured_to_ns = 0
        self._workload = workload
        self._on_begin: list[Callable[[], None]] = []

    def at_begin(self, act: Callable[[], None]) -> None:
        """Has `act` called when the measured time begins."""
        self._on_begin.append(act)

    def start(self) -> None:
        """The warm-up begins: the client is connected and the first record is about to be sent."""
        self.boundary_ns = time.perf_counter_ns() + round(self._workload.warmup_s * 1e9)

    def passed(self, sequence: int) -> bool:
        """Moves on past the boundary; False once sending is over. `sequence` is the next to be sent."""
        if self.first_measured < 0:
            for act in self._on_begin:
                act()
            self.first_measured = sequence
            self.measured_from_ns = time.perf_counter_ns()
            self.boundary_ns = self.measured_from_ns + round(self._workload.duration_s * 1e9)
            return True
        return False

    def end(self, sequence: int) -> None:
        """Sending is over, because the time was up or every record is sent. `sequence` is how many were."""
        if self.first_measured < 0:
            self.passed(sequence)
        # A sender that waits for room sees the boundary late, and sends nothing past it.
        self.measured_to_ns = min(self.boundary_ns, time.perf_counter_ns())
