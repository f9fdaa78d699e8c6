"""Who did better: the rounds of several strategies, figure by figure.

Rounds were interleaved, so round n of one strategy and round n of another met the same machine: their ratio says
more than either. A winner needs every one of its rounds to be better than every round of every other; whatever
overlaps is within the noise and shares the place. With three rounds each, two equal strategies come out that way
by chance in 1 of 10 cases (2 in 20 orders), with six in 1 of 462.
"""

from __future__ import annotations

import enum
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from systest.metrics.figures import RoundFigures
from systest.metrics.interval import ROUNDS_MIN


def figure_at(figures: RoundFigures, path: str) -> float | None:
    """The figure with this path, such as `latency.p50_ms`; None where it was not measured."""
    value: float | None = reduce(
        lambda at, name: None if at is None else getattr(at, name), path.split("."), figures
    )  # type: ignore[assignment]
    return value


class Better(enum.Enum):
    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure that strategies are compared by.

    Args:
        path: where it is in `RoundFigures`, such as `latency.p50_ms`.
        label: what a person reads, with its unit.
        group: of the table.
        better: which way is better.
        only_open: whether it says something in an open loop only.
        is_elapsed: whether it depends on when the machine runs whom, unlike CPU time.
        may_be_zero: whether 0 or less is a healthy value, to which no ratio can be taken.
    """

    path: str
    label: str
    group: str
    better: Better
    only_open: bool = False
    is_elapsed: bool = False
    may_be_zero: bool = False

    def of(self, figures: RoundFigures) -> float | None:
        """The figure of one round; None where it was not measured."""
        return figure_at(figures, self.path)

    def why_not(self, figures: RoundFigures) -> str:
        """Why it is None; the reason may be given for a whole group of figures."""
        parts = self.path.split(".")
        paths = [".".join(parts[: n + 1]) for n in range(len(parts))]
        return next((figures.why_not[path] for path in paths if path in figures.why_not), "not measured")


_HIGHER, _LOWER, _NEITHER = Better.HIGHER, Better.LOWER, Better.NEITHER

METRICS: tuple[Metric, ...] = (
    Metric("throughput.sent", "records sent", "throughput", _HIGHER, is_elapsed=True),
    Metric("throughput.records_per_s", "send rate, records/s", "throughput", _HIGHER, is_elapsed=True),
    Metric("throughput.megabytes_per_s", "data throughput, MB/s", "throughput", _HIGHER, is_elapsed=True),
    Metric("latency.average_ms", "average, ms", "latency", _LOWER, is_elapsed=True),
    Metric("latency.p50_ms", "p50, ms", "latency", _LOWER, is_elapsed=True),
    Metric("latency.p95_ms", "p95, ms", "latency", _LOWER, is_elapsed=True),
    Metric("latency.p99_ms", "p99, ms", "latency", _LOWER, is_elapsed=True),
    Metric("latency.max_ms", "max, ms", "latency", _LOWER, is_elapsed=True),
    Metric("service.p50_ms", "p50 from the call, ms", "latency", _LOWER, only_open=True, is_elapsed=True),
    Metric("service.p99_ms", "p99 from the call, ms", "latency", _LOWER, only_open=True, is_elapsed=True),
    Metric("code_path.produce_us", "produce(), us/record", "code path", _LOWER, is_elapsed=True),
    Metric("code_path.poll_us", "poll(), us/record", "code path", _LOWER, is_elapsed=True),
    Metric("code_path.flush_ms", "flush(), ms", "code path", _LOWER, is_elapsed=True),
    Metric("code_path.poll_calls", "poll() calls", "code path", _NEITHER, is_elapsed=True),
    Metric("code_path.records_per_poll", "records per poll()", "code path", _HIGHER, is_elapsed=True),
    Metric("outcomes.success_percent", "success, %", "outcome", _HIGHER),
    Metric("outcomes.error_percent", "error, %", "outcome", _LOWER, may_be_zero=True),
    Metric("memory.growth_mib", "memory growth, MiB", "resources", _LOWER, may_be_zero=True),
    Metric("memory.peak_mib", "memory peak, MiB", "resources", _LOWER),
    Metric("cpu.client_us", "client CPU, us/record", "resources", _LOWER),
    Metric("cpu.caller_us", "of that the caller's", "resources", _LOWER),
    Metric("cpu.broker_us", "broker CPU, us/record", "resources", _LOWER),
    Metric("loop_lag.p99_ms", "loop lag p99, ms", "event loop", _LOWER, is_elapsed=True),
    Metric("loop_lag.work_p99_ms", "own work in it, ms", "event loop", _LOWER, may_be_zero=True),
    Metric("loop_lag.max_ms", "loop lag max, ms", "event loop", _LOWER, is_elapsed=True),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of one strategy over its rounds.

    Args:
        median, low, high: over the rounds; None if any round lacks the figure.
        ratio: median of each round's ratio to the yardstick's same round; None without one.
        why_not: why the figure is None, "" if it isn't.
    """

    median: float | None
    low: float | None
    high: float | None
    ratio: float | None
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of every strategy.

    `best` names those that nobody beats, one or several that share the place. Empty where that would be all of them,
    where there is no better, or fewer than `ROUNDS_MIN` rounds or fewer than two strategies to tell by.
    """

    metric: Metric
    cells: Mapping[str, Cell]
    best: tuple[str, ...]


def compare(
    rounds: Mapping[str, Sequence[RoundFigures]], yardstick: str, *, is_open: bool = False
) -> tuple[Row, ...]:
    """One row a metric.

    Args:
        rounds: each strategy's rounds, in the order in which they were played.
        yardstick: the strategy that ratios are to; it may be absent.
        is_open: whether the loop was open.
    """
    return tuple(_row(metric, rounds, yardstick) for metric in METRICS if is_open or not metric.only_open)


def _row(metric: Metric, rounds: Mapping[str, Sequence[RoundFigures]], yardstick: str) -> Row:
    values = {name: [metric.of(figures) for figures in each] for name, each in rounds.items()}
    cells = {}
    for name, each in rounds.items():
        known = [value for value in values[name] if value is not None]
        if len(known) < len(each) or not known:
            lacking = [figures for figures in each if metric.of(figures) is None]
            cells[name] = Cell(
                None, None, None, None, metric.why_not(lacking[0]) if lacking else "no round was played"
            )
        else:
            ratio = _ratio(known, values.get(yardstick, ()))
            cells[name] = Cell(statistics.median(known), min(known), max(known), ratio)
    enough = min((len(each) for each in rounds.values()), default=0) >= ROUNDS_MIN
    return Row(metric, cells, _best(metric.better, cells) if enough else ())


def _ratio(values: Sequence[float], yardsticks: Sequence[float | None]) -> float | None:
    ratios = [value / other for value, other in zip(values, yardsticks, strict=False) if other]
    return statistics.median(ratios) if len(ratios) == len(values) else None


def _best(better: Better, cells: Mapping[str, Cell]) -> tuple[str, ...]:
    sign = {Better.HIGHER: 1, Better.LOWER: -1, Better.NEITHER: 0}[better]
    # As ranges in which more is better.
    ranges = {
        name: sorted((sign * cell.low, sign * cell.high))
        for name, cell in cells.items()
        if cell.low is not None and cell.high is not None
    }
    if not sign or len(ranges) < 2:
        return ()
    leader = max(ranges, key=lambda name: sign * (cells[name].median or 0.0))
    found = tuple(name for name, (_, high) in ranges.items() if name == leader or high >= ranges[leader][0])
    return found if len(found) < len(ranges) else ()
