"""A transaction's anomalies by the smallest log that has each, and its nearest twin that hasn't."""

from __future__ import annotations

from typing import Any

import pytest

from systest.checks import Judgement, Kind, Verdict
from systest.checks.transactions import Aborted, hidden, judge_transactions
from systest.history.load import LogHistory


def aborted(**places: tuple[int, int]) -> Aborted:
    """A transaction that wrote p0=(first, last) and so on, and was told aborted."""
    return Aborted("transaction 3 of worker-1", {int(name[1:]): place for name, place in places.items()})


def judged(say: Any, shown: LogHistory, *told: Aborted, consumed: int = 2) -> Judgement:
    return judge_transactions(say.stream(), consumed, told, shown)


def names(judgement: Judgement) -> dict[str, int]:
    assert judgement.unknown == ()
    return {each.kind.value: each.count for each in judgement.anomalies}


def test_dirty_read__row_of_an_aborted_transaction_is_shown__is_named_with_its_place(say: Any) -> None:
    shown = say.log(say.at(0, 0, seq=0), say.at(0, 2, seq=0), say.at(0, 3, seq=1))
    judgement = judged(say, shown, aborted(p0=(0, 1)))
    assert judgement.verdict is Verdict.FAIL
    [found] = judgement.anomalies
    assert (found.kind, found.count) == (Kind.DIRTY_READ, 1)
    assert found.examples == (
        "partition 0, offset 0 shows record 0 of producer 0, written by transaction 3 of worker-1, which was aborted",
    )


def test_dirty_read__aborted_rows_are_hidden__is_none(say: Any) -> None:
    shown = say.log(say.at(0, 2, seq=0), say.at(0, 3, seq=1))
    assert names(judged(say, shown, aborted(p0=(0, 1)))) == {}


@pytest.mark.parametrize("place", [(0, 1), (4, 5)], ids=["ahead", "behind"])
def test_dirty_read__committed_rows_beside_an_aborted_transaction__is_none(say: Any, place: Any) -> None:
    shown = say.log(say.at(0, 2, seq=0), say.at(0, 3, seq=1))
    assert names(judged(say, shown, aborted(p0=place))) == {}


def test_dirty_read__same_offsets_of_another_partition__is_none(say: Any) -> None:
    shown = say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=1))
    assert names(judged(say, shown, aborted(p1=(0, 1)))) == {}


def test_dirty_read__last_row_of_an_aborted_transaction__counts(say: Any) -> None:
    shown = say.log(say.at(0, 1, seq=1), say.at(0, 3, seq=0), say.at(0, 4, seq=1))
    assert names(judged(say, shown, aborted(p0=(0, 1)))) == {"dirty-read": 1}


def test_dirty_read__nothing_but_dirty_rows__are_lost_commits_too(say: Any) -> None:
    shown = say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=1))
    assert names(judged(say, shown, aborted(p0=(0, 1)))) == {"dirty-read": 2, "lost-commit": 2}


def test_lost_commit__consumed_and_nowhere__is_named(say: Any) -> None:
    judgement = judged(say, say.log(say.at(0, 0, seq=0)))
    [found] = judgement.anomalies
    assert (found.kind, found.count) == (Kind.LOST_COMMIT, 1)
    assert found.examples == (
        "record 1 of the input was consumed, and its transformation, record 1 of producer 0, is nowhere to be seen",
    )


def test_lost_commit__every_record_once_in_any_partition__is_none(say: Any) -> None:
    assert names(judged(say, say.log(say.at(3, 7, seq=0), say.at(1, 0, seq=1)))) == {}


def test_lost_commit__there_but_damaged__is_corrupt_alone(say: Any) -> None:
    shown = say.log(say.at(0, 0, seq=0), say.damaged(say.at(0, 1, seq=1)))
    assert names(judged(say, shown)) == {"corrupt": 1}


def test_lost_commit__nothing_was_consumed__proves_nothing(say: Any) -> None:
    assert judged(say, say.log(), consumed=0).verdict is Verdict.UNKNOWN


def test_duplicate__committed_twice__is_duplicate_alone(say: Any) -> None:
    shown = say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=1), say.at(0, 3, seq=1))
    assert names(judged(say, shown)) == {"duplicate": 1}


def test_duplicate__the_second_copy_is_a_dirty_read__is_that_alone(say: Any) -> None:
    shown = say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=1), say.at(0, 3, seq=1))
    assert names(judged(say, shown, aborted(p0=(1, 1)))) == {"dirty-read": 1}


def test_reorder__a_later_record_of_the_partition_ahead__is_reorder_alone(say: Any) -> None:
    assert names(judged(say, say.log(say.at(0, 0, seq=1), say.at(0, 1, seq=0)))) == {"reorder": 1}


def test_phantom__record_behind_the_inputs_end__is_phantom(say: Any) -> None:
    shown = say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=1), say.at(0, 2, seq=2))
    assert names(judged(say, shown)) == {"phantom": 1}


def test_hidden__rows_in_the_log_that_were_not_shown__are_counted(say: Any) -> None:
    shown = say.log(say.at(0, 2, seq=0), say.at(1, 0, seq=1))
    everything = say.log(say.at(0, 0, seq=0), say.at(0, 2, seq=0), say.at(1, 0, seq=1))
    assert hidden(shown, everything) == 1
    assert hidden(everything, everything) == 0
    assert hidden(say.log(), everything) == 3
