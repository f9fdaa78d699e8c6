"""The embedded broker for these tests: librdkafka's mock cluster, its faults, and what is in its log."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import Consumer, TopicPartition

from producer import AIOProducer
from systest.embedded.mock_cluster import EVERY_BROKER, Api, MockCluster


class Broker:
    """A mock cluster with two brokers, 1 and 2. A topic's even partitions are led by 1, its odd ones by 2."""

    def __init__(self) -> None:
        self._cluster = MockCluster(2)
        self.address = self._cluster.bootstrap_servers

    def create(self, topic: str, partitions: int) -> str:
        self._cluster.create_topic(topic, partitions)
        return topic

    def answer_after(self, delay_ms: int, *brokers: int) -> None:
        """Every answer of these brokers (default: both) takes so long."""
        for broker in brokers or (EVERY_BROKER,):
            self._cluster.delay(broker, delay_ms)

    def down(self) -> None:
        self._cluster.broker_down()

    def up(self) -> None:
        self._cluster.broker_up()

    def fail(self, request: int, *codes: int) -> None:
        """Answer the next requests of this kind with these error codes."""
        self._cluster.fail_requests(Api(request), codes)

    def log(self, topic: str, partitions: int) -> list[list[Any]]:
        """The messages of each partition, in log order."""
        consumer = Consumer(
            {"bootstrap.servers": self.address, "group.id": "reader", "enable.partition.eof": True}
        )
        found: list[list[Any]] = [[] for _ in range(partitions)]
        try:
            consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
            ends = 0
            while ends < partitions:
                message = consumer.poll(10)
                assert message is not None, f"no end of {topic} within 10 s"
                error = message.error()
                if error is None:
                    found[message.partition()].append(message)
                else:
                    assert error.code() == confluent_kafka.KafkaError._PARTITION_EOF, error
                    ends += 1
        finally:
            consumer.close()
        return found

    def close(self) -> None:
        self._cluster.close()


@pytest.fixture
def broker() -> Iterator[Broker]:
    embedded = Broker()
    yield embedded
    embedded.close()


Make = Callable[..., AIOProducer]


@pytest.fixture
async def make(broker: Broker) -> AsyncIterator[Make]:
    """Makes producers on the embedded broker and closes what the test left open."""
    made: list[AIOProducer] = []

    def make_producer(conf: dict[str, Any] | None = None, **kwargs: Any) -> AIOProducer:
        settings = {"bootstrap.servers": broker.address, "linger.ms": 0, "log_level": 2, **(conf or {})}
        made.append(AIOProducer(settings, **kwargs))
        return made[-1]

    yield make_producer
    for producer in made:
        with contextlib.suppress(Exception):
            await producer.close(timeout=0)
    made.clear()
    gc.collect()


@pytest.fixture
async def raised() -> AsyncIterator[list[dict[str, Any]]]:
    """What reached the loop's exception handler."""
    loop = asyncio.get_running_loop()
    contexts: list[dict[str, Any]] = []
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    yield contexts
    loop.set_exception_handler(before)
