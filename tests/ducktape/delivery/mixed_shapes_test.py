"""Records of every shape, mixed, stand in each partition in the order in which they were produced."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from ducktape.mark import matrix
from ducktape.mark.resource import cluster

from producer import AIOProducer
from producer.transports import transports, why_not_compiled
from systest import not_run
from systest.limits import limit
from systest.progress import say
from systest.testing import SystemTest

MANY, FEW = 1_000_000, 100_000
PARTITIONS = 6
BATCH = 100
READ_S_MAX = 60.0
"""Without a record: the reading stands still."""

Fields = dict[str, Any]


def _noted(error: object, message: object) -> None:
    """An on_delivery."""


async def _noted_async(error: object, message: object) -> None:
    """One that is async."""


SHAPES: tuple[Callable[[str], Fields], ...] = (
    lambda number: {"value": number.encode()},
    lambda number: {"value": number, "partition": int(number) % PARTITIONS},
    lambda number: {"value": number, "key": number},
    lambda number: {"value": bytearray(number.encode()), "headers": [("a", b"1"), ("b", "ü")]},
    lambda number: {"value": memoryview(number.encode()), "headers": {"a": None}},
    lambda number: {"value": number, "timestamp": 1_700_000_000_000 + int(number)},
    lambda number: {"value": None, "key": number},
    lambda number: {"value": number.encode(), "on_delivery": _noted},
    lambda number: {"value": number, "on_delivery": _noted_async, "partition": 0},
    lambda number: {
        "value": number,
        "key": "ü",
        "headers": [("a", b"")],
        "partition": 0,
        "on_delivery": _noted,
    },
)
"""What a record may have, its number in its value, or in its key where it has none."""


class MixedShapesTest(SystemTest):
    """No two neighbours alike, one by one and in batches by turns."""

    @cluster(num_nodes=1)
    @limit(minutes=20)
    @matrix(transport=transports())
    def test_mixed_shapes__a_million__are_in_call_order_in_each_partition(
        self, transport: str
    ) -> dict[str, str] | None:
        return self._in_order(transport, MANY)

    @cluster(num_nodes=1)
    @matrix(transport=transports())
    def test_mixed_shapes__some__are_in_call_order_in_each_partition(
        self, transport: str
    ) -> dict[str, str] | None:
        return self._in_order(transport, FEW)

    def _in_order(self, transport: str, records: int) -> dict[str, str] | None:
        servers = self.start_broker(1).bootstrap_servers()
        topic = f"mixed-{transport}"
        admin = AdminClient({"bootstrap.servers": servers})
        admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result()
        placed = asyncio.run(produce(servers, topic, transport, records))
        found = read(servers, topic, records)
        assert sorted(itertools.chain.from_iterable(found)) == list(range(records)), "missing, or twice there"
        assert found == placed, "a partition's records are not in the order in which they were produced"
        say(f"{records:,} records of {len(SHAPES)} shapes over the {transport} transport: in order")
        return not_run.data_in_part(why_not_compiled())


async def produce(servers: str, topic: str, transport: str, records: int) -> list[list[int]]:
    """The numbers of each partition's records, in call order."""
    placed: list[list[int]] = [[] for _ in range(PARTITIONS)]
    delivered: list[tuple[int, asyncio.Future[Any]]] = []
    batches: list[tuple[int, asyncio.Future[Any]]] = []
    conf = {"bootstrap.servers": servers, "linger.ms": 1, "enable.idempotence": True}
    async with AIOProducer(conf, transport=transport) as producer:
        number = 0
        while number < records:
            for number in range(number, number + BATCH):  # noqa: B020 (it goes on from where the last one ended)
                fields = SHAPES[number % len(SHAPES)](str(number))
                delivered.append((number, await producer.produce(topic, **fields)))
            number += 1
            messages = [SHAPES[each % len(SHAPES)](str(each)) for each in range(number, number + BATCH)]
            batches.append((number, await producer.produce_batch(topic, messages, keep_messages=True)))
            number += BATCH
        await producer.flush()
    partition_of: dict[int, int] = {number: future.result().partition() for number, future in delivered}
    for first, future in batches:
        partition_of.update(
            (first + index, each.partition()) for index, each in enumerate(future.result().messages)
        )
    for number in range(records):
        placed[partition_of[number]].append(number)
    return placed


def read(servers: str, topic: str, records: int) -> list[list[int]]:
    """The numbers of each partition's records, in log order."""
    found: list[list[int]] = [[] for _ in range(PARTITIONS)]
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "mixed"})
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        for _ in range(records):
            message = consumer.poll(READ_S_MAX)
            assert message is not None and message.error() is None, "the log can't be read to its end"
            value = message.value()
            found[message.partition()].append(int(message.key() if value is None else value))
    finally:
        consumer.close()
    return found
