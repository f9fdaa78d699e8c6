"""The embedded broker for these tests: librdkafka's mock cluster, its faults, and what is in its log."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import (
    Consumer,
    TopicPartition,
    cimpl,  # type: ignore[attr-defined]
)

from producer import AIOProducer

_lib = ctypes.CDLL(cimpl.__file__)
_lib.rd_kafka_conf_new.restype = ctypes.c_void_p
_lib.rd_kafka_new.restype = ctypes.c_void_p
_lib.rd_kafka_new.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
_lib.rd_kafka_destroy.argtypes = [ctypes.c_void_p]
_lib.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
_lib.rd_kafka_mock_cluster_new.argtypes = [ctypes.c_void_p, ctypes.c_int]
_lib.rd_kafka_mock_cluster_destroy.argtypes = [ctypes.c_void_p]
_lib.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
_lib.rd_kafka_mock_cluster_bootstraps.argtypes = [ctypes.c_void_p]
_lib.rd_kafka_mock_topic_create.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
_lib.rd_kafka_mock_broker_set_rtt.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int]
_lib.rd_kafka_mock_broker_set_down.argtypes = [ctypes.c_void_p, ctypes.c_int32]
_lib.rd_kafka_mock_broker_set_up.argtypes = [ctypes.c_void_p, ctypes.c_int32]
_lib.rd_kafka_mock_partition_set_leader.argtypes = [
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_int32,
    ctypes.c_int32,
]
_lib.rd_kafka_mock_push_request_errors_array.argtypes = [
    ctypes.c_void_p,
    ctypes.c_int16,
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_int),
]


class Broker:
    """A mock cluster with two brokers, 1 and 2. A topic's even partitions are led by 1, its odd ones by 2."""

    def __init__(self) -> None:
        error = ctypes.create_string_buffer(512)
        self._client = _lib.rd_kafka_new(0, _lib.rd_kafka_conf_new(), error, 512)
        self._cluster = _lib.rd_kafka_mock_cluster_new(self._client, 2)
        self.address: str = _lib.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create(self, topic: str, partitions: int) -> str:
        _lib.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1)
        for partition in range(partitions):
            _lib.rd_kafka_mock_partition_set_leader(
                self._cluster, topic.encode(), partition, 1 + partition % 2
            )
        return topic

    def answer_after(self, delay_ms: int, *brokers: int) -> None:
        """Every answer of these brokers (default: both) takes so long."""
        for broker in brokers or (1, 2):
            _lib.rd_kafka_mock_broker_set_rtt(self._cluster, broker, delay_ms)

    def down(self) -> None:
        for broker in (1, 2):
            _lib.rd_kafka_mock_broker_set_down(self._cluster, broker)

    def up(self) -> None:
        for broker in (1, 2):
            _lib.rd_kafka_mock_broker_set_up(self._cluster, broker)

    def fail(self, request: int, *codes: int) -> None:
        """Answer the next requests of this kind with these error codes."""
        array = (ctypes.c_int * len(codes))(*codes)
        _lib.rd_kafka_mock_push_request_errors_array(self._cluster, request, len(codes), array)

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
        _lib.rd_kafka_mock_cluster_destroy(self._cluster)
        _lib.rd_kafka_destroy(self._client)


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
