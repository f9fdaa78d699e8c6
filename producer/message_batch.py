"""MessageBatch: the records of one hand-over, sealed.

A record is the mapping that confluent's `produce_batch` reads: "value", "key" and "callback" always,
"headers" and "timestamp" where given. It belongs to the batch manager until it is in a batch, to the
transport once it was taken, and to its callback from then on. A batch never changes; what a full queue left
over becomes a batch of its own (`rest`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_NOT_AVAILABLE, KafkaError

PARTITIONER = -1
"""The partition of a record whose partition librdkafka's partitioner chooses."""

Record = dict[str, Any]


@dataclass(frozen=True)
class MessageBatch:
    """Records of one topic and one partition choice, in the order in which they were produced.

    `bulk` tells that every record fits librdkafka's bulk call, which knows neither headers nor timestamps.
    """

    topic: str
    partition: int
    messages: tuple[Record, ...]
    bulk: bool = True

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def size(self) -> int:
        """Number of records."""
        return len(self.messages)

    @property
    def callbacks(self) -> tuple[Callable[..., None], ...]:
        """What each record's report goes to."""
        return tuple(message["callback"] for message in self.messages)

    @property
    def info(self) -> str:
        """One line for logs."""
        where = self.topic if self.partition == PARTITIONER else f"{self.topic}[{self.partition}]"
        return f"MessageBatch({where}, {len(self.messages)} records, {'bulk' if self.bulk else 'one by one'})"

    def rest(self, taken: int) -> MessageBatch:
        """The batch without its first `taken` records."""
        return MessageBatch(self.topic, self.partition, self.messages[taken:], self.bulk)


def create_message_batch(
    topic: str, messages: Iterable[Record], partition: int = PARTITIONER, bulk: bool = True
) -> MessageBatch:
    """Seal records, in order, into a batch."""
    return MessageBatch(topic, partition, tuple(messages), bulk)


class UnsentMessage:
    """Stands for a record that librdkafka never took, where its report would hold a
    `confluent_kafka.Message`.

    It has Message's methods; Message itself cannot be made by everyone before confluent-kafka 2.13.
    """

    __slots__ = ("_batch", "_error", "_record")

    def __init__(self, batch: MessageBatch, record: Record, error: KafkaError) -> None:
        self._batch = batch
        self._record = record
        self._error = error

    def topic(self) -> str:
        return self._batch.topic

    def partition(self) -> int:
        return self._batch.partition

    def offset(self) -> None:
        return None

    def key(self) -> bytes | None:
        key: bytes | None = self._record["key"]
        return key

    def value(self) -> bytes | None:
        value: bytes | None = self._record["value"]
        return value

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return self._record.get("headers")

    def timestamp(self) -> tuple[int, int]:
        """(type, milliseconds): the one given to `produce`, else "not available"."""
        given = self._record.get("timestamp", 0)
        return (TIMESTAMP_CREATE_TIME, given) if given else (TIMESTAMP_NOT_AVAILABLE, 0)

    def error(self) -> KafkaError:
        return self._error

    def latency(self) -> None:
        return None

    def leader_epoch(self) -> None:
        return None

    def __len__(self) -> int:
        return len(self.value() or b"")
