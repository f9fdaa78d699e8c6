"""Mutants: a producer with exactly one defect planted, so that each check is seen to fail.

A mutant wraps the library's own producer and does its mischief about once in `EVERY` records; all others go through
untouched, to a real broker. It is named after the anomaly that it must be caught as.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from systest.strategies.base import CannotRun
from systest.worker.spec import ProduceSpec
from systest.workloads.stream import IDENTITY, Placement, RecordStream, sequence_in

MUTABLE = ("sync", "async", "async-pure")
"""The strategies that mutants are planted in."""
EVERY = 97
NEVER_CALLED = 1 << 30
"""Phantoms have sequence numbers from here on."""
FAR_OFFSET = 1 << 40

Told = Callable[[KafkaError | None, Any], None]


@dataclass(frozen=True, slots=True)
class _Record:
    topic: str
    value: bytes
    told: Told
    fields: Mapping[str, Any]

    @property
    def sequence(self) -> int:
        return sequence_in(self.value)


class _Report:
    """What a mutant tells in place of the client's message: that of another record, or another place."""

    def __init__(self, message: Any, value: bytes, offset: int) -> None:
        self._message, self._value, self._offset = message, value, offset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._message, name)

    def value(self) -> bytes:
        return self._value

    def offset(self) -> int:
        return self._offset


class _Mutant:
    """One defect, between a caller and `send(topic, value, told, fields)`."""

    holds_back = False
    """Whether a record may wait for a later one, which must then be allowed in flight beside it."""

    def __init__(
        self, stream: RecordStream, send: Callable[[str, bytes, Told, Mapping[str, Any]], None]
    ) -> None:
        self.stream = stream
        self._send = send

    def produce(self, record: _Record) -> None:
        if record.sequence % EVERY == EVERY - 1:
            self.plant(record)
        else:
            self.pass_on(record)

    def plant(self, record: _Record) -> None:
        """The mischief."""
        raise NotImplementedError

    def pass_on(self, record: _Record) -> None:
        self.send(record)

    def send(
        self, record: _Record, told: Told | None = None, value: bytes | None = None, **fields: Any
    ) -> None:
        """Sends a record, with something about it changed if need be."""
        self._send(record.topic, value or record.value, told or record.told, {**record.fields, **fields})

    def release(self) -> None:
        """No record will follow: nothing may be held back any longer."""


class _LostWrite(_Mutant):
    """Tells that a record was written, at the place of another that was, and does not send it."""

    def __init__(
        self, stream: RecordStream, send: Callable[[str, bytes, Told, Mapping[str, Any]], None]
    ) -> None:
        super().__init__(stream, send)
        self._latest: Any = None
        self._kept: list[_Record] = []

    def pass_on(self, record: _Record) -> None:
        def told(error: KafkaError | None, message: Any) -> None:
            if error is None:
                self._latest = message
                kept, self._kept = self._kept, []
                for each in kept:
                    self._tell(each)
            record.told(error, message)

        self.send(record, told)

    def plant(self, record: _Record) -> None:
        if self._latest is None:  # so early that no report has come yet: it is told with the first
            self._kept.append(record)
        else:
            self._tell(record)

    def _tell(self, record: _Record) -> None:
        record.told(None, _Report(self._latest, record.value, self._latest.offset()))


class _Phantom(_Mutant):
    """Sends another record behind one, which nobody asked for."""

    def plant(self, record: _Record) -> None:
        self.send(record)
        sequence = NEVER_CALLED + record.sequence
        own = {"key": self.stream.key(sequence), "headers": self.stream.headers_of(sequence)}
        own = {name: field for name, field in own.items() if field is not None}
        self.send(record, _nobody, self.stream.value_maker()(sequence), **own)


class _Corrupt(_Mutant):
    """Flips a bit of the value, behind the record's identity."""

    def plant(self, record: _Record) -> None:
        value = record.value
        at = max(IDENTITY.size, len(value) // 2)
        self.send(record, value=value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :])


class _Misplaced(_Mutant):
    """Sends a record to another partition: the next one, or partition 0 whatever the key says."""

    def plant(self, record: _Record) -> None:
        asked = record.fields.get("partition")
        self.send(record, partition=0 if asked is None else (asked + 1) % self.stream.partitions)


class _Duplicate(_Mutant):
    """Sends a record twice and tells of it once."""

    def plant(self, record: _Record) -> None:
        self.send(record)
        self.send(record, _nobody)


class _Reorder(_Mutant):
    """Holds a record back until the next of its partition or key has gone."""

    holds_back = True
    _held: _Record | None = None

    def plant(self, record: _Record) -> None:
        self.release()
        self._held = record

    def pass_on(self, record: _Record) -> None:
        self.send(record)
        held = self._held
        if held and all(held.fields.get(name) == record.fields.get(name) for name in ("partition", "key")):
            self.release()

    def release(self) -> None:
        held, self._held = self._held, None
        if held:
            self.send(held)


class _OffsetMismatch(_Mutant):
    """Tells of an offset where the record is not."""

    def plant(self, record: _Record) -> None:
        def told(error: KafkaError | None, message: Any) -> None:
            record.told(error, message and _Report(message, record.value, FAR_OFFSET))

        self.send(record, told)


class _WrongFuture(_Mutant):
    """Two neighbours' reports change places, once both have come."""

    holds_back = True
    _first: _Swap | None = None

    def plant(self, record: _Record) -> None:
        self._first = _Swap(record.told)
        self.send(record, self._first.first)

    def pass_on(self, record: _Record) -> None:
        swap, self._first = self._first, None
        if swap:
            swap.pair(record.told)
            self.send(record, swap.second)
        else:
            self.send(record)

    def release(self) -> None:
        if self._first:
            self._first.pair(None)


class _Swap:
    """Two callers and their reports; whoever has no partner by the end gets its own."""

    def __init__(self, first_told: Told) -> None:
        self._first_told = first_told
        self._second_told: Told | None = None
        self._is_paired = False
        self._reports: dict[str, tuple[KafkaError | None, Any]] = {}

    def pair(self, second_told: Told | None) -> None:
        self._second_told, self._is_paired = second_told, True
        self._settle()

    def first(self, error: KafkaError | None, message: Any) -> None:
        self._reports["first"] = (error, message)
        self._settle()

    def second(self, error: KafkaError | None, message: Any) -> None:
        self._reports["second"] = (error, message)
        self._settle()

    def _settle(self) -> None:
        if not self._is_paired or "first" not in self._reports:
            return
        if self._second_told is None:
            self._first_told(*self._reports["first"])
        elif "second" in self._reports:
            self._first_told(*self._reports["second"])
            self._second_told(*self._reports["first"])


class _ReportCount(_Mutant):
    """Tells of one record twice and of the next not at all, in turn. A future can be told once only."""

    _is_twice = False

    def plant(self, record: _Record) -> None:
        self._is_twice = not self._is_twice
        self.send(record, self._twice(record) if self._is_twice else _nobody)

    @staticmethod
    def _twice(record: _Record) -> Told:
        def told(error: KafkaError | None, message: Any) -> None:
            record.told(error, message)
            record.told(error, message)

        return told


class _FailedButWritten(_Mutant):
    """Tells that a record was too large, which it wasn't."""

    def plant(self, record: _Record) -> None:
        def told(error: KafkaError | None, message: Any) -> None:
            record.told(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), message)

        self.send(record, told)


_CLASSES: Mapping[str, type[_Mutant]] = {
    "lost-write": _LostWrite,
    "phantom": _Phantom,
    "corrupt": _Corrupt,
    "misplaced": _Misplaced,
    "duplicate": _Duplicate,
    "reorder": _Reorder,
    "offset-mismatch": _OffsetMismatch,
    "wrong-future": _WrongFuture,
    "report-count": _ReportCount,
    "failed-but-written": _FailedButWritten,
}

MUTANTS = tuple(_CLASSES)


def _nobody(error: KafkaError | None, message: Any) -> None:
    """Is told and tells no one."""


class _SyncMutant:
    def __init__(self, mutant: str, producer: Any, spec: ProduceSpec) -> None:
        self._producer = producer
        self._mutant = _mutant_of(mutant, spec, self._send)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def produce(self, topic: str, value: bytes | str, on_delivery: Told, **fields: Any) -> None:
        self._mutant.produce(_Record(topic, _as_bytes(value), on_delivery, fields))

    def flush(self, timeout: float) -> Any:
        self._mutant.release()
        return self._producer.flush(timeout)

    def _send(self, topic: str, value: bytes, told: Told, fields: Mapping[str, Any]) -> None:
        self._producer.produce(topic, value, on_delivery=told, **fields)


class _AsyncMutant:
    def __init__(self, mutant: str, producer: Any, spec: ProduceSpec) -> None:
        self._producer = producer
        self._mutant = _mutant_of(mutant, spec, self._send)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    async def produce(
        self, topic: str, value: bytes | str, on_delivery: Told | None = None, **fields: Any
    ) -> asyncio.Future[Any]:
        future = asyncio.get_running_loop().create_future()

        def told(error: KafkaError | None, message: Any) -> None:
            if on_delivery is not None:
                on_delivery(error, message)
            if future.done():
                return
            if error is None:
                future.set_result(message)
            else:
                future.set_exception(KafkaException(error))

        self._mutant.produce(_Record(topic, _as_bytes(value), told, fields))
        return future

    async def flush(self, timeout: float) -> Any:
        self._mutant.release()
        return await self._producer.flush(timeout)

    def _send(self, topic: str, value: bytes, told: Told, fields: Mapping[str, Any]) -> None:
        self._producer.produce_nowait(topic, value, on_delivery=told, **fields)


def _as_bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _mutant_of(name: str, spec: ProduceSpec, send: Callable[..., None]) -> _Mutant:
    if name not in _CLASSES:
        raise CannotRun(f"unknown mutant {name!r}; choose from {', '.join(MUTANTS)}")
    kind = _CLASSES[name]
    if kind.holds_back and spec.workload.in_flight < 2:
        raise CannotRun(f"the mutant {name} needs a workload with 2 records in flight or more")
    if kind is _Misplaced and (spec.stream.placement is Placement.ANY or spec.stream.partitions < 2):
        raise CannotRun(f"the mutant {name} needs several partitions, and records placed by key or partition")
    return kind(spec.stream, send)


def planted_in_sync(mutant: str, producer: Any, spec: ProduceSpec) -> Any:
    """confluent's Producer with the defect. Raises CannotRun if there is no such mutant, or none on such records."""
    return _SyncMutant(mutant, producer, spec)


def planted_in_async(mutant: str, producer: Any, spec: ProduceSpec) -> Any:
    """This project's AIOProducer with the defect. Raises CannotRun as `planted_in_sync` does."""
    return _AsyncMutant(mutant, producer, spec)
