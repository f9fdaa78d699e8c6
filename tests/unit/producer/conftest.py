"""What the contract's tests share: the embedded broker, its faults and its log; producers; loops and transports.

Every async test here runs on each kind of loop, and over each transport that there is. A test that makes its
own loop or producer takes the fixtures `new_loop` and `transport`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import Consumer, TopicPartition
from hypothesis import settings

from producer import AIOProducer
from producer.transports import transports
from systest.embedded.mock_cluster import EVERY_BROKER, Answer, Api, CoordinatorKind, MockCluster

settings.register_profile("long", max_examples=5_000)

NewLoop = Callable[[], asyncio.AbstractEventLoop]


def debugging_loop() -> asyncio.AbstractEventLoop:
    """asyncio's loop in its debug mode, which raises where a future is settled off the loop's thread."""
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    return loop


LOOPS: dict[str, NewLoop] = {"asyncio": asyncio.new_event_loop, "debug": debugging_loop}
if sys.platform != "win32":  # where there is no uvloop
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, NewLoop]:
    """The loops that each async test here runs on."""
    return LOOPS


@pytest.fixture(params=LOOPS)
def new_loop(request: pytest.FixtureRequest) -> NewLoop:
    """Makes loops of one kind, for a test that runs its own."""
    return LOOPS[request.param]


@pytest.fixture
def loops() -> Mapping[str, NewLoop]:
    """All kinds of loops, for a test that leaves the choice to chance."""
    return LOOPS


@pytest.fixture(params=transports())
def transport(request: pytest.FixtureRequest) -> str:
    """The name of one of the producer's transports."""
    name: str = request.param
    return name


class Broker:
    """A mock cluster with two brokers, 1 and 2. A topic's even partitions are led by 1, its odd ones by 2."""

    def __init__(self) -> None:
        self._cluster = MockCluster(2)
        self.address = self._cluster.bootstrap_servers
        self._is_delayed = False

    def create(self, topic: str, partitions: int) -> str:
        self._cluster.create_topic(topic, partitions)
        return topic

    def answer_after(self, delay_ms: int, *brokers: int) -> None:
        """Every answer of these brokers (default: both) takes so long."""
        self._is_delayed = True
        for broker in brokers or (EVERY_BROKER,):
            self._cluster.delay(broker, delay_ms)

    def coordinate(self, group: str, transactional_id: str, broker: int) -> None:
        """From now on `broker` is the group's coordinator, and the other one the transactional.id's."""
        self._cluster.set_coordinator(CoordinatorKind.GROUP, group, broker)
        self._cluster.set_coordinator(CoordinatorKind.TRANSACTION, transactional_id, 3 - broker)

    def down(self, broker: int = EVERY_BROKER) -> None:
        self._cluster.broker_down(broker)

    def up(self) -> None:
        self._cluster.broker_up()

    def fail(self, request: int, *codes: int) -> None:
        """Answer the next requests of this kind with these error codes."""
        self._cluster.fail_requests(Api(request), codes)

    def hold_next_produce(self, delay_ms: int, broker: int = 1, code: int = 0) -> None:
        """This broker answers its next produce request so much later, with this error code."""
        self._cluster.answer_requests(broker, Api.PRODUCE, [Answer(code, delay_ms)])

    def holds_one(self) -> bool:
        """Whether broker 1's request has come."""
        return self._cluster.pending_answers(1, Api.PRODUCE) == 0

    def log(self, topic: str, partitions: int) -> list[list[Any]]:
        """The messages of each partition, in log order. Answers are no longer delayed from here on."""
        if self._is_delayed:  # else not: a call may have to wait a second for the cluster to wake
            self.answer_after(0)
        consumer = Consumer(
            {
                "bootstrap.servers": self.address,
                "group.id": "reader",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 5,
                "allow.auto.create.topics": True,
            }
        )
        found: list[list[Any]] = [[] for _ in range(partitions)]
        try:
            consumer.list_topics(topic, timeout=10)  # else the first fetch may wait for a timer of a second
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


@pytest.fixture
def new_broker() -> Callable[[], Broker]:
    """Makes brokers, for a test that needs a fresh one again and again."""
    return Broker


Make = Callable[..., AIOProducer]


@pytest.fixture
async def make(broker: Broker, transport: str) -> AsyncIterator[Make]:
    """Makes producers on the embedded broker, over each transport, and closes what the test left open."""
    made: list[AIOProducer] = []

    def make_producer(conf: dict[str, Any] | None = None, **kwargs: Any) -> AIOProducer:
        settings = {"bootstrap.servers": broker.address, "linger.ms": 0, "log_level": 2, **(conf or {})}
        made.append(AIOProducer(settings, **{"transport": transport, **kwargs}))
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
