"""What a producer is asked to do, and when. A user names a workload in one word; this is what the words mean.

Closed loops wait for acknowledgements, so a slow one delays the calls behind it:

- `saturate`, `one-at-a-time`, `window:N`: one caller sends while fewer than N of its records are unacknowledged.
  `saturate` has a window that no producer empties, `one-at-a-time` waits for each acknowledgement before the next call.
- `tasks:N`: N tasks on one event loop, each of which produces a record, awaits its acknowledgement, and does so again.
- `service:N`: the same N tasks as those of a service with so many clients: each pauses before every record, for a time
  that chance decides, a second on the average. Latencies count from the call, as one client's request would.
- `bulk:N`: one caller hands over N records in one call with one outcome for all, while its window has room for them.

The open loop `open:RATE` waits for nobody: record n is due n / RATE seconds after the first, whatever became of the
records ahead of it, and its latency counts from then. A caller that falls behind sends what is due as fast as it can,
so that no record of the timetable is left out. The spacing is constant: record n's time is then a function of n, the
same for every strategy and in every language; and it adds no bursts of its own, which with the some hundred records
of a low rate's round would decide the highest percentiles by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SATURATE_IN_FLIGHT = 10_000
IN_FLIGHT_MAX = 1_000_000
BULK_RECORDS = 1_000
SERVICE_PAUSE_S = 1.0
RATE_PER_S_MAX = 1_000_000

FORMS = (
    "saturate, one-at-a-time, window:N (N records in flight), open:RATE (RATE records/s whatever happens), "
    "tasks:N (N tasks that each await their record), service:N (the same with pauses) or bulk:N (N records in one call)"
)
"""How a user names a workload."""
FIRST_OUTCOME_LIMIT_S = 5.0
"""How long a closed loop's warm-up waits to begin, for a client that is told of nothing."""
OPEN_WARMUP_S = 1.0
"""Of an open loop, which waits for nobody: longer than an idempotent librdkafka waits for its id."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload. A closed loop of one caller and single records, unless one of the last three says otherwise.

    Args:
        name: as a user writes it, see `FORMS`.
        in_flight: records that may be unacknowledged at once.
        duration_s: measured time; sending stops at its end.
        warmup_s: time before it whose records are verified but not in the figures. A closed loop's counts from the
            first outcome on, and warms up a client at work: an idempotent librdkafka whose caller does not see to its
            id sends nothing for half a second, since it asks when it is made, connected to nobody, and then by a timer.
        records_max: records sent in all, warm-up included; sending stops there if it comes first.
        rate_per_s: of an open loop, else None.
        tasks: whether `in_flight` is the number of tasks, with one record each.
        pause_s: how long a task pauses before each record, on the average.
        batch: records handed over in one call, None for single records.
    """

    name: str
    in_flight: int
    duration_s: float = 2.5
    warmup_s: float = 0.5
    records_max: int = 3_000_000
    rate_per_s: int | None = None
    tasks: bool = False
    pause_s: float = 0.0
    batch: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.in_flight <= IN_FLIGHT_MAX:
            raise ValueError(f"in_flight is {self.in_flight}; choose 1 to {IN_FLIGHT_MAX}")
        if self.duration_s <= 0 or self.warmup_s < 0:
            raise ValueError(
                f"duration_s is {self.duration_s}, warmup_s {self.warmup_s}; time must be positive"
            )
        if self.records_max < 1:
            raise ValueError(f"records_max is {self.records_max}; send at least 1")
        if (self.rate_per_s is not None) + self.tasks + (self.batch is not None) > 1:
            raise ValueError(f"{self.name} can be one of an open loop, a loop of tasks, and one of batches")
        if self.batch is not None and not 1 <= self.batch <= self.in_flight:
            raise ValueError(f"batch is {self.batch}; choose 1 to in_flight, which is {self.in_flight}")

    @property
    def awaits_outcome(self) -> bool:
        """Whether its warm-up begins with the first outcome."""
        return self.rate_per_s is None and self.warmup_s > 0

    @property
    def sending_s_max(self) -> float:
        """How long it sends at the most."""
        return self.warmup_s + self.duration_s + (FIRST_OUTCOME_LIMIT_S if self.awaits_outcome else 0.0)

    @property
    def records_due(self) -> int:
        """How many records it has at the most; those of an open loop are fixed from the beginning."""
        if self.rate_per_s is None:
            return self.records_max
        return min(self.records_max, max(1, round(self.rate_per_s * (self.warmup_s + self.duration_s))))


def workload_named(name: str, **others: Any) -> Workload:
    """The workload that a user calls so; `others` are its times and its limit.

    Raises:
        ValueError: no such workload; the message lists those there are.
    """
    kind, _, given = name.partition(":")
    number = int(given) if given.isascii() and given.isdecimal() else 0
    match kind:
        case "saturate" if not given:
            return Workload(name, SATURATE_IN_FLIGHT, **others)
        case "one-at-a-time" if not given:
            return Workload(name, 1, **others)
        case "window" if 1 <= number <= IN_FLIGHT_MAX:
            return Workload(name, number, **others)
        case "open" if 1 <= number <= RATE_PER_S_MAX:
            return Workload(name, IN_FLIGHT_MAX, rate_per_s=number, **{"warmup_s": OPEN_WARMUP_S, **others})
        case "tasks" if 1 <= number <= IN_FLIGHT_MAX:
            return Workload(name, number, tasks=True, **others)
        case "service" if 1 <= number <= IN_FLIGHT_MAX:
            return Workload(name, number, tasks=True, pause_s=SERVICE_PAUSE_S, **others)
        case "bulk" if not given or 1 <= number <= IN_FLIGHT_MAX:
            batch = number or BULK_RECORDS
            return Workload(name, max(SATURATE_IN_FLIGHT, batch), batch=batch, **others)
    raise ValueError(f"unknown workload {name!r}; choose {FORMS}")
