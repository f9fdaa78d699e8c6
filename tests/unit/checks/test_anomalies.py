"""Each anomaly by the smallest history that has it, and its nearest twin that hasn't."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from systest.checks import Expectation
from systest.workloads.stream import Placement


def test_lost_write__acked_and_nowhere__is_named_with_its_place(say: Any) -> None:
    [found] = say.judge(say.sends(say.acked(0, 0), say.acked(0, 1)), say.log(say.at(0, 0, seq=0))).anomalies
    assert (found.kind.value, found.count) == ("lost-write", 1)
    assert found.examples == (
        "record 1 of producer 0 was acknowledged at partition 0, offset 1, and is nowhere in the log",
    )


def test_lost_write__acked_and_there__is_none(say: Any) -> None:
    told = say.sends(say.acked(0, 0), say.acked(0, 1))
    assert say.anomalies(told, say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=1))) == {}


def test_lost_write__unknown_and_nowhere__is_none(say: Any) -> None:
    assert say.anomalies(say.sends(say.acked(0, 0), say.unknown()), say.log(say.at(0, 0, seq=0))) == {}


def test_lost_write__acked_at_the_place_of_another__is_lost_and_nothing_else(say: Any) -> None:
    told = say.sends(say.acked(0, 0), say.acked(0, 0, reported=1))
    assert say.anomalies(told, say.log(say.at(0, 0, seq=0))) == {"lost-write": 1}


def test_lost_write__whole_log_empty__is_every_acked_record(say: Any) -> None:
    assert say.anomalies(say.sends(say.acked(0, 0), say.acked(1, 0)), say.log()) == {"lost-write": 2}


def test_lost_write__acked_without_an_offset__is_found_wherever_it_lies(say: Any) -> None:
    told = say.sends(say.acked(0, -1), say.acked(0, -1))
    assert say.anomalies(told, say.log(say.at(3, 0, seq=0))) == {"lost-write": 1}


def test_phantom__sequence_never_called__is_phantom(say: Any) -> None:
    log = say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=1))
    assert say.anomalies(say.sends(say.acked(0, 0)), log) == {"phantom": 1}


def test_phantom__sequence_called_last__is_none(say: Any) -> None:
    log = say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=1))
    assert say.anomalies(say.sends(say.acked(0, 0), say.unknown()), log) == {}


def test_phantom__producer_unknown_to_the_run__is_phantom(say: Any) -> None:
    log = say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=0, producer=9))
    assert say.anomalies(say.sends(say.acked(0, 0)), log) == {"phantom": 1}


def test_phantom__same_sequence_of_a_second_producer__is_none(say: Any) -> None:
    told = [say.sends(say.acked(0, 0)), say.sends(say.acked(0, 1), stream=say.stream(producer=9))]
    assert say.anomalies(told, say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=0, producer=9))) == {}


def test_phantom__foreign_record_where_none_of_ours_was_acked__is_phantom(say: Any) -> None:
    log = say.log(say.at(0, 0, seq=0), say.foreign(0, 1))
    assert say.anomalies(say.sends(say.acked(0, 0)), log) == {"phantom": 1}


def test_corrupt__foreign_record_where_ours_was_acked__is_what_became_of_it(say: Any) -> None:
    assert say.anomalies(say.sends(say.acked(0, 0)), say.log(say.foreign(0, 0))) == {"corrupt": 1}


def test_corrupt__damaged_where_it_was_acked__is_corrupt_and_not_lost(say: Any) -> None:
    told = say.sends(say.acked(0, 0), say.acked(0, 1))
    log = say.log(say.damaged(say.at(0, 0, seq=0)), say.at(0, 1, seq=1))
    assert say.anomalies(told, log) == {"corrupt": 1}


def test_corrupt__damage_hit_the_identity__is_neither_a_duplicate_nor_a_loss(say: Any) -> None:
    told = say.sends(say.acked(0, 0), say.acked(0, 1))
    log = say.log(say.at(0, 0, seq=0), say.damaged(say.at(0, 1, seq=0)))
    assert say.anomalies(told, log) == {"corrupt": 1}


def test_corrupt__damaged_and_acked_without_an_offset__is_known_by_what_it_claims(say: Any) -> None:
    assert say.anomalies(say.sends(say.acked(0, -1)), say.log(say.damaged(say.at(0, 0, seq=0)))) == {
        "corrupt": 1
    }


def test_corrupt__timestamp_is_not_the_streams__is_corrupt(say: Any) -> None:
    told = say.sends(say.acked(0, 0), say.acked(0, 1), stream=say.stream(timestamp_base_ms=500))
    right, wrong = say.at(0, 0, seq=0, timestamp_ms=500), say.at(0, 1, seq=1, timestamp_ms=500)
    [found] = say.judge(told, say.log(right, wrong)).anomalies
    assert (found.kind.value, found.count) == ("corrupt", 1)
    assert found.examples == (
        "partition 0, offset 1 holds record 1 of producer 0 with timestamp 500, sent with 501",
    )


def test_corrupt__timestamps_are_the_streams_or_left_to_the_client__is_none(say: Any) -> None:
    stamped = say.sends(say.acked(0, 0), stream=say.stream(timestamp_base_ms=500))
    assert say.anomalies(stamped, say.log(say.at(0, 0, seq=0, timestamp_ms=500))) == {}
    assert say.anomalies(say.sends(say.acked(0, 0)), say.log(say.at(0, 0, seq=0, timestamp_ms=12345))) == {}


def test_misplaced__other_partition_than_requested__is_misplaced(say: Any) -> None:
    told = say.sends(say.acked(0, 0), say.acked(2, 0), stream=say.stream(placement=Placement.PARTITION))
    [found] = say.judge(told, say.log(say.at(0, 0, seq=0), say.at(2, 0, seq=1))).anomalies
    assert (found.kind.value, found.count) == ("misplaced", 1)
    assert found.examples == (
        "record 1 of producer 0 lies at partition 2, offset 0, and belongs in partition 1",
    )


def test_misplaced__partition_as_requested_or_left_to_the_client__is_none(say: Any) -> None:
    told = say.acked(0, 0), say.acked(1, 0)
    log = say.log(say.at(0, 0, seq=0), say.at(1, 0, seq=1))
    assert say.anomalies(say.sends(*told, stream=say.stream(placement=Placement.PARTITION)), log) == {}
    assert say.anomalies(say.sends(*reversed(told)), say.log(say.at(1, 0, seq=0), say.at(0, 0, seq=1))) == {}


def test_misplaced__key_elsewhere_than_murmur2_says__is_misplaced(say: Any) -> None:
    told = say.sends(say.acked(0, 0), stream=say.stream(placement=Placement.KEY, keys=1))
    log = say.log(say.at(0, 0, seq=0))  # key-00000000 belongs in partition 1 of 4
    assert say.anomalies(told, log) == {"misplaced": 1}
    assert say.anomalies(told, log, Expectation(idempotent=True, murmur2_keys=False)) == {}


def test_misplaced__key_where_murmur2_says__is_none(say: Any) -> None:
    told = say.sends(say.acked(1, 0), stream=say.stream(placement=Placement.KEY, keys=1))
    assert say.anomalies(told, say.log(say.at(1, 0, seq=0))) == {}


def test_misplaced__another_topic_than_its_own__is_misplaced(say: Any) -> None:
    stream = say.stream(partitions=2, topics=2)  # partitions 0 and 1, 2 and 3
    told = say.sends(say.acked(1, 0), say.acked(0, 0), stream=stream)
    [found] = say.judge(told, say.log(say.at(1, 0, seq=0), say.at(0, 0, seq=1))).anomalies
    assert (found.kind.value, found.count) == ("misplaced", 1)
    assert found.examples == ("record 1 of producer 0 lies at partition 0, offset 0, and belongs in topic 1",)


def test_misplaced__any_partition_of_its_own_topic__is_none(say: Any) -> None:
    told = say.sends(say.acked(1, 0), say.acked(2, 0), stream=say.stream(partitions=2, topics=2))
    assert say.anomalies(told, say.log(say.at(1, 0, seq=0), say.at(2, 0, seq=1))) == {}


def test_misplaced__requested_partition_of_another_topic__is_misplaced(say: Any) -> None:
    stream = say.stream(partitions=2, topics=2, placement=Placement.PARTITION)
    told = say.sends(say.acked(0, 0), say.acked(0, 1), say.acked(1, 0), stream=stream)
    log = say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=1), say.at(1, 0, seq=2))
    [found] = say.judge(told, log).anomalies
    assert found.examples == (
        "record 1 of producer 0 lies at partition 0, offset 1, and belongs in partition 2",
    )


def test_duplicate__twice_under_idempotence__is_duplicate_with_both_places(say: Any) -> None:
    judgement = say.judge(say.sends(say.acked(0, 0)), say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=0)))
    [found] = judgement.anomalies
    assert (found.kind.value, found.count, judgement.duplicates) == ("duplicate", 1, 1)
    assert found.examples == (
        "record 0 of producer 0 is 2 times in the log: partition 0, offset 0; partition 0, offset 1",
    )


def test_duplicate__twice_without_idempotence__is_counted_and_no_anomaly(
    say: Any, at_least_once: Expectation
) -> None:
    log = say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=0))
    judgement = say.judge(say.sends(say.acked(0, 1)), log, at_least_once)
    assert (judgement.verdict.value, judgement.anomalies, judgement.duplicates) == ("pass", (), 1)


def test_duplicate__unknown_outcome_twice__is_no_more_legal(say: Any) -> None:
    told = say.sends(say.acked(0, 0), say.unknown())
    log = say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=1), say.at(0, 2, seq=1))
    assert say.anomalies(told, log) == {"duplicate": 1}


def test_reorder__behind_a_later_call__is_reorder(say: Any) -> None:
    told = say.sends(say.acked(0, 1), say.acked(0, 0))
    [found] = say.judge(told, say.log(say.at(0, 0, seq=1), say.at(0, 1, seq=0))).anomalies
    assert (found.kind.value, found.count) == ("reorder", 1)
    assert found.examples == (
        "record 0 of producer 0 lies at partition 0, offset 1, behind record 1 at offset 0",
    )


def test_reorder__other_partition_or_other_producer__is_none(say: Any) -> None:
    across = say.sends(say.acked(1, 0), say.acked(0, 0))
    assert say.anomalies(across, say.log(say.at(0, 0, seq=1), say.at(1, 0, seq=0))) == {}
    two = [
        say.sends(say.unknown(), say.acked(0, 0)),
        say.sends(say.acked(0, 1), stream=say.stream(producer=1)),
    ]
    assert say.anomalies(two, say.log(say.at(0, 0, seq=1), say.at(0, 1, seq=0, producer=1))) == {}


def test_reorder__reader_met_the_partitions_by_turns__looks_at_offsets(say: Any) -> None:
    told = say.sends(say.acked(1, 0), say.acked(0, 0), say.acked(1, 1))
    log = say.log(say.at(1, 0, seq=0), say.at(0, 0, seq=1), say.at(1, 1, seq=2))
    assert say.anomalies(told, log) == {}


def test_reorder__not_promised__is_none(say: Any) -> None:
    told = say.sends(say.acked(0, 1), say.acked(0, 0))
    free = Expectation(idempotent=False, murmur2_keys=True, ordered=False)
    assert say.anomalies(told, say.log(say.at(0, 0, seq=1), say.at(0, 1, seq=0)), free) == {}


def test_reorder__late_copy_of_a_retried_record__is_none(say: Any, at_least_once: Expectation) -> None:
    told = say.sends(say.acked(0, 0), say.acked(0, 1))
    log = say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=1), say.at(0, 2, seq=0))
    assert say.anomalies(told, log, at_least_once) == {}


def test_reorder__given_up_and_written_late__is_reorder_under_idempotence_only(
    say: Any, at_least_once: Expectation
) -> None:
    told = say.sends(say.unknown(), say.acked(0, 0))
    log = say.log(say.at(0, 0, seq=1), say.at(0, 1, seq=0))
    assert say.anomalies(told, log) == {"reorder": 1}
    assert say.anomalies(told, log, at_least_once) == {}


@pytest.mark.parametrize("offset", [1, 99, 1 << 40, 1 << 62], ids=["taken", "beyond", "far", "absurd"])
def test_offset_mismatch__acked_elsewhere_than_it_lies__is_offset_mismatch(say: Any, offset: int) -> None:
    told = say.sends(say.acked(0, offset), say.acked(0, 1))
    [found] = say.judge(told, say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=1))).anomalies
    assert (found.kind.value, found.count) == ("offset-mismatch", 1)
    assert found.examples == (
        f"record 0 of producer 0 was acknowledged at partition 0, offset {offset}, "
        "and lies at partition 0, offset 0",
    )


def test_offset_mismatch__wrong_partition__is_offset_mismatch(say: Any) -> None:
    assert say.anomalies(say.sends(say.acked(1, 0)), say.log(say.at(0, 0, seq=0))) == {"offset-mismatch": 1}


@pytest.mark.parametrize(("partition", "offset"), [(0, 1 << 40), (1 + (1 << 24), 0), ((1 << 31) - 1, 0)])
def test_offset_mismatch__position_that_no_log_can_have__points_nowhere(
    say: Any, partition: int, offset: int
) -> None:
    told = say.sends(say.acked(partition, offset))
    assert say.anomalies(told, say.log(say.at(1, 0, seq=0))) == {"offset-mismatch": 1}


def test_offset_mismatch__every_offset_shifted_by_one__is_not_taken_for_exchanged_reports(say: Any) -> None:
    told = say.sends(*(say.acked(0, n + 1) for n in range(5)))
    assert say.anomalies(told, say.log(*(say.at(0, n, seq=n) for n in range(5)))) == {"offset-mismatch": 5}


def test_offset_mismatch__acked_at_its_second_copy__is_none(say: Any, at_least_once: Expectation) -> None:
    log = say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=0))
    for offset in (0, 1):
        assert say.anomalies(say.sends(say.acked(0, offset)), log, at_least_once) == {}


@pytest.fixture
def unanswered() -> Expectation:
    """Of acks=0: the offsets that a client tells are made up."""
    return Expectation(idempotent=False, murmur2_keys=True, positions=False)


def test_offset_mismatch__offsets_are_made_up__is_none_and_the_records_count(
    say: Any, unanswered: Expectation
) -> None:
    told = say.sends(say.acked(0, 1), say.acked(0, 0), say.acked(0, 7), say.acked(0, -1))
    log = say.log(*(say.at(0, n, seq=n) for n in range(4)))
    assert say.anomalies(told, log) == {"wrong-future": 2, "offset-mismatch": 1}
    assert say.anomalies(told, log, unanswered) == {}
    assert say.judge(told, log, unanswered).verified[0].tolist() == [True] * 4


def test_lost_write__offsets_are_made_up__is_still_found(say: Any, unanswered: Expectation) -> None:
    told = say.sends(say.acked(0, 0), say.acked(0, 1))
    log = say.log(say.at(0, 0, seq=1))
    assert say.anomalies(told, log, unanswered) == {"lost-write": 1}
    assert say.judge(told, log, unanswered).verified[0].tolist() == [False, True]


def test_wrong_future__report_names_another_record__is_wrong_future(say: Any) -> None:
    told = say.sends(say.acked(0, 1, reported=1), say.acked(0, 0, reported=0))
    [found] = say.judge(told, say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=1))).anomalies
    assert (found.kind.value, found.count) == ("wrong-future", 2)
    assert found.examples[0] == (
        "record 0 of producer 0 was acknowledged at partition 0, offset 1, with the report of record 1"
    )


def test_wrong_future__reports_name_their_own_records_out_of_order__is_none(say: Any) -> None:
    told = say.sends(say.acked(0, 0, reported=0, settled_ns=9), say.acked(0, 1, reported=1, settled_ns=5))
    judgement = say.judge(told, say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=1)))
    assert (judgement.anomalies, judgement.report_inversions) == ((), 1)


def test_wrong_future__failed_with_the_report_of_another__is_wrong_future(say: Any) -> None:
    told = say.sends(say.acked(0, 0), say.failed(reported=0))
    assert say.anomalies(told, say.log(say.at(0, 0, seq=0))) == {"wrong-future": 1}


def test_wrong_future__positions_exchanged_and_reports_silent__is_wrong_future(say: Any) -> None:
    told = say.sends(say.acked(0, 1), say.acked(0, 0), say.acked(0, 2))
    [found] = say.judge(told, say.log(*(say.at(0, n, seq=n) for n in range(3)))).anomalies
    assert (found.kind.value, found.count) == ("wrong-future", 2)
    assert found.examples[0] == (
        "record 0 of producer 0 lies at partition 0, offset 0, and was acknowledged at partition 0, offset 1: "
        "the place of record 1, which was told another"
    )


def test_wrong_future__positions_of_three_go_round__is_wrong_future(say: Any) -> None:
    told = say.sends(say.acked(0, 1), say.acked(1, 0), say.acked(0, 0))
    log = say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=1), say.at(1, 0, seq=2))
    assert say.anomalies(told, log) == {"wrong-future": 3}


def test_wrong_future__positions_exchanged_between_producers__is_wrong_future(say: Any) -> None:
    told = [say.sends(say.acked(0, 1)), say.sends(say.acked(0, 0), stream=say.stream(producer=1))]
    assert say.anomalies(told, say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=0, producer=1))) == {
        "wrong-future": 2
    }


def test_wrong_future__position_wrong_and_report_its_own__is_offset_mismatch(say: Any) -> None:
    told = say.sends(say.acked(0, 1, reported=0), say.acked(0, 0, reported=1))
    assert say.anomalies(told, say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=1))) == {"offset-mismatch": 2}


@pytest.mark.parametrize("reports", [0, 2])
def test_report_count__acked_other_than_once__is_report_count(say: Any, reports: int) -> None:
    told = say.sends(say.acked(0, 0), say.acked(0, 1, reports=reports))
    [found] = say.judge(told, say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=1))).anomalies
    assert (found.kind.value, found.count) == ("report-count", 1)
    assert found.examples == (f"record 1 of producer 0 was reported {reports} times, wanted once",)


@pytest.mark.parametrize("written", [True, False])
def test_report_count__left_pending__is_report_count_whether_written_or_not(say: Any, written: bool) -> None:
    rest = [say.at(0, 1, seq=1)] if written else []
    told = say.sends(say.acked(0, 0), say.pending())
    assert say.anomalies(told, say.log(say.at(0, 0, seq=0), *rest)) == {"report-count": 1}


def test_report_count__failed_or_unknown_told_once__is_none(say: Any) -> None:
    told = say.sends(say.acked(0, 0), say.failed(), say.unknown())
    assert say.anomalies(told, say.log(say.at(0, 0, seq=0))) == {}


def test_failed_but_written__failed_and_there__is_failed_but_written(say: Any) -> None:
    told = say.sends(say.acked(0, 0), say.failed())
    [found] = say.judge(told, say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=1))).anomalies
    assert (found.kind.value, found.count) == ("failed-but-written", 1)
    assert found.examples == (
        "record 1 of producer 0 was reported failed, and lies at partition 0, offset 1",
    )


def test_failed_but_written__unknown_and_there__is_none(say: Any) -> None:
    told = say.sends(say.acked(0, 0), say.unknown())
    assert say.anomalies(told, say.log(say.at(0, 0, seq=0), say.at(0, 1, seq=1))) == {}


def test_anomaly__many_records_show_it__counts_all_and_shows_three(say: Any) -> None:
    [found] = say.judge(say.sends(*(say.acked(0, n) for n in range(50))), say.log()).anomalies
    assert (found.count, len(found.examples)) == (50, 3)


def test_anomaly__two_producers_show_it__is_one_with_examples_of_both(say: Any) -> None:
    told = [say.sends(say.acked(0, 0)), say.sends(say.acked(0, 1), stream=say.stream(producer=1))]
    [found] = say.judge(told, say.log()).anomalies
    assert found.count == 2
    assert "producer 0" in found.examples[0]
    assert "producer 1" in found.examples[1]


def test_anomaly__stream_differs_only_in_what_is_irrelevant__is_none(say: Any) -> None:
    told = say.sends(say.acked(2, 0), stream=replace(say.stream(), keys=5, headers=True))
    assert say.anomalies(told, say.log(say.at(2, 0, seq=0))) == {}
