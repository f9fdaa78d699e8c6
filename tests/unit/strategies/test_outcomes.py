"""What an error says about the log, and when the caller of an asyncio producer learns of an outcome."""

from __future__ import annotations

import asyncio
import itertools
from array import array
from pathlib import Path
from typing import Any

import aiokafka.errors
import pytest
from confluent_kafka import KafkaError, KafkaException

from systest.history.columns import Outcome
from systest.history.load import load_send
from systest.strategies.aiokafka import AiokafkaStrategy
from systest.strategies.pipeline import _Window, look_at_all_s
from systest.worker.recorder import Recorder, outcome_of
from systest.workloads.stream import RecordStream


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (KafkaError._QUEUE_FULL, Outcome.FAILED),
        (KafkaError._PURGE_QUEUE, Outcome.UNKNOWN),
        (KafkaError.MSG_SIZE_TOO_LARGE, Outcome.FAILED),
        (KafkaError._PURGE_INFLIGHT, Outcome.UNKNOWN),
        (KafkaError._MSG_TIMED_OUT, Outcome.UNKNOWN),
        (KafkaError._TRANSPORT, Outcome.UNKNOWN),
        (KafkaError.REQUEST_TIMED_OUT, Outcome.UNKNOWN),
        (KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND, Outcome.UNKNOWN),
    ],
)
def test_outcome__librdkafkas_error__failed_only_where_it_is_certain(code: int, outcome: Outcome) -> None:
    assert outcome_of(KafkaError(code)) is outcome
    assert outcome_of(KafkaException(KafkaError(code))) is outcome


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (aiokafka.errors.MessageSizeTooLargeError(), Outcome.FAILED),
        (aiokafka.errors.RequestTimedOutError(), Outcome.UNKNOWN),
        (aiokafka.errors.KafkaTimeoutError(), Outcome.UNKNOWN),
    ],
)
def test_outcome__aiokafkas_error__failed_only_where_it_is_certain(
    error: Exception, outcome: Outcome
) -> None:
    assert AiokafkaStrategy().outcome_of(error) is outcome


@pytest.mark.parametrize("error", [ValueError("no"), ValueError(), asyncio.CancelledError()])
def test_outcome__any_other_error__is_unknown(error: BaseException) -> None:
    assert outcome_of(error) is Outcome.UNKNOWN


def test_recorder__second_report_of_a_failure__leaves_the_record_acked_and_counts(tmp_path: Path) -> None:
    recorder = Recorder(capacity=2, identify=False)
    recorder.acked_at(0, _Place())
    recorder.not_acked(0, Outcome.FAILED)
    recorder.write(tmp_path, rows=2, intended_ns=array("q"))
    history = load_send(tmp_path, RecordStream(run=1, producer=0, topic="t", partitions=1))
    assert list(history.outcome) == [Outcome.ACKED, Outcome.PENDING]
    assert list(history.reports) == [2, 0]
    assert list(history.offset) == [7, -1]
    assert list(history.timestamp_ms) == [-1, -1]


class _Place:
    partition, offset, timestamp = 0, 7, -1


def window(recorder: Recorder, in_flight_max: int) -> tuple[_Window, list[asyncio.Future[Any]]]:
    """A full one, and the futures of its records."""
    made = _Window(recorder, recorder.metadata, outcome_of, in_flight_max)
    futures = [asyncio.get_running_loop().create_future() for _ in range(in_flight_max)]
    made.open_group().update(enumerate(futures))
    return made, futures


def numbers_in(full: _Window) -> list[int]:
    return [number for group in full.groups for number in group]


async def test_window__a_younger_record_is_done__is_learned_at_the_next_look() -> None:
    recorder = Recorder(capacity=3, identify=False)
    full, futures = window(recorder, 3)
    futures[1].set_result(_Place())
    full.look()
    assert recorder.told == 1
    assert numbers_in(full) == [0, 2]


async def test_window__between_looks_at_all__a_group_is_learned_up_to_the_first_that_is_not_done() -> None:
    recorder = Recorder(capacity=4, identify=False)
    full, futures = window(recorder, 4)
    full.in_flight_max = 1_000_000  # a second from one look at all to the next
    full.look()
    for place in (0, 1, 3):
        futures[place].set_result(_Place())
    await full.wait(limit_s=0)
    assert numbers_in(full) == [2, 3]
    full.look(at_all=True)
    assert numbers_in(full) == [2]


async def test_window__a_group_with_a_late_record__holds_up_no_other_group() -> None:
    recorder = Recorder(capacity=200, identify=False)
    full = _Window(recorder, recorder.metadata, outcome_of, in_flight_max=1_000_000)
    full.look()
    futures = [asyncio.get_running_loop().create_future() for _ in range(200)]
    for number, future in enumerate(futures):
        full.open_group()[number] = future
        if number:
            future.set_result(_Place())
    full.look()
    assert numbers_in(full) == list(range(64))
    full.look(at_all=True)
    assert numbers_in(full) == [0]


async def test_window__a_failure_among_many_that_are_done__is_that_records_alone(tmp_path: Path) -> None:
    recorder = Recorder(capacity=10, identify=False)
    full, futures = window(recorder, 10)
    for number, future in enumerate(futures):
        if number == 4:
            future.set_exception(KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)))
        elif number != 7:
            future.set_result(_Place())
    full.look()
    recorder.write(tmp_path, rows=10, intended_ns=array("q"))
    history = load_send(tmp_path, RecordStream(run=1, producer=0, topic="t", partitions=1))
    expected = [Outcome.ACKED] * 10
    expected[4], expected[7] = Outcome.FAILED, Outcome.PENDING
    assert list(history.outcome) == expected
    assert list(history.reports) == [1] * 7 + [0] + [1] * 2
    assert list(history.offset) == [7] * 4 + [-1] + [7] * 2 + [-1] + [7] * 2
    assert (recorder.told, recorder.failed) == (9, 1)


async def test_window__nothing_is_done__wait_ends_in_time() -> None:
    full, _ = window(Recorder(capacity=2, identify=False), 2)
    await asyncio.wait_for(full.wait(limit_s=0), 5.0)
    assert len(full.open_group()) == 2


async def test_window__of_one__wait_takes_its_failure_for_its_outcome() -> None:
    recorder = Recorder(capacity=1, identify=False)
    full, futures = window(recorder, 1)
    futures[0].set_exception(KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT)))
    await full.wait(limit_s=0)
    assert (recorder.told, recorder.failed, len(full.open_group())) == (1, 1, 0)


@pytest.mark.parametrize(("in_flight_max", "look_s"), [(1, 0.001), (1_000, 0.001), (10_000, 0.01)])
def test_looks_at_all__the_wider_the_window__the_rarer(in_flight_max: int, look_s: float) -> None:
    assert look_at_all_s(in_flight_max) == pytest.approx(look_s)


def test_recorder__callbacks_beside_outcomes__count_where_they_did_not_run_once(tmp_path: Path) -> None:
    recorder = Recorder(capacity=8, identify=False)
    callbacks = [*itertools.islice(recorder.callbacks(2), 8)]
    assert [callback is not None for callback in callbacks] == [True, False] * 4
    for sequence in range(7):
        recorder.acked_at(sequence, _Place())
    recorder.refused(7, Outcome.FAILED)
    for sequence, runs in ((0, 1), (2, 2), (4, 0), (6, 1)):
        callback = callbacks[sequence]
        assert callback is not None
        for _ in range(runs):
            callback(None, _Place())
    recorder.write(tmp_path, 8, array("q"))
    history = load_send(tmp_path, RecordStream(run=1, producer=0, topic="t", partitions=1))
    assert history.reports.tolist() == [1, 1, 2, 1, 0, 1, 1, 1]
