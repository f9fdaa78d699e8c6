"""The send history while it is made: one slot a record, in arrays that exist before the first record is sent.

What the measured path does is here and as short as Python lets it be: one store for a burst of calls, some for a report
or for a row of them where a caller learns of many together. Latency is stamped here, in user code, when it learns of
an acknowledgement.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError

from systest.history.columns import SEND_COLUMNS, TYPES, Manifest, Outcome, column_path
from systest.workloads.stream import sequence_in

_ACKED, _PENDING = int(Outcome.ACKED), int(Outcome.PENDING)
_ONE_MORE = bytes(min(count + 1, 127) for count in range(256))
"""A table for `bytes.translate` that adds one to every count."""

#: Errors after which a record is certainly in no log: refused before it was sent, or by the broker as a whole.
_CERTAIN = frozenset(
    {
        KafkaError._QUEUE_FULL,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._INVALID_ARG,
        KafkaError._INVALID_TYPE,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.INVALID_REQUIRED_ACKS,
        KafkaError.POLICY_VIOLATION,
    }
)


def outcome_of(error: BaseException | KafkaError) -> Outcome:
    """What a failure says about the log: nothing there, or nobody knows.

    Args:
        error: confluent-kafka's KafkaError, an exception around one, or any other exception.
    """
    if isinstance(error, BaseException) and error.args:
        error = error.args[0]
    return outcome_of_code(error.code()) if isinstance(error, KafkaError) else Outcome.UNKNOWN


def outcome_of_code(code: int) -> Outcome:
    """As `outcome_of`, for an error code: of the Kafka protocol, or librdkafka's own (those are negative)."""
    return Outcome.FAILED if code in _CERTAIN else Outcome.UNKNOWN


@dataclass(frozen=True, slots=True)
class Taker:
    """The recorder's methods for a library's kind of acknowledgement: of one record, and of some in a row."""

    one: Callable[[int, Any], None]
    row: Callable[[int, Sequence[Any]], None]


class Recorder:
    """The history of one producing worker.

    `told` counts the records whose outcome the caller has learned, `failed` those of them that were not acked.
    With `identify`, an acknowledgement's timestamp and the sequence number in the reported record's own value are
    kept too; that costs the caller about as much again.
    """

    def __init__(self, capacity: int, identify: bool) -> None:
        self.capacity = capacity
        self.told = 0
        self.failed = 0
        # Written here once, so that no page is touched for the first time while the clock runs.
        self.called_ns = array("q", bytes(8 * capacity))
        self._settled_ns = array("q", bytes(8 * capacity))
        self._outcome = array("b", bytes(capacity))
        self._partition = array("i", b"\xff" * (4 * capacity))
        self._offset = array("q", b"\xff" * (8 * capacity))
        self._reports = array("b", bytes(capacity))
        self._timestamp_ms = array("q", b"\xff" * (8 * capacity if identify else 0))
        self._reported = array("q", b"\xff" * (8 * capacity if identify else 0))
        self.identify = identify
        self._callback_every = 0
        self._called_back = array("b")

    @property
    def held_bytes(self) -> int:
        """Memory of the history itself, which is the harness's and not the producer's."""
        return sum(
            len(column) * column.itemsize
            for column in (
                *(self.called_ns, self._settled_ns, self._outcome, self._partition),
                *(self._offset, self._reports, self._timestamp_ms, self._reported, self._called_back),
            )
        )

    @property
    def messages(self) -> Taker:
        """For acknowledgements that have the methods of `confluent_kafka.Message`."""
        return Taker(self.acked, self.acked_row)

    @property
    def metadata(self) -> Taker:
        """For acknowledgements with the fields `partition`, `offset`, `timestamp`, and no record in them."""
        return Taker(self.acked_at, self.acked_row_at)

    def acked(self, sequence: int, message: Any) -> None:
        """See `messages`."""
        self.reported(sequence, None, message)

    def reported(self, sequence: int, error: KafkaError | None, message: Any) -> None:
        """What `on_delivery` is called with, of a message as in `messages`."""
        if error is not None:
            self.not_acked(sequence, outcome_of(error))
            return
        self._settled_ns[sequence] = time.perf_counter_ns()
        self._outcome[sequence] = _ACKED
        self._partition[sequence] = message.partition()
        offset = message.offset()
        self._offset[sequence] = -1 if offset is None else offset  # with acks=0 nobody knows
        self._reports[sequence] += 1
        self.told += 1
        if self.identify:
            self._timestamp_ms[sequence] = message.timestamp()[1]
            self._reported[sequence] = sequence_in(message.value())

    def acked_row(self, first: int, messages: Sequence[Any]) -> None:
        """As `acked`, for consecutive records."""
        self._ack_row(first, [each.partition() for each in messages], [each.offset() for each in messages])
        if self.identify:
            end = first + len(messages)
            self._timestamp_ms[first:end] = array("q", [each.timestamp()[1] for each in messages])
            self._reported[first:end] = array("q", [sequence_in(each.value()) for each in messages])

    def acked_row_at(self, first: int, metadata: Sequence[Any]) -> None:
        """As `acked_at`, for consecutive records."""
        self._ack_row(first, [each.partition for each in metadata], [each.offset for each in metadata])
        if self.identify:
            self._timestamp_ms[first : first + len(metadata)] = array(
                "q", [each.timestamp for each in metadata]
            )

    def _ack_row(self, first: int, partitions: list[int], offsets: list[Any]) -> None:
        now_ns = time.perf_counter_ns()
        count = len(partitions)
        end = first + count
        self._settled_ns[first:end] = array("q", [now_ns]) * count
        self._outcome[first:end] = array("b", [_ACKED]) * count
        self._partition[first:end] = array("i", partitions)
        if None in offsets:  # with acks=0 nobody knows
            offsets = [-1 if offset is None else offset for offset in offsets]
        self._offset[first:end] = array("q", offsets)
        self._reports[first:end] = array("b", self._reports[first:end].tobytes().translate(_ONE_MORE))
        self.told += count

    def callbacks(self, every: int) -> Iterator[Callable[..., None] | None]:
        """What a caller who awaits outcomes, too, gives as `on_delivery` with records 0, 1, 2 and so on: every so
        many-th has one. The history's `reports` has how often that ran where it was not once.
        """
        self._callback_every = every
        self._called_back = array("b", bytes(self.capacity))
        return (partial(self._call_back, n) if n % every == 0 else None for n in count())

    def _call_back(self, sequence: int, *report: object) -> None:
        self._called_back[sequence] += 1

    def refused(self, sequence: int, outcome: Outcome) -> None:
        """The client did not take the record, and so will call nobody back."""
        self.not_acked(sequence, outcome)
        if self._callback_every:
            self._called_back[sequence] += 1

    def called(self, first: int, count: int, now_ns: int) -> None:
        """Records handed over in one call, or in calls without a look at the clock between them."""
        self.called_ns[first : first + count] = array("q", [now_ns]) * count

    def told_batch(self, first: int, count: int, failures: Mapping[int, Outcome]) -> None:
        """One outcome of many records, which are acked at a place not told, but for `failures`, by their index."""
        now_ns = time.perf_counter_ns()
        end = first + count
        self._settled_ns[first:end] = array("q", [now_ns]) * count
        self._outcome[first:end] = array("b", [_ACKED]) * count
        self._reports[first:end] = array("b", [1]) * count
        for index, outcome in failures.items():
            self._outcome[first + index] = outcome
        self.told += count
        self.failed += len(failures)

    def acked_at(self, sequence: int, metadata: Any) -> None:
        """See `metadata`."""
        self._settled_ns[sequence] = time.perf_counter_ns()
        self._outcome[sequence] = _ACKED
        self._partition[sequence] = metadata.partition
        self._offset[sequence] = metadata.offset
        self._reports[sequence] += 1
        self.told += 1
        if self.identify:
            self._timestamp_ms[sequence] = metadata.timestamp

    def not_acked(self, sequence: int, outcome: Outcome) -> None:
        """A failure. A record that was acked before stays so: the second report is what is wrong."""
        self._settled_ns[sequence] = time.perf_counter_ns()
        if self._outcome[sequence] == _PENDING:
            self._outcome[sequence] = outcome
        self._reports[sequence] += 1
        self.told += 1
        self.failed += 1

    def write(self, directory: Path, rows: int, intended_ns: array[int]) -> None:
        """Writes the first `rows` records as a send history; `intended_ns` is empty in a closed loop."""
        directory.mkdir(parents=True, exist_ok=True)
        if self._callback_every:
            for sequence in range(0, rows, self._callback_every):
                if (called := self._called_back[sequence]) != 1:
                    self._reports[sequence] = called
        columns = {
            "intended_ns": intended_ns,
            "called_ns": self.called_ns,
            "settled_ns": self._settled_ns,
            "outcome": self._outcome,
            "partition": self._partition,
            "offset": self._offset,
            "timestamp_ms": self._timestamp_ms,
            "reports": self._reports,
            "reported": self._reported,
        }
        for name, kind in SEND_COLUMNS.items():
            column = columns[name][:rows]
            if len(column) < rows:
                column = array(TYPES[kind][0], b"\xff" * (column.itemsize * rows))
            with column_path(directory, name).open("wb") as file:
                column.tofile(file)
        Manifest("send", rows, SEND_COLUMNS, {}).write(directory)


class TopicsRecorder(Recorder):
    """As `Recorder`, for a stream of several topics: their partitions count on through them.

    Args:
        first_partitions: topic -> the number of its partition 0.
    """

    def __init__(self, capacity: int, identify: bool, first_partitions: Mapping[str, int]) -> None:
        super().__init__(capacity, identify)
        self._first_partitions = first_partitions

    def reported(self, sequence: int, error: KafkaError | None, message: Any) -> None:
        super().reported(sequence, error, message)
        if error is None:
            self._partition[sequence] += self._first_partitions[message.topic()]

    def acked_at(self, sequence: int, metadata: Any) -> None:
        super().acked_at(sequence, metadata)
        self._partition[sequence] += self._first_partitions[metadata.topic]

    def acked_row(self, first: int, messages: Sequence[Any]) -> None:
        super().acked_row(first, messages)
        for sequence, message in enumerate(messages, first):
            self._partition[sequence] += self._first_partitions[message.topic()]

    def acked_row_at(self, first: int, metadata: Sequence[Any]) -> None:
        super().acked_row_at(first, metadata)
        for sequence, each in enumerate(metadata, first):
            self._partition[sequence] += self._first_partitions[each.topic]
