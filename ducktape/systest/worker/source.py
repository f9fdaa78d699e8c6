"""What a transform worker reads: the input topic, from where its consumer group's offsets say."""

from __future__ import annotations

import abc
import time
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from systest.worker.spec import Setting, TransformSpec

_CALL_LIMIT_S = 30.0
_BATCH_WAIT_S = 0.2
_COMMITTED_WAIT_S = 0.2
"""Short: who asks has records to read meanwhile, and asks again."""
_PAUSE_S = 0.1
_PRODUCER_ONLY = frozenset(
    {"transactional.id", "transaction.timeout.ms", "acks", "enable.idempotence", "linger.ms", "batch.size"}
)
_SOON_MISSED = {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 500}
"""A member that died; Kafka's brokers allow no shorter session by default."""


class Source(abc.ABC):
    """The input topic, read from where the group's offsets say."""

    def __init__(self, spec: TransformSpec, settings: Mapping[str, Setting]) -> None:
        self._topic, self._records_max = spec.source.topic, spec.records_max
        self._partitions = range(spec.source.partitions)
        client = {name: value for name, value in spec.client.items() if name not in _PRODUCER_ONLY}
        self._consumer = Consumer(
            {
                **client,
                "group.id": spec.group,
                # Committed offsets that a transaction is about to change are waited for, too.
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                **settings,
            }
        )

    @abc.abstractmethod
    def begin(self) -> None:
        """Asks where the group is. Its end is what the topic's end is now."""

    @abc.abstractmethod
    def is_at_end(self) -> bool:
        """Whether nothing is left to be read."""

    def read(self) -> list[Any]:
        """Some records, in order; none if none came in time. Raises KafkaException."""
        batch = []
        for message in self._consumer.consume(self._records_max, _BATCH_WAIT_S):
            error = message.error()
            if error is None:
                batch.append(message)
            elif not error.retriable():
                raise KafkaException(error)
        return batch

    def go_back(self, batch: Sequence[Any]) -> None:
        """Read these again: their transformations were not committed."""
        for partition, offset in _first_offsets(batch).items():
            self._consumer.seek(TopicPartition(self._topic, partition, offset))

    def group_metadata(self) -> Any:
        return self._consumer.consumer_group_metadata()

    def commit(self, batch: Sequence[Any]) -> None:
        """Commits the offsets behind these, outside of any transaction: only a mutant does that."""
        self._consumer.commit(offsets=next_offsets(batch), asynchronous=False)

    def close(self) -> None:
        self._consumer.close()

    def _all_partitions(self) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in self._partitions]

    def _bounds(self, partition: int) -> tuple[int, int]:
        """Its first offset, and the one behind its last."""
        start, end = self._consumer.get_watermark_offsets(
            TopicPartition(self._topic, partition), _CALL_LIMIT_S
        )
        return start, end


class Owned(Source):
    """All partitions, by assignment."""

    def __init__(self, spec: TransformSpec) -> None:
        super().__init__(spec, {"auto.offset.reset": "error"})
        self._position: dict[int, int] = {}
        self._end: dict[int, int] = {}

    def begin(self) -> None:
        for found in self._committed():
            start, end = self._bounds(found.partition)
            self._position[found.partition] = found.offset if found.offset >= 0 else start
            self._end[found.partition] = end
        self._consumer.assign(
            [TopicPartition(self._topic, partition, offset) for partition, offset in self._position.items()]
        )

    def _committed(self) -> list[TopicPartition]:
        """Asked until a coordinator has loaded and no transaction is about to change the answer."""
        deadline_s = time.monotonic() + _CALL_LIMIT_S
        while True:
            try:
                found: list[TopicPartition] = self._consumer.committed(self._all_partitions(), _CALL_LIMIT_S)
            except KafkaException:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(_PAUSE_S)
            else:
                return found

    def is_at_end(self) -> bool:
        return all(self._position[partition] >= end for partition, end in self._end.items())

    def read(self) -> list[Any]:
        batch = super().read()
        self._position.update({place.partition: place.offset for place in next_offsets(batch)})
        return batch

    def go_back(self, batch: Sequence[Any]) -> None:
        self._position.update(_first_offsets(batch))
        super().go_back(batch)


class Shared(Source):
    """The partitions that the group gives to this member, by subscription."""

    def __init__(self, spec: TransformSpec) -> None:
        super().__init__(spec, {"auto.offset.reset": "earliest", **_SOON_MISSED})
        self._end: dict[int, int] = {}
        self._is_idle = False

    def begin(self) -> None:
        self._end = {partition: self._bounds(partition)[1] for partition in self._partitions}
        self._consumer.subscribe([self._topic])

    def is_at_end(self) -> bool:
        """Whether the whole group is there, by its committed offsets. Asked only while there is nothing to do."""
        if not self._is_idle:
            return False
        try:
            found = self._consumer.committed(self._all_partitions(), _COMMITTED_WAIT_S)
        except KafkaException:  # a transaction is about to change them, or the coordinator is on its way
            return False
        return all(max(0, place.offset) >= self._end[place.partition] for place in found)

    def read(self) -> list[Any]:
        batch = super().read()
        self._is_idle = not batch
        return batch


def _first_offsets(batch: Sequence[Any]) -> dict[int, int]:
    """For each partition the first offset in the batch."""
    return {message.partition(): message.offset() for message in reversed(batch)}


def next_offsets(batch: Sequence[Any]) -> list[TopicPartition]:
    """For each partition the offset of the record to read next."""
    behind = {(message.topic(), message.partition()): message.offset() + 1 for message in batch}
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in behind.items()]
