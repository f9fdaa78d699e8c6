"""What a producer is asked to do, and when: how many records may be in flight, for how long.

All of today's workloads are closed loops that differ in their window: a caller sends while fewer than
`in_flight` of its records are unacknowledged. `saturate` has a window that no producer empties,
`one-at-a-time` waits for each acknowledgement before the next call.
"""

from __future__ import annotations

from dataclasses import dataclass

SATURATE_IN_FLIGHT = 10_000
IN_FLIGHT_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Workload:
    """One closed-loop workload.

    Args:
        name: as a user writes it: `saturate`, `one-at-a-time` or `window:N`.
        in_flight: records that may be unacknowledged at once.
        duration_s: measured time; sending stops at its end.
        warmup_s: time before it whose records are verified but not in the figures.
        records_max: records sent in all, warm-up included; sending stops there if it comes first.
    """

    name: str
    in_flight: int
    duration_s: float = 2.5
    warmup_s: float = 0.5
    records_max: int = 3_000_000

    def __post_init__(self) -> None:
        if not 1 <= self.in_flight <= IN_FLIGHT_MAX:
            raise ValueError(f"in_flight is {self.in_flight}; choose 1 to {IN_FLIGHT_MAX}")
        if self.duration_s <= 0 or self.warmup_s < 0:
            raise ValueError(
                f"duration_s is {self.duration_s}, warmup_s {self.warmup_s}; time must be positive"
            )
        if self.records_max < 1:
            raise ValueError(f"records_max is {self.records_max}; send at least 1")


def in_flight_of(name: str) -> int:
    """The window of a workload named as a user writes it.

    Raises:
        ValueError: no such workload; the message lists those there are.
    """
    if name == "saturate":
        return SATURATE_IN_FLIGHT
    if name == "one-at-a-time":
        return 1
    kind, _, count = name.partition(":")
    if kind == "window" and count.isdecimal() and 1 <= int(count) <= IN_FLIGHT_MAX:
        return int(count)
    raise ValueError(
        f"unknown workload {name!r}; choose saturate, one-at-a-time or window:N (N records in flight)"
    )
