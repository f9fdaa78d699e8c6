"""The members that only look at or give up what was produced: purge, len, preview, statistics; and whose loop it is."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from producer import AIOProducer, ProducerClosedError, ProducerFailedError, WrongLoopError
from producer.transports import PURE

PRODUCE_REQUEST = 0
ONE_IN_FLIGHT = {"max.in.flight": 1, "batch.num.messages": 1}


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until it is so; else it fails with what is not."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(what)


async def one_in_flight_one_queued(broker: Any, producer: Any) -> tuple[Any, Any]:
    """The futures of a record that waits for its answer, and of one that waits behind it in librdkafka's queue."""
    topic = broker.create("held", 1)
    await producer.send_and_wait(topic, b"warm")
    broker.hold_next_produce(400)
    first = await producer.produce(topic, b"in flight")
    await until(broker.holds_one, "no request came: nothing is in flight")
    second = await producer.produce(topic, b"queued")
    await asyncio.sleep(0)
    return first, second


@pytest.mark.parametrize(
    ("in_queue", "in_flight", "codes"),
    [
        (True, False, (None, KafkaError._PURGE_QUEUE)),
        (False, True, (KafkaError._PURGE_INFLIGHT, None)),
        (True, True, (KafkaError._PURGE_INFLIGHT, KafkaError._PURGE_QUEUE)),
        (False, False, (None, None)),
    ],
)
async def test_purge__in_queue_and_in_flight_apart__gives_up_what_it_is_told_to(
    broker, make, in_queue, in_flight, codes
) -> None:
    producer = make(ONE_IN_FLIGHT)
    futures = await one_in_flight_one_queued(broker, producer)
    await producer.purge(in_queue=in_queue, in_flight=in_flight)
    assert await producer.flush(10) == 0
    errors = [future.exception() for future in futures]
    assert tuple(None if error is None else error.args[0].code() for error in errors) == codes


async def test_purge__record_that_waits_to_be_sent_again__is_in_the_queue_though_it_was_written(
    broker, make
) -> None:
    """Its answer was lost with the connection."""
    producer = make()
    topic = broker.create("again", 1)
    await producer.send_and_wait(topic, b"warm")
    broker.hold_next_produce(400)
    future = await producer.produce(topic, b"1")
    await until(broker.holds_one, "no request came: nothing is in flight")
    broker.down()
    for _ in range(100):
        await producer.purge(in_flight=False)
        if future.done():
            break
        await asyncio.sleep(0.01)
    assert future.exception().args[0].code() == KafkaError._PURGE_QUEUE
    broker.up()
    assert [message.value() for message in broker.log(topic, 1)[0]] == [b"warm", b"1"]


async def test_purge__records_still_in_the_buffer__fail_unless_the_queue_is_to_be_kept(make) -> None:
    producer = make()
    await producer.send_and_wait("t", b"warm")
    kept = [producer.produce_nowait("t", b"1") for _ in range(3)]
    await producer.purge(in_queue=False, in_flight=False)
    assert await producer.flush(10) == 0
    assert all(future.exception() is None for future in kept)
    told: list[int] = []
    lost = [
        producer.produce_nowait("t", b"1", on_delivery=lambda error, message: told.append(error.code()))
        for _ in range(3)
    ]
    assert producer.statistics().buffered == 2
    await producer.purge()
    await producer.flush(10)
    assert isinstance(lost[2].exception(), KafkaException)
    assert told.count(KafkaError._PURGE_QUEUE) >= 2


@pytest.mark.parametrize(
    ("ended", "error"), [("closed", ProducerClosedError), ("failed", ProducerFailedError)]
)
async def test_ended__every_call_but_flush_and_close__says_so(broker, make, ended: str, error: Any) -> None:
    producer = make({"enable.idempotence": True, "enable.gapless.guarantee": True})
    await producer.send_and_wait("t", b"1", partition=0)
    if ended == "closed":
        await producer.close()
    else:
        broker.fail(PRODUCE_REQUEST, KafkaError.MSG_SIZE_TOO_LARGE)
        with pytest.raises(KafkaException):
            await producer.send_and_wait("t", b"2", partition=0)
        await until(lambda: "failed" in repr(producer), "nothing is fatal")
    for call in (
        lambda: producer.produce("t", b"3"),
        lambda: producer.send_and_wait("t", b"3"),
        lambda: producer.produce_batch("t", []),
        lambda: producer.poll(),
        lambda: producer.purge(),
        lambda: producer.list_topics(timeout=10),
        lambda: producer.cluster_id(10),
        lambda: producer.set_sasl_credentials("user", "secret"),
        lambda: producer.init_transactions(10),
        lambda: producer.abort_transaction(10),
    ):
        with pytest.raises(error, match="GAPLESS" if ended == "failed" else "closed"):
            await call()
    with pytest.raises(error):
        producer.produce_nowait("t", b"3")
    assert await producer.flush() == 0
    await producer.close()
    assert producer.closed


async def test_len__queued_in_flight_and_settled__counts_what_is_not_settled(broker, make) -> None:
    producer = make()
    assert len(producer) == 0
    await producer.send_and_wait("t", b"warm")
    broker.answer_after(50)
    for number in range(1, 6):
        await producer.produce("t", b"1", on_delivery=(lambda error, message: None) if number % 2 else None)
        assert len(producer) == number
    await producer.produce_batch("t", [{"value": b"1"}, {"value": 5}])
    assert len(producer) == 6
    await producer.flush(10)
    assert len(producer) == 0


async def test_preview__records_in_the_buffer__are_shown_and_stay(broker, make) -> None:
    producer = make()
    futures = [
        producer.produce_nowait("warm", b"0"),  # an idle producer's first record leaves at once
        producer.produce_nowait("a", b"1"),
        producer.produce_nowait("b", b"2", partition=1, headers={"h": b"1"}),
        producer.produce_nowait("a", b"3"),
    ]
    for _ in range(2):
        shown = [(batch.topic, batch.partition, batch.size) for batch in producer.create_batches_preview()]
        assert shown == [("a", -1, 1), ("b", 1, 1), ("a", -1, 1)]
        assert [batch.topic for batch in producer.create_batches_preview("b")] == ["b"]
        assert producer.create_batches_preview("none such") == []
    await producer.flush(10)
    assert producer.create_batches_preview() == []
    assert [int(future.result().value()) for future in futures] == list(range(4))


async def test_statistics__records_sent_and_callbacks_pooled__are_counted(broker, make) -> None:
    producer = make()
    first = producer.statistics()
    assert (first.accepted, first.batches, first.polls, first.reuse_ratio, first.latency.count) == (
        0,
        0,
        0,
        0,
        0,
    )
    broker.answer_after(20)
    futures = [await producer.produce("t", b"%d" % number) for number in range(10)]
    busy = producer.statistics()
    assert (busy.accepted, busy.settled, busy.unsettled) == (10, 0, 10)
    assert busy.buffered + busy.in_flight == 10
    await asyncio.gather(*futures)
    for _ in range(4):
        await producer.send_and_wait("t", b"1", on_delivery=lambda error, message: None)
    await producer.flush(10)
    last = producer.statistics()
    assert (last.accepted, last.settled, last.unsettled, last.waiting) == (14, 14, 0, 0)
    if producer.transport == PURE:
        assert (last.callbacks_created, last.callbacks_reused, last.reuse_ratio) == (1, 3, 0.75)
    else:  # what stands for a plain record is pooled, too, and among all producers of the process
        assert last.callbacks_created + last.callbacks_reused == 14
        assert last.callbacks_reused >= 3
        assert last.reuse_ratio == last.callbacks_reused / 14
    assert last.records_per_batch == 14 / last.batches
    assert last.polls > 0


async def test_events__async_and_raising__reach_the_loop_and_its_handler(make, raised) -> None:
    done = asyncio.Event()
    codes: list[int] = []

    async def error_cb(error: KafkaError) -> None:
        codes.append(error.code())
        done.set()
        raise LookupError("error_cb")

    make({"bootstrap.servers": "127.0.0.1:1", "error_cb": error_cb, "log_level": 0})
    await asyncio.wait_for(done.wait(), 10)
    await asyncio.sleep(0)
    assert codes[0] in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)
    assert raised[0]["message"] == "error_cb of the producer raised"
    assert isinstance(raised[0]["exception"], LookupError)


def test_wrong_loop__another_one_on_the_same_thread__clear_error(broker, transport, new_loop) -> None:
    own, other = new_loop(), new_loop()

    async def make_one() -> AIOProducer:
        return AIOProducer({"bootstrap.servers": broker.address}, transport=transport)

    async def use(call: Any) -> None:
        with pytest.raises(WrongLoopError, match="run_coroutine_threadsafe"):
            await call

    try:
        producer = own.run_until_complete(make_one())
        own.run_until_complete(producer.send_and_wait("t", b"1"))
        for call in (
            producer.produce("t", b"2"),
            producer.produce_batch("t", [{"value": b"2"}]),
            producer.flush(),
            producer.poll(),
            producer.list_topics(),
            producer.purge(),
            producer.abort_transaction(),
            producer.close(),
        ):
            other.run_until_complete(use(call))
        assert len(producer) == 0
        own.run_until_complete(producer.close())
    finally:
        own.close()
        other.close()


def test_loop__closed_before_the_producer__close_is_a_clear_error_and_nothing_hangs(
    broker, transport, new_loop, recwarn
) -> None:
    loop = new_loop()

    async def make_one() -> AIOProducer:
        producer = AIOProducer({"bootstrap.servers": broker.address}, transport=transport)
        await producer.send_and_wait("t", b"1")
        return producer

    producer = loop.run_until_complete(make_one())
    loop.close()
    other = new_loop()
    try:
        with pytest.raises(WrongLoopError):
            other.run_until_complete(producer.close())
        with pytest.raises(WrongLoopError):
            producer.produce_nowait("t", b"2")
    finally:
        other.close()
    del producer
    gc.collect()
    assert any(warning.category is ResourceWarning for warning in recwarn)
