"""The records a producer is asked to send: a pure function of the stream's settings and a sequence number.

Every value carries its identity, so that a reader can tell from the log alone whose record it is, which one,
and whether it is intact. Worker, reader and checks share this one definition; nothing about a record is
stored anywhere else.

Layout of a value, little-endian::

    0   run       uint32   run_number(run_id)
    4   producer  uint32   which producer of the run
    8   sequence  uint64   0, 1, 2 ... in call order
    16  key       uint32   index of the key, NO_KEY without one
    20  filler             the same bytes in every record of a stream
    -4  checksum  uint32   CRC-32 of everything before it

A CRC-32 stored behind its own data gives the whole a constant CRC, ``INTACT_CRC``: a reader verifies a value
with one call and no slicing.
"""

from __future__ import annotations

import enum
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

IDENTITY = struct.Struct("<IIQI")
CHECKSUM_BYTES = 4
VALUE_BYTES_MIN = IDENTITY.size + CHECKSUM_BYTES
VALUE_BYTES = 30
"""Of a value, where nobody says how long it is to be."""
NO_KEY = 0xFFFFFFFF
INTACT_CRC = 0x2144DF1C

_64_BITS = 2**64 - 1
_BLOCK = 256
"""Values made together: those whose sequence numbers differ in the lowest byte alone."""
_BLOCK_VALUE_BYTES_MAX = 1024

Headers = list[tuple[str, bytes]]


class Placement(enum.Enum):
    """Who decides a record's partition."""

    ANY = "any"  # no key, no partition: the client's own choice
    KEY = "key"  # the murmur2 partitioner on the record's key
    PARTITION = "partition"  # requested by number


def run_number(run_id: str) -> int:
    """The 32-bit number that stands for a run in each of its values."""
    return zlib.crc32(run_id.encode())


@dataclass(frozen=True, slots=True)
class RecordStream:
    """What one producer sends: every field of every record, by sequence number.

    Args:
        run: number of the run, see `run_number`.
        producer: number of the producer within the run.
        topic: topic of every record, or what the names of its topics begin with.
        partitions: partitions of a topic; requested in turn with `Placement.PARTITION`.
        placement: who decides a record's partition.
        value_bytes: length of each value, at least `VALUE_BYTES_MIN`.
        keys: number of distinct keys, 0 for records without a key; at least 1 with `Placement.KEY`.
        headers: whether each record carries a header that repeats its sequence number.
        timestamp_base_ms: record `n` is stamped with this + n; None leaves the timestamp to the client.
        topics: number of topics; record `n` goes to topic n mod this.

    Histories know partitions by one number: partition p of the stream's topic i is i * `partitions` + p.

    Raises:
        ValueError: a field is out of range; the message names it.
    """

    run: int
    producer: int
    topic: str
    partitions: int
    placement: Placement = Placement.ANY
    value_bytes: int = VALUE_BYTES
    keys: int = 0
    headers: bool = False
    timestamp_base_ms: int | None = None
    topics: int = 1

    def __post_init__(self) -> None:
        if self.value_bytes < VALUE_BYTES_MIN:
            raise ValueError(
                f"value_bytes is {self.value_bytes}; a value needs {VALUE_BYTES_MIN} for its identity"
            )
        if self.partitions < 1:
            raise ValueError(f"partitions is {self.partitions}; a topic has at least 1")
        if self.topics < 1:
            raise ValueError(f"topics is {self.topics}; send to at least 1")
        if self.keys < 0 or (self.placement is Placement.KEY and self.keys == 0):
            raise ValueError(f"keys is {self.keys}; placement by key needs at least 1, no key is 0")

    @property
    def topic_names(self) -> tuple[str, ...]:
        """The topic of record `n` is the one at n mod their number."""
        if self.topics == 1:
            return (self.topic,)
        return tuple(f"{self.topic}-{index}" for index in range(self.topics))

    @property
    def first_partitions(self) -> dict[str, int]:
        """What histories add to a partition's own number, by topic."""
        return {name: index * self.partitions for index, name in enumerate(self.topic_names)}

    def key_index(self, sequence: int) -> int:
        """Which of the stream's keys record `sequence` has; `NO_KEY` if it has none."""
        return sequence * 2654435761 % self.keys if self.keys else NO_KEY

    def key_at(self, index: int) -> bytes:
        """The key with this index."""
        return b"key-%08d" % index

    def key(self, sequence: int) -> bytes | None:
        return self.key_at(self.key_index(sequence)) if self.keys else None

    def partition(self, sequence: int) -> int | None:
        """The partition requested by number; None where the client or the key decides."""
        if self.placement is not Placement.PARTITION:
            return None
        return sequence // self.topics % self.partitions  # each topic's own records take turns

    def headers_of(self, sequence: int) -> Headers | None:
        return [("sequence", b"%d" % sequence)] if self.headers else None

    def timestamp_ms(self, sequence: int) -> int | None:
        return None if self.timestamp_base_ms is None else self.timestamp_base_ms + sequence

    def filler(self) -> bytes:
        """The numbers of splitmix64 (Vigna, 2015), which any language has in four lines, little-endian."""
        state, filler = self.run << 32 | self.producer, bytearray()
        while len(filler) < self.value_bytes - VALUE_BYTES_MIN:
            state = state + 0x9E3779B97F4A7C15 & _64_BITS
            mixed = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _64_BITS
            mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _64_BITS
            filler += (mixed ^ mixed >> 31).to_bytes(8, "little")
        return bytes(filler[: self.value_bytes - VALUE_BYTES_MIN])

    def value_maker(self) -> Callable[[int], bytes]:
        """The function from sequence number to value: the sender's hot path, everything constant bound."""
        pack, crc32 = IDENTITY.pack, zlib.crc32
        run, producer, keys, filler = self.run, self.producer, self.keys, self.filler()

        def value(sequence: int) -> bytes:
            key = sequence * 2654435761 % keys if keys else NO_KEY
            body = pack(run, producer, sequence, key) + filler
            return body + crc32(body).to_bytes(4, "little")

        return value

    def values(self) -> Iterator[bytes]:
        """The values of records 0, 1, 2 and so on: those of `value_maker`, for a fifth of the time where they are short
        and have no key, so that a sender's time is its producer's.
        """
        if self.keys or self.value_bytes > _BLOCK_VALUE_BYTES_MAX:
            return map(self.value_maker(), itertools.count())
        return itertools.chain.from_iterable(self._blocks())

    def _blocks(self) -> Iterator[tuple[bytes, ...]]:
        """The values in tuples of `_BLOCK`.

        A CRC of fixed length is linear: value(first + i) is value(i) ^ value(first) ^ value(0) where `first` is a
        multiple of 256 and i below it. So a block is the first one with one and the same number added to all of a
        column, which is one call for each column.
        """
        value, size = self.value_maker(), self.value_bytes
        block = bytearray().join(map(value, range(_BLOCK)))
        columns = [bytes(block[place::size]) for place in range(size)]
        split = struct.Struct(f"{size}s" * _BLOCK)
        zero = before = value(0)
        for first in itertools.count(0, _BLOCK):
            now = value(first)
            for place in range(size):
                if now[place] != before[place]:
                    block[place::size] = columns[place].translate(_added(now[place] ^ zero[place]))
            before = now
            yield split.unpack(block)


@cache
def _added(number: int) -> bytes:
    """A table for `bytes.translate` that adds a number, without carry, to every byte."""
    return bytes(byte ^ number for byte in range(256))
