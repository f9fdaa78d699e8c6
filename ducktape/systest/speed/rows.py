"""The speed table of the producer's contract as data: what is measured, against whom, and how good it must be.

One row is one line of the table. Its figure is one of `RoundFigures`, of the strategy under test at one case (a
workload on some topics, of records of some shape), divided by another strategy's in the same round, or taken as it is.
A row of several cases asks how flat the figure is over them: the greatest divided by the least.

What a record costs is CPU time, because elapsed time on a shared machine is whatever the others leave, and with ten
records in flight it is a wait and no cost. With tasks it is that of the event loop's thread, which is all that asyncio
alone has; over topics it is the whole client's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from systest import strategies
from systest.metrics.verdict import Bound
from systest.speed.cases import Case
from systest.strategies import CONTROL, PEERS, YARDSTICK
from systest.workloads.shapes import PLAIN, SERVICE, SHAPES

TOPICS = "topics"
MACHINE = "open:200"
"""The case that the control plays to show how punctual the machine is: a loop that has nearly nothing to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line.

    Args:
        group: the part of the table, as a user chooses it.
        label: what a person reads, with its unit.
        metric: where the figure is in `RoundFigures`.
        cases: one; or several, and then the figure is how many times the least is the greatest.
        over: strategy and case of the figure that it is divided by; None where it stands for itself.
        goals: by the transport that a strategy under test, `systest.strategies.OURS`, ran on.
    """

    group: str
    label: str
    metric: str
    cases: tuple[str, ...]
    over: tuple[str, str] | None = None
    goals: Mapping[str, Bound] = field(default_factory=dict)

    @property
    def is_flatness(self) -> bool:
        return len(self.cases) > 1


_RATES = (100, 1_000, 10_000, 50_000)
_TASKS = (10, 1_000, 10_000, 100_000)
_TOPICS = (1, 100, 1_000)
_SHAPES = tuple(name for name in SHAPES if name != PLAIN)  # plain ones are in all other parts

CASES: Mapping[str, Case] = {
    "saturate": Case("saturate"),
    "bulk": Case("bulk:1000"),
    "one-at-a-time": Case("one-at-a-time"),
    **{f"open:{rate}": Case(f"open:{rate}") for rate in _RATES},
    MACHINE: Case(MACHINE),
    **{f"tasks:{n}": Case(f"tasks:{n}") for n in _TASKS[:-1]},
    # So many take a second to make, and with most peers a round would not end in its time.
    f"tasks:{_TASKS[-1]}": Case(f"tasks:{_TASKS[-1]}", warmup_s=1.5, peers=False),
    # One partition each, so that nothing but the topics differs.
    # The peers' figures with a service's records are the main job's.
    **{
        f"{workload} {name}": Case(workload, shape=SHAPES[name], peers=False)
        for workload in ("saturate", "bulk:1000")
        for name in _SHAPES
    },
    f"tasks:1000 {SERVICE}": Case("tasks:1000", shape=SHAPES[SERVICE], peers=False),
    **{f"topics:{n}": Case("saturate", n, partitions=1, peers=n < _TOPICS[-1]) for n in _TOPICS},
}


def _most(compiled: float, pure: float) -> Mapping[str, Bound]:
    return {"compiled": Bound(compiled), "pure": Bound(pure)}


def _least(compiled: float, pure: float) -> Mapping[str, Bound]:
    return {"compiled": Bound(compiled, at_least=True), "pure": Bound(pure, at_least=True)}


_SATURATED, _ONE = (YARDSTICK, "saturate"), (YARDSTICK, "one-at-a-time")
_RATE, _CLIENT, _CALLER = "throughput.records_per_s", "cpu.client_us", "cpu.caller_us"
_P50, _P99 = "latency.p50_ms", "latency.p99_ms"


_SHAPE_ROWS: tuple[tuple[str, str, str, bool, Mapping[str, Bound]], ...] = (
    ("a future each, records/s", "saturate", _RATE, True, _least(1.5, 0.7)),
    ("produce_batch, records/s", "bulk:1000", _RATE, True, _least(2.2, 1.1)),
    ("client CPU, us/record", "saturate", _CLIENT, True, _most(0.65, 1.3)),
    ("event-loop lag p99, ms", "saturate", "loop_lag.p99_ms", False, _most(10, 10)),
)
"""What is asked of every shape: a label, the workload, the figure, whether it is divided by the yardstick's with the
same arguments, and the goals."""

ROWS: tuple[Row, ...] = (
    Row("saturation", "a future per record, records/s", _RATE, ("saturate",), _SATURATED, _least(1.5, 0.9)),
    Row("saturation", "produce_batch of 1,000, records/s", _RATE, ("bulk",), _SATURATED, _least(1.85, 1.2)),
    Row("saturation", "client CPU, us/record", _CLIENT, ("saturate",), _SATURATED, _most(0.6, 1.15)),
    Row("saturation", "event-loop lag p99, ms", "loop_lag.p99_ms", ("saturate",), None, _most(10, 10)),
    Row(
        "saturation",
        "the loop's own work in it, ms",
        "loop_lag.work_p99_ms",
        ("saturate",),
        None,
        _most(10, 10),
    ),
    Row("one-at-a-time", "p50, ms", _P50, ("one-at-a-time",), _ONE, _most(1.1, 1.4)),
    Row("one-at-a-time", "p99, ms", _P99, ("one-at-a-time",), _ONE, _most(1.25, 1.5)),
    *(
        Row(
            "open",
            f"{n:,} records/s: p99, ms",
            _P99,
            (f"open:{n}",),
            (YARDSTICK, f"open:{n}"),
            _most(1.25, 1.5),
        )
        for n in _RATES
    ),
    *(
        Row(
            *(
                "tasks",
                f"{n:,} tasks: loop CPU, us/record",
                _CALLER,
                (f"tasks:{n}",),
                (CONTROL, f"tasks:{n}"),
            ),
            {"compiled": Bound(1.1)},
        )
        for n in _TASKS
    ),
    Row(
        "tasks",
        "dearest / cheapest of these",
        _CALLER,
        tuple(f"tasks:{n}" for n in _TASKS),
        None,
        _most(1.5, 1.5),
    ),
    *(
        Row(
            "shapes",
            f"{name}: {label}",
            metric,
            (f"{workload} {name}",),
            (YARDSTICK, f"saturate {name}") if is_ratio else None,
            goals,
        )
        for label, workload, metric, is_ratio, goals in _SHAPE_ROWS
        for name in _SHAPES
    ),
    Row(
        *("shapes", f"{SERVICE}: 1,000 tasks, CPU, us/record", _CALLER, (f"tasks:1000 {SERVICE}",)),
        *((CONTROL, f"tasks:1000 {SERVICE}"), _most(1.5, 2.2)),
    ),
    *(
        Row(
            TOPICS,
            f"{n:,} topic{'s' if n > 1 else ''}: client CPU, us/record",
            _CLIENT,
            (f"topics:{n}",),
            (YARDSTICK, f"topics:{n}"),
        )
        for n in _TOPICS
    ),
    Row(
        TOPICS,
        "dearest / cheapest of these",
        _CLIENT,
        tuple(f"topics:{n}" for n in _TOPICS),
        None,
        _most(1.5, 1.5),
    ),
)

GROUPS = tuple(dict.fromkeys(row.group for row in ROWS))


def rows_of(groups: Iterable[str]) -> tuple[Row, ...]:
    """The rows of these groups.

    Raises:
        ValueError: there is no such group, or none is named; the message lists those there are.
    """
    wanted = tuple(groups)
    for group in wanted:
        if group not in GROUPS:
            raise ValueError(f"the speed table has no rows {group!r}; choose from {', '.join(GROUPS)}")
    if not wanted:
        raise ValueError(f"no rows to measure; choose from {', '.join(GROUPS)}")
    return tuple(row for row in ROWS if row.group in wanted)


def plays_of(
    rows: Iterable[Row], transports: Mapping[str, str], with_peers: bool
) -> dict[str, tuple[tuple[str, str], ...]]:
    """Which strategy plays which case in a round, by group: what is divided by what must be played close together.

    What no goal is judged by is played with the peers only.

    Args:
        rows: of the table.
        transports: the strategies under test, and the transport of each.
        with_peers: whether this round is one of theirs, too.
    """
    plays: dict[str, dict[tuple[str, str], None]] = {}
    for row in rows:
        group = plays.setdefault(row.group, {})
        if row.over is not None and (with_peers or row.goals.keys() & set(transports.values())):
            group[row.over] = None
        for case in row.cases:
            work = CASES[case].work(1.0)
            for name in (*transports, *(PEERS if with_peers else ())):
                if strategies.refusal(name, work) is None and (name in transports or CASES[case].peers):
                    group[name, case] = None
    return {group: tuple(pairs) for group, pairs in plays.items()}
