"""What can happen to records, one scene each: sent in bulk, refused, failed, given up, cancelled, purged.

A scene sends some records by the stage's producer, counts what its caller is told at once, and leaves the futures of
the rest with the stage, which counts those when they have their outcomes.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from producer import AIOProducer, TransactionError
from systest.safety.outcomes import Outcomes, error_name

TOPIC, PARTITIONS = "soak", 4
RECORD_BYTES_MAX = 2000
"""What producers are told that a record may have."""

_VALUES = [bytes([65 + length % 26]) * length for length in (0, 1, 10, 30, 60, 100, 100, 200)]
_KEYS = [None, b"", b"key", b"another key"]
_TOO_LARGE = b"x" * (RECORD_BYTES_MAX + 1000)
_POISON: tuple[dict[str, Any], ...] = (
    {"topic": TOPIC, "value": 5},
    {"topic": "", "value": b"1"},
    {"topic": TOPIC, "value": b"1", "key": 1.5},
    {"topic": TOPIC, "value": b"1", "partition": -7},
    {"topic": TOPIC, "value": b"1", "timestamp": -1},
    {"topic": TOPIC, "value": b"1", "headers": [("alone",)]},
    {"topic": TOPIC, "value": b"1", "on_delivery": 5},
)
_topics = itertools.count(1)


class PlannedError(Exception):
    """What an on_delivery raises here."""


@dataclass
class Told:
    """How often each record's on_delivery ran."""

    times: bytearray = field(default_factory=bytearray)

    def plain(self) -> Callable[..., None]:
        return partial(hear, self.times, self._next())

    def raising(self) -> Callable[..., None]:
        return partial(_hear_and_raise, self.times, self._next())

    def slow(self) -> Callable[..., Coroutine[Any, Any, None]]:
        return partial(_hear_and_sleep, self.times, self._next())

    def _next(self) -> int:
        self.times.append(0)
        return len(self.times) - 1


def hear(times: bytearray, index: int, error: KafkaError | None, message: Any) -> None:
    times[index] += 1


def _hear_and_raise(times: bytearray, index: int, error: KafkaError | None, message: Any) -> None:
    hear(times, index, error, message)
    raise PlannedError


async def _hear_and_sleep(times: bytearray, index: int, error: KafkaError | None, message: Any) -> None:
    await asyncio.sleep(0)
    hear(times, index, error, message)


@dataclass
class Stage:
    """Where scenes are played: one producer, and what is to be known of its records."""

    producer: AIOProducer
    chance: random.Random
    outcomes: Outcomes
    told: Told = field(default_factory=Told)
    open: list[asyncio.Future[Any]] = field(default_factory=list)

    def value(self) -> bytes:
        return self.chance.choice(_VALUES)

    async def send(self, count: int, **arguments: Any) -> None:
        """Records that differ in nothing."""
        self.outcomes.sent += count
        produce = self.producer.produce
        if arguments:
            self.open += [await produce(TOPIC, **arguments) for _ in range(count)]
        else:
            value, key = self.value(), self.chance.choice(_KEYS)
            self.open += [await produce(TOPIC, value, key) for _ in range(count)]

    async def attempt(self, calls: Iterable[Awaitable[asyncio.Future[Any]]]) -> None:
        """Calls of produce() one after the other, each of which may be refused."""
        for call in calls:
            self.outcomes.sent += 1
            try:
                self.open.append(await call)
            except (TypeError, ValueError, TransactionError, asyncio.CancelledError):
                self.outcomes.refused += 1


async def _plain(stage: Stage) -> None:
    await stage.send(2000)


async def _batch(stage: Stage) -> None:
    value = stage.value()
    records = [{"value": value, "key": b"key"}, {"value": value}] * 2500
    stage.outcomes.sent += len(records)
    stage.open.append(await stage.producer.produce_batch(TOPIC, records))


async def _poisoned_batch(stage: Stage) -> None:
    records: list[Any] = [{"value": b"1"}] * 50
    records += [
        {"value": 5},
        {"value": _TOO_LARGE},
        7,
        {"value": b"1", "headers": {"a": b"1"}, "partition": 2},
    ]
    stage.outcomes.sent += 2 * len(records)
    stage.open.append(await stage.producer.produce_batch(TOPIC, records))
    stage.open.append(await stage.producer.produce_batch(TOPIC, records, partition=1))


async def _dressed(stage: Stage) -> None:
    headers: tuple[Any, ...] = ({"a": b"1", "b": None}, [("a", "text"), ("a", b"")], {})
    for number in range(50):
        await stage.send(1, value="text", headers=headers[number % 3], timestamp=1_700_000_000_000)
        await stage.send(1, value=stage.value(), key="key", partition=number % PARTITIONS)
        await stage.send(1, value=None, key=b"key")


async def _heard(stage: Stage) -> None:
    told = stage.told
    for _ in range(40):
        await stage.send(1, value=b"1", on_delivery=told.plain())
        await stage.send(1, value=b"2", on_delivery=told.slow())
        await stage.send(1, value=b"3", on_delivery=told.raising())
        await stage.send(1, value=_TOO_LARGE, on_delivery=told.plain())


async def _doomed(stage: Stage) -> None:
    await stage.send(20, value=_TOO_LARGE)
    await stage.send(20, value=_TOO_LARGE, headers={"a": b"1"})
    await stage.send(20, value=b"1", partition=PARTITIONS + 1000)
    await stage.send(20, value=b"1", partition=PARTITIONS + 1000, headers={"a": b"1"})


async def _poison(stage: Stage) -> None:
    await stage.attempt(stage.producer.produce(**arguments) for arguments in _POISON)


async def _given_up(stage: Stage) -> None:
    before = len(stage.open)
    await stage.send(50)
    await stage.send(10, value=_TOO_LARGE)
    for future in stage.open[before:]:
        future.cancel()


async def _cancelled(stage: Stage) -> None:
    """Many for the queue of some producers: these stand in line when they are cancelled."""
    produce = stage.producer.produce
    tasks = [asyncio.ensure_future(produce(TOPIC, b"1")) for _ in range(400)]
    batch = asyncio.ensure_future(stage.producer.produce_batch(TOPIC, [{"value": b"1"}] * 400))
    for task in tasks[:20]:
        task.cancel()
    await asyncio.sleep(0)
    for task in stage.chance.sample(tasks, 200):
        task.cancel()
    await stage.attempt(tasks)
    if batch.cancel():
        await asyncio.wait([batch])
    stage.outcomes.sent += 400
    if batch.cancelled():
        stage.outcomes.refused += 400
    else:
        stage.open.append(batch.result())


async def _timed_out(stage: Stage) -> None:
    produce = stage.producer.send_and_wait
    for timeout_s in (0.0, 0.0005, 5.0):
        stage.outcomes.sent += 1
        try:
            await asyncio.wait_for(produce(TOPIC, b"1"), timeout_s)
        except asyncio.TimeoutError:
            stage.outcomes.refused += 1
        except KafkaException as failed:
            stage.outcomes.failed[error_name(failed)] += 1
        else:
            stage.outcomes.acknowledged += 1


async def _by_hand(stage: Stage) -> None:
    """What asyncio never does with a coroutine, and a debugger or another loop might."""
    produce: Callable[..., Any] = stage.producer.produce
    for number in range(300):
        stage.outcomes.sent += 1
        call = produce(TOPIC, b"1")
        try:
            call.send(None)
        except StopIteration as done:
            stage.open.append(done.value)
            continue
        stage.outcomes.refused += 1
        if number % 2:
            call.close()
        else:
            _throw_into(call)


def _throw_into(call: Any) -> None:
    try:
        call.throw(PlannedError())
    except PlannedError:
        return
    raise AssertionError("a coroutine swallowed what was thrown into it")


async def _never_awaited(stage: Stage) -> None:
    produce: Callable[..., Any] = stage.producer.produce
    for _ in range(50):
        produce(TOPIC, b"1")
        produce(TOPIC, b"1", headers={"a": b"1"}).close()
        _throw_into(produce(TOPIC, b"1"))
    stage.outcomes.sent += 150
    stage.outcomes.refused += 150


async def _purged(stage: Stage) -> None:
    await stage.send(200)
    for _ in range(20):
        await stage.send(1, value=b"1", on_delivery=stage.told.plain())
    await stage.producer.purge()


async def _hurried(stage: Stage) -> None:
    for timeout_s in (0.0, 0.001):
        await stage.send(100)
        await stage.producer.flush(timeout_s)
        await stage.send(100)
    waiting = asyncio.ensure_future(stage.producer.flush())
    await asyncio.sleep(0)
    waiting.cancel()


async def _at_once(stage: Stage) -> None:
    for _ in range(300):
        stage.outcomes.sent += 1
        try:
            stage.open.append(stage.producer.produce_nowait(TOPIC, b"1"))
        except BufferError:
            stage.outcomes.refused += 1


async def _new_topic(stage: Stage) -> None:
    topic = f"made-on-the-way-{next(_topics)}"
    stage.outcomes.sent += 20
    stage.open += [await stage.producer.produce(topic, b"1") for _ in range(20)]


async def _looked(stage: Stage) -> None:
    producer = stage.producer
    await producer.poll(0)
    await stage.send(10)
    producer.create_batches_preview()
    producer.statistics()
    await producer.poll(0.001)
    await producer.list_topics(TOPIC, timeout=10)
    await producer.list_topics(timeout=10)


Scene = Callable[[Stage], Awaitable[None]]
SCENES: dict[Scene, float] = {
    _plain: 8,
    _batch: 6,
    _poisoned_batch: 1,
    _dressed: 1,
    _heard: 1,
    _doomed: 1,
    _poison: 1,
    _given_up: 1,
    _cancelled: 1,
    _timed_out: 0.3,
    _by_hand: 1,
    _never_awaited: 1,
    _purged: 0.5,
    _hurried: 1,
    _at_once: 1,
    _new_topic: 0.05,
    _looked: 2,
}
"""How often each is chosen, beside the others."""
