"""The transform worker on the embedded broker, which shows aborted records too and keeps no offset that a transaction
commits: exactly once is proven on Kafka, in tests/ducktape/transactions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from systest.checks.transactions import Aborted, judge_transactions
from systest.history.load import load_log
from systest.worker.protocol import TransactionState, TransactionTold
from systest.worker.spec import ProduceSpec, ReadSpec, TransformSpec
from systest.workloads.stream import Placement, RecordStream

SpecOf = Callable[..., ProduceSpec]
RECORDS = 2_000


@pytest.fixture
def transform_spec(workers: Any, spec_of: SpecOf) -> TransformSpec:
    """The transformation of an input that is filled."""
    fill = spec_of(
        "sync",
        stream={"placement": Placement.PARTITION},
        work={"warmup_s": 0.0, "duration_s": 20.0, "records_max": RECORDS},
    )
    assert workers.run(fill).summary.records == RECORDS
    topic = fill.stream.topic
    return TransformSpec(
        run_id=fill.run_id,
        source=fill.stream,
        output=replace(fill.stream, producer=1, topic=f"{topic}-output"),
        group=topic,
        client={"bootstrap.servers": fill.client["bootstrap.servers"], "transactional.id": topic},
        shared=False,
        records_max=500,
        hold_s=0.0,
        fail_every=0,
        mutant=None,
        directory="",
    )


def told(ended: Any) -> list[TransactionTold]:
    return [event for event in ended.events if isinstance(event, TransactionTold)]


def aborted_in(ended: Any) -> list[Aborted]:
    return [
        Aborted(str(each.number), {int(partition): place for partition, place in each.places.items()})
        for each in told(ended)
        if each.state is TransactionState.ABORTED
    ]


def anomalies(workers: Any, spec: TransformSpec, directory: Path, aborted: list[Aborted]) -> list[str]:
    reading = ReadSpec(
        run_id=spec.run_id,
        topic=spec.output.topic,
        streams=(spec.output,),
        client={"bootstrap.servers": spec.client["bootstrap.servers"]},
        isolation="read_committed",
        timeout_s=20.0,
        directory=str(directory),
    )
    assert workers.run(reading).status == 0
    judgement = judge_transactions(spec.output, RECORDS, aborted, load_log(directory))
    return [anomaly.kind.value for anomaly in judgement.anomalies]


def test_transform__nothing_goes_wrong__every_record_once_and_each_transaction_told(
    workers: Any, transform_spec: TransformSpec, tmp_path: Path
) -> None:
    ended = workers.run(transform_spec)
    assert ended.status == 0, ended.stderr
    assert ended.summary.records == RECORDS
    events = told(ended)
    assert [each.state for each in events] == [
        TransactionState.WRITTEN,
        TransactionState.COMMITTED,
    ] * (len(events) // 2)
    assert sum(each.records for each in events) == 2 * RECORDS
    assert anomalies(workers, transform_spec, tmp_path, []) == []


def test_transform__batches_fail_at_first__are_done_again(
    workers: Any, transform_spec: TransformSpec, tmp_path: Path
) -> None:
    ended = workers.run(replace(transform_spec, fail_every=2))
    assert ended.summary.records == RECORDS
    aborted = aborted_in(ended)
    assert len(aborted) >= 2
    assert anomalies(workers, transform_spec, tmp_path, aborted) == ["dirty-read"], (
        "this broker hides nothing"
    )


def test_transform__unknown_mutant__is_one_error(workers: Any, transform_spec: TransformSpec) -> None:
    ended = workers.run(replace(transform_spec, mutant="no-such"))
    assert ended.error == "unknown mutant 'no-such'; a transformer has lost-commit, duplicate"


def test_transform__input_is_damaged__is_one_error_with_its_place(
    workers: Any, transform_spec: TransformSpec
) -> None:
    source: RecordStream = transform_spec.source
    producer = Producer({"bootstrap.servers": transform_spec.client["bootstrap.servers"]})
    producer.produce(source.topic, b"nobody's", partition=0)
    assert producer.flush(10) == 0
    ended = workers.run(transform_spec)
    assert ended.status == 1
    assert ended.error.startswith(f"the input is damaged: {source.topic}, partition 0, offset ")
