"""MessageBatch: the records of one hand-over, sealed.

A record is the mapping that confluent's `produce_batch` reads: "value", "key" and "callback" always,
"headers" and "timestamp" where given. A batch never changes; what a full queue left over becomes a batch of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

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


def create_message_batch(
    topic: str, messages: Iterable[Record], partition: int = PARTITIONER, bulk: bool = True
) -> MessageBatch:
    """Seal records, in order, into a batch."""
    return MessageBatch(topic, partition, tuple(messages), bulk)
