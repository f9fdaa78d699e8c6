"""The read worker: a stream's topics from their first offset to their end, every record recognised, as a log history.

It reads with confluent's consumer, without a group, and keeps no message for longer than a batch. What a record is
gets decided here, from its value, key and headers against the streams that were sent; what that means for the
producer is the checks' affair. numpy is at home here and in the checks, never in a producer's process.
"""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import confluent_kafka
import numpy as np
import numpy.typing as npt
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

from systest.history.columns import LOG_COLUMNS, TYPES, Content, Manifest, column_path
from systest.history.identity import key_indices
from systest.worker.protocol import VERSION, Event, Progress, Ready, Summary
from systest.worker.resources import ResourceMeter
from systest.worker.spec import ReadSpec, Setting
from systest.workloads.stream import (
    CHECKSUM_BYTES,
    FIRST_LETTER,
    IDENTITY,
    INTACT_CRC,
    TEXT_BYTES_MIN,
    TEXT_END,
    TEXT_IDENTITY,
    TEXT_TAIL_BYTES,
    VALUE_BYTES_MIN,
    RecordStream,
)

_BATCH = 10_000
_BATCH_WAIT_S = 0.05
_CALL_LIMIT_S = 10.0
_PROGRESS_S = 1.0

#: What makes a consumer quick: no pause of a second whenever its queue is full, and a queue just deep enough. A
#: deeper one and larger fetches were slower, and took several times the memory. Checksums of our own make the
#: broker's superfluous.
_QUICK: Mapping[str, Setting] = {
    "fetch.wait.max.ms": 50,
    "fetch.queue.backoff.ms": 5,
    "max.partition.fetch.bytes": 512 << 10,
    "queued.min.messages": 20_000,
    "queued.max.messages.kbytes": 16_384,
    "check.crcs": False,
}

_Ints = npt.NDArray[np.int64]
_Mask = npt.NDArray[np.bool_]
_HEAD = np.dtype([("run", "<u4"), ("producer", "<u4"), ("sequence", "<u8"), ("key", "<u4")])


class ReadError(Exception):
    """The topic can't be read back to its end; the message says why and what to do."""


def read(spec: ReadSpec, emit: Callable[[Event], None]) -> Summary:
    """Reads the topic and writes its history to the spec's directory.

    Args:
        spec: what to read, and how long that may take.
        emit: takes the events on the way, `ready` first.

    Raises:
        ReadError: no such topic, no broker, an error of the broker's, or the time is over.
    """
    began_ns = time.perf_counter_ns()
    meter = ResourceMeter(held_bytes=0)
    client = f"confluent-kafka {confluent_kafka.__version__} (librdkafka {confluent_kafka.libversion()[0]})"
    emit(Ready(VERSION, os.getpid(), spec.run_id, client, ""))
    meter.begin()
    with _Reading(spec) as reading, _columns(Path(spec.directory)) as columns:
        recognise = Recogniser(spec.streams, spec.first_partitions)
        rows, began_s = 0, time.monotonic()
        told_s = began_s
        for messages in reading.batches():
            rows += len(messages)
            columns.append(recognise(messages))
            if (now_s := time.monotonic()) - told_s >= _PROGRESS_S:
                told_s = now_s
                meter.sample()
                emit(Progress(now_s - began_s, rows, 0))
    facts = {"log_start": reading.log_start, "log_end": reading.log_end, "isolation": spec.isolation}
    Manifest("log", rows, LOG_COLUMNS, facts).write(Path(spec.directory))
    return Summary.without_warm_up(rows, began_ns, meter.end())


class _Reading:
    """One pass over the topics, every partition from the first offset kept to the end found on entry.

    Partitions have the numbers that histories know them by. The end is reached by position, not by count: the
    records of aborted transactions and the markers at the end of any take offsets that no consumer sees. `log_end`
    is that end; under `read_committed` it is where the broker lets such a reader go no further, if that comes first.
    """

    def __init__(self, spec: ReadSpec) -> None:
        self._spec = spec
        self._deadline_s = time.monotonic() + spec.timeout_s
        self._trouble = ""
        self.log_start: dict[int, int] = {}
        self.log_end: dict[int, int] = {}
        self._unread: set[int] = set()
        self._places: dict[int, tuple[str, int]] = {}
        self._first_partitions = spec.first_partitions
        try:
            self._consumer = Consumer(
                {
                    **_QUICK,
                    **spec.client,
                    "group.id": f"systest-{spec.run_id}",  # asked for, never joined
                    "isolation.level": spec.isolation,
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "enable.partition.eof": True,
                    "auto.offset.reset": "error",
                    "allow.auto.create.topics": False,
                    "error_cb": self._note,
                }
            )
        except (KafkaException, ValueError) as error:
            raise ReadError(f"the consumer's configuration is refused: {_reason(error)}") from error

    def __enter__(self) -> _Reading:
        try:
            self._places = self._found()
            for number in self._places:
                start, end = self._watermarks(number)
                self.log_start[number], self.log_end[number] = start, end
                if start < end:
                    self._unread.add(number)
            self._consumer.assign([self._place(each, self.log_start[each]) for each in sorted(self._unread)])
        except BaseException:
            self._consumer.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._consumer.close()

    def batches(self) -> Iterator[list[Any]]:
        """The topic's messages, some thousands at a time; ends at its end. Raises ReadError."""
        while self._unread:
            if time.monotonic() > self._deadline_s:
                raise ReadError(
                    f"topic {self._spec.topic} was not read to its end within {self._spec.timeout_s:g} s; unread are "
                    f"{self._lag()}{self._trouble}"
                )
            batch = self._consumer.consume(_BATCH, _BATCH_WAIT_S)
            if any(message.error() is not None for message in batch):
                batch = [message for message in batch if not self._is_event(message)]
            yield self._up_to_the_end(batch)

    def _up_to_the_end(self, batch: list[Any]) -> list[Any]:
        number = self._number
        last = {number(message): message.offset() for message in batch}
        overrun = False
        for partition, offset in last.items():
            if partition not in self._unread or offset >= self.log_end[partition]:
                overrun = True
            if offset >= self.log_end[partition] - 1:
                self._end(partition)
        if overrun:
            return [each for each in batch if each.offset() < self.log_end[number(each)]]
        return batch

    def _number(self, message: Any) -> int:
        number: int = self._first_partitions[message.topic()] + message.partition()
        return number

    def _is_event(self, message: Any) -> bool:
        """Whether this is no record; a partition's end is noted, an error raised."""
        error = message.error()
        if error is None:
            return False
        if error.code() != KafkaError._PARTITION_EOF:
            if not error.retriable():
                raise ReadError(f"topic {self._spec.topic} can't be read back: {error.str()}")
            self._note(error)
            return True
        partition, offset = self._number(message), message.offset()
        if partition not in self._unread:
            return True
        if offset < self.log_end[partition] and self._spec.isolation == "read_committed":
            self.log_end[partition] = offset
        if offset >= self.log_end[partition]:
            self._end(partition)
        return True

    def _end(self, partition: int) -> None:
        if partition in self._unread:
            self._unread.remove(partition)
            self._consumer.incremental_unassign([self._place(partition)])

    def _found(self) -> dict[int, tuple[str, int]]:
        """Topic and partition of each number."""
        names, asked = self._first_partitions, self._spec.topic
        try:
            # One request for all there are is quicker than one for each of many.
            answer = self._consumer.list_topics(
                asked if len(names) == 1 else None, timeout=self._call_limit_s()
            )
        except KafkaException as error:
            raise ReadError(f"no broker told of topic {asked}: {_reason(error)}{self._trouble}") from error
        places = {}
        for topic, first in names.items():
            found = answer.topics.get(topic)
            if found is None or found.error is not None or not found.partitions:
                why = "it has no partitions" if found is None or found.error is None else found.error.str()
                raise ReadError(f"topic {topic} can't be read back: {why}")
            if len(names) > 1 and len(found.partitions) != self._spec.streams[0].partitions:
                raise ReadError(
                    f"topic {topic} has {len(found.partitions)} partitions, not {self._spec.streams[0].partitions}: "
                    "a history could not tell them from those of the next topic"
                )
            places.update({first + each: (topic, each) for each in sorted(found.partitions)})
        return places

    def _place(self, number: int, offset: int = OFFSET_INVALID) -> TopicPartition:
        return TopicPartition(*self._places[number], offset)

    def _watermarks(self, number: int) -> tuple[int, int]:
        where = self._place(number)
        try:
            marks = self._consumer.get_watermark_offsets(where, self._call_limit_s())
        except KafkaException as error:
            raise ReadError(
                f"no broker told the end of {where.topic}, partition {where.partition}: {_reason(error)}{self._trouble}"
            ) from error
        if marks is None:
            raise ReadError(
                f"no broker told the end of {where.topic}, partition {where.partition}, in time{self._trouble}"
            )
        start, end = marks
        return start, end

    def _call_limit_s(self) -> float:
        return max(0.1, min(_CALL_LIMIT_S, self._deadline_s - time.monotonic()))

    def _lag(self) -> str:
        return ", ".join(f"partition {each} (to {self.log_end[each]})" for each in sorted(self._unread)[:5])

    def _note(self, error: KafkaError) -> None:
        self._trouble = f"; the client's last complaint: {error.str()}"


def _reason(error: Exception) -> str:
    first = error.args[0] if error.args else error
    return first.str() if isinstance(first, KafkaError) else str(first)


@dataclass(frozen=True, eq=False)
class Recognised:
    """One batch as columns of a log history."""

    partition: _Ints
    offset: _Ints
    timestamp_ms: _Ints
    producer: _Ints
    sequence: _Ints
    content: _Ints


class Recogniser:
    """Tells what messages are: whose record, which one, and whether it is as it was sent.

    A value with the run's number and an intact checksum of a producer that is not among the streams counts as
    intact: there is nothing that it could disagree with. A damaged value keeps the identity that it claims, -1 where
    it claims none of this run.

    Raises:
        ValueError: some streams have text as values and some have not.
    """

    def __init__(self, streams: Sequence[RecordStream], first_partitions: Mapping[str, int]) -> None:
        self._streams = streams
        [self._is_text] = {stream.text for stream in streams}
        self._first_partitions = first_partitions
        self._runs = np.array(sorted({stream.run for stream in streams}), np.uint32)

    def __call__(self, messages: Sequence[Any]) -> Recognised:
        rows = len(messages)
        values: list[bytes] = [message.value() or b"" for message in messages]
        lengths = np.fromiter(map(len, values), np.int64, rows)
        if self._is_text:
            long_enough = lengths >= TEXT_BYTES_MIN
            heads, whole = _read_text(values, lengths)
        else:
            long_enough = lengths >= VALUE_BYTES_MIN
            heads = _heads(values, lengths)
            whole = np.fromiter(map(zlib.crc32, values), np.uint32, rows) == INTACT_CRC
        ours = long_enough & np.isin(heads["run"], self._runs)

        content = np.full(rows, Content.FOREIGN, np.int64)
        content[long_enough & ~whole] = Content.DAMAGED
        content[ours & whole] = Content.INTACT
        producer = np.where(ours, heads["producer"].astype(np.int64), -1)
        sequence = np.where(ours, heads["sequence"].astype(np.int64), -1)
        for stream in self._streams:
            mine = np.flatnonzero((content == Content.INTACT) & (producer == stream.producer))
            if len(mine):
                agree = lengths[mine] == stream.value_bytes
                agree &= heads["key"][mine] == key_indices(stream, heads["sequence"][mine])
                some = messages if len(mine) == rows else [messages[row] for row in mine.tolist()]
                agree &= _keys_agree(stream, some, heads["key"][mine])
                agree &= _headers_agree(stream, some, sequence[mine])
                content[mine[~agree]] = Content.DAMAGED
        partition = np.fromiter((message.partition() for message in messages), np.int64, rows)
        if len(self._first_partitions) > 1:
            first = self._first_partitions
            partition += np.fromiter((first[message.topic()] for message in messages), np.int64, rows)
        return Recognised(
            partition=partition,
            offset=np.fromiter((message.offset() for message in messages), np.int64, rows),
            timestamp_ms=np.fromiter((message.timestamp()[1] for message in messages), np.int64, rows),
            producer=producer,
            sequence=sequence,
            content=content,
        )


def _heads(values: list[bytes], lengths: _Ints) -> npt.NDArray[Any]:
    """The identities at the beginning of values; of one that is too short, its bytes and zeros."""
    stride = int(lengths[0]) if len(lengths) else 0
    if stride < IDENTITY.size or not (lengths == stride).all():
        stride = IDENTITY.size
        values = [value[:stride].ljust(stride, b"\0") for value in values]
    names = _HEAD.names or ()
    layout: Any = {  # as np.dtype takes it; numpy's own types of such a mapping differ by version
        "names": list(names),
        "formats": [_HEAD[name] for name in names],
        "offsets": [0, 4, 8, 16],
        "itemsize": stride,
    }
    return np.frombuffer(b"".join(values), layout)


def _read_text(values: list[bytes], lengths: _Ints) -> tuple[npt.NDArray[Any], _Mask]:
    """The identities in values that are text, and whether each of these is as its checksum says to its end."""
    sums = np.array([zlib.crc32(value[:-TEXT_TAIL_BYTES]) for value in values], "<u4")
    stride = int(lengths[0]) if len(lengths) else 0
    if stride < TEXT_BYTES_MIN or not (lengths == stride).all():
        stride, begin = TEXT_BYTES_MIN, TEXT_BYTES_MIN - TEXT_TAIL_BYTES
        values = [
            value[:begin].ljust(begin, b"\0") + value[-TEXT_TAIL_BYTES:].rjust(TEXT_TAIL_BYTES, b"\0")
            for value in values
        ]
    letters = np.frombuffer(b"".join(values), np.uint8).reshape(len(values), stride)
    halves = letters[:, TEXT_IDENTITY] & 0x0F
    heads = np.ascontiguousarray(halves[:, 0::2] << 4 | halves[:, 1::2]).view(_HEAD).reshape(len(values))
    wanted = np.empty((len(values), TEXT_TAIL_BYTES), np.uint8)
    whole_bytes = sums.view(np.uint8).reshape(len(values), CHECKSUM_BYTES)
    wanted[:, 0 : 2 * CHECKSUM_BYTES : 2] = FIRST_LETTER + (whole_bytes >> 4)
    wanted[:, 1 : 2 * CHECKSUM_BYTES : 2] = FIRST_LETTER + (whole_bytes & 0x0F)
    wanted[:, 2 * CHECKSUM_BYTES :] = np.frombuffer(TEXT_END, np.uint8)
    return heads, (letters[:, -TEXT_TAIL_BYTES:] == wanted).all(axis=1)


def _keys_agree(stream: RecordStream, messages: Sequence[Any], index: npt.NDArray[Any]) -> _Mask:
    found = [message.key() for message in messages]
    if not stream.keys:
        return np.array([key is None for key in found])
    return np.array([key == stream.key_at(each) for key, each in zip(found, index.tolist(), strict=True)])


def _headers_agree(stream: RecordStream, messages: Sequence[Any], sequence: _Ints) -> _Mask:
    found = [message.headers() for message in messages]
    if not stream.headers:
        return np.array([not headers for headers in found])
    return np.array(
        [headers == stream.headers_of(each) for headers, each in zip(found, sequence.tolist(), strict=True)]
    )


@dataclass(frozen=True)
class _ColumnFiles:
    files: Mapping[str, BinaryIO] = field(default_factory=dict)

    def append(self, batch: Recognised) -> None:
        for name, file in self.files.items():
            file.write(getattr(batch, name).astype(TYPES[LOG_COLUMNS[name]][1]).tobytes())


@contextlib.contextmanager
def _columns(directory: Path) -> Iterator[_ColumnFiles]:
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as files:
        yield _ColumnFiles(
            {name: files.enter_context(column_path(directory, name).open("wb")) for name in LOG_COLUMNS}
        )
