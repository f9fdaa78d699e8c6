"""What a record's cost is drawn over, as data: five axes, each a row of cases that differ in one number alone.

The cost is CPU time, for the reasons that `systest.speed.rows` tells: with tasks that of the event loop's thread, which
is all that asyncio alone has; everywhere else the whole client's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from systest import strategies
from systest.choices import unknown
from systest.speed.cases import Case
from systest.strategies import CONTROL, PEERS
from systest.workloads.stream import VALUE_BYTES_MIN, Placement, Shape
from systest.workloads.workload import SATURATE_IN_FLIGHT

KIB = 1024
BYTES_IN_FLIGHT_MAX = 32 << 20
"""Of the values in flight: so many clients' buffers hold without any setting."""
BYTES_MAX = 512 << 20
"""Of all values of a play: a broker keeps them until its topic is deleted."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One.

    Args:
        name: as a user chooses it.
        title: what changes along it.
        unit: what its numbers count.
        metric: where the cost is in `RoundFigures`.
        cases: by the number that they differ in, ascending.
        has_control: whether asyncio alone is measured beside the producers.
        is_heavy: whether a broker is busy for a while with what its topics leave; such axes come last.
        note: what a reader must know of how it was measured.
    """

    name: str
    title: str
    unit: str
    metric: str
    cases: Mapping[int, Case]
    has_control: bool = False
    is_heavy: bool = False
    note: str = ""

    def case_name(self, value: int) -> str:
        return f"{self.name}:{value}"

    def plays(self, names: Iterable[str], up_to: int | None = None) -> list[tuple[str, str]]:
        """Which of these strategies plays which case in a round, and asyncio alone where it is measured.

        Args:
            names: of the strategies.
            up_to: the greatest number to play; None for all.
        """
        names = [*names, *([CONTROL] if self.has_control else [])]
        return [
            (name, self.case_name(value))
            for name in names
            for value, case in self.cases.items()
            if (up_to is None or value <= up_to)
            and (case.peers or name not in PEERS)
            and strategies.refusal(name, case.work(1.0)) is None
        ]


@dataclass(frozen=True, slots=True)
class View:
    """An axis and a cost: one panel of the chart, one table. `per_kib` has the cost by the record's size."""

    axis: Axis
    label: str
    per_kib: bool = False

    def cost(self, value: int, cpu_us: float) -> float:
        return cpu_us * KIB / value if self.per_kib else cpu_us


_LONG_S = 3.0
"""What a hundred thousand in flight at both ends of the measured time need to weigh little."""
_CALLER, _CLIENT = "cpu.caller_us", "cpu.client_us"
_KEYED = Shape(keys=10_000, placement=Placement.KEY)
_SIZES = (VALUE_BYTES_MIN, 100, KIB, 10 * KIB, 100 * KIB, 900 * KIB)


def _of_size(value_bytes: int) -> Case:
    in_flight = min(SATURATE_IN_FLIGHT, BYTES_IN_FLIGHT_MAX // value_bytes)
    # The values of a stream are alike, so that a codec would make next to nothing of many small ones.
    client = {"compression.type": "none"}
    return Case(
        f"window:{in_flight}", shape=Shape(value_bytes=value_bytes), bytes_max=BYTES_MAX, client=client
    )


AXES: tuple[Axis, ...] = (
    Axis(
        "tasks",
        "tasks that each await their record",
        "tasks",
        _CALLER,
        {
            **{n: Case(f"tasks:{n}") for n in (10, 100, 1_000, 10_000)},
            # So many take a second to make, and with most peers a round would not end in its time.
            100_000: Case("tasks:100000", warmup_s=1.5, least_s=_LONG_S, peers=False),
        },
        has_control=True,
        note="the peers are left out at 100,000, where a round of most of them does not end in its time",
    ),
    Axis(
        "in-flight",
        "records in flight, one caller",
        "records",
        _CLIENT,
        {
            **{n: Case(f"window:{n}") for n in (1, 10, 100, 1_000, 10_000)},
            100_000: Case("window:100000", warmup_s=1.5, least_s=_LONG_S),
        },
        has_control=True,
        note="linger.ms is 0 with one record in flight",
    ),
    Axis(
        "sizes",
        "size of a record's value",
        "bytes",
        _CLIENT,
        {size: _of_size(size) for size in _SIZES},
        has_control=True,
        note=f"not compressed; as many in flight as have {BYTES_IN_FLIGHT_MAX >> 20} MiB, {SATURATE_IN_FLIGHT:,} at "
        f"the most; {VALUE_BYTES_MIN} bytes are the least that tell whose record it is; making values and their "
        "checksums is in every cost, and nearly the whole of asyncio's alone",
    ),
    Axis(
        "topics",
        "topics of one partition each",
        "topics",
        _CLIENT,
        {n: Case("saturate", n, partitions=1, peers=n < 1_000) for n in (1, 10, 100, 1_000)},
        is_heavy=True,
        note=f"{SATURATE_IN_FLIGHT:,} in flight, each record to the next topic; the peers are left out at 1,000",
    ),
    Axis(
        "partitions",
        "partitions of one topic",
        "partitions",
        _CLIENT,
        {n: Case("saturate", partitions=n, shape=_KEYED, warmup_s=1.0) for n in (1, 6, 60, 600)},
        is_heavy=True,
        note=f"{SATURATE_IN_FLIGHT:,} in flight, each with one of 10,000 keys, which decides its partition",
    ),
)

AXIS_NAMES = tuple(axis.name for axis in AXES)
CASES: Mapping[str, Case] = {
    axis.case_name(value): case for axis in AXES for value, case in axis.cases.items()
}
VALUES: Mapping[str, int] = {axis.case_name(value): value for axis in AXES for value in axis.cases}
WARM_UP = "in-flight:10000"


def axes_named(names: Iterable[str]) -> tuple[Axis, ...]:
    """Those axes, in the chart's order.

    Raises:
        ValueError: there is no such axis, or none is named; the message lists those there are.
    """
    wanted = tuple(names)
    for name in wanted:
        if name not in AXIS_NAMES:
            raise ValueError(unknown("axis", name, AXIS_NAMES))
    if not wanted:
        raise ValueError(f"no axis to measure along; choose from {', '.join(AXIS_NAMES)}")
    return tuple(axis for axis in AXES if axis.name in wanted)


def views_of(names: Iterable[str]) -> tuple[View, ...]:
    """The panels of these axes: of sizes there are two, since a large record's cost is that of its bytes."""
    views = []
    for axis in axes_named(names):
        views.append(View(axis, f"{'loop' if axis.metric == _CALLER else 'client'} CPU, us/record"))
        if axis.name == "sizes":
            views.append(View(axis, "client CPU, us/KiB", per_kib=True))
    return tuple(views)
