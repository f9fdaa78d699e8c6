"""The interval of a median: where its ends are, and that it holds the median as often as it says."""

from __future__ import annotations

import random
import statistics

import pytest

from systest.metrics.interval import median_interval


@pytest.mark.parametrize(
    ("count", "ends"),
    [(6, (1, 6)), (8, (1, 8)), (9, (2, 8)), (10, (2, 9)), (12, (3, 10)), (20, (6, 15)), (25, (8, 18))],
)
def test_interval__of_1_to_n__has_the_ranks_of_the_sign_test(count: int, ends: tuple[int, int]) -> None:
    values = [float(n) for n in range(1, count + 1)]
    random.Random(count).shuffle(values)
    assert median_interval(values) == ends


@pytest.mark.parametrize("count", range(6))
def test_interval__of_fewer_than_six__is_none(count: int) -> None:
    assert median_interval([1.0] * count) is None


def test_interval__less_confidence__takes_fewer_values() -> None:
    assert median_interval([3.0, 1.0, 2.0, 4.0], confidence=0.8) == (1.0, 4.0)


@pytest.mark.parametrize("skew", [0.2, 1.5])
def test_interval__of_ten_skewed_values__holds_the_median_in_95_percent_and_more(skew: float) -> None:
    chance = random.Random(7)
    held = 0
    for _ in range(2_000):
        low, high = median_interval([chance.lognormvariate(0, skew) for _ in range(10)]) or (0.0, 0.0)
        held += low <= 1.0 <= high  # a lognormal's median is e^0
    assert held / 2_000 > 0.95


def test_interval__one_outlier__does_not_move_it() -> None:
    calm = [1.0 + n / 100 for n in range(10)]
    assert median_interval([*calm[:-1], 1_000.0]) == median_interval(calm)
    assert statistics.mean([*calm[:-1], 1_000.0]) > 100
