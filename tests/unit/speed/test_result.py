"""From the figures of the rounds to lines, intervals and verdicts."""

from __future__ import annotations

import dataclasses
import json

import pytest

from systest.metrics.verdict import Bound, Verdict
from systest.speed.result import Line, SpeedResult
from systest.speed.rows import ROWS
from tests.unit.speed.conftest import BOTH, Make

FUTURES = "a future per record, records/s"
BULK = "produce_batch of 1,000, records/s"
LAG = "event-loop lag p99, ms"


def line(result: SpeedResult, label: str, group: str = "", subject: str = "async") -> Line:
    [found] = [
        each for each in result.lines(subject) if each.row.label == label and group in ("", each.row.group)
    ]
    return found


def test_line__ratio__is_the_median_of_each_rounds_own(result: Make) -> None:
    # The machine is twice as slow in every other round, under both.
    costs = {
        ("sync", "saturate"): lambda n: 1.0 + n % 2,
        ("async", "saturate"): lambda n: 1.25 * (1.0 + n % 2),
    }
    found = line(result(costs), FUTURES)
    assert (found.ratio, found.low, found.high) == pytest.approx((0.8, 0.8, 0.8))
    assert (found.verdict, found.goal) == (Verdict.NOT_MET, Bound(0.9, at_least=True))
    assert found.base == pytest.approx(750_000)


def test_line__of_each_transport__has_its_own_figures_and_that_transports_goal(result: Make) -> None:
    costs = {("async", "saturate"): lambda _: 0.5, ("async-pure", "saturate"): lambda _: 1.25}
    both = result(costs, transports=BOTH)
    compiled, pure = (line(both, FUTURES, subject=name) for name in ("async", "async-pure"))
    assert (compiled.ratio, compiled.goal, compiled.verdict) == (2.0, Bound(1.5, True), Verdict.MET)
    assert (pure.ratio, pure.goal, pure.verdict) == (pytest.approx(0.8), Bound(0.9, True), Verdict.NOT_MET)
    assert set(compiled.peers) == set(pure.peers) == {"confluent-aio", "aiokafka", "java"}
    assert set(json.loads(both.to_json())["table"]) == {"async", "async-pure"}


def test_line__of_batches__is_over_the_yardsticks_single_records(result: Make) -> None:
    found = line(result({("sync", "saturate"): lambda _: 2.0, ("async", "bulk"): lambda _: 1.0}), BULK)
    assert (found.ratio, found.verdict) == (pytest.approx(2.0), Verdict.MET)
    assert set(found.peers.values()) == {None}


def test_line__interval_holds_the_goal__is_undecided(result: Make) -> None:
    noisy = {("async", "saturate"): lambda n: 0.9 + n / 25}
    found = line(result(noisy), FUTURES)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.9 < found.high
    assert found.verdict is Verdict.UNDECIDED


def test_line__too_few_rounds__is_undecided_without_an_interval(result: Make) -> None:
    found = line(result(rounds=2, peer_rounds=1), FUTURES)
    assert (found.ratio, found.low, found.verdict) == (1.0, None, Verdict.UNDECIDED)


def test_line__figure_that_is_no_ratio__is_judged_as_it_is(result: Make) -> None:
    found = line(result({("async", "saturate"): lambda _: 25.0}), LAG)
    assert (found.value, found.base, found.ratio, found.verdict) == (25.0, None, 25.0, Verdict.NOT_MET)


def test_line__flatness__is_the_dearest_case_over_the_cheapest_in_a_round(result: Make) -> None:
    costs = {("async", "topics:100"): lambda n: 1.3 * n, ("async", "topics:1"): lambda n: 1.0 * n}
    costs["async", "topics:1000"] = lambda n: 1.2 * n
    found = line(result(costs), "dearest / cheapest of these", "topics")
    assert (found.value, found.ratio, found.verdict) == (None, pytest.approx(1.3), Verdict.MET)


def test_line__peers__have_ratios_of_the_rounds_that_they_played(result: Make) -> None:
    costs = {("aiokafka", "saturate"): lambda _: 4.0, ("java", "saturate"): lambda _: 0.5}
    found = line(result(costs, peer_rounds=1), FUTURES)
    assert found.peers == {"confluent-aio": 1.0, "aiokafka": 0.25, "java": 2.0}


def test_line__round_that_was_not_verified__does_not_count(result: Make) -> None:
    whole = result({("async", "saturate"): lambda n: 1.0 if n < 10 else 0.001})
    played = [
        dataclasses.replace(each, verdict="fail", problems=("lost-write (1): record 7",))
        if (each.round, each.strategy, each.case) == (10, "async", "saturate")
        else each
        for each in whole.played
    ]
    judged = dataclasses.replace(whole, played=tuple(played))
    assert (whole.is_verified, judged.is_verified) == (True, False)
    assert (line(whole, FUTURES).high, line(judged, FUTURES).high) == (1.0, 1.0)
    assert len(judged.unverified) == 1
    assert judged.lines("async")[0].ratio == 1.0


def test_verified__a_peer_that_fails__is_its_own_affair_and_told(result: Make) -> None:
    whole = result()
    played = [
        dataclasses.replace(each, figures=None, verdict="unknown", problems=("it hung",))
        if each.strategy == "aiokafka"
        else each
        for each in whole.played
    ]
    judged = dataclasses.replace(whole, played=tuple(played))
    assert judged.is_verified
    assert judged.unverified
    assert line(judged, FUTURES).peers["aiokafka"] is None


def test_json__gives_the_result_back_and_holds_the_table(result: Make) -> None:
    whole = result(rounds=2, peer_rounds=1)
    assert SpeedResult.from_json(whole.to_json()) == whole
    document = json.loads(whole.to_json())
    assert [each["row"]["label"] for each in document["table"]["async"]] == [row.label for row in ROWS]
    assert document["table"]["async"][0]["verdict"] == "undecided"
