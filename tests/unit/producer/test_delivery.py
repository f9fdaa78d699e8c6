"""Rules 1, 2, 3 and 7 end to end: a report settles its own record, once, whatever happens to the others."""

from __future__ import annotations

import asyncio
import threading
from collections import UserDict
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from producer import BatchResult

PRODUCE_REQUEST = 0


async def test_produce__acknowledged__message_is_the_record_with_all_its_fields(broker, make) -> None:
    topic = broker.create("fields", 4)
    producer = make()
    message = await producer.send_and_wait(
        topic,
        "välue",
        key=b"k",
        partition=2,
        timestamp=1_700_000_000_123,
        headers=[("a", b"1"), ("a", "ü"), ("n", None)],
    )
    assert (message.topic(), message.partition(), message.offset()) == (topic, 2, 0)
    assert (message.value(), message.key(), message.error()) == ("välue".encode(), b"k", None)
    [stored] = broker.log(topic, 4)[2]
    assert stored.headers() == [("a", b"1"), ("a", "ü".encode()), ("n", None)]
    assert stored.timestamp() == (1, 1_700_000_000_123)
    assert len(message) == len("välue".encode())
    assert message.latency() > 0


async def test_produce__null_value_and_key__are_stored_as_null(broker, make) -> None:
    topic = broker.create("nulls", 1)
    await make().send_and_wait(topic)
    [stored] = broker.log(topic, 1)[0]
    assert (stored.value(), stored.key(), stored.headers()) == (None, None, None)


async def test_report__out_of_order_across_brokers__settles_its_own_record(broker, make) -> None:
    topic = broker.create("shuffled", 4)
    producer = make()
    for partition in range(4):
        await producer.send_and_wait(topic, b"warm", partition=partition)
    broker.answer_after(60, 1)
    reported: list[int] = []
    futures = []
    for number in range(400):
        futures.append(
            await producer.produce(
                topic,
                b"%d" % number,
                partition=number % 4,
                on_delivery=lambda error, message: reported.append(int(message.value())),
            )
        )
    plain = [await producer.produce(topic, b"plain %d" % number) for number in range(400)]
    assert await producer.flush(10) == 0
    assert reported != sorted(reported), "reports came in order: the situation did not arise"
    assert sorted(reported) == list(range(400))
    assert [int(future.result().value()) for future in futures] == list(range(400))
    assert [future.result().partition() for future in futures] == [number % 4 for number in range(400)]
    assert [future.result().value() for future in plain] == [b"plain %d" % number for number in range(400)]
    log = broker.log(topic, 4)
    for future in (*futures, *plain):
        acknowledged = future.result()
        assert log[acknowledged.partition()][acknowledged.offset()].value() == acknowledged.value()


@pytest.mark.parametrize("records", [1, 3, 5000])
async def test_on_delivery__plain_and_async__runs_once_each_on_the_loops_thread(make, records: int) -> None:
    producer = make()
    seen: list[tuple[int, bool, int]] = []

    async def later(error: KafkaError | None, message: Any) -> None:
        await asyncio.sleep(0)
        seen.append((int(message.value()), error is None, threading.get_ident()))

    def now(error: KafkaError | None, message: Any) -> None:
        seen.append((int(message.value()), error is None, threading.get_ident()))

    for number in range(records):
        await producer.produce("called", b"%d" % number, on_delivery=later if number % 2 else now)
    await producer.close()
    assert sorted(seen) == [(number, True, threading.get_ident()) for number in range(records)]


async def test_callback__other_name_of_on_delivery__is_called(make) -> None:
    seen: list[Any] = []
    await make().send_and_wait("named", b"1", callback=lambda error, message: seen.append(message.value()))
    await asyncio.sleep(0)
    assert seen == [b"1"]


async def test_on_delivery__raises__reaches_the_loops_handler_and_harms_no_other_record(make, raised) -> None:
    producer = make()

    def plain(error: KafkaError | None, message: Any) -> None:
        raise LookupError("plain")

    async def coroutine(error: KafkaError | None, message: Any) -> None:
        raise LookupError("async")

    futures = []
    for number in range(6):
        futures.append(
            await producer.produce("t", b"%d" % number, on_delivery=(plain, coroutine, None)[number % 3])
        )
    await producer.close()
    assert [int(future.result().value()) for future in futures] == list(range(6))
    assert sorted(str(context["exception"]) for context in raised) == ["async", "async", "plain", "plain"]
    assert sorted(int(context["record"].value()) for context in raised) == [0, 1, 3, 4]
    assert all("t [" in context["message"] and "offset" in context["message"] for context in raised)


async def test_on_delivery__produces_and_polls__works_and_aborts_nothing(make) -> None:
    producer = make()
    again: list[Any] = []
    both = asyncio.Event()

    def note(future: Any) -> None:
        again.append(future)
        if len(again) == 2:
            both.set()

    async def more(error: KafkaError | None, message: Any) -> None:
        await producer.poll(0)
        note(await producer.send_and_wait("again", message.value()))

    def nowait(error: KafkaError | None, message: Any) -> None:
        note(producer.produce_nowait("again", message.value()))

    await producer.produce("t", b"1", on_delivery=more)
    await producer.produce("t", b"2", on_delivery=nowait)
    await asyncio.wait_for(both.wait(), 10)


@pytest.mark.parametrize("position", [0, 500, 999])
async def test_poison__too_large_in_a_burst__fails_alone_and_once(broker, make, position: int) -> None:
    topic = broker.create("poison", 1)
    producer = make({"message.max.bytes": 2000}, batch_size=1000)
    await producer.send_and_wait(topic, b"warm")
    outcomes: list[tuple[int, Any]] = []
    futures = []
    for number in range(1000):
        value = b"%d" % number + b" " * (5000 if number == position else 0)
        futures.append(
            await producer.produce(
                topic,
                value,
                on_delivery=lambda error, message: outcomes.append((int(message.value()), error)),
            )
        )
    assert await producer.flush(10) == 0
    assert sorted(number for number, _ in outcomes) == list(range(1000))
    assert [number for number, error in outcomes if error] == [position]
    with pytest.raises(KafkaException) as failed:
        futures[position].result()
    assert failed.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
    stored = [int(message.value()) for message in broker.log(topic, 1)[0][1:]]
    assert stored == [number for number in range(1000) if number != position]


async def test_poison__unknown_partition__that_future_fails_others_arrive(broker, make) -> None:
    topic = broker.create("narrow", 1)
    producer = make()
    await producer.send_and_wait(topic, b"0")
    lost = await producer.produce(topic, b"lost", partition=7)
    kept = await producer.produce(topic, b"kept")
    assert (await kept).value() == b"kept"
    with pytest.raises(KafkaException) as failed:
        await lost
    assert failed.value.args[0].code() == KafkaError._UNKNOWN_PARTITION


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({"topic": 5}, TypeError),
        ({"topic": ""}, ValueError),
        ({"topic": "a\0b"}, ValueError),
        ({"topic": []}, TypeError),
        ({"value": 5}, TypeError),
        ({"value": "\ud800"}, ValueError),
        ({"key": 5}, TypeError),
        ({"partition": "1"}, TypeError),
        ({"partition": -2}, ValueError),
        ({"partition": 2**31}, ValueError),
        ({"on_delivery": 5}, TypeError),
        ({"timestamp": "1"}, TypeError),
        ({"timestamp": None}, TypeError),
        ({"timestamp": -1}, ValueError),
        ({"headers": 5}, TypeError),
        ({"headers": ["a"]}, TypeError),
        ({"headers": [("a", 5)]}, TypeError),
        ({"headers": {5: b""}}, TypeError),
    ],
)
async def test_produce__wrong_argument__raises_here_and_queues_nothing(make, kwargs, error) -> None:
    producer = make()
    arguments = {"topic": "t", "value": b"v", **kwargs}
    with pytest.raises(error):
        await producer.produce(**arguments)
    with pytest.raises(error):
        producer.produce_nowait(**arguments)
    assert len(producer) == 0


@pytest.mark.parametrize("kwargs", [{"timestamp": None}, {"partition": -1.0}])
async def test_produce__nearly_the_default__raises_also_where_plain_records_go_the_short_way(
    broker, make, kwargs
) -> None:
    topic = broker.create("nearly", 1)
    producer = make()
    for _ in range(3):  # the second finds the first on its way, and the third finds room
        await producer.produce(topic, b"v")
    with pytest.raises(TypeError):
        await producer.produce(topic, b"v", **kwargs)
    assert len(producer) == 3


async def test_produce__only_librdkafka_still_has_the_value__stays_whole_until_its_report(
    broker, make
) -> None:
    records, size = 2_000, 1_500
    topic = broker.create("kept", 2)
    producer = make({"queue.buffering.max.messages": 10_000})
    broker.down()
    futures = [
        await producer.produce(topic, b"%07d" % n * (size // 7), key=b"%d" % n) for n in range(records)
    ]
    await asyncio.sleep(0)  # handed over: nobody but librdkafka knows of them
    for round_number in range(20):
        _ = [bytes([round_number]) * size for _ in range(records)]  # what was freed is taken again
    broker.up()
    messages = await asyncio.gather(*futures)
    expected = {b"%d" % n: b"%07d" % n * (size // 7) for n in range(records)}
    assert {message.key(): message.value() for message in messages} == expected
    assert {m.key(): m.value() for log in broker.log(topic, 2) for m in log} == expected


async def test_produce_batch__purged_and_dropped_values__harm_no_later_record(broker, make) -> None:
    topic = broker.create("purged", 1)
    producer = make()
    broker.down()
    batch = await producer.produce_batch(topic, [{"value": b"%05d" % n * 300} for n in range(500)])
    await producer.purge()
    assert len((await batch).failures) == 500
    _ = [b"x" * 1_500 for _ in range(2_000)]
    broker.up()
    later = await producer.send_and_wait(topic, b"later" * 300)
    assert later.value() == b"later" * 300
    assert [m.value() for m in broker.log(topic, 1)[0]] == [b"later" * 300]


async def test_produce__mutable_value_changed_afterwards__sends_what_was_given(broker, make) -> None:
    topic = broker.create("mutable", 1)
    producer = make()
    await producer.produce(topic, b"first")
    value = bytearray(b"given")
    headers = [("h", b"given")]
    await producer.produce(topic, value, headers=headers)
    value[:] = b"other"
    headers[0] = ("h", b"other")
    await producer.flush()
    assert [m.value() for m in broker.log(topic, 1)[0]] == [b"first", b"given"]
    assert broker.log(topic, 1)[0][1].headers() == [("h", b"given")]


async def test_delivery__refused_by_the_broker__future_and_callback_tell_once(broker, make) -> None:
    topic = broker.create("refused", 1)
    producer = make({"retries": 0, "message.timeout.ms": 5000})
    await producer.send_and_wait(topic, b"warm")
    broker.fail(PRODUCE_REQUEST, *[KafkaError.REQUEST_TIMED_OUT] * 3)
    told: list[KafkaError | None] = []
    future = await producer.produce(topic, b"1", on_delivery=lambda error, message: told.append(error))
    with pytest.raises(KafkaException):
        await future
    await producer.flush()
    assert len(told) == 1
    assert told[0] is not None


async def test_delivery__not_acknowledged_in_time__future_and_callback_tell_once(broker, make) -> None:
    producer = make({"delivery.timeout.ms": 200})
    await producer.send_and_wait("t", b"warm")
    broker.down()
    told: list[KafkaError | None] = []
    future = await producer.produce("t", b"1", on_delivery=lambda error, message: told.append(error))
    with pytest.raises(KafkaException) as failed:
        await asyncio.wait_for(future, 10)
    await producer.flush(10)
    assert failed.value.args[0].code() == KafkaError._MSG_TIMED_OUT
    assert [error and error.code() for error in told] == [KafkaError._MSG_TIMED_OUT]


async def test_produce_batch__mixed__names_each_failure_by_index_and_keeps_order(broker, make) -> None:
    topic = broker.create("mixed", 1)
    producer = make({"message.max.bytes": 2000})
    await producer.send_and_wait(topic, b"warm")
    messages: list[Any] = [{"value": b"%d" % number} for number in range(3000)]
    messages[10] = {"value": 5}
    messages[11] = "no mapping"
    messages[700] = {"value": b"x" * 5000}
    messages[701] = {"value": "701", "headers": {"h": b"1"}, "timestamp": 123456}
    messages[702] = {"value": b"702", "key": b"k"}
    messages[2999] = {"value": b"2999", "partition": 9}
    before = [dict(message) if isinstance(message, dict) else message for message in messages]
    told: list[bool] = []
    result = await (
        await producer.produce_batch(
            topic, messages, on_delivery=lambda error, message: told.append(error is None)
        )
    )
    await producer.flush()
    assert isinstance(result, BatchResult)
    assert messages == before
    assert (result.count, sorted(result.failures), result.ok) == (3000, [10, 11, 700, 2999], False)
    assert isinstance(result.failures[10], TypeError)
    assert result.failures[700].args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert (told.count(True), told.count(False)) == (2996, 2)
    log = broker.log(topic, 1)[0][1:]
    assert [int(m.value()) for m in log] == [n for n in range(3000) if n not in (10, 11, 700, 2999)]
    assert next(m for m in log if m.value() == b"701").headers() == [("h", b"1")]


async def test_produce_batch__pooled_report_reused__results_stay_apart(make) -> None:
    producer = make()
    for _ in range(3):
        good, bad = (
            await producer.produce_batch("a", [{"value": b"1"}] * 100),
            await producer.produce_batch("a", [{"value": b"1"}, {"value": 5}]),
        )
        assert (await good).ok
        assert sorted((await bad).failures) == [1]
    assert producer.statistics().reuse_ratio > 0.5


async def test_produce_batch__messages_kept__each_is_at_its_index_and_tells_where_it_went(
    broker, make
) -> None:
    topic = broker.create("kept", 4)
    producer = make({"message.max.bytes": 2000})
    await producer.send_and_wait(topic, b"warm", partition=0)
    shapes: list[dict[str, Any]] = [
        {},
        {"key": b"k"},
        {"headers": [("h", b"1")]},
        {"timestamp": 123456},
        {"on_delivery": lambda error, message: None},
    ]
    messages: list[Any] = [
        {"value": b"%d" % number, "partition": number % 3, **shapes[number % 5]} for number in range(3000)
    ]
    messages[10] = {"value": 5}
    messages[11] = {"value": b"x" * 5000, "key": b"large"}
    messages[12] = {"value": b"12", "partition": 9}
    result = await (await producer.produce_batch(topic, messages, keep_messages=True))
    assert (sorted(result.failures), len(result.messages)) == ([10, 11, 12], 3000)
    assert result.messages[10] is None
    for index in (11, 12):
        failed = result.messages[index]
        assert failed is not None
        assert (failed.value(), failed.offset()) == (messages[index]["value"], None)
        assert failed.error() == result.failures[index].args[0]
    log = broker.log(topic, 4)
    for index, message in enumerate(result.messages):
        if index not in result.failures:
            assert message is not None
            assert (message.value(), message.error(), message.topic()) == (b"%d" % index, None, topic)
            assert message.headers() == messages[index].get("headers")
            assert log[message.partition()][message.offset() or 0].value() == b"%d" % index


async def test_produce_batch__list_grows_while_it_is_read__has_a_place_for_each_kept_message(make) -> None:
    class Growing(UserDict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            if len(messages) < 10:
                messages.append({"value": b"late"})
            return super().__getitem__(name)

    messages: list[Any] = [Growing(value=b"%d" % number) for number in range(3)]
    result = await (await make().produce_batch("t", messages, keep_messages=True))
    assert [message.value() for message in result.messages] == [b"0", b"1", b"2"]
    assert len(messages) == 6


async def test_produce_batch__messages_not_asked_for__keeps_none(make) -> None:
    producer = make()
    messages = [{"value": b"1"}, {"value": 5}]
    kept, other = (
        await producer.produce_batch("t", messages, keep_messages=True),
        await producer.produce_batch("t", messages),
    )
    assert [message is not None for message in (await kept).messages] == [True, False]
    assert (await other).messages == ()
    assert (await (await producer.produce_batch("t", [], keep_messages=True))).messages == ()


async def test_produce_batch__empty_or_all_poison__resolves_at_once(make) -> None:
    producer = make()
    assert (await (await producer.produce_batch("t", []))).ok
    assert sorted((await (await producer.produce_batch("t", [{"value": 1}, {"key": 1}]))).failures) == [0, 1]
    assert len(producer) == 0


async def test_future__never_awaited_failure_with_on_delivery__is_not_called_unheard(make, raised) -> None:
    import gc

    producer = make({"message.max.bytes": 2000})
    told: list[Any] = []
    await producer.produce("t", b"x" * 5000, on_delivery=lambda error, message: told.append(error))
    await producer.flush()
    gc.collect()
    assert told
    assert raised == []


async def test_conf__on_delivery_and_only_error__are_honoured_and_futures_still_settle(make) -> None:
    told: list[Any] = []
    producer = make(
        {
            "on_delivery": lambda error, message: told.append(error),
            "delivery.report.only.error": True,
            "message.max.bytes": 2000,
        }
    )
    assert (await producer.send_and_wait("t", b"1")).value() == b"1"
    with pytest.raises(KafkaException):
        await producer.send_and_wait("t", b"x" * 5000)
    await producer.flush()
    assert len(told) == 1


async def test_conf__on_delivery__is_for_records_that_name_none(make) -> None:
    told: list[tuple[str, bytes]] = []
    producer = make({"on_delivery": lambda error, message: told.append(("all", message.value()))})
    own: Any = lambda error, message: told.append(("own", message.value()))  # noqa: E731
    await producer.send_and_wait("t", b"1", on_delivery=own)
    await producer.send_and_wait("t", b"2")
    await (await producer.produce_batch("t", [{"value": b"3", "on_delivery": own}, {"value": b"4"}]))
    await producer.flush(10)
    assert sorted(told) == [("all", b"2"), ("all", b"4"), ("own", b"1"), ("own", b"3")]


async def test_delivery__one_at_a_time_and_many__settles_on_the_loops_thread(make, raised) -> None:
    producer = make()
    for _ in range(20):
        await producer.send_and_wait("t", b"1")
    futures = [await producer.produce("t", b"%d" % number) for number in range(3000)]
    await producer.close()
    assert [int(future.result().value()) for future in futures] == list(range(3000))
    assert raised == []
