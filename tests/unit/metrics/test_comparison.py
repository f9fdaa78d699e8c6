"""Who did better: a winner only where no round of another overlaps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from systest.metrics import Better, RoundFigures, Row, compare
from tests.unit.metrics.test_figures import figures_of, history

SEND_RATE = "throughput.records_per_s"
P50 = "latency.p50_ms"


def rounds(rates: Sequence[float], p50_ms: float = 1.0) -> list[RoundFigures]:
    base = figures_of(history([p50_ms] * 10))
    return [
        dataclasses.replace(base, throughput=dataclasses.replace(base.throughput, records_per_s=rate))
        for rate in rates
    ]


def row(path: str, strategies: dict[str, list[RoundFigures]]) -> Row:
    return next(each for each in compare(strategies, "sync") if each.metric.path == path)


def test_best__every_round_above_all_others__wins() -> None:
    found = row(SEND_RATE, {"sync": rounds([10, 11, 12]), "async": rounds([13, 14, 15])})
    assert found.best == ("async",)


def test_best__ranges_that_overlap__share_the_place() -> None:
    found = row(
        SEND_RATE, {"sync": rounds([10, 11, 14]), "async": rounds([13, 14, 15]), "slow": rounds([1, 2, 3])}
    )
    assert found.best == ("sync", "async")


def test_best__where_less_is_better__is_the_least() -> None:
    found = row(P50, {"sync": rounds([1, 1, 1], p50_ms=2.0), "async": rounds([1, 1, 1], p50_ms=3.0)})
    assert (found.metric.better, found.best) == (Better.LOWER, ("sync",))


def test_best__all_level__is_nobody() -> None:
    assert row(SEND_RATE, {"sync": rounds([10, 11, 14]), "async": rounds([13, 14, 15])}).best == ()


def test_best__with_too_few_rounds__is_nobody() -> None:
    assert row(SEND_RATE, {"sync": rounds([10, 11]), "async": rounds([20, 21])}).best == ()


def test_cell__is_the_median_and_the_range() -> None:
    cell = row(SEND_RATE, {"sync": rounds([30, 10, 20])}).cells["sync"]
    assert (cell.median, cell.low, cell.high) == (20, 10, 30)


def test_ratio__is_the_median_of_each_rounds_own() -> None:
    # The machine slowed down under both: the ratio of the medians would be 1.
    cell = row(SEND_RATE, {"sync": rounds([10, 20, 40]), "async": rounds([5, 10, 20])}).cells["async"]
    assert cell.ratio == 0.5


def test_cell__figure_missing_in_one_round__is_none_with_the_reason() -> None:
    broken = dataclasses.replace(rounds([1])[0], latency=None, why_not={"latency": "nothing arrived"})
    cell = row(P50, {"sync": [*rounds([1, 1]), broken]}).cells["sync"]
    assert (cell.median, cell.why_not) == (None, "nothing arrived")
