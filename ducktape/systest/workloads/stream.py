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

A value that is text has the same in JSON of ASCII letters alone, each byte of the identity and of the checksum as two
letters of ``@`` to ``O``, the high half first::

    {"id":"<20 bytes>","type":"order.placed","currency":"EUR","note":"<filler>","crc":"<CRC-32 of all ahead of it>"}

Hexadecimal digits would do for a reader. With these letters each half a byte is added to a constant, so that such a
value is as linear as the other, and both are made by blocks.
"""

from __future__ import annotations

import enum
import itertools
import math
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

TEXT_BEGIN, TEXT_END = b'{"id":"', b'"}'
TEXT_IDENTITY = slice(len(TEXT_BEGIN), len(TEXT_BEGIN) + 2 * IDENTITY.size)
TEXT_TAIL_BYTES = 2 * CHECKSUM_BYTES + len(TEXT_END)
"""The checksum in letters, and the end."""
_TEXT_BEFORE_FILLER = b'","type":"order.placed","currency":"EUR","note":"'
_TEXT_BEHIND_FILLER = b'","crc":"'
TEXT_BYTES_MIN = TEXT_IDENTITY.stop + len(_TEXT_BEFORE_FILLER) + len(_TEXT_BEHIND_FILLER) + TEXT_TAIL_BYTES
FIRST_LETTER = 0x40
"""Of the letters that stand for half a byte each."""
_DIGITS, _LETTERS = b"0123456789abcdef", bytes(range(FIRST_LETTER, FIRST_LETTER + 16))
_SPELLED, _UNSPELLED = bytes.maketrans(_DIGITS, _LETTERS), bytes.maketrans(_LETTERS, _DIGITS)

_64_BITS = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15
_BLOCK = 256
"""Values made together: those whose sequence numbers differ in the lowest byte alone."""
_BLOCK_VALUE_BYTES_MAX = 1024
_BLOCKS_BYTES_MAX = 1 << 20
"""Of the rows that a stream is made from: one, or with keys as many as there are before the keys come again."""
TRACES = 1024
"""Trace ids that take turns: a power of two as other turns are, so that all come again together before long."""

Headers = list[tuple[str, bytes]]


class Placement(enum.Enum):
    """Who decides a record's partition."""

    ANY = "any"  # whatever the client does by itself, with the record's key if it has one
    KEY = "key"  # the murmur2 partitioner on the record's key
    PARTITION = "partition"  # requested by number


def run_number(run_id: str) -> int:
    """The 32-bit number that stands for a run in each of its values."""
    return zlib.crc32(run_id.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What records consist of; each is `systest.workloads.shapes`' by a name, or a test's own.

    Args:
        value_bytes: length of each value, at least `VALUE_BYTES_MIN`, or `TEXT_BYTES_MIN` of text.
        text: whether values are JSON, and they and keys are given to the client as text.
        keys: number of distinct keys, 0 for records without a key; at least 1 with `Placement.KEY`.
        placement: who decides a record's partition.
        headers: whether each record carries two headers, a trace id and its source.
        timestamp_base_ms: record `n` is stamped with this + n; None leaves the timestamp to the client.
        callback_every: every so many-th record, the first one too, has an `on_delivery`, beside the outcome that its
            caller awaits; 0 for none. A caller who has nothing but callbacks has one for each record anyway.
    """

    value_bytes: int = VALUE_BYTES
    text: bool = False
    keys: int = 0
    placement: Placement = Placement.ANY
    headers: bool = False
    timestamp_base_ms: int | None = None
    callback_every: int = 0


@dataclass(frozen=True, slots=True)
class RecordStream(Shape):
    """What one producer sends: every field of every record, by sequence number.

    Args:
        run: number of the run, see `run_number`.
        producer: number of the producer within the run.
        topic: topic of every record, or what the names of its topics begin with.
        partitions: partitions of a topic; requested in turn with `Placement.PARTITION`.
        topics: number of topics; record `n` goes to topic n mod this.

    Histories know partitions by one number: partition p of the stream's topic i is i * `partitions` + p.

    Raises:
        ValueError: a field is out of range; the message names it.
    """

    run: int
    producer: int
    topic: str
    partitions: int
    topics: int = 1

    def __post_init__(self) -> None:
        least = TEXT_BYTES_MIN if self.text else VALUE_BYTES_MIN
        if self.value_bytes < least:
            raise ValueError(f"value_bytes is {self.value_bytes}; a value needs {least} for its identity")
        if self.partitions < 1:
            raise ValueError(f"partitions is {self.partitions}; a topic has at least 1")
        if self.topics < 1:
            raise ValueError(f"topics is {self.topics}; send to at least 1")
        if self.keys < 0 or (self.placement is Placement.KEY and self.keys == 0):
            raise ValueError(f"keys is {self.keys}; placement by key needs at least 1, no key is 0")
        if self.callback_every < 0:
            raise ValueError(f"callback_every is {self.callback_every}; no callback is 0")

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
        """The key with this index, as the log has it."""
        return b"key-%08d" % index

    def key(self, sequence: int) -> bytes | None:
        return self.key_at(self.key_index(sequence)) if self.keys else None

    def partition(self, sequence: int) -> int | None:
        """The partition requested by number; None where the client or the key decides."""
        if self.placement is not Placement.PARTITION:
            return None
        return sequence // self.topics % self.partitions  # each topic's own records take turns

    def headers_of(self, sequence: int) -> Headers | None:
        return _traced()[sequence % TRACES] if self.headers else None

    def timestamp_ms(self, sequence: int) -> int | None:
        return None if self.timestamp_base_ms is None else self.timestamp_base_ms + sequence

    # What a sender gives its client with records 0, 1, 2 and so on until all of it comes again: it is made once, so
    # that a sender's time is its producer's.

    def key_turns(self) -> list[bytes] | list[str]:
        """At least one."""
        keys = [self.key_at(self.key_index(sequence)) for sequence in range(self.keys)]
        return [key.decode() for key in keys] if self.text else keys

    def partition_turns(self) -> list[int | None]:
        return [self.partition(sequence) for sequence in range(self.topics * self.partitions)]

    def header_turns(self) -> list[Headers | None]:
        return [self.headers_of(sequence) for sequence in range(TRACES)]

    def sent_timestamps(self) -> Iterator[int]:
        """Of a stream that has them."""
        return itertools.count(self.timestamp_base_ms or 0)

    def filler(self) -> bytes:
        """The numbers of splitmix64 (Vigna, 2015), which any language has in four lines, little-endian; in text by
        the letters that stand for them.
        """
        size = self.value_bytes - (TEXT_BYTES_MIN if self.text else VALUE_BYTES_MIN)
        state, filler = self.run << 32 | self.producer, bytearray()
        while len(filler) < size:
            state = state + _GOLDEN & _64_BITS
            mixed = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _64_BITS
            mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _64_BITS
            filler += (mixed ^ mixed >> 31).to_bytes(8, "little")
        return (spelled(filler) if self.text else bytes(filler))[:size]

    def value_maker(self) -> Callable[[int], bytes]:
        """The function from sequence number to value, as the log has it, with everything constant bound."""
        pack, crc32 = IDENTITY.pack, zlib.crc32
        run, producer, keys, filler = self.run, self.producer, self.keys, self.filler()

        def value(sequence: int) -> bytes:
            key = sequence * 2654435761 % keys if keys else NO_KEY
            body = pack(run, producer, sequence, key) + filler
            return body + crc32(body).to_bytes(4, "little")

        def text(sequence: int) -> bytes:
            key = sequence * 2654435761 % keys if keys else NO_KEY
            identity = spelled(pack(run, producer, sequence, key))
            body = TEXT_BEGIN + identity + _TEXT_BEFORE_FILLER + filler + _TEXT_BEHIND_FILLER
            return body + spelled(crc32(body).to_bytes(4, "little")) + TEXT_END

        return text if self.text else value

    def sent_values(self) -> Iterator[bytes | str]:
        """The values of records 0, 1, 2 and so on: those of `value_maker`, for a fifth of the time where they are short
        and keys are few.
        """
        kinds = self.keys // math.gcd(self.keys, _BLOCK) if self.keys else 1
        if self.value_bytes > _BLOCK_VALUE_BYTES_MAX or kinds * _BLOCK * self.value_bytes > _BLOCKS_BYTES_MAX:
            values = map(self.value_maker(), itertools.count())
            return map(bytes.decode, values) if self.text else values
        return itertools.chain.from_iterable(self._blocks(kinds))

    def _blocks(self, kinds: int) -> Iterator[tuple[bytes, ...] | list[str]]:
        """The values in rows of `_BLOCK`, where the keys of so many rows come again in the next ones.

        A CRC of fixed length is linear: value(first + i) is value(i) ^ value(first) ^ value(0) where `first` is a
        multiple of 256, i is below it, and the keys of both rows are the same. So a row is the first one of its kind
        with one and the same number added to all of a column, which is one call for each column.
        """
        value, size = self.value_maker(), self.value_bytes
        split = struct.Struct(f"{size}s" * _BLOCK)
        places = [*range(IDENTITY.size), *range(size - CHECKSUM_BYTES, size)]
        if self.text:
            places = [*range(TEXT_IDENTITY.start, TEXT_IDENTITY.stop), *range(size - TEXT_TAIL_BYTES, size)]
        rows: list[tuple[bytearray, dict[int, bytes], bytes]] = []
        latest: list[bytes] = []
        for number, first in enumerate(itertools.count(0, _BLOCK)):
            now, kind = value(first), number % kinds
            if number < kinds:
                row = bytearray().join(map(value, range(first, first + _BLOCK)))
                rows.append((row, {place: bytes(row[place::size]) for place in places}, now))
                latest.append(now)
            row, columns, zero = rows[kind]
            before, latest[kind] = latest[kind], now
            for place in places:
                if now[place] != before[place]:
                    row[place::size] = columns[place].translate(_added(now[place] ^ zero[place]))
            if self.text:
                text = row.decode("ascii")
                yield [text[at : at + size] for at in range(0, len(text), size)]
            else:
                yield split.unpack(row)


def spelled(data: bytes | bytearray) -> bytes:
    """Two letters for each byte."""
    return data.hex().encode().translate(_SPELLED)


def sequence_in(value: bytes) -> int:
    """The sequence number that a value says it has."""
    if value.startswith(TEXT_BEGIN):  # the numbers of no run and producer look like that
        value = bytes.fromhex(value[TEXT_IDENTITY].translate(_UNSPELLED).decode())
    sequence: int = IDENTITY.unpack_from(value)[2]
    return sequence


@cache
def _traced() -> list[Headers]:
    """Headers with each of the trace ids."""
    ids = (b"%016x" % ((number + 1) * _GOLDEN & _64_BITS) * 2 for number in range(TRACES))
    return [[("trace", each), ("source", b"systest")] for each in ids]


@cache
def _added(number: int) -> bytes:
    """A table for `bytes.translate` that adds a number, without carry, to every byte."""
    return bytes(byte ^ number for byte in range(256))
