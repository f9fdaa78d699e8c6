"""The lives of producers on one loop: with settings of many kinds, and every way to end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException

from producer import AIOProducer, ProducerClosedError, TransactionError
from producer.transports import COMPILED
from systest.safety.outcomes import Outcomes
from systest.safety.scenes import RECORD_BYTES_MAX, SCENES, TOPIC, PlannedError, Stage

OUTCOME_S_MAX = 60.0
"""How long a record of a producer that was dropped may wait for its outcome."""
OPEN_MAX = 5000
"""Futures that are kept before they are waited for and counted."""

_TOLD_S_MAX, _LOOK_S = 2.0, 0.002
_LENGTHS = (500, 5_000, 20_000, 60_000, 120_000)
_SCENES, _WEIGHTS = tuple(SCENES), tuple(SCENES.values())


@dataclass
class Plot:
    """What the lives of one loop have in common.

    Args:
        address: of the broker.
        transport: of the producers.
        chance: what decides.
        outcomes: where records are counted.
        is_over: whether no further life is to begin, and this one to end.
    """

    address: str
    transport: str
    chance: random.Random
    outcomes: Outcomes
    is_over: Callable[[], bool]


def live(loop: asyncio.AbstractEventLoop, plot: Plot) -> None:
    """Some lives on a loop of their own, one after the other; the loop is closed at the end, maybe under a producer."""
    left: Stage | None = None
    try:
        left = loop.run_until_complete(_lives(plot))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
    if left is not None:
        done = [future for future in left.open if future.done()]
        plot.outcomes.unheard += len(left.open) - len(done)
        plot.outcomes.count(done)


async def _lives(plot: Plot) -> Stage | None:
    asyncio.get_running_loop().set_exception_handler(lambda _, context: _note(plot.outcomes, context))
    for _ in range(plot.chance.randint(1, 6)):
        if plot.is_over():
            return None
        if plot.chance.random() < 0.1:
            await _transactions(plot)
        else:
            await _life(plot)
    # Not over the pure transport: confluent-kafka keeps the callbacks of records that nobody polls for.
    if plot.transport == COMPILED and plot.chance.random() < 0.5:
        return await _left_to_its_loop(plot)
    return None


def _note(outcomes: Outcomes, context: dict[str, Any]) -> None:
    raised = context.get("exception")
    # Of a record whose caller was cancelled when it was queued already, nobody has the future.
    is_nobodys = isinstance(raised, KafkaException) and "never retrieved" in context["message"]
    if not isinstance(raised, PlannedError) and not is_nobodys:
        outcomes.trouble[f"the loop was told {context['message']!r} ({raised!r})"] += 1


def _made(plot: Plot, **settings: Any) -> Stage:
    chance = plot.chance
    conf: dict[str, Any] = {
        "bootstrap.servers": plot.address,
        "log_level": 0,
        "message.max.bytes": RECORD_BYTES_MAX,
        "linger.ms": chance.choice((0, 1, 5)),
        "queue.buffering.max.messages": chance.choice((300, 20_000, 100_000)),
        "enable.idempotence": chance.random() < 0.25,
        "error_cb": _listen,
        **settings,
    }
    if chance.random() < 0.25:
        conf.update({"statistics.interval.ms": 50, "stats_cb": _listen, "throttle_cb": _listen})
    plot.outcomes.producers += 1
    producer = AIOProducer(conf, batch_size=chance.choice((100, 1000)), transport=plot.transport)
    return Stage(producer, chance, plot.outcomes)


def _listen(_: object) -> None:
    """An event's callback, whose reference the client has."""


async def _life(plot: Plot) -> None:
    stage = _made(plot)
    outcomes, chance = plot.outcomes, plot.chance
    end = outcomes.sent + chance.choice(_LENGTHS)
    while outcomes.sent < end and not plot.is_over():
        (scene,) = chance.choices(_SCENES, _WEIGHTS)
        await scene(stage)
        if len(stage.open) > OPEN_MAX:
            await _settle(stage)
    await chance.choice((_closed, _closed, _closed_at_once, _closed_soon, _dropped))(stage)


async def _settle(stage: Stage) -> None:
    """Wait for the outcomes so far, and count them."""
    await stage.producer.flush()
    _count(stage)


def _count(stage: Stage) -> None:
    stage.outcomes.count(stage.open)
    stage.open.clear()


def _count_last(stage: Stage) -> None:
    _count(stage)
    stage.outcomes.count_callbacks(stage.told.times)


async def _closed(stage: Stage, timeout_s: float | None = None) -> None:
    await stage.producer.close(timeout_s)
    _count_last(stage)
    figures = stage.producer.statistics()
    if figures.settled != figures.accepted or len(stage.producer):
        stage.outcomes.trouble["a closed producer had records that were not settled"] += 1


async def _closed_at_once(stage: Stage) -> None:
    await stage.send(300)
    await _closed(stage, 0)


async def _closed_soon(stage: Stage) -> None:
    lined_up = [asyncio.ensure_future(stage.producer.produce(TOPIC, b"1")) for _ in range(500)]
    await asyncio.sleep(0)
    await _closed(stage, 0.05)
    stage.outcomes.sent += len(lined_up)
    for task in lined_up:
        try:
            stage.open.append(await task)
        except ProducerClosedError:
            stage.outcomes.refused += 1
    _count(stage)


async def _dropped(stage: Stage) -> None:
    await _settle(stage)
    await stage.send(300)
    del stage.producer
    await asyncio.wait(stage.open, timeout=OUTCOME_S_MAX)
    await _until_told(stage)
    _count_last(stage)


async def _until_told(stage: Stage) -> None:
    """The last on_delivery calls of a producer that nobody closes may still run."""
    for _ in range(round(_TOLD_S_MAX / _LOOK_S)):
        if all(stage.told.times):
            return
        await asyncio.sleep(_LOOK_S)


async def _left_to_its_loop(plot: Plot) -> Stage:
    """Records are on their way, and some still in the buffer, when the loop is closed."""
    stage = _made(plot)
    await stage.send(100)
    await asyncio.sleep(plot.chance.choice((0, 0.001, 0.01)))
    await stage.send(100)
    return stage


async def _transactions(plot: Plot) -> None:
    name = f"soak-{plot.chance.getrandbits(32):x}"
    stage = _made(plot, **{"transactional.id": name, "enable.idempotence": True})
    producer = stage.producer
    await producer.init_transactions(30)
    for _ in range(5):
        await producer.begin_transaction()
        await stage.attempt(producer.produce(TOPIC, b"1") for _ in range(100))
        try:
            if plot.chance.random() < 0.5:
                await producer.commit_transaction(30)
            else:
                await producer.abort_transaction(30)
        except TransactionError:
            await producer.abort_transaction(30)
    await producer.begin_transaction()  # which close() aborts
    await stage.attempt(producer.produce(TOPIC, b"1") for _ in range(10))
    await _closed(stage)
