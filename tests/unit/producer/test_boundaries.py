"""Nothing that a caller's code raises or returns stops the others: every boundary, every kind of raising and
returning, over both transports. Each record keeps its one outcome, each on_delivery runs once, flush and close come
to their ends, and the loop's exception handler hears of it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from producer import AIOProducer

LIMIT_S = 20
RECORDS = 50
BAD = 17


class Odd(BaseException):
    """None that `except Exception` would see."""


class Unawaitable:
    """Looks like an awaitable, and is none."""

    def __await__(self) -> Any:
        raise Odd("it can't be awaited")


def raising(raised: BaseException) -> Callable[[], Any]:
    def call() -> Any:
        raise raised

    return call


def of_another_loop() -> Any:
    loop = asyncio.new_event_loop()
    loop.close()
    return loop.create_future()


def cancelled_result() -> Any:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.cancel()
    return future.result()


def without_init() -> Any:
    async def coroutine() -> None:
        """Nothing."""

    made = coroutine()
    try:
        return type(made).__new__(type(made))
    finally:
        made.close()


def failing_coroutine() -> Any:
    async def coroutine() -> None:
        raise Odd("awaited")

    return coroutine()


def bare_raise() -> Any:
    raise


ENDS: dict[str, Callable[[], Any]] = {
    "Exception": raising(LookupError("planted")),
    "CancelledError": raising(asyncio.CancelledError()),
    "GeneratorExit": raising(GeneratorExit()),
    "MemoryError": raising(MemoryError()),
    "StopIteration": raising(StopIteration()),
    "BaseException": raising(Odd("planted")),
    "a cancelled future's result": cancelled_result,
    "bare raise": bare_raise,
    "unmakeable coroutine": without_init,
    "awaitable that can't be awaited": Unawaitable,
    "future of a closed loop": of_another_loop,
    "coroutine that raises": failing_coroutine,
}
HARMLESS: dict[str, Callable[[], Any]] = {
    "a number": lambda: 5,
    "not implemented": lambda: NotImplemented,
    "an old-style text": lambda: "text",
}
WHERE = ("alone", "batch", "conf", "failed", "nowait")


async def produced(producer: AIOProducer, where: str, on_delivery: Any) -> list[asyncio.Future[Any]]:
    """The futures of RECORDS records with this on_delivery."""
    if where == "batch":
        messages = [{"value": b"%d" % number} for number in range(RECORDS)]
        return [await producer.produce_batch("t", messages, on_delivery=on_delivery)]
    given = None if where == "conf" else on_delivery
    if where == "nowait":
        return [producer.produce_nowait("t", b"%d" % number, on_delivery=given) for number in range(RECORDS)]
    size = 3_000 if where == "failed" else 1
    return [
        await producer.produce("t", (b"%d" % number).zfill(size), on_delivery=given)
        for number in range(RECORDS)
    ]


def conf_of(where: str, on_delivery: Any) -> dict[str, Any]:
    """`message.max.bytes` makes librdkafka refuse the records of "failed"."""
    return {"message.max.bytes": 2_000, **({"on_delivery": on_delivery} if where == "conf" else {})}


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("end", [*ENDS, *HARMLESS])
async def test_on_delivery__ends_as_it_likes__harms_no_other_record(
    make, raised, end: str, where: str
) -> None:
    told: Counter[int] = Counter()

    def on_delivery(error: Any, message: Any) -> Any:
        number = int(message.value())
        told[number] += 1
        return {**ENDS, **HARMLESS}[end]() if number == BAD else None

    producer = make(conf_of(where, on_delivery))
    futures = await produced(producer, where, on_delivery)
    assert await producer.flush(LIMIT_S) == 0
    assert told == Counter(range(RECORDS))
    assert all(future.done() for future in futures)
    for future in futures:
        if where == "failed":
            assert isinstance(future.exception(), KafkaException)
        else:
            assert future.exception() is None
    await asyncio.sleep(0.01)
    assert len(raised) == (1 if end in ENDS else 0), raised
    await asyncio.wait_for(producer.close(), LIMIT_S)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_on_delivery__interrupts_the_program__gets_out_and_the_rest_is_served(
    broker, transport, new_loop, kind: type[BaseException], where: str
) -> None:
    told: Counter[int] = Counter()

    def on_delivery(error: Any, message: Any) -> None:
        number = int(message.value())
        told[number] += 1
        if number == BAD:
            raise kind

    loop = new_loop()

    async def play() -> None:
        conf = {"bootstrap.servers": broker.address, **conf_of(where, on_delivery)}
        producer = AIOProducer(conf, transport=transport)
        futures = await produced(producer, where, on_delivery)
        while len(producer):  # noqa: ASYNC110 (flush() would serve reports itself, and be interrupted)
            await asyncio.sleep(0.01)
        assert all(future.done() for future in futures)
        for future in futures:
            future.exception()
        await producer.close()

    playing = loop.create_task(play())
    with pytest.raises(kind):
        loop.run_until_complete(playing)
    loop.run_until_complete(asyncio.wait_for(playing, LIMIT_S))
    assert told == Counter(range(RECORDS))
    loop.close()


@pytest.mark.parametrize("name", ["stats_cb", "error_cb", "logger"])
@pytest.mark.parametrize("end", ENDS)
async def test_event__callback_ends_as_it_likes__others_are_served(make, raised, name: str, end: str) -> None:
    calls = 0

    def callback(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        return ENDS[end]()

    class Logger:
        log = staticmethod(callback)

    conf = {
        "stats_cb": {"stats_cb": callback, "statistics.interval.ms": 10},
        "error_cb": {"error_cb": callback, "bootstrap.servers": "127.0.0.1:1", "log_level": 0},
        "logger": {"logger": Logger, "bootstrap.servers": "127.0.0.1:1", "log_level": 6},
    }[name]
    producer = make(conf)
    until_s = time.monotonic() + LIMIT_S
    while len(raised) < 1 or calls < 1:
        assert time.monotonic() < until_s, "nobody heard of it"
        await asyncio.sleep(0.01)
    if name == "stats_cb":
        assert (await producer.send_and_wait("t", b"1")).value() == b"1"
        assert await producer.flush(LIMIT_S) == 0
    await asyncio.wait_for(producer.close(timeout=0), LIMIT_S)


async def test_event__statistics_that_nobody_asked_for__are_dropped(make, raised) -> None:
    producer = make({"statistics.interval.ms": 10})
    for _ in range(5):
        assert (await asyncio.wait_for(producer.send_and_wait("t", b"1"), LIMIT_S)).value() == b"1"
        await asyncio.sleep(0.02)
    assert raised == []
    polls = producer.statistics().polls
    await asyncio.sleep(0.1)
    assert producer.statistics().polls < polls + 50
    await asyncio.wait_for(producer.close(), LIMIT_S)


async def test_produce__what_was_given_changes_while_it_waits_in_line__is_what_it_was(broker, make) -> None:
    producer = make({"queue.buffering.max.messages": 1})
    await producer.send_and_wait("t", b"warm")
    broker.answer_after(50)
    value, headers = bytearray(b"before"), [("h", b"before")]
    messages: list[Any] = [{"value": bytearray(b"first")}, {"value": bytearray(b"second")}]
    await producer.produce("t", b"fills the queue")
    one = asyncio.ensure_future(producer.produce("t", value, headers=headers))
    many = asyncio.ensure_future(producer.produce_batch("t", messages))
    await asyncio.sleep(0)
    value[:] = b"after!"
    headers[0] = ("h", b"after")
    messages[1]["value"][:] = b"wrong!"
    messages.append({"value": b"third"})
    message = await asyncio.wait_for(await one, LIMIT_S)
    assert (message.value(), message.headers()) == (b"before", [("h", b"before")])
    result = await asyncio.wait_for(await many, LIMIT_S)
    assert (result.count, result.ok) == (2, True)
    stored = [record.value() for partition in broker.log("t", 4) for record in partition]
    assert sorted(stored) == [b"before", b"fills the queue", b"first", b"second", b"warm"]


@pytest.mark.parametrize("timeout_kind", ["flush", "close", "transaction"])
async def test_flush_and_close__records_linger__are_sent_at_once(broker, make, timeout_kind: str) -> None:
    is_transaction = timeout_kind == "transaction"
    conf = {"linger.ms": 60_000, "message.timeout.ms": 300_000}
    if is_transaction:
        conf = {"linger.ms": 50_000, "transactional.id": "lingers", "transaction.timeout.ms": 60_000}
    producer = make(conf)
    if is_transaction:
        await producer.init_transactions(LIMIT_S)
        await producer.begin_transaction()
    futures = [await producer.produce("t", b"%d" % number, partition=number) for number in range(4)]
    began_s = time.monotonic()
    if timeout_kind == "flush":
        assert await producer.flush(LIMIT_S) == 0
    elif timeout_kind == "close":
        await producer.close(LIMIT_S)
    else:
        await producer.commit_transaction(LIMIT_S)
    assert time.monotonic() - began_s < LIMIT_S
    assert [(await future).value() for future in futures] == [b"0", b"1", b"2", b"3"]


async def test_batch__on_delivery_of_each_record__has_run_when_its_future_is_settled(make) -> None:
    producer = make()
    told: list[Any] = []
    messages = [{"value": b"%d" % number} for number in range(2_000)]
    batch = await producer.produce_batch(
        "t", messages, on_delivery=lambda error, message: told.append(message)
    )
    await asyncio.wait_for(batch, LIMIT_S)
    assert len(told) == 2_000


async def test_on_delivery__calls_back_into_the_producer__harms_nobody(make) -> None:
    """By every call that does not wait."""
    producer = make()
    told: list[KafkaError | None] = []

    def on_delivery(error: Any, message: Any) -> None:
        told.append(error)
        if len(told) == 1:
            producer.produce_nowait("t", b"more", on_delivery=on_delivery)
            producer.create_batches_preview()
            producer.statistics()
            assert len(producer) > 0

    for number in range(RECORDS):
        await producer.produce("t", b"%d" % number, on_delivery=on_delivery)
    for _ in range(2):  # what a callback produces is younger than the flush
        await producer.flush(LIMIT_S)
    assert told == [None] * (RECORDS + 1)
