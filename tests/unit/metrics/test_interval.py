"""The interval of a median: where its ends are, and that it holds the median as often as it says."""

from __future__ import annotations

import random
import statistics

import pytest

from systest.metrics.interval import ROUNDS_MIN, median_interval


@pytest.mark.parametrize(
    ("count", "ends"),
    [(6, (1, 6)), (8, (1, 8)), (9, (2, 8)), (10, (2, 9)), (12, (3, 10)), (20, (6, 15)), (25, (8, 18))],
)
def test_interval__of_1_to_n__has_the_ranks_of_the_sign_test(count: int, ends: tuple[int, int]) -> None:
    values = [float(n) for n in range(1, count + 1)]
    random.Random(count).shuffle(values)
    assert median_interval(values) == ends


@pytest.mark.parametrize("count", range(ROUNDS_MIN))
def test_interval__of_fewer_than_three__is_none(count: int) -> None:
    assert median_interval([1.0] * count) is None


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([0.8, 0.8, 0.8], (0.8, 0.8)),
        # exp(-+ 4.303 * ln 2 / sqrt 3) around 1
        ([0.5, 1.0, 2.0], (0.1787, 5.595)),
        ([0.5, 1.0, 1.0, 2.0], (0.4062, 2.462)),
        ([0.5, 1.0, 1.0, 1.0, 2.0], (0.5441, 1.838)),
    ],
)
def test_interval__of_three_to_five__is_the_t_interval_of_their_logarithms(
    values: list[float], ends: tuple[float, float]
) -> None:
    assert median_interval(values) == pytest.approx(ends, rel=1e-3)


@pytest.mark.parametrize(
    ("values", "ends"), [([0.0, 1.0, 2.0], (-1.4841, 3.4841)), ([-1.0, -1.0, 1.0, 1.0], (-1.8374, 1.8374))]
)
def test_interval__of_few_that_are_not_all_positive__is_their_own_t_interval(
    values: list[float], ends: tuple[float, float]
) -> None:
    assert median_interval(values) == pytest.approx(ends, rel=1e-3)


@pytest.mark.parametrize("count", [3, 4, 5])
@pytest.mark.parametrize(
    ("halved", "exponential", "wrong_most"),
    [(0.0, 0.0, 0.03), (0.1, 0.0, 0.03), (0.2, 0.0, 0.033), (0.0, 0.2, 0.05)],
)
def test_interval__of_few_with_outliers_on_one_side__is_seldom_wholly_wrong(
    count: int, halved: float, exponential: float, wrong_most: float
) -> None:
    chance = random.Random(7)

    def value() -> float:
        if exponential:
            return 1.0 + chance.expovariate(1 / exponential)
        return chance.lognormvariate(0, 0.05) * (0.5 if chance.random() < halved else 1.0)

    median = statistics.median(value() for _ in range(100_000))
    intervals = [median_interval([value() for _ in range(count)]) for _ in range(10_000)]
    for wrong in (
        sum(ends is not None and ends[1] < median for ends in intervals),
        sum(ends is not None and ends[0] > median for ends in intervals),
    ):
        assert wrong / 10_000 < wrong_most


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
