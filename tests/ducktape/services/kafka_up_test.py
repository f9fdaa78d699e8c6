"""`systest kafka up` as a user has it: the address that was asked for, what clients need, and nothing left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka import Producer
from ducktape.mark.resource import cluster
from ducktape.tests.test import Test

from systest.ports import ADDRESS, are_free, first_of_free_ports

END_LIMIT_S = 30.0
FLUSH_LIMIT_S = 20.0


class KafkaUpTest(Test):  # type: ignore[misc]  # ducktape has no types
    @cluster(num_nodes=0)
    def test_kafka_up__port_and_sasl__serves_there_whoever_signs_in(self) -> None:
        port = first_of_free_ports(2)
        with tempfile.TemporaryDirectory() as directory:
            with kafka_up(directory, "--brokers", "2", "--port", str(port), "--sasl") as up:
                client = told(up)
                assert client["bootstrap.servers"] == f"{ADDRESS}:{port},{ADDRESS}:{port + 1}"
                produce(client)
                up.send_signal(signal.SIGINT)
                assert (status := up.wait(END_LIMIT_S)) == 0, status
            assert list(Path(directory).iterdir()) == []
        assert are_free(port, 2)


@contextlib.contextmanager
def kafka_up(directory: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "systest", "kafka", "up", *arguments],
        env={**os.environ, "TMPDIR": directory},
        stdout=subprocess.PIPE,
        text=True,
    ) as up:
        try:
            yield up
        finally:
            up.kill()


def told(up: subprocess.Popen[str]) -> dict[str, str]:
    """The client properties among what it prints up to its last word."""
    assert up.stdout is not None
    properties = {}
    for line in up.stdout:
        key, equals, value = line.strip().partition("=")
        if equals and " " not in key:
            properties[key] = value
        if line.startswith("Topics are made"):
            return properties
    raise AssertionError("it ended without telling where Kafka is")


def produce(client: dict[str, str]) -> None:
    """Sends a record and sees it acknowledged."""
    failed: list[object] = []
    producer = Producer(client)
    producer.produce("try", b"hello", on_delivery=lambda error, _: error and failed.append(error))
    assert producer.flush(FLUSH_LIMIT_S) == 0
    assert failed == [], failed
