"""What a caller is told of a record: the methods of `confluent_kafka.Message`, whoever makes the object.

A delivery future resolves to a `Message`. The transport makes it, or `UnsentMessage` stands for a record that
librdkafka never took.
"""

from __future__ import annotations

from typing import Protocol

from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_NOT_AVAILABLE, KafkaError

from producer.message_batch import Record


class Message(Protocol):
    """A record and what became of it. `confluent_kafka.Message` is one."""

    def topic(self) -> str:
        """Its topic."""

    def partition(self) -> int:
        """The partition that it was written to; -1 where none was chosen before it failed."""

    def offset(self) -> int | None:
        """Its offset there; None where the broker told none: on failure, and with `acks=0`."""

    def key(self) -> bytes | None:
        """Its key, or None."""

    def value(self) -> bytes | None:
        """Its value, or None."""

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        """Its headers in order, or None."""

    def timestamp(self) -> tuple[int, int]:
        """`confluent_kafka.TIMESTAMP_...` and milliseconds since the epoch."""

    def error(self) -> KafkaError | None:
        """Why it failed; None for an acknowledged record."""

    def latency(self) -> float | None:
        """Seconds from the hand-over to librdkafka to the acknowledgement."""

    def leader_epoch(self) -> int | None:
        """The leader's epoch, where it is known."""

    def __len__(self) -> int:
        """Bytes of its value."""


class UnsentMessage:
    """Stands for a record that librdkafka never took, where its report would hold a Message.

    confluent-kafka's own cannot be made by everyone before 2.13. The record itself is not kept: its callback would
    keep the producer, and could not be pickled.
    """

    __slots__ = ("_error", "_headers", "_key", "_partition", "_timestamp_ms", "_topic", "_value")

    def __init__(self, topic: str, partition: int, record: Record, error: KafkaError) -> None:
        self._topic = topic
        self._partition = partition
        self._key: bytes | None = record["key"]
        self._value: bytes | None = record["value"]
        self._headers: list[tuple[str, bytes | None]] | None = record.get("headers")
        self._timestamp_ms: int = record.get("timestamp", 0)
        self._error = error

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> None:
        return None

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        """(type, milliseconds): the one given to `produce`, else "not available"."""
        if not self._timestamp_ms:
            return TIMESTAMP_NOT_AVAILABLE, 0
        return TIMESTAMP_CREATE_TIME, self._timestamp_ms

    def error(self) -> KafkaError:
        return self._error

    def latency(self) -> None:
        return None

    def leader_epoch(self) -> None:
        return None

    def __len__(self) -> int:
        return len(self._value or b"")
