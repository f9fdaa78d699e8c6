"""From a bound and an interval to a verdict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systest.metrics.verdict import Bound, Verdict, verdict_of

AT_LEAST, AT_MOST = Bound(0.9, at_least=True), Bound(1.5)
POSITIVE = st.floats(0.001, 1_000)


@pytest.mark.parametrize(
    ("bound", "low", "high", "verdict"),
    [
        (AT_LEAST, 0.9, 1.2, Verdict.MET),
        (AT_LEAST, 0.89, 1.2, Verdict.UNDECIDED),
        (AT_LEAST, 0.5, 0.89, Verdict.NOT_MET),
        (AT_MOST, 1.0, 1.5, Verdict.MET),
        (AT_MOST, 1.4, 1.6, Verdict.UNDECIDED),
        (AT_MOST, 1.51, 3.0, Verdict.NOT_MET),
    ],
)
def test_verdict__of_an_interval__needs_all_of_it(
    bound: Bound, low: float, high: float, verdict: Verdict
) -> None:
    assert verdict_of(bound, 1.0, (low, high)) is verdict


def test_verdict__without_an_interval__is_undecided_and_without_a_figure_not_judged() -> None:
    assert verdict_of(AT_MOST, 1.0, None) is Verdict.UNDECIDED
    assert verdict_of(AT_MOST, None, None) is Verdict.NOT_JUDGED


@given(limit=POSITIVE, ends=st.tuples(POSITIVE, POSITIVE), at_least=st.booleans())
def test_verdict__of_a_bound_turned_round__is_turned_round(
    limit: float, ends: tuple[float, float], at_least: bool
) -> None:
    low, high = sorted(ends)
    turned = {
        Verdict.MET: Verdict.NOT_MET,
        Verdict.NOT_MET: Verdict.MET,
        Verdict.UNDECIDED: Verdict.UNDECIDED,
    }
    if limit not in (low, high):
        one = verdict_of(Bound(limit, at_least), low, (low, high))
        assert verdict_of(Bound(limit, not at_least), low, (low, high)) is turned[one]


@given(limit=POSITIVE, ends=st.tuples(POSITIVE, POSITIVE), further=POSITIVE)
def test_verdict__of_a_wider_interval__never_decides_what_the_narrower_left_open(
    limit: float, ends: tuple[float, float], further: float
) -> None:
    low, high = sorted(ends)
    bound = Bound(limit, at_least=True)
    narrow, wide = (verdict_of(bound, low, (low / by, high * by)) for by in (1.0, 1.0 + further))
    assert wide in (narrow, Verdict.UNDECIDED)
