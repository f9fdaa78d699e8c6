"""What an error says about the log, and when the caller of an asyncio producer learns of an outcome."""

from __future__ import annotations

import asyncio
from array import array
from pathlib import Path
from typing import Any

import aiokafka.errors
import pytest
from confluent_kafka import KafkaError, KafkaException

from systest.history.columns import Outcome
from systest.history.load import load_send
from systest.strategies.aiokafka import AiokafkaStrategy
from systest.strategies.pipeline import _Window, look_s_of
from systest.worker.recorder import Recorder, outcome_of
from systest.workloads.stream import RecordStream


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (KafkaError._QUEUE_FULL, Outcome.FAILED),
        (KafkaError._PURGE_QUEUE, Outcome.FAILED),
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
    made = _Window(recorder, recorder.acked_at, outcome_of, in_flight_max)
    futures = [asyncio.get_running_loop().create_future() for _ in range(in_flight_max)]
    made.pending.extend(enumerate(futures))
    return made, futures


async def test_window__a_younger_record_is_done__is_learned_at_the_next_look() -> None:
    recorder = Recorder(capacity=3, identify=False)
    full, futures = window(recorder, 3)
    futures[1].set_result(_Place())
    full.look()
    assert recorder.told == 1
    assert [sequence for sequence, _ in full.pending] == [0, 2]


async def test_window__the_oldest_is_done__wait_learns_all_before_the_first_that_is_not() -> None:
    recorder = Recorder(capacity=4, identify=False)
    full, futures = window(recorder, 4)
    for place in (0, 1, 3):
        futures[place].set_result(_Place())
    await full.wait(limit_s=0)
    assert [sequence for sequence, _ in full.pending] == [2, 3]


async def test_window__nothing_is_done__wait_ends_in_time() -> None:
    full, _ = window(Recorder(capacity=2, identify=False), 2)
    await asyncio.wait_for(full.wait(limit_s=0), 5.0)
    assert len(full.pending) == 2


async def test_window__of_one__wait_takes_its_failure_for_its_outcome() -> None:
    recorder = Recorder(capacity=1, identify=False)
    full, futures = window(recorder, 1)
    futures[0].set_exception(KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT)))
    await full.wait(limit_s=0)
    assert (recorder.told, recorder.failed, len(full.pending)) == (1, 1, 0)


@pytest.mark.parametrize(("in_flight_max", "look_s"), [(1, 0.001), (4_000, 0.001), (10_000, 0.0025)])
def test_looks__the_wider_the_window__the_rarer(in_flight_max: int, look_s: float) -> None:
    assert look_s_of(in_flight_max) == pytest.approx(look_s)
