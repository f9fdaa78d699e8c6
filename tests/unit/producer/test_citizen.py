"""A good citizen: the producer can be traced, patched, inspected and sent about as other Python objects can."""

from __future__ import annotations

import asyncio
import enum
import inspect
import pickle
from typing import Any
from unittest import mock

import pytest
from confluent_kafka import KafkaError, KafkaException

from producer import AIOProducer, BatchFailedError, BatchResult, FatalTransactionError, Message

NOBODY = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}


async def test_produce__wrapped_on_the_class__every_producer_obeys(make, monkeypatch) -> None:
    calls: list[str] = []
    produce = AIOProducer.produce

    async def traced(self: AIOProducer, topic: str, *args: Any, **kwargs: Any) -> Any:
        calls.append(topic)
        return await produce(self, topic, *args, **kwargs)

    before = make()
    monkeypatch.setattr(AIOProducer, "produce", traced)
    for producer in (before, make()):
        await (await producer.produce("a", b"1"))
        await producer.send_and_wait("b", b"2")
    assert calls == ["a", "b", "a", "b"]


async def test_produce__patched_by_a_mock__nothing_is_sent(make) -> None:
    producer = make()
    with mock.patch.object(AIOProducer, "produce", autospec=True) as patched:
        await producer.produce("t", b"1")
    patched.assert_awaited_once_with(producer, "t", b"1")
    assert producer.statistics().accepted == 0


async def test_members__inspected__are_the_coroutine_functions_that_they_are(make) -> None:
    producer = make()
    for name in ("produce", "send_and_wait", "produce_batch", "flush", "poll", "close", "list_topics"):
        for member in (getattr(producer, name), getattr(AIOProducer, name)):
            assert inspect.iscoroutinefunction(member), name
            assert member.__doc__, name
    parameters = list(inspect.signature(producer.produce).parameters)
    assert parameters[:7] == ["topic", "value", "key", "partition", "on_delivery", "timestamp", "headers"]


def test_docstrings__of_coroutines__end_in_what_cancelling_them_means() -> None:
    coroutines = {
        name: member
        for name, member in inspect.getmembers(AIOProducer, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    assert "produce" in coroutines
    for name, member in coroutines.items():
        last = (inspect.getdoc(member) or "").split("\n\n")[-1]
        assert last.startswith("If cancelled: "), name


async def test_repr_and_closed__through_its_life__tell_where_it_stands(make, transport) -> None:
    producer = make()
    assert repr(producer) == f"<AIOProducer over the {transport} transport, open, 0 records unsettled>"
    assert not producer.closed
    await producer.close()
    assert "closed" in repr(producer)
    assert producer.closed


class Place(enum.IntEnum):
    FIRST = 1


class Whole:
    """A whole number that is no int, as numpy's are."""

    def __index__(self) -> int:
        return 2


class Loud(str):
    def encode(self, *args: Any) -> Any:
        raise AssertionError("what it holds is text")

    __str__ = __hash__ = None  # type: ignore[assignment]


async def test_numbers_and_text__of_types_that_confluents_producer_takes__are_taken(broker, make) -> None:
    broker.create("t", 4)
    producer = make()
    first = await producer.send_and_wait("t", b"1", partition=Place.FIRST, timestamp=Whole())
    second = await producer.send_and_wait(Loud("t"), Loud("text"), Loud("key"), partition=Whole())
    assert (first.partition(), second.partition()) == (1, 2)
    assert (second.value(), second.key(), second.topic()) == (b"text", b"key", "t")
    with pytest.raises(ValueError, match="partition"):
        await producer.produce("t", b"1", partition=2**70)
    with pytest.raises(ValueError, match="timestamp"):
        await producer.produce("t", b"1", timestamp=2**70)


async def test_construction__a_position_or_two_confs_or_none__is_a_clear_type_error(transport) -> None:
    for args, kwargs in (((NOBODY, 8), {}), ((), {}), ((NOBODY,), {"producer_conf": NOBODY})):
        with pytest.raises(TypeError):
            AIOProducer(*args, transport=transport, **kwargs)
    producer = AIOProducer(producer_conf=NOBODY, transport=transport)
    await producer.close(timeout=0)


@pytest.mark.parametrize("wrong", [["a:1", "b:1"], ("a:1",), {"a:1"}, b"a:1"], ids=repr)
async def test_construction__setting_of_a_wrong_type__is_named(transport, wrong) -> None:
    with pytest.raises(TypeError, match=r"bootstrap\.servers must be a str"):
        AIOProducer({"bootstrap.servers": wrong}, transport=transport)


async def test_cluster_id__is_that_of_the_metadata(make) -> None:
    producer = make()
    assert await producer.cluster_id(10) == (await producer.list_topics(timeout=10)).cluster_id


@pytest.mark.parametrize(
    "value",
    [
        KafkaException(KafkaError(KafkaError._TIMED_OUT, "why")),
        FatalTransactionError(KafkaError(KafkaError._FENCED, "why", fatal=True)),
        BatchFailedError(BatchResult(2, {1: KafkaException(KafkaError(KafkaError._TIMED_OUT, "why"))})),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors__pickled__are_the_same_again(value: BaseException) -> None:
    again = pickle.loads(pickle.dumps(value))
    assert type(again) is type(value)
    assert str(again) == str(value)


async def test_results__pickled__tell_the_same_again(make) -> None:
    producer = make({"message.max.bytes": 2000})
    messages = [{"value": b"1", "key": b"k", "headers": {"h": b"2"}, "timestamp": 5}, {"value": b"x" * 5000}]
    result = await (await producer.produce_batch("t", messages, keep_messages=True))
    again = pickle.loads(pickle.dumps(result))
    assert (again.count, list(again.failures)) == (2, [1])
    for before, after in zip(result.messages, again.messages, strict=True):
        for name in (name for name in dir(Message) if not name.startswith("_")):
            told = getattr(before, name)()
            if name == "latency" and told is not None:
                told = pytest.approx(told, abs=2e-6)  # confluent-kafka cuts it to whole microseconds again
            assert getattr(after, name)() == told, name


async def test_produce_batch__not_a_list__is_a_clear_type_error(make) -> None:
    producer = make()
    for wrong in ({"value": b"1"}, ({"value": b"1"} for _ in range(2)), b"bytes", 5):
        with pytest.raises(TypeError, match="messages must be a list"):
            await producer.produce_batch("t", wrong)


async def test_produce_batch__a_mapping_has_its_own_callback__it_is_called_for_that_record(make) -> None:
    producer = make()
    told: list[Any] = []
    note = lambda name: lambda error, message: told.append((name, message.value()))  # noqa: E731
    messages = [
        {"value": b"0", "on_delivery": note("own")},
        {"value": b"1", "callback": note("own")},
        {"value": b"2"},
    ]
    result = await (await producer.produce_batch("t", messages, on_delivery=note("all")))
    assert result.ok
    result.raise_for_failures()
    assert sorted(told) == [("all", b"2"), ("own", b"0"), ("own", b"1")]


async def test_raise_for_failures__some_failed__names_the_first_and_counts_them(make) -> None:
    producer = make()
    result = await (await producer.produce_batch("t", [{"value": b"0"}, {"value": 1}, {"vaule": b"2"}]))
    with pytest.raises(
        BatchFailedError, match="2 of 3 records failed; the first is number 1: value"
    ) as failed:
        result.raise_for_failures()
    assert failed.value.result is result
    assert isinstance(failed.value.__cause__, TypeError)


async def test_headers__any_way_of_giving_them__the_message_gives_back_the_list(make) -> None:
    producer = make()
    for given, expected in (
        ([("a", b"1"), ("a", None)], [("a", b"1"), ("a", None)]),
        ({"a": "1", "b": b""}, [("a", b"1"), ("b", b"")]),
        ([], None),
        (None, None),
    ):
        message = await producer.send_and_wait("t", b"1", headers=given)
        assert message.headers() == expected


async def test_background_task__given_the_bound_method__sends(make) -> None:
    """As Starlette runs them: what is no coroutine function goes to a thread."""
    producer = make()
    assert asyncio.iscoroutinefunction(producer.produce)
    for call in [producer.produce] * 5:
        await call("t", b"1")
    assert await producer.flush(10) == 0
    assert producer.statistics().acknowledged == 5
