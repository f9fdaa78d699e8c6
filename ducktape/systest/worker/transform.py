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

import asyncio
import os
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import confluent_kafka

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
from systest.worker.source import Owned, Shared, Source, next_offsets
from systest.worker.spec import TransformSpec
from systest.workloads.stream import IDENTITY, INTACT_CRC

LOST_COMMIT, DUPLICATE = MUTANTS = ("lost-commit", "duplicate")
_CALL_LIMIT_S = 30.0
_PROGRESS_S = 1.0


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
    source = Shared(spec) if spec.shared else Owned(spec)
    try:
        records = asyncio.run(_Transformer(spec, source, emit).run())
    except FatalTransactionError as fatal:
        raise WorkerEnded(f"{type(fatal).__name__}: {fatal.args[0].str()}") from fatal
    finally:
        source.close()
    return Summary.without_warm_up(records, began_ns, meter.end())


class _Transformer:
    def __init__(self, spec: TransformSpec, source: Source, emit: Callable[[Event], None]) -> None:
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
            await producer.send_offsets_to_transaction(next_offsets(batch), self._source.group_metadata())

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


def _sequence(message: Any) -> int:
    value = message.value() or b""
    if zlib.crc32(value) != INTACT_CRC:
        raise CannotRun(
            f"the input is damaged: {message.topic()}, partition {message.partition()}, offset {message.offset()}"
        )
    sequence: int = IDENTITY.unpack_from(value)[2]
    return sequence
