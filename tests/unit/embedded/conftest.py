"""Real clients on embedded brokers: what they produce, and what is in the log."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from systest.embedded.mock_cluster import MockCluster

LIMIT_S = 10.0


class Client:
    """One producer on a cluster, told of its records' fate."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.acknowledged: list[tuple[int, int]] = []  # (partition, offset), in the order of the reports
        self.errors: list[int] = []
        self.producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 0, "log_level": 0})

    def produce(self, topic: str, partition: int, value: bytes = b"value") -> None:
        self.producer.produce(topic, value, partition=partition, on_delivery=self._report)

    def send(self, topic: str, partition: int, value: bytes = b"value") -> float:
        """Seconds until the record was acknowledged or failed."""
        began_s = time.monotonic()
        self.produce(topic, partition, value)
        assert self.producer.flush(LIMIT_S) == 0
        return time.monotonic() - began_s

    def quickest_s(self, topic: str, partition: int) -> float:
        """The least of a few, so that a busy machine is not taken for a slow broker."""
        return min(self.send(topic, partition) for _ in range(5))

    def _report(self, error: KafkaError | None, message: Any) -> None:
        if error is None:
            self.acknowledged.append((message.partition(), message.offset()))
        else:
            self.errors.append(error.code())

    def leaders(self, topic: str) -> dict[int, int]:
        partitions = self.producer.list_topics(topic, LIMIT_S).topics[topic].partitions
        return {number: partition.leader for number, partition in partitions.items()}

    def log(self, topic: str, partition: int) -> list[bytes]:
        """The values in a partition, in log order."""
        return [message.value() for message in self.messages(topic, partition)]

    def messages(self, topic: str, partition: int) -> list[Any]:
        """As `log`, whole."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "group.id": "reader",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "log_level": 0,
            }
        )
        found: list[Any] = []
        with contextlib.closing(consumer):
            consumer.assign([TopicPartition(topic, partition, 0)])
            while True:
                message = consumer.poll(LIMIT_S)
                assert message is not None, f"no end of {topic} within {LIMIT_S} s"
                error = message.error()
                if error is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    return found
                found.append(message)


@pytest.fixture
def cluster() -> Iterator[MockCluster]:
    with MockCluster(2) as started:
        yield started


@pytest.fixture
def connect() -> Callable[[str], Client]:
    """A client of the brokers at an address."""
    return Client


@pytest.fixture
def client(cluster: MockCluster, connect: Callable[[str], Client]) -> Client:
    return connect(cluster.bootstrap_servers)
