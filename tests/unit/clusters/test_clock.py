"""How far apart two clocks are is told from questions and answers alone, within half of the quickest round trip."""

from __future__ import annotations

import random

import pytest

from systest.clusters.clock import APART_S, Skew, skew

MS = 1_000_000


def sample(ahead_ms: float, there_ms: float, back_ms: float, at_ms: float = 0.0) -> tuple[int, int, int]:
    """What is seen of a node that is ahead by so much, with so long a way there and back."""
    return int(at_ms * MS), int((at_ms + there_ms + ahead_ms) * MS), int((at_ms + there_ms + back_ms) * MS)


def test_skew__of_equal_ways__is_exact() -> None:
    found = skew([sample(250.0, 2.0, 2.0)])
    assert found.ahead_s == pytest.approx(0.250)
    assert found.error_s == pytest.approx(0.002)


def test_skew__of_several__is_that_of_the_quickest_round_trip() -> None:
    found = skew([sample(-5.0, 40.0, 1.0), sample(-5.0, 0.5, 0.5), sample(-5.0, 1.0, 90.0)])
    assert found.ahead_s == pytest.approx(-0.005)
    assert found.error_s == pytest.approx(0.0005)


def test_skew__whatever_the_ways__is_no_further_off_than_it_says() -> None:
    chance = random.Random(7)
    for _ in range(1_000):
        ahead_ms = chance.uniform(-1e4, 1e4)
        seen = [sample(ahead_ms, chance.expovariate(0.1), chance.expovariate(0.1), at) for at in range(8)]
        found = skew(seen)
        assert abs(found.ahead_s - ahead_ms / 1e3) <= found.error_s + 1e-9


@pytest.mark.parametrize(
    ("ahead_s", "error_s", "is_certain"),
    [(0.0, 0.0, False), (APART_S, 0.001, False), (-0.2, 0.05, True), (0.2, 0.15, False)],
)
def test_clocks__are_called_apart__only_beyond_doubt(
    ahead_s: float, error_s: float, is_certain: bool
) -> None:
    assert Skew(ahead_s, error_s).is_certain is is_certain
