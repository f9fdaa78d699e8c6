"""Stalls, by the smallest histories that have one and their nearest twins that have none."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from systest.metrics.stalls import Stall, stalls

S = 1_000_000_000
MS = 1_000_000


def steady(from_s: float, to_s: float, latency_ms: float) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Calls every 10 ms, and when their callers learned of the acknowledgement."""
    called = np.arange(from_s * S, to_s * S, 10 * MS).astype(np.int64)
    return called, called + int(latency_ms * MS)


def outage(from_s: float, to_s: float) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Calls every 10 ms that all learn at `to_s`."""
    called, _ = steady(from_s, to_s, 0)
    return called, np.full_like(called, int(to_s * S))


def history(*parts: tuple[npt.NDArray[Any], npt.NDArray[Any]]) -> tuple[Stall, ...]:
    called, settled = (np.concatenate(column) for column in zip(*parts, strict=True))
    return stalls(called, settled)


def test_stalls__nothing_acknowledged_for_three_seconds__is_one_with_its_length() -> None:
    [stall] = history(steady(0, 2, 1), outage(2, 5), steady(5, 8, 1))
    assert (stall.began_s, stall.length_s) == (pytest.approx(1.991), pytest.approx(3.009))
    assert stall.back_to_normal_s == 0


def test_stalls__slow_for_two_seconds_after_it__normal_is_when_it_is_quick_again() -> None:
    [stall] = history(steady(0, 2, 1), outage(2, 5), steady(5, 7, 900), steady(7, 9, 1))
    assert stall.back_to_normal_s == 2


def test_stalls__never_quick_again__is_not_back_to_normal() -> None:
    [stall] = history(steady(0, 2, 1), outage(2, 5), steady(5, 8, 900))
    assert stall.back_to_normal_s is None


def test_stalls__two__are_told_apart_and_each_is_judged_up_to_the_next() -> None:
    first, second = history(steady(0, 2, 1), outage(2, 4), steady(4, 6, 700), outage(6, 9), steady(9, 10, 1))
    assert (round(first.length_s), round(second.length_s)) == (2, 2)
    assert (first.back_to_normal_s, second.back_to_normal_s) == (None, 0)


def test_stalls__at_the_very_beginning__nothing_says_what_is_normal() -> None:
    assert [
        stall.back_to_normal_s for stall in history(steady(0, 0.01, 0), outage(0.01, 3), steady(3, 4, 1))
    ] == [0]
    assert stalls(np.array([0]), np.array([9 * S])) == ()


@pytest.mark.parametrize(
    "parts",
    [
        [steady(0, 3, 1)],
        [steady(0, 2, 1), steady(5, 7, 1)],  # nobody asked for anything meanwhile
        [steady(0, 2, 1), outage(2, 2.9), steady(2.9, 4, 1)],
    ],
)
def test_stalls__quick_or_idle_or_short__are_none(parts: list[Any]) -> None:
    assert history(*parts) == ()


def test_stalls__no_record__are_none() -> None:
    assert stalls(np.array([]), np.array([])) == ()
