"""The choice of a transport, and what both of them owe: the same errors, ends and answers, and no reference kept."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from producer import AIOProducer
from producer.callbacks import CallbackManager
from producer.message_batch import PARTITIONER
from producer.transports import COMPILED, PURE, transports

LOAD = """
    import logging, sys
    logging.basicConfig(format="%(levelname)s %(message)s")
    {before}
    from producer.transports import choose_transport, why_not_compiled
    print(choose_transport(None), choose_transport(None))
    print(why_not_compiled())
    try:
        choose_transport("compiled")
    except ValueError as error:
        print(error)
"""

NOT_BUILT = """
    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name == "producer._librdkafka":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    sys.meta_path.insert(0, Absent())
"""
TOO_OLD = """
    import confluent_kafka.cimpl, ctypes
    loaded = ctypes.CDLL
    ctypes.CDLL = lambda path: loaded(None)  # a library in which nothing of librdkafka is found
"""


def loaded(before: str) -> tuple[list[str], str]:
    """What a program says that chooses a transport after `before`, and what it logs."""
    program = textwrap.dedent(LOAD).format(before=textwrap.dedent(before))
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines(), ended.stderr


@pytest.mark.parametrize(
    ("before", "reason"),
    [(NOT_BUILT, "No module named 'producer._librdkafka'"), (TOO_OLD, "has no rd_kafka_")],
    ids=["not built", "library without its functions"],
)
def test_choice__compiled_can_not_be_loaded__pure_and_one_logged_sentence(before: str, reason: str) -> None:
    said, logged = loaded(before)
    assert said[0] == "pure pure"
    assert said[1].endswith(".")
    assert said[2] == f"transport is 'compiled'; this installation has: pure. {said[1]}"
    assert logged == f"WARNING The pure transport is used. {said[1]}\n"
    assert reason in said[1] or "not built" in said[1]


async def test_choice__nothing_asked_for__the_first_that_there_is(broker, caplog) -> None:
    with caplog.at_level(logging.WARNING, logger="producer"):
        async with AIOProducer({"bootstrap.servers": broker.address}) as producer:
            assert producer.transport == transports()[0]
    assert bool(caplog.records) <= (transports() == (PURE,))


async def test_subclass__overrides_produce__is_what_callers_get(broker, transport) -> None:
    class Counting(AIOProducer):
        calls = 0

        async def produce(self, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return await super().produce(*args, **kwargs)

    async with Counting({"bootstrap.servers": broker.address}, transport=transport) as producer:
        assert (await producer.send_and_wait("t", b"1")).value() == b"1"
        await (await producer.produce("t", b"2"))
        assert producer.calls == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("t", b"1", None, PARTITIONER, None, 0, None),
        ("t", b"1", b"k"),
        ("t", "text", "key"),
        ("t", bytearray(b"1")),
        ("t", b"", b""),
        ("t", None, None, 0),
        ("t", b"1", None, 0, None, 1_700_000_000_000, [("h", None)]),
        ("t", b"1", None, -1, None, 0, {}),
    ],
)
async def test_produce__alone_asked_and_unasked__sends_the_same(
    broker, make, arguments: tuple[Any, ...]
) -> None:
    broker.create("t", 1)
    producer = make()
    first = await producer.produce(*arguments)  # leaves at once
    second = await producer.produce(*arguments)
    await has_room(producer)
    third = await producer.produce(*arguments)
    await producer.flush(10)
    stored = broker.log("t", 1)[0]
    results = [future.result() for future in (first, second, third)]
    for result in results:
        record = stored[result.offset()]
        assert (record.value(), record.key()) == (result.value(), result.key())
        assert result.timestamp()[1] in (record.timestamp()[1], result.timestamp()[1])
    assert len({(result.value(), result.key(), result.topic(), result.error()) for result in results}) == 1


async def has_room(producer: AIOProducer) -> None:
    """So that the next record of this tick enters unasked; on a slow machine a tick may be over in between."""
    for _ in range(100):
        if producer._records.room > 0:
            return
        await producer.produce("t", b"make room")
    raise AssertionError("there is never room")


@pytest.mark.parametrize("value", [b"bytes", "text"])
async def test_produce__call__is_a_coroutine_that_does_nothing_until_awaited(
    broker, make, value: Any
) -> None:
    producer = make()
    await has_room(producer)
    before = producer.statistics().accepted
    call = producer.produce("t", value)
    assert asyncio.iscoroutine(call)
    assert producer.statistics().accepted == before
    assert isinstance(await call, asyncio.Future)
    assert producer.statistics().accepted == before + 1
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        await call


@pytest.mark.parametrize("value", [b"bytes", "text"])
async def test_produce__never_awaited__warns_and_sends_nothing(make, value: Any) -> None:
    producer = make()
    await has_room(producer)
    before = producer.statistics().accepted
    with pytest.warns(RuntimeWarning, match=r"coroutine '.*produce' was never awaited"):
        producer.produce("t", value)
        gc.collect()
    assert producer.statistics().accepted == before


@pytest.mark.parametrize("value", [b"bytes", "text"])
async def test_produce__as_tasks__are_queued_in_the_order_of_the_calls(broker, make, value: Any) -> None:
    broker.create("t", 1)
    producer = make()
    await has_room(producer)
    first = asyncio.create_task(producer.produce("t", value, headers={"h": b"1"}))
    second = asyncio.create_task(producer.produce("t", value))
    never = asyncio.create_task(producer.produce("t", b"never"))
    never.cancel()
    with pytest.raises(asyncio.CancelledError):
        await never
    offsets = [(await delivery).offset() for delivery in await asyncio.gather(first, second)]
    assert offsets == sorted(offsets)
    waited = await asyncio.wait_for(producer.produce("t", value), 10)
    assert (await waited).offset() == offsets[-1] + 1


async def test_produce__driven_by_hand__is_a_generator_like_any_coroutine(make) -> None:
    producer = make()
    await has_room(producer)
    call = producer.produce("t", b"1")
    with pytest.raises(StopIteration) as ended:
        call.send(None)
    assert isinstance(ended.value.value, asyncio.Future)
    call = producer.produce("t", b"2")
    with pytest.raises(LookupError):
        call.throw(LookupError("thrown in before the beginning"))
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        call.send(None)
    producer.produce("t", b"3").close()


async def test_produce__closed_or_thrown_into_while_in_line__is_not_queued(broker, make) -> None:
    producer = make({"queue.buffering.max.messages": 1})
    await producer.send_and_wait("t", b"warm")
    broker.answer_after(300)
    await producer.produce("t", b"fills the queue")
    closed, thrown_into = producer.produce("t", b"closed"), producer.produce("t", b"thrown into")
    closed.send(None)
    thrown_into.send(None)
    closed.close()
    with pytest.raises(LookupError):
        thrown_into.throw(LookupError("while it waits"))
    await producer.flush(10)
    assert producer.statistics().accepted == 2


async def test_topic__librdkafka_refuses_its_name__that_records_future_says_so(make) -> None:
    producer = make()
    refused = await producer.produce("t" * 600, b"1")
    alright = await producer.produce("t", b"2")
    with pytest.raises(KafkaException) as failed:
        await asyncio.wait_for(refused, 10)
    assert failed.value.args[0].code() == KafkaError._INVALID_ARG
    assert (await alright).value() == b"2"


async def test_value__of_the_acknowledged_message__is_the_very_object_over_the_compiled_transport(
    make,
) -> None:
    producer = make()
    value, key = b"value" * 100, b"key" * 100
    message = await producer.send_and_wait("t", value, key=key)
    assert (message.value(), message.key()) == (value, key)
    assert (message.value() is value, message.key() is key) == (producer.transport != PURE,) * 2


async def test_threads__while_records_are_sent__only_the_pure_transport_has_one(make) -> None:
    before = set(threading.enumerate())
    producer = make()
    for _ in range(3):
        await producer.send_and_wait("t", b"1")
    futures = [await producer.produce("t", b"1") for _ in range(1000)]
    names = {thread.name for thread in set(threading.enumerate()) - before}
    await asyncio.gather(*futures)
    assert names == ({"producer-reports"} if producer.transport == PURE else set())


@pytest.mark.parametrize("settled_by", ["report", "purge", "close", "refusal"])
async def test_references__whatever_settles_a_record__none_is_kept(broker, make, settled_by: str) -> None:
    producer = make({"message.max.bytes": 2000})
    await producer.send_and_wait("t", b"warm")
    if settled_by in ("purge", "close"):
        broker.answer_after(2000)
    value = b"1" * (3000 if settled_by == "refusal" else 10)
    watched = []
    for _ in range(50):
        future = await producer.produce("t", value)
        future.add_done_callback(lambda done: done.exception())
        watched.append(weakref.ref(future))
    del future
    if settled_by == "purge":
        await producer.purge()
    await producer.close(0.1 if settled_by == "close" else 10)
    gc.collect()
    assert [ref for ref in watched if ref() is not None] == []


@pytest.mark.skipif(COMPILED not in transports(), reason="it is the compiled transport's own part")
async def test_client__drained_by_what_an_event_sets_off__serves_the_event_once() -> None:
    from producer._librdkafka import Client, Records

    loop = asyncio.get_running_loop()
    inner: list[bool] = []
    settings = {"bootstrap.servers": "127.0.0.1:1", "log_level": "0"}
    client = Client(settings, -1, lambda error: inner.append(records.drain(1)))
    records = Records(client, loop, CallbackManager(loop), 1, None)
    deadline_s = time.monotonic() + 10
    while not inner:
        assert time.monotonic() < deadline_s, "librdkafka told of no error"
        await asyncio.sleep(0.01)
        records.drain(1)
    assert set(inner) == {True}
    assert records.drain(1) is False
    records.release()


@pytest.mark.filterwarnings("ignore:AIOProducer dropped:ResourceWarning")
@pytest.mark.skipif(COMPILED not in transports(), reason="confluent-kafka keeps what it never reported")
def test_references__loop_closed_with_records_in_flight__none_is_kept(broker, new_loop) -> None:
    broker.answer_after(3000)
    loop = new_loop()

    async def produce() -> list[weakref.ref[Any]]:
        producer = AIOProducer({"bootstrap.servers": broker.address, "log_level": 0}, transport=COMPILED)
        return [weakref.ref(await producer.produce("t", b"1")) for _ in range(20)]

    watched = loop.run_until_complete(produce())
    loop.close()
    deadline_s = time.monotonic() + 10
    while any(ref() is not None for ref in watched):
        assert time.monotonic() < deadline_s, "futures are kept"
        gc.collect()
        time.sleep(0.05)


async def test_oauth_cb__plain_and_raising__is_told_to_the_loops_handler_or_to_librdkafka(
    make, raised
) -> None:
    asked: list[str] = []

    def token(config: str) -> Any:
        asked.append(config)
        # confluent-kafka's Producer, which the pure transport is on, waits for a token before it is there.
        if len(asked) == 1 and transports()[0] != PURE:
            raise LookupError("no token today")
        return "token", 2_000_000_000.0, "principal", {"extension": "value"}

    told: list[KafkaError] = []
    conf = {
        "security.protocol": "sasl_plaintext",
        "sasl.mechanisms": "OAUTHBEARER",
        "oauth_cb": token,
        "error_cb": told.append,
        "log_level": 0,
    }
    producer = make(conf, transport=transports()[0])
    for _ in range(500):
        if asked and (told or raised):
            break
        await asyncio.sleep(0.01)
    await producer.close(timeout=0)
    assert not asked[0]  # there is no sasl.oauthbearer.config
    if producer.transport != PURE:
        assert "no token today" in str(raised[0]["exception"])
        assert any(error.code() == KafkaError._AUTHENTICATION for error in told)


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_oauth_cb__takes_its_time__holds_up_nothing_but_its_answer(make, kind: str) -> None:
    """Over the pure transport the constructor waits for the first token."""
    asked = threading.Event()
    threads: list[int] = []

    def plain(config: str) -> tuple[str, float]:
        threads.append(threading.get_ident())
        asked.set()
        time.sleep(0.3)
        return "token", 2_000_000_000.0

    async def coroutine(config: str) -> tuple[str, float]:
        threads.append(threading.get_ident())
        asked.set()
        await asyncio.sleep(0.3)
        return "token", 2_000_000_000.0

    began_s = time.monotonic()
    conf = {
        "bootstrap.servers": "127.0.0.1:1",
        "security.protocol": "sasl_plaintext",
        "sasl.mechanisms": "OAUTHBEARER",
        "oauth_cb": plain if kind == "plain" else coroutine,
        "log_level": 0,
    }
    producer = make(conf)
    is_pure = producer.transport == PURE
    assert (time.monotonic() - began_s > 0.9) == is_pure
    longest_s, last_s = 0.0, time.monotonic()
    while not asked.is_set() or time.monotonic() < began_s + 0.5:
        await asyncio.sleep(0.01)
        longest_s, last_s = max(longest_s, time.monotonic() - last_s), time.monotonic()
    assert longest_s < 0.25
    assert (threads[0] == threading.get_ident()) == (kind == "async" and not is_pure)
    await producer.close(timeout=0)


@pytest.mark.parametrize("many", [2, 3000])
async def test_references__serving_stopped_in_the_middle_of_reports__keeps_no_producer(
    broker, transport, many: int
) -> None:
    """confluent-kafka keeps the exception that stops its poll(), and that would keep what its trace can see."""
    async with AIOProducer({"bootstrap.servers": broker.address}, transport=transport) as producer:
        for _ in range(5):
            for _ in range(many):
                producer.produce_nowait("t", b"1")
            await producer.flush()
        callbacks = weakref.ref(producer._callbacks)
    del producer
    await until_gone(callbacks)


async def test_references__result_of_a_batch_kept__keeps_no_producer(broker, transport) -> None:
    async with AIOProducer({"bootstrap.servers": broker.address}, transport=transport) as producer:
        messages = [{"value": 1}, {"vaule": b"2"}, {"value": b"3"}, {"value": b"4" * 2_000_000}]
        result = await (await producer.produce_batch("t", messages, keep_messages=True))
        callbacks = weakref.ref(producer._callbacks)
    del producer
    await until_gone(callbacks)
    assert list(result.failures) == [0, 1, 3]


async def until_gone(ref: weakref.ref[Any]) -> None:
    """What ends last may be a thread of the producer's, or a call of the loop."""
    for _ in range(100):
        gc.collect()
        if ref() is None:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it is kept")
