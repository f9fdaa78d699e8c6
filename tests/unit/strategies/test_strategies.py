"""Names, command lines and settings: what is decided before any client is made."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from systest import strategies
from systest.strategies.aiokafka import translated
from systest.strategies.base import ArgumentNames, CannotRun, Strategy, extras_of
from systest.workloads.stream import Placement, RecordStream

IN_PYTHON = [name for name in strategies.NAMES if name != strategies.JAVA]


def stream(**changes: Any) -> RecordStream:
    return RecordStream(run=1, producer=0, topic="t", partitions=4, **changes)


@pytest.mark.parametrize("name", IN_PYTHON)
def test_command__strategy_in_python__is_the_worker_on_the_spec(name: str) -> None:
    assert strategies.command(name, "/venv/bin/python", "/tmp/spec.json") == [
        "/venv/bin/python",
        "-m",
        "systest.worker",
        "/tmp/spec.json",
    ]


@pytest.mark.parametrize("name", IN_PYTHON)
def test_create__strategy_in_python__says_what_it_is_and_how_it_is_used(name: str) -> None:
    strategy = strategies.create(name)
    assert isinstance(strategy, Strategy)
    assert any(character.isdigit() for character in strategy.client)
    assert strategy.idiom


def test_command__unknown_strategy__lists_those_there_are() -> None:
    with pytest.raises(
        ValueError, match="unknown strategy 'asynch'; choose from sync, async, async-pure, confluent-aio"
    ):
        strategies.command("asynch", sys.executable, "spec.json")


def test_create__strategy_of_another_language__is_refused() -> None:
    with pytest.raises(ValueError, match="'java' is no strategy in Python"):
        strategies.create("java")


def test_translated__settings_of_every_round__are_aiokafkas() -> None:
    assert translated(
        {
            "bootstrap.servers": "h:1",
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "none",
            "linger.ms": 1,
            "batch.size": 1_000_000,
            "partitioner": "murmur2_random",
        }
    ) == {
        "bootstrap_servers": "h:1",
        "acks": "all",
        "enable_idempotence": True,
        "compression_type": None,
        "linger_ms": 1.0,
        "max_batch_size": 1_000_000,
    }


@pytest.mark.parametrize("acks", ["1", 1])
def test_translated__acks_as_text_or_number__is_a_number(acks: str | int) -> None:
    assert translated({"acks": acks}) == {"acks": 1}


def test_translated__tls__makes_a_context() -> None:
    arguments = translated({"security.protocol": "ssl"})
    assert arguments["security_protocol"] == "SSL"
    assert arguments["ssl_context"].check_hostname


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (
            {"queue.buffering.max.messages": 10},
            "no equivalent of the client setting queue.buffering.max.messages",
        ),
        ({"partitioner": "consistent"}, "can't do partitioner=consistent"),
    ],
)
def test_translated__what_aiokafka_lacks__is_refused_by_name(
    settings: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(CannotRun, match=complaint):
        translated(settings)


def test_extras__plain_stream__there_are_none() -> None:
    assert extras_of(stream(), ArgumentNames(), "the library") is None


def test_extras__every_field__under_the_librarys_names() -> None:
    extras = extras_of(
        stream(placement=Placement.PARTITION, keys=3, headers=True, timestamp_base_ms=1_000),
        ArgumentNames(timestamp="timestamp_ms"),
        "the library",
    )
    assert extras is not None
    assert extras(5) == {
        "key": stream(keys=3).key(5),
        "partition": 1,
        "headers": [("sequence", b"5")],
        "timestamp_ms": 1_005,
    }


def test_extras__field_without_an_argument__is_refused_by_name() -> None:
    with pytest.raises(CannotRun, match="the library can't send records with headers of their own"):
        extras_of(stream(headers=True), ArgumentNames(headers=None), "the library")
