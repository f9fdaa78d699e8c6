"""Rules 8 and 9: the loop breathes, idle means idle, and memory is bounded. Counted in ticks, records and wake-ups, so
that a slow machine changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import textwrap
import time
import tracemalloc
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from confluent_kafka import KafkaException

RECORDS = 80_000
"""What takes even the fastest way of producing many times what a turn of the loop may take."""


class Ticks:
    """Counts the turns of the loop that other tasks get while a block runs, and the most that happened between two."""

    def __init__(self, progress: Callable[[], int] = lambda: 0) -> None:
        self.count = 0
        self.most = 0
        self._progress = progress

    async def __aenter__(self) -> Ticks:
        self._task = asyncio.ensure_future(self._tick())
        await asyncio.sleep(0)
        self.count = 0
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _tick(self) -> None:
        done = self._progress()
        while True:
            await asyncio.sleep(0)
            self.count += 1
            self.most = max(self.most, self._progress() - done)
            done = self._progress()


Produces = Callable[[Any], Awaitable[Any]]


async def one_by_one(producer: Any) -> None:
    for _ in range(RECORDS):
        await producer.produce("t", b"1")


async def with_callbacks(producer: Any) -> None:
    for _ in range(RECORDS):
        await producer.produce("t", b"1", on_delivery=lambda error, message: None)


async def in_one_batch(producer: Any) -> None:
    await producer.produce_batch("t", [{"value": b"1"}] * RECORDS)


async def in_one_batch_with_headers(producer: Any) -> None:
    await producer.produce_batch("t", [{"value": b"1", "headers": {"h": b"1"}}] * RECORDS)


@pytest.mark.parametrize("produce", [one_by_one, with_callbacks, in_one_batch, in_one_batch_with_headers])
async def test_produce__a_caller_who_never_pauses__lets_other_tasks_run(make, produce: Produces) -> None:
    producer = make()
    async with Ticks() as ticks:
        await produce(producer)
    assert ticks.count >= 5
    await producer.flush(10)


async def test_reports__thousands_at_once__are_served_in_several_ticks(make) -> None:
    producer = make()
    for _ in range(RECORDS):
        producer.produce_nowait("t", b"1")
    await producer.poll(0)
    time.sleep(0.5)  # noqa: ASYNC251 (the loop is kept from serving, so that the reports pile up)
    async with Ticks(lambda: RECORDS - len(producer)) as ticks:
        await producer.flush(10)
    assert 0 < ticks.most <= RECORDS // 2


async def test_on_delivery__each_takes_its_time__other_tasks_run_in_between(make) -> None:
    producer = make()
    calls = 0

    def slow(error: Any, message: Any) -> None:
        nonlocal calls
        calls += 1
        time.sleep(0.001)

    for _ in range(100):
        await producer.produce("t", b"1", on_delivery=slow)
    async with Ticks(lambda: calls) as ticks:
        await producer.flush(10)
    assert calls == 100
    assert ticks.most <= 10


@pytest.mark.parametrize(
    ("call", "conf"),
    [
        (lambda producer: producer.list_topics(timeout=0.2), {}),
        (lambda producer: producer.init_transactions(0.2), {"transactional.id": "a"}),
        (lambda producer: producer.flush(0.2), {}),
        (lambda producer: producer.poll(0.2), {}),
        (lambda producer: producer.close(0.2), {}),
    ],
    ids=["list_topics", "init_transactions", "flush", "poll", "close"],
)
async def test_call__nobody_answers__other_tasks_run_meanwhile(broker, make, call, conf) -> None:
    broker.down()
    producer = make(conf)
    futures = [] if conf else [producer.produce_nowait("t", b"1")]
    async with Ticks() as ticks:
        with contextlib.suppress(KafkaException):
            await call(producer)
    assert ticks.count >= 5
    await producer.close(0)
    assert all(future.exception() is not None for future in futures)


class Noting(ThreadPoolExecutor):
    """Notes which of the client's methods ran in it."""

    def __init__(self) -> None:
        super().__init__(1)
        self.names: list[str] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.names.append(fn.args[0])
        return super().submit(fn, *args, **kwargs)


async def test_blocking_calls__executor_given__run_there_and_not_on_the_loop(broker, make) -> None:
    with Noting() as executor:
        producer = make(executor=executor)
        topic = broker.create("known", 3)
        assert len((await producer.list_topics(topic, 10)).topics[topic].partitions) == 3
        await producer.set_sasl_credentials("user", "secret")
        await producer.purge()
        with pytest.raises(TypeError):
            await producer.set_sasl_credentials("user", 5)
        await producer.close()
    assert executor.names[:4] == ["list_topics", "set_sasl_credentials", "purge", "set_sasl_credentials"]


IDLE = """
    import asyncio, resource, sys
    from confluent_kafka import Producer
    from producer import AIOProducer

    async def wakeups(conf, make):
        producer = make(conf)
        if make is AIOProducer:
            await producer.send_and_wait("t", b"1")
        else:
            producer.produce("t", b"1")
            producer.flush()
        await asyncio.sleep(0.7)
        before = resource.getrusage(resource.RUSAGE_SELF)
        await asyncio.sleep(2)
        after = resource.getrusage(resource.RUSAGE_SELF)
        if make is AIOProducer:
            await producer.close()
        return after.ru_nvcsw - before.ru_nvcsw

    conf = {"bootstrap.servers": sys.argv[1]}
    print(asyncio.run(wakeups(conf, Producer)))
    print(asyncio.run(wakeups(conf, AIOProducer)))
    print(asyncio.run(wakeups({**conf, "error_cb": print}, AIOProducer)))
"""


def test_idle__two_seconds__nothing_wakes_but_librdkafkas_own_threads(broker, transport, monkeypatch) -> None:
    monkeypatch.setenv("PRODUCER_TRANSPORT", transport)
    program = [sys.executable, "-c", textwrap.dedent(IDLE), broker.address]
    said = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True).stdout
    its_own, idle, idle_with_events = map(int, said.split())
    assert idle - its_own <= 10
    assert idle_with_events - its_own <= 60  # a thread waits for events, a tenth of a second at a time


async def test_memory__slow_broker_and_fast_callers__no_more_than_the_queue_holds(broker, make) -> None:
    producer = make({"queue.buffering.max.messages": 100})
    await producer.send_and_wait("t", b"warm")
    broker.answer_after(5)
    held: list[int] = []

    def note(error: Any, message: Any) -> None:
        held.append(len(producer))

    async def fast() -> None:
        for _ in range(100):
            await producer.produce("t", b"1", on_delivery=note)
            held.append(len(producer))

    batch = await producer.produce_batch("t", [{"value": b"1"}] * 1000, on_delivery=note)
    await asyncio.gather(*(fast() for _ in range(10)))
    assert (await batch).ok
    assert await producer.flush(30) == 0
    assert max(held) == 100


async def test_memory__queue_limited_in_bytes__no_more_than_that_and_a_batch(broker, make) -> None:
    producer = make({"queue.buffering.max.kbytes": 64}, batch_size=4)
    await producer.send_and_wait("t", b"warm")
    broker.answer_after(2)
    most = 0
    for _ in range(200):
        await producer.produce("t", b"x" * 10_000)
        most = max(most, len(producer))
    assert await producer.flush(30) == 0
    assert 6 <= most <= 6 + 1 + 4 + 1


async def growth_of(work: Callable[[], Awaitable[None]]) -> int:
    """Bytes that three rounds of the work leave behind, once two have filled whatever is used again."""
    await work()
    tracemalloc.start()
    try:
        await work()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(3):
            await work()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["plain", "callback", "batch", "headers", "failed", "given up"])
async def test_memory__records_settled__nothing_of_them_is_kept(make, kind: str) -> None:
    producer = make({"message.max.bytes": RECORDS})

    async def one_round() -> None:
        for number in range(500):
            value = b"%d" % number + b"x" * (30_000 if kind == "failed" else 1000)
            if kind == "batch":
                await producer.produce_batch("t", [{"value": value}])
                continue
            future = await producer.produce(
                "t",
                value,
                on_delivery=(lambda error, message: None) if kind in ("callback", "failed") else None,
                headers={"h": b"1"} if kind == "headers" else None,
            )
            if kind == "given up":
                future.cancel()
        del value
        await producer.flush(10)
        await asyncio.sleep(0.01)
        gc.collect()

    assert await growth_of(one_round) < 100_000, "of each record something is kept"


async def test_memory__future_and_callback_dropped_by_the_caller__are_gone_once_settled(make) -> None:
    producer = make()

    def on_delivery(error: Any, message: Any) -> None:
        pass

    futures = [
        await producer.produce("t", b"1"),
        await producer.produce("t", b"2", on_delivery=on_delivery),
        await producer.produce_batch("t", [{"value": b"3"}], on_delivery=on_delivery),
    ]
    watched = [*map(weakref.ref, futures), weakref.ref(on_delivery)]
    await producer.flush(10)
    del futures, on_delivery
    await asyncio.sleep(0.01)
    gc.collect()
    assert [each() for each in watched] == [None] * 4


async def test_memory__waits_given_up_again_and_again__leave_nothing(broker, make) -> None:
    """A poll() that found nothing, a flush whose time was up, a produce() cancelled while it stood in line."""
    producer = make({"queue.buffering.max.messages": 1})
    broker.down()
    only = await producer.produce("t", b"0")

    async def give_up() -> None:
        for _ in range(200):
            await producer.poll(1e-6)
            await producer.flush(1e-6)
            standing = asyncio.ensure_future(producer.produce("t", b"x" * 1000))
            await asyncio.sleep(0)
            standing.cancel()
            await asyncio.wait([standing])
        gc.collect()

    assert await growth_of(give_up) < 50_000, "of each wait something is kept"
    assert not only.done()
    assert producer.statistics().waiting == 0
    await producer.close(0)
    assert only.exception() is not None
