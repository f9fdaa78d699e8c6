"""An end in sight: Ctrl-C, close() wherever it is called from, and what waits while the producer is closed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from producer import AIOProducer, ProducerClosedError

EXIT_S = 0.5
END_S_MAX = 8.0
"""Of a program that has EXIT_S for its end: the rest is a slow machine's."""
PROGRAM = """
    import asyncio, sys
    from concurrent.futures import ThreadPoolExecutor
    from producer import AIOProducer

    conf = {"bootstrap.servers": ADDRESS, "linger.ms": 0, "log_level": 0}
    options = {"transport": TRANSPORT, "exit_timeout": EXIT_S}

    def tell(word):
        print(word, flush=True)

    async def until_away():
        tell("ready")
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        asyncio.get_running_loop().call_later(0.3, tell, "waiting")

    async def main():
        BODY

    asyncio.run(main())
"""
IN_BLOCK = """
async with AIOProducer(conf, **options) as producer:
    await producer.send_and_wait("t", b"0")
    await until_away()
    HERE
"""
IN_TRANSACTION = """
async with AIOProducer({**conf, "transactional.id": "t"}, **options) as producer:
    await producer.init_transactions()
    async with producer.transaction():
        await producer.send_and_wait("t", b"0")
        await until_away()
        HERE
"""
WAITS = {
    "for a future": (IN_BLOCK.replace("HERE", 'await producer.send_and_wait("t", b"1")'), 1),
    "for room": (
        IN_BLOCK.replace("conf,", '{**conf, "queue.buffering.max.messages": 5},').replace(
            "HERE", 'while True: await producer.produce("t", b"1")'
        ),
        5,
    ),
    "for a batch": (
        IN_BLOCK.replace("HERE", 'await (await producer.produce_batch("t", [{"value": b"1"}] * 7))'),
        7,
    ),
    "in flush": (IN_BLOCK.replace("HERE", 'await producer.produce("t", b"1"); await producer.flush()'), 1),
    "in poll": (IN_BLOCK.replace("HERE", 'await producer.produce("t", b"1"); await producer.poll(-1)'), 1),
    "in list_topics": (IN_BLOCK.replace("HERE", "await producer.list_topics()"), 0),
    "in list_topics on a given executor": (
        IN_BLOCK.replace("**options", "executor=ThreadPoolExecutor(1), **options").replace(
            "HERE", "await producer.list_topics()"
        ),
        0,
    ),
    "at the block's end": (IN_BLOCK.replace("HERE", 'await producer.produce("t", b"1")'), 1),
    "in close": (IN_BLOCK.replace("HERE", 'await producer.produce("t", b"1"); await producer.close()'), 1),
    "in close by another task": (
        IN_BLOCK.replace(
            "HERE",
            'await producer.produce("t", b"1"); asyncio.create_task(producer.close()); await asyncio.sleep(60)',
        ),
        1,
    ),
    "in a try with close": (
        """
producer = AIOProducer(conf, **options)
try:
    await producer.send_and_wait("t", b"0")
    await until_away()
    await producer.send_and_wait("t", b"1")
finally:
    await producer.close()
""",
        1,
    ),
    "in init_transactions": (
        """
async with AIOProducer({**conf, "transactional.id": "t"}, **options) as producer:
    await until_away()
    await producer.init_transactions()
""",
        0,
    ),
    "in a transaction": (IN_TRANSACTION.replace("HERE", 'await producer.send_and_wait("t", b"1")'), 1),
    "in a commit that flushes": (IN_TRANSACTION.replace("HERE", 'await producer.produce("t", b"1")'), 1),
    "in a commit": (IN_TRANSACTION.replace("HERE", "pass"), 0),
    "in an abort": (IN_TRANSACTION.replace("HERE", "raise LookupError"), 0),
}


@contextlib.contextmanager
def program(body: str, address: str, transport: str) -> Iterator[subprocess.Popen[str]]:
    """A program with this main(), which ends with the test."""
    script = textwrap.dedent(PROGRAM).replace("BODY", textwrap.indent(body.strip(), " " * 4).strip())
    for name, value in (("ADDRESS", address), ("TRANSPORT", transport), ("EXIT_S", EXIT_S)):
        script = script.replace(name, repr(value))
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that has put the tests into the background has them ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize("where", WAITS)
def test_ctrl_c__broker_away__ends_the_program_and_says_what_was_not_delivered(
    broker, transport, where
) -> None:
    body, lost = WAITS[where]
    with program(body, broker.address, transport) as running:
        assert running.stdout is not None and running.stdin is not None
        assert running.stdout.readline() == "ready\n", running.communicate(timeout=10)[1]
        broker.down()
        running.stdin.write("\n")
        running.stdin.flush()
        assert running.stdout.readline() == "waiting\n"
        began_s = time.monotonic()
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=60)
    assert time.monotonic() - began_s < END_S_MAX
    assert told.rstrip().endswith("KeyboardInterrupt"), told
    assert ("was closed before all records were acknowledged" in told) == bool(lost), told
    if lost:
        assert sum(int(word) for word in told.split("acknowledged:")[1].split() if word.isdigit()) == lost


async def test_block__left_by_an_error_with_the_broker_away__gives_up_in_time_and_says_so(
    broker, make, caplog
) -> None:
    producer = make(exit_timeout=0.1)
    await producer.send_and_wait("t", b"0")
    broker.down()
    with pytest.raises(LookupError):
        async with producer:
            futures = [await producer.produce("t", b"%d" % number) for number in range(3)]
            raise LookupError
    assert producer.closed
    assert {future.exception().args[0].name() for future in futures} <= {"_PURGE_QUEUE", "_PURGE_INFLIGHT"}
    assert [record.levelno for record in caplog.records if record.name == "producer"] == [logging.WARNING]


async def test_block__left_by_an_error_with_the_broker_there__delivers(broker, make, caplog) -> None:
    producer = make({"linger.ms": 60_000})
    with pytest.raises(LookupError):
        async with producer:
            future = await producer.produce("t", b"1")
            raise LookupError
    assert future.result().value() == b"1"
    assert not [record for record in caplog.records if record.name == "producer"]


async def test_close__cancelled_as_at_the_programs_end__settles_every_future(broker, make) -> None:
    producer = make(exit_timeout=0.1)
    await producer.send_and_wait("t", b"0")
    broker.down()
    futures = [await producer.produce("t", b"%d" % number) for number in range(3)]
    before = asyncio.all_tasks()
    closing = asyncio.create_task(producer.close())
    await asyncio.sleep(0.05)
    for task in asyncio.all_tasks() - before:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await asyncio.wait_for(producer.close(), 10)
    assert [type(future.exception()) for future in futures] == [KafkaException] * 3
    assert producer.closed


async def test_close__a_second_one_with_less_time__shortens_the_first(broker, make) -> None:
    producer = make()
    broker.down()
    future = await producer.produce("t", b"1")
    closing = asyncio.create_task(producer.close())
    await asyncio.sleep(0.05)
    await asyncio.wait_for(producer.close(timeout=0.1), 10)
    await closing
    assert isinstance(future.exception(), KafkaException)


@pytest.mark.parametrize("timeout", [30, 0], ids=["while it flushes", "while it gives up"])
async def test_block__left_by_an_error_while_another_task_closes__lets_the_error_out(
    broker, make, timeout
) -> None:
    producer = make(exit_timeout=0.2)
    await producer.send_and_wait("t", b"0")
    broker.down()
    await producer.produce("t", b"1")
    closing = asyncio.create_task(producer.close(timeout=timeout))
    with pytest.raises(LookupError):
        async with producer:
            await asyncio.sleep(0.01)
            raise LookupError
    await asyncio.wait_for(closing, 10)
    assert producer.closed
    assert len(producer) == 0


async def close_at_once(producer: AIOProducer) -> None:
    await producer.close()


async def close_in_a_task(producer: AIOProducer) -> None:
    await asyncio.wait_for(asyncio.create_task(producer.close()), 30)


async def close_several_times(producer: AIOProducer) -> None:
    await asyncio.gather(producer.close(), producer.close(timeout=5), producer.flush())


@pytest.mark.parametrize("close", [close_at_once, close_in_a_task, close_several_times])
async def test_close__from_an_async_on_delivery__ends_and_settles_the_rest(make, raised, close) -> None:
    producer = make()
    ended: list[str] = []
    both = asyncio.Event()

    async def stop(error: Any, message: Any) -> None:
        await close(producer)
        ended.append("closed")
        if ended.count("closed") == 2:
            both.set()

    async def slow(error: Any, message: Any) -> None:
        await asyncio.sleep(0.05)
        ended.append("slow")

    for on_delivery in (slow, stop, stop, slow):
        await producer.produce("t", b"1", on_delivery=on_delivery)
    await asyncio.wait_for(producer.close(), 10)
    await asyncio.wait_for(both.wait(), 10)
    assert ended == ["slow"] * 2 + ["closed"] * 2
    assert raised == []


async def test_close__from_another_producers_on_delivery__waits_for_its_own_callbacks(broker, make) -> None:
    one, other = make(), make()
    ended: list[str] = []

    async def stop_other(error: Any, message: Any) -> None:
        await other.close()
        ended.append("other closed")

    await one.send_and_wait("t", b"1", on_delivery=stop_other)
    await asyncio.wait_for(one.close(), 10)
    assert ended == ["other closed"]


CALLS = {
    "poll": lambda producer: producer.poll(-1),
    "list_topics": lambda producer: producer.list_topics(),
    "cluster_id": lambda producer: producer.cluster_id(),
    "purge": lambda producer: producer.purge(),
    "set_sasl_credentials": lambda producer: producer.set_sasl_credentials("name", "secret"),
}


@pytest.mark.parametrize("call", CALLS)
async def test_close__what_waits_in_a_call__hears_of_it_at_once(broker, make, call) -> None:
    gate = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        executor.submit(gate.wait, 10)
        producer = make(executor=executor)
        broker.down()
        waiting = asyncio.create_task(CALLS[call](producer))
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(producer.close(timeout=1))
        with pytest.raises(ProducerClosedError, match="closed while"):
            await asyncio.wait_for(waiting, 0.9)
        assert not waiting.cancelled()
        gate.set()
        await closing


@pytest.mark.parametrize("call", ["init", "begin", "send_offsets", "commit", "abort"])
async def test_close__what_waits_in_a_transaction_call__hears_of_it_at_once(broker, make, call) -> None:
    gate = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        producer = make({"transactional.id": "t"}, executor=executor)
        if call != "init":
            await producer.init_transactions(30)
        if call not in ("init", "begin"):
            await producer.begin_transaction()
            await producer.send_and_wait("t", b"1")
        executor.submit(gate.wait, 10)
        if call == "send_offsets":
            with contextlib.closing(
                Consumer({"bootstrap.servers": broker.address, "group.id": "g"})
            ) as consumer:
                group = consumer.consumer_group_metadata()
            waiting = asyncio.create_task(
                producer.send_offsets_to_transaction([TopicPartition("t", 0, 1)], group)
            )
        else:
            name = f"{call}_transactions" if call == "init" else f"{call}_transaction"
            waiting = asyncio.create_task(getattr(producer, name)())
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(producer.close(timeout=1))
        with pytest.raises(ProducerClosedError, match="closed while"):
            await asyncio.wait_for(waiting, 0.9)
        gate.set()
        await asyncio.wait_for(closing, 20)


async def test_call__cancelled_while_the_producer_closes__is_cancelled(broker, make) -> None:
    producer = make()
    waiting = asyncio.create_task(producer.poll(-1))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await producer.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_call__ended_by_close__leaves_its_task_able_to_wait(broker, make) -> None:
    producer = make()
    slept: list[bool] = []

    async def poll_and_wait() -> None:
        with contextlib.suppress(ProducerClosedError):
            await producer.poll(-1)
        await asyncio.wait_for(asyncio.sleep(0.01), 5)
        slept.append(True)

    waiting = asyncio.create_task(poll_and_wait())
    await asyncio.sleep(0.01)
    await producer.close()
    await waiting
    assert slept == [True]


def test_exit_timeout__wrong__raises_with_its_name(transport) -> None:
    async def make() -> None:
        AIOProducer({"bootstrap.servers": "localhost:1"}, transport=transport, exit_timeout=-1)

    with pytest.raises(ValueError, match="exit_timeout"):
        asyncio.run(make())
