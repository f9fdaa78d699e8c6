"""Rules 4, 5 and 6: order, no waiting for company, and what cancelling means."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from confluent_kafka import KafkaException


async def test_order__mixed_kinds_of_records__each_partition_is_in_call_order(broker, make) -> None:
    topics = [broker.create(f"order-{number}", 3) for number in range(2)]
    producer = make({"queue.buffering.max.messages": 500}, batch_size=100)
    chance = random.Random(7)
    partitioned: dict[tuple[str, bytes], list[int]] = {}
    for number in range(4000):
        topic = chance.choice(topics)
        key = b"k%d" % chance.randrange(5)
        kwargs: dict[str, Any] = {}
        if chance.random() < 0.3:
            kwargs["headers"] = {"h": b"1"}
        if chance.random() < 0.1:
            kwargs["timestamp"] = 1000 + number
        if chance.random() < 0.3:
            kwargs["on_delivery"] = lambda error, message: None
        await producer.produce(topic, b"%d" % number, key=key, **kwargs)
        partitioned.setdefault((topic, key), []).append(number)
        if chance.random() < 0.01:
            await asyncio.sleep(0)
    assert await producer.flush(20) == 0
    for topic in topics:
        for log in broker.log(topic, 3):
            numbers = [int(message.value()) for message in log]
            assert numbers == sorted(numbers)
    assert sum(len(log) for topic in topics for log in broker.log(topic, 3)) == 4000


async def test_order__explicit_partition_between_keyed_records__is_not_overtaken(broker, make) -> None:
    topic = broker.create("both", 1)
    producer = make()
    for number in range(900):
        await producer.produce(topic, b"%d" % number, partition=(-1, 0, 0)[number % 3])
    await producer.flush()
    assert [int(message.value()) for message in broker.log(topic, 1)[0]] == list(range(900))


async def test_order__tasks_waiting_for_a_full_queue__enter_in_the_order_of_their_calls(broker, make) -> None:
    topic = broker.create("line", 1)
    producer = make({"queue.buffering.max.messages": 3})
    await producer.send_and_wait(topic, b"warm")
    broker.answer_after(20)
    waited = False

    async def one(number: int) -> None:
        await (await producer.produce(topic, b"%d" % number))

    tasks = [asyncio.create_task(one(number)) for number in range(60)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waited = producer.statistics().waiting > 0
    await asyncio.gather(*tasks)
    assert waited
    assert [int(message.value()) for message in broker.log(topic, 1)[0][1:]] == list(range(60))


@pytest.mark.parametrize("headers", [None, {"h": b"1"}])
async def test_queue_full_in_bytes__callers_wait__all_arrive_in_order(broker, make, headers) -> None:
    topic = broker.create("bytes", 1)
    producer = make({"queue.buffering.max.kbytes": 64}, batch_size=50)
    await producer.send_and_wait(topic, b"warm")
    broker.answer_after(5)
    for number in range(200):
        value = b"%05d" % number + b" " * (9000 if number % 7 == 0 else 100)
        await producer.produce(topic, value, headers=headers)
    assert await producer.flush(20) == 0
    assert producer.statistics().queue_full > 0
    assert [int(message.value()) for message in broker.log(topic, 1)[0][1:]] == list(range(200))


async def test_produce_nowait__queue_full__buffer_error_and_nothing_queued(broker, make) -> None:
    producer = make({"queue.buffering.max.messages": 5})
    broker.answer_after(200)
    for number in range(5):
        producer.produce_nowait("t", b"%d" % number)
    with pytest.raises(BufferError):
        producer.produce_nowait("t", b"5")
    assert len(producer) == 5


async def test_produce__nobody_answers__waits_for_nothing_but_room(broker, make) -> None:
    broker.down()
    producer = make({"queue.buffering.max.messages": 50})
    for number in range(50):
        await asyncio.wait_for(producer.produce("t", b"%d" % number), 1)
    in_line = asyncio.create_task(producer.produce("t", b"50"))
    await asyncio.sleep(0.1)
    assert (in_line.done(), producer.statistics().waiting) == (False, 1)
    await producer.purge()
    await asyncio.wait_for(in_line, 10)


async def test_produce_batch__larger_than_the_queue__no_more_than_it_holds_are_unsettled(
    broker, make
) -> None:
    producer = make({"queue.buffering.max.messages": 50})
    await producer.send_and_wait("t", b"warm")
    broker.answer_after(10)
    producing = asyncio.ensure_future(producer.produce_batch("t", [{"value": b"1"}] * 500))
    unsettled = []
    while not producing.done() or len(producer):
        await asyncio.sleep(0)
        unsettled.append(len(producer))
    assert max(unsettled) == 50
    assert (await (await producing)).ok


async def test_queue_full__callback_produces_while_a_task_is_in_line__does_not_jump_it(broker, make) -> None:
    producer = make({"queue.buffering.max.messages": 1})
    await producer.send_and_wait("t", b"warm")
    broker.answer_after(20)
    refused: list[BufferError] = []

    def jump(error: Any, message: Any) -> None:
        try:
            producer.produce_nowait("t", b"jumped")
        except BufferError as full:
            refused.append(full)

    await producer.produce("t", b"0", on_delivery=jump)
    in_line = await producer.produce("t", b"1")
    assert (await in_line).value() == b"1"
    assert len(refused) == 1


async def test_cancel__while_waiting_in_line__record_is_not_queued_and_others_are_served(
    broker, make
) -> None:
    topic = broker.create("cancelled", 1)
    producer = make({"queue.buffering.max.messages": 2})
    await producer.send_and_wait(topic, b"warm")
    broker.answer_after(50)
    await producer.produce(topic, b"0")
    await producer.produce(topic, b"1")
    waiting = [asyncio.create_task(producer.produce(topic, b"%d" % number)) for number in (2, 3, 4)]
    await asyncio.sleep(0.01)
    assert producer.statistics().waiting == 3
    waiting[1].cancel()
    await asyncio.wait(waiting)
    assert waiting[1].cancelled()
    assert await producer.flush(10) == 0
    assert [int(message.value()) for message in broker.log(topic, 1)[0][1:]] == [0, 1, 2, 4]


async def test_cancel__delivery_future__record_is_sent_and_its_callback_runs(broker, make, raised) -> None:
    topic = broker.create("given-up", 1)
    producer = make()
    told: list[bytes] = []
    futures = [await producer.produce(topic, b"%d" % number) for number in range(3)]
    with_callback = await producer.produce(topic, b"3", on_delivery=lambda error, m: told.append(m.value()))
    futures[1].cancel()
    with_callback.cancel()
    assert await producer.flush(10) == 0
    assert told == [b"3"]
    assert [futures[0].result().value(), futures[2].result().value()] == [b"0", b"2"]
    assert len(broker.log(topic, 1)[0]) == 4
    assert raised == []


async def test_cancel__time_limit_of_a_wait__is_none_of_the_record(broker, make) -> None:
    topic = broker.create("slow", 1)
    producer = make()
    await producer.send_and_wait(topic, b"warm")
    broker.answer_after(200)
    told: list[Any] = []
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(
            producer.send_and_wait(topic, b"1", on_delivery=lambda error, message: told.append(error)), 0.02
        )
    assert await producer.flush(10) == 0
    assert told == [None]
    assert [message.value() for message in broker.log(topic, 1)[0]] == [b"warm", b"1"]


async def test_buffer__one_tick_of_several__its_records_leave_together_and_a_lone_one_at_once(make) -> None:
    producer = make()
    for number in range(10):
        producer.produce_nowait("t", b"%d" % number)
    assert (producer.statistics().batches, producer.statistics().buffered) == (1, 9)
    await asyncio.sleep(0)
    assert (producer.statistics().batches, producer.statistics().buffered) == (2, 0)
    await producer.flush(10)


async def test_buffer__batch_size__bounds_one_call_of_librdkafka(make) -> None:
    producer = make(batch_size=10)
    await producer.send_and_wait("t", b"warm")
    await (await producer.produce_batch("t", [{"value": b"1"}] * 1000))
    assert producer.statistics().batches >= 1 + 100


@pytest.mark.parametrize("timeout", [0, 0.05, 30])
async def test_buffer__nobody_flushes__record_leaves_at_the_end_of_the_tick(make, timeout: float) -> None:
    producer = make(batch_size=1000, buffer_timeout=timeout)
    futures = [await producer.produce("t", b"%d" % number) for number in range(10)]
    await asyncio.sleep(0)
    assert producer.statistics().buffered == 0
    await asyncio.wait_for(asyncio.gather(*futures), 10)


async def test_delivery__broker_slow__a_lone_record_is_settled_without_any_call(broker, make) -> None:
    producer = make()
    await producer.send_and_wait("t", b"0")
    broker.answer_after(300)
    future = await producer.produce("t", b"1")
    assert (await asyncio.wait_for(future, 10)).value() == b"1"


async def test_delivery__many_in_flight_at_a_slow_broker__are_settled_without_any_call(broker, make) -> None:
    producer = make()
    await producer.send_and_wait("t", b"0")
    broker.answer_after(200)
    futures = [await producer.produce("t", b"%d" % number) for number in range(2000)]
    await asyncio.wait_for(asyncio.gather(*futures), 10)
    assert len(producer) == 0


async def test_purge__records_waiting__fail_with_the_purge_error(broker, make) -> None:
    producer = make()
    broker.down()
    futures = [await producer.produce("t", b"%d" % number) for number in range(5)]
    await producer.purge()
    assert await producer.flush(10) == 0
    for future in futures:
        with pytest.raises(KafkaException):
            future.result()


async def test_queue_of_one__tasks_in_line__each_report_lets_the_next_in_without_a_timeout(
    broker, make
) -> None:
    topic = broker.create("one", 1)
    producer = make({"queue.buffering.max.messages": 1}, buffer_timeout=0)

    async def send(numbers: range) -> None:
        for number in numbers:
            await producer.produce(topic, b"%d" % number)

    tasks = [send(range(start, 300, 3)) for start in range(3)]
    await asyncio.wait_for(asyncio.gather(*tasks), 20)
    assert await producer.flush(10) == 0
    assert sorted(int(message.value()) for message in broker.log(topic, 1)[0]) == list(range(300))
