"""What findings amount to: PASS is earned, and UNKNOWN stays UNKNOWN."""

from __future__ import annotations

from typing import Any

import pytest

from systest.checks import Expectation, Judgement, Kind, Verdict
from systest.checks.evidence import Evidence
from systest.checks.judgement import Anomaly
from systest.checks.transactions import KINDS as TRANSACTION_KINDS
from systest.checks.verdict import CHECKS, judge

EXPECT = Expectation(idempotent=True, murmur2_keys=True)


def test_verdict__everything_acked_and_verified__is_pass(say: Any) -> None:
    told = say.sends(say.acked(0, 0), say.failed(), say.unknown(), say.acked(1, 0))
    judgement = say.judge(told, say.log(say.at(0, 0, seq=0), say.at(1, 0, seq=3)))
    assert judgement == Judgement(
        verdict=Verdict.PASS,
        anomalies=(),
        unknown=(),
        acked=2,
        failed=1,
        unknown_outcomes=1,
        in_log=2,
        report_inversions=0,
    )


def test_verdict__empty_history__proves_nothing(say: Any) -> None:
    judgement = say.judge(say.sends(), say.log())
    assert judgement.verdict is Verdict.UNKNOWN
    assert judgement.unknown == ("no record was acknowledged; an empty history proves nothing",)


def test_verdict__no_sends_at_all__proves_nothing(say: Any) -> None:
    assert say.judge([], say.log()).verdict is Verdict.UNKNOWN


def test_verdict__only_unknown_outcomes__proves_nothing(say: Any) -> None:
    assert say.judge(say.sends(say.unknown()), say.log(say.at(0, 0, seq=0))).verdict is Verdict.UNKNOWN


def test_verdict__log_no_longer_reaches_back__is_unknown_not_lost(say: Any) -> None:
    told = say.sends(say.acked(0, 0), say.acked(0, 1))
    judgement = say.judge(told, say.log(say.at(0, 1, seq=1), start={0: 1}))
    assert (judgement.verdict, judgement.anomalies) == (Verdict.UNKNOWN, ())
    assert judgement.unknown == (
        "partition 0 begins at offset 1: of what was ahead nothing can be shown; "
        "raise the topic's retention or send less",
        "1 acknowledged records may lie ahead of where the log now begins",
    )


def test_verdict__lost_within_reach_of_a_cut_log__is_fail(say: Any) -> None:
    told = say.sends(say.acked(0, 0), say.acked(0, 1), say.acked(0, 2))
    judgement = say.judge(told, say.log(say.at(0, 2, seq=2), start={0: 1}))
    assert judgement.verdict is Verdict.FAIL
    assert [(each.kind, each.count) for each in judgement.anomalies] == [(Kind.LOST_WRITE, 1)]


def test_verdict__acked_without_an_offset_and_the_log_is_cut__is_unknown_not_lost(say: Any) -> None:
    told = say.sends(say.acked(0, -1), say.acked(0, 1))
    judgement = say.judge(told, say.log(say.at(0, 1, seq=1), start={3: 5}))
    assert (judgement.verdict, judgement.anomalies) == (Verdict.UNKNOWN, ())


def test_verdict__acked_where_the_log_is_cut_and_found_elsewhere__is_unknown_not_mismatched(say: Any) -> None:
    told = say.sends(say.acked(0, 0), say.acked(0, 2))
    judgement = say.judge(told, say.log(say.at(0, 1, seq=0), say.at(0, 2, seq=1), start={0: 1}))
    assert (judgement.verdict, judgement.anomalies) == (Verdict.UNKNOWN, ())


def test_verdict__a_check_raises__is_unknown_with_the_reason_and_the_others_are_made(say: Any) -> None:
    def broken(_: Evidence, __: Expectation) -> Anomaly | None:
        raise IndexError("row 7")

    told, log = say.sends(say.acked(0, 0)), say.log(say.at(0, 0, seq=0))
    judgement = judge([told], log, EXPECT, {**CHECKS, Kind.REORDER: broken})
    assert judgement.verdict is Verdict.UNKNOWN
    assert judgement.unknown == ("the check reorder could not be made: IndexError('row 7')",)
    also_lost = judge([told], say.log(), EXPECT, {**CHECKS, Kind.REORDER: broken})
    assert (also_lost.verdict, also_lost.anomalies[0].kind) == (Verdict.FAIL, Kind.LOST_WRITE)


def test_verdict__reader_returned_a_position_twice__is_unknown(say: Any) -> None:
    log = say.log(say.at(0, 0, seq=0), say.foreign(0, 0))
    judgement = say.judge(say.sends(say.acked(0, 0)), log)
    assert "the reader returned 1 positions more than once; it is not to be trusted" in judgement.unknown


def test_verdict__every_kind_has_a_check() -> None:
    assert {*CHECKS, *TRANSACTION_KINDS} == set(Kind)


def test_judge__two_sends_of_one_producer_number__is_refused(say: Any) -> None:
    with pytest.raises(ValueError, match=r"producer numbers \[0, 0\] are not distinct"):
        say.judge([say.sends(say.acked(0, 0)), say.sends(say.acked(0, 1))], say.log())


def test_verified__one_mask_a_producer__holds_for_intact_records_at_their_acked_place(say: Any) -> None:
    told = say.sends(say.acked(0, 0), say.acked(0, 1), say.acked(0, 9), say.unknown(), say.acked(0, -1))
    other = say.sends(say.acked(1, 0), stream=say.stream(producer=1))
    log = say.log(
        say.at(0, 0, seq=0),
        say.damaged(say.at(0, 1, seq=1)),
        say.at(0, 2, seq=2),
        say.at(0, 3, seq=3),
        say.at(0, 4, seq=4),
        say.at(1, 0, seq=0, producer=1),
    )
    masks = [mask.tolist() for mask in say.judge([told, other], log).verified]
    assert masks == [[True, False, False, False, True], [True]]


def test_report_inversions__failed_between_acked__counts_acked_only(say: Any) -> None:
    told = say.sends(
        say.acked(0, 0, settled_ns=30),
        say.failed(settled_ns=5),
        say.acked(0, 1, settled_ns=40),
        say.acked(0, 2, settled_ns=20),
    )
    log = say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=2), say.at(0, 2, seq=3))
    assert say.judge(told, log).report_inversions == 1
