"""The transform worker: read, transform, write, exactly once, as this project's documentation recommends it.

One transaction after the other: some records of the input, their transformations, and the offsets of the records
that come next, all or nothing. After an abort it reads the same records again; killed, it begins where the last
commit left the group's offsets, which it asks for only after `init_transactions` has settled what it left.

The partitions are its own, by assignment, and what keeps a twin out is the transactional.id alone. Or it shares them
with other workers of the group, each with a transactional.id of its own: the group says who reads which, and its
generation, sent with the offsets, keeps a worker out of partitions that others have by now.

A mutant is named after the anomaly that it must be caught as, once the worker is killed at the wrong moment:

- `lost-commit` commits the offsets by itself, ahead of the transaction;
- `duplicate` commits them by itself, behind it.
"""

from __future__ import annotations

import abc
import asyncio
import os
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import confluent_kafka
from confluent_kafka import Consumer, KafkaException, TopicPartition

from producer import AbortableTransactionError, AIOProducer, FatalTransactionError
from systest.strategies.base import CannotRun
from systest.worker.protocol import (
    VERSION,
    Event,
    Progress,
    Ready,
    Summary,
    TransactionState,
    TransactionTold,
)
from systest.worker.resources import ResourceMeter
from systest.worker.spec import Setting, TransformSpec
from systest.workloads.stream import IDENTITY, INTACT_CRC

LOST_COMMIT, DUPLICATE = MUTANTS = ("lost-commit", "duplicate")
_CALL_LIMIT_S = 30.0
_BATCH_WAIT_S = 0.2
_PROGRESS_S = 1.0
_PAUSE_S = 0.1


class TransformFailed(Exception):
    """The transformation of some records failed, as it was told to."""


class WorkerEnded(Exception):
    """The producer met a fatal error, so that this worker must end."""


def transform(spec: TransformSpec, emit: Callable[[Event], None]) -> Summary:
    """Transforms the whole input and returns what that cost; `records` is how many this worker committed.

    Raises:
        CannotRun: there is no such mutant, or the input is damaged.
        WorkerEnded: a fatal error; begins with its class's name.
        KafkaException: another error of a client that no other transaction mends.
    """
    if spec.mutant not in (None, *MUTANTS):
        raise CannotRun(f"unknown mutant {spec.mutant!r}; a transformer has {', '.join(MUTANTS)}")
    client = f"producer.AIOProducer (confluent-kafka {confluent_kafka.__version__})"
    idiom = "async with transaction(): produce(), send_offsets_to_transaction()"
    emit(Ready(VERSION, os.getpid(), spec.run_id, client, idiom))
    meter = ResourceMeter(held_bytes=0)
    meter.begin()
    began_ns = time.perf_counter_ns()
    source = _Shared(spec) if spec.shared else _Owned(spec)
    try:
        records = asyncio.run(_Transformer(spec, source, emit).run())
    except FatalTransactionError as fatal:
        raise WorkerEnded(f"{type(fatal).__name__}: {fatal.args[0].str()}") from fatal
    finally:
        source.close()
    return Summary.without_warm_up(records, began_ns, meter.end())


class _Transformer:
    def __init__(self, spec: TransformSpec, source: _Source, emit: Callable[[Event], None]) -> None:
        self._spec, self._source, self._emit = spec, source, emit
        self._value_of = spec.output.value_maker()
        self._committed = 0

    async def run(self) -> int:
        telling = asyncio.ensure_future(self._tell_progress())
        try:
            async with AIOProducer(self._spec.client) as producer:
                await producer.init_transactions(_CALL_LIMIT_S)
                await asyncio.to_thread(self._source.begin)
                number = 0
                while not await asyncio.to_thread(self._source.is_at_end):
                    if batch := await asyncio.to_thread(self._source.read):
                        await self._transact(producer, number, batch)
                        number += 1
        finally:
            telling.cancel()
        return self._committed

    async def _transact(self, producer: AIOProducer, number: int, batch: Sequence[Any]) -> None:
        written: list[asyncio.Future[Any]] = []
        try:
            async with producer.transaction():
                await self._write(producer, batch, written)
                if self._fails(number) and number // self._spec.fail_every % 2:
                    raise TransformFailed
                await self._send_offsets(producer, batch)
                await producer.flush()
                self._tell(number, TransactionState.WRITTEN, written)
                await asyncio.sleep(self._spec.hold_s)
                if self._fails(number):
                    raise TransformFailed
        except (TransformFailed, AbortableTransactionError):
            self._tell(number, TransactionState.ABORTED, written)
            self._source.go_back(batch)
        else:
            self._committed += len(batch)
            self._tell(number, TransactionState.COMMITTED, written)
            if self._spec.mutant == DUPLICATE:
                await asyncio.sleep(self._spec.hold_s)
                await asyncio.to_thread(self._source.commit, batch)

    async def _write(
        self, producer: AIOProducer, batch: Sequence[Any], written: list[asyncio.Future[Any]]
    ) -> None:
        if self._spec.mutant == LOST_COMMIT:
            await asyncio.to_thread(self._source.commit, batch)
        topic = self._spec.output.topic
        for message in batch:
            value = self._value_of(_sequence(message))
            written.append(await producer.produce(topic, value, partition=message.partition()))

    async def _send_offsets(self, producer: AIOProducer, batch: Sequence[Any]) -> None:
        if self._spec.mutant is None:
            await producer.send_offsets_to_transaction(_next_offsets(batch), self._source.group_metadata())

    def _fails(self, number: int) -> bool:
        return self._spec.fail_every > 0 and number % self._spec.fail_every == 0

    def _tell(self, number: int, state: TransactionState, written: Sequence[asyncio.Future[Any]]) -> None:
        places: dict[str, tuple[int, int]] = {}
        for future in written:
            if future.done() and future.exception() is None:
                partition, offset = str(future.result().partition()), future.result().offset()
                first, last = places.get(partition, (offset, offset))
                places[partition] = (min(first, offset), max(last, offset))
        self._emit(TransactionTold(number, state, len(written), places))

    async def _tell_progress(self) -> None:
        began_s = time.monotonic()
        while True:
            await asyncio.sleep(_PROGRESS_S)
            self._emit(Progress(time.monotonic() - began_s, self._committed, 0))


class _Source(abc.ABC):
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
        self._consumer.commit(offsets=_next_offsets(batch), asynchronous=False)

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


class _Owned(_Source):
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
        self._position.update({place.partition: place.offset for place in _next_offsets(batch)})
        return batch

    def go_back(self, batch: Sequence[Any]) -> None:
        self._position.update(_first_offsets(batch))
        super().go_back(batch)


class _Shared(_Source):
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
            found = self._consumer.committed(self._all_partitions(), _BATCH_WAIT_S)
        except KafkaException:  # a transaction is about to change them, or the coordinator is on its way
            return False
        return all(place.offset >= self._end[place.partition] for place in found)

    def read(self) -> list[Any]:
        batch = super().read()
        self._is_idle = not batch
        return batch


_PRODUCER_ONLY = frozenset(
    {"transactional.id", "transaction.timeout.ms", "acks", "enable.idempotence", "linger.ms", "batch.size"}
)


_SOON_MISSED = {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 500}
"""A member that died; Kafka's brokers allow no shorter session by default."""


def _first_offsets(batch: Sequence[Any]) -> dict[int, int]:
    """For each partition the first offset in the batch."""
    return {message.partition(): message.offset() for message in reversed(batch)}


def _next_offsets(batch: Sequence[Any]) -> list[TopicPartition]:
    """For each partition the offset of the record to read next."""
    behind = {(message.topic(), message.partition()): message.offset() + 1 for message in batch}
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in behind.items()]


def _sequence(message: Any) -> int:
    value = message.value() or b""
    if zlib.crc32(value) != INTACT_CRC:
        raise CannotRun(
            f"the input is damaged: {message.topic()}, partition {message.partition()}, offset {message.offset()}"
        )
    sequence: int = IDENTITY.unpack_from(value)[2]
    return sequence
