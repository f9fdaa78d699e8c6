"""Names, command lines and settings: what is decided before any client is made."""

from __future__ import annotations

import contextlib
import itertools
import sys
from dataclasses import asdict
from typing import Any

import pytest

from systest import strategies
from systest.strategies.aiokafka import translated
from systest.strategies.base import ArgumentNames, CannotRun, Strategy, fields_of
from systest.strategies.pipeline import AsyncioStrategy
from systest.workloads.shapes import SHAPES
from systest.workloads.stream import Placement, RecordStream
from systest.workloads.workload import workload_named

IN_PYTHON = [name for name in strategies.NAMES if name != strategies.JAVA]


def stream(**changes: Any) -> RecordStream:
    return RecordStream(run=1, producer=0, topic="t", partitions=4, **changes)


SERVICE = stream(**asdict(SHAPES["service"]))


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


def test_fields__plain_stream__there_are_none() -> None:
    assert fields_of(stream(), ArgumentNames(), "the library") is None


def test_fields__every_one__under_the_librarys_names_and_in_call_order() -> None:
    whole = stream(placement=Placement.PARTITION, keys=3, headers=True, timestamp_base_ms=1_000)
    fields = fields_of(whole, ArgumentNames(timestamp="timestamp_ms"), "the library")
    assert fields is not None
    assert list(itertools.islice(fields, 4_000)) == [
        {
            "key": whole.key(n),
            "partition": n % 4,
            "headers": whole.headers_of(n),
            "timestamp_ms": 1_000 + n,
        }
        for n in range(4_000)
    ]


def test_fields__of_text__have_keys_as_text() -> None:
    fields = fields_of(SERVICE, ArgumentNames(), "the library")
    assert fields is not None
    first = next(fields)
    assert first["key"] == (SERVICE.key(0) or b"").decode()
    assert [name for name, _ in first["headers"]] == ["trace", "source"]


@pytest.mark.parametrize("name", ["headers", "on_delivery"])
def test_fields__one_without_an_argument__is_refused_by_name(name: str) -> None:
    with pytest.raises(
        CannotRun, match=r"the library can't send records with (headers|callbacks) of their own"
    ):
        fields_of(SERVICE, ArgumentNames(**{name: None}), "the library", iter([None]))


@pytest.mark.parametrize("shape", SHAPES)
def test_refusal__of_a_shape__is_what_the_strategy_itself_would_say(shape: str) -> None:
    whole = stream(**asdict(SHAPES[shape]))
    for name in (name for name in IN_PYTHON if name != strategies.YARDSTICK):
        refused = strategies.refusal(name, workload_named("saturate"), whole) is not None
        strategy = strategies.create(name)
        assert isinstance(strategy, AsyncioStrategy)
        callbacks = iter([None]) if whole.callback_every else None
        with pytest.raises(CannotRun) if refused else contextlib.nullcontext():
            fields_of(whole, strategy.names, name, callbacks)
