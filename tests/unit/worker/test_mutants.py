"""Each planted defect is really there, and nothing else is: judged from the log as any round is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from systest.checks import Expectation, judge
from systest.checks.verdict import CHECKS
from systest.history.load import load_log, load_send
from systest.strategies.mutants import MUTABLE, MUTANTS
from systest.worker.spec import ProduceSpec
from systest.workloads.shapes import SERVICE, SHAPES
from systest.workloads.stream import Placement

SpecOf = Callable[..., ProduceSpec]
RECORDS = 1_000
FEW = 98
"""Sent before any report can come: a library is asked for them once in 100 records, or at the loop's next turn."""
STREAMS: dict[str, dict[str, Any]] = {
    "by partition": {"placement": Placement.PARTITION, "headers": True},
    "by key": {"placement": Placement.KEY, "keys": 50},
    "a service's": {
        **asdict(SHAPES[SERVICE]),
        "placement": Placement.KEY,
        "keys": 50,
    },
}


def test_mutants__are_named_after_the_anomalies() -> None:
    assert tuple(kind.value for kind in CHECKS) == MUTANTS


@pytest.mark.parametrize("mutant", [None, *MUTANTS])
@pytest.mark.parametrize("strategy", MUTABLE)
@pytest.mark.parametrize("stream", STREAMS)
def test_mutant__on_a_real_broker__has_its_own_defect_alone(
    workers: Any,
    spec_of: SpecOf,
    read_spec_of: Callable[[ProduceSpec], Any],
    mutant: str | None,
    strategy: str,
    stream: str,
) -> None:
    spec = spec_of(
        strategy,
        mutant=mutant,
        stream=STREAMS[stream],
        client={"partitioner": "murmur2_random"},
        work={"warmup_s": 0.0, "duration_s": 5.0, "records_max": RECORDS},
    )
    found = anomalies_of(spec, workers, read_spec_of)
    assert found == ([mutant] if mutant else [])


@pytest.mark.parametrize("strategy", MUTABLE)
def test_lost_write__all_sent_before_the_first_report__is_there_all_the_same(
    workers: Any,
    spec_of: SpecOf,
    read_spec_of: Callable[[ProduceSpec], Any],
    strategy: str,
) -> None:
    spec = spec_of(
        strategy,
        f"window:{FEW}",
        mutant="lost-write",
        stream=STREAMS["by partition"],
        work={"warmup_s": 0.0, "duration_s": 5.0, "records_max": FEW},
    )
    assert anomalies_of(spec, workers, read_spec_of) == ["lost-write"]


def anomalies_of(spec: ProduceSpec, workers: Any, read_spec_of: Callable[[ProduceSpec], Any]) -> list[str]:
    ended = workers.run(spec)
    assert ended.status == 0, ended.stderr
    assert ended.summary.records == spec.workload.records_max
    reading = read_spec_of(spec)
    assert workers.run(reading).status == 0
    judgement = judge(
        [load_send(Path(spec.directory), spec.stream)],
        load_log(Path(reading.directory)),
        Expectation(idempotent=True, murmur2_keys=True),
    )
    return [anomaly.kind.value for anomaly in judgement.anomalies]


@pytest.mark.parametrize("mutant", ["reorder", "wrong-future"])
def test_mutant__that_holds_a_record_back__refuses_one_at_a_time(
    workers: Any, spec_of: SpecOf, mutant: str
) -> None:
    ended = workers.run(spec_of("async", "one-at-a-time", mutant=mutant))
    assert ended.status == 1
    assert "2 records in flight" in ended.error


def test_misplaced__records_without_a_place__refuses(workers: Any, spec_of: SpecOf) -> None:
    ended = workers.run(spec_of("sync", mutant="misplaced"))
    assert "placed by key or partition" in ended.error


def test_mutant__of_a_strategy_without_any__is_one_error(workers: Any, spec_of: SpecOf) -> None:
    ended = workers.run(spec_of("aiokafka", mutant="corrupt"))
    assert ended.status == 1
    assert "sync, async, async-pure only" in ended.error
