"""Records, the part of a transport that keeps them in call order: one set of tests for its two twins, over a real
client.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from producer.callbacks import BatchReport, CallbackManager
from producer.pure_records import PureRecords
from producer.transport import Records
from producer.transports import COMPILED

PLAIN = (None, -1, None, 0, None)
PURGED = KafkaError(KafkaError._PURGE_QUEUE)


class Stage:
    """Records of one transport with no producer around them: nothing enters, leaves or is settled but by a call."""

    def __init__(self, transport: str, address: str, batch_size: int = 1000, **settings: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.callbacks = CallbackManager(self.loop)
        conf = {"bootstrap.servers": address, "linger.ms": 0, "log_level": 0, **settings}
        self.client: Any
        self.records: Records
        if transport == COMPILED:
            from producer import _librdkafka

            self.client = _librdkafka.Client(
                {name: str(value) for name, value in conf.items()}, -1, lambda error: None
            )
            self.records = _librdkafka.Records(self.client, self.loop, self.callbacks, batch_size, None)
        else:
            self.client = Producer(conf)
            self.records = PureRecords(self.client, self.loop, self.callbacks, batch_size, None)
        self.records.room = 1_000_000

    def accept(self, value: Any, topic: str = "t", **given: Any) -> asyncio.Future[Any]:
        shape = {"key": None, "partition": -1, "on_delivery": None, "timestamp": 0, "headers": None, **given}
        future = self.records.accept(topic, value, *shape.values())
        assert future is not None
        return future

    def settle(self) -> None:
        """Hand over and drain until nothing is left."""
        until_s = time.monotonic() + 10
        while self.records.unsettled():
            assert time.monotonic() < until_s, "some records get no report"
            self.records.hand_over()
            self.records.drain(0.01)
            time.sleep(0.001)


@pytest.fixture
def stages(transport: str, broker: Any) -> Iterator[Any]:
    """Makes stages, and lets go of their clients in the end."""
    made: list[Stage] = []

    def make(**settings: Any) -> Stage:
        made.append(Stage(transport, broker.address, **settings))
        return made[-1]

    yield make
    for stage in made:
        stage.client.purge()
        stage.records.release()


async def test_accept__no_room_or_another_thread__looks_at_nothing(stages) -> None:
    records = stages().records
    records.room = 0
    assert records.accept(5, 5, *PLAIN) is None
    records.room = 1
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(records.accept(5, 5, *PLAIN)))
    thread.start()
    thread.join()
    assert seen == [None]
    with pytest.raises(TypeError):
        records.accept("t", 5, *PLAIN)
    assert (records.accepted, records.room) == (0, 1)
    assert records.accept("t", b"1", *PLAIN) is not None
    assert (records.accepted, records.room, records.buffered()) == (1, 0, 1)


async def test_hooks__first_alone_and_refused__are_called_when_it_is_so(stages) -> None:
    stage = stages(**{"message.max.bytes": 1000})
    told: list[str] = []
    stage.records.on_first = lambda: told.append("first")
    stage.records.on_alone = lambda: told.append("alone")
    stage.records.on_refused = lambda: told.append("refused")
    stage.accept(b"1")
    stage.accept(b"2")
    assert told == ["first", "alone"]
    stage.records.hand_over()
    stage.accept(b"3" * 2000)
    assert told == ["first", "alone", "first"]
    stage.records.hand_over()
    assert told[3:] == ["refused"]


async def test_made_record__what_it_was_made_of_changes__is_what_it_was(stages) -> None:
    stage = stages()
    value, headers = bytearray(b"before"), [("h", b"before")]
    made = stage.records.make("t", value, memoryview(value), -1, None, 0, headers)
    value[:] = b"after!"
    headers.append(("h", b"after"))
    delivery = stage.records.enter(made)
    stage.settle()
    message = delivery.result()
    assert (message.value(), message.key()) == (b"before", b"before")
    assert message.headers() == [("h", b"before")]


SHAPES = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.integers(-1, 2),
        st.sampled_from([{}, {"headers": {"h": b"1"}}, {"timestamp": 1}, {"key": "k"}]),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shapes=SHAPES, batch_size=st.integers(1, 7), queue=st.integers(1, 40))
def test_order__any_shapes_and_any_queue__every_partition_is_in_call_order(
    broker, transport, shapes, batch_size, queue
) -> None:
    async def run() -> None:
        stage = Stage(
            transport,
            broker.address,
            batch_size,
            **{"queue.buffering.max.messages": queue, "partitioner": "consistent", "max.in.flight": 1},
        )
        futures = []
        for number, (topic, partition, shape) in enumerate(shapes):
            given = {"key": str(number % 3), **shape}
            futures.append(stage.accept(b"%d" % number, topic, partition=partition, **given))
            if number % 5 == 0:
                stage.records.hand_over()
        assert all(len(batch) <= batch_size for batch in stage.records.preview(None))
        stage.settle()
        places: dict[tuple[str, int], list[int]] = {}
        for future in futures:
            message = future.result()
            places.setdefault((message.topic(), message.partition()), []).append(message.offset())
        for place, offsets in places.items():
            assert offsets == list(range(offsets[0], offsets[0] + len(offsets))), place
        stage.records.release()

    asyncio.run(run())


async def test_queue_full__the_rest_stays_in_order_until_there_is_room(broker, stages) -> None:
    stage = stages(**{"queue.buffering.max.messages": 3})
    broker.create("t", 1)
    futures = [stage.accept(b"%d" % number) for number in range(10)]
    assert stage.records.hand_over() is False
    assert (stage.records.handed_over, stage.records.buffered(), stage.records.queue_full) == (3, 7, 1)
    stage.settle()
    assert [future.result().offset() for future in futures] == list(range(10))


@pytest.mark.parametrize("shape", [{}, {"headers": {"h": b"1"}}])
async def test_record_larger_than_the_queue__fails_alone(stages, shape) -> None:
    stage = stages(**{"queue.buffering.max.kbytes": 64})
    before = stage.accept(b"before")
    never = stage.accept(b"x" * 100_000, **shape)
    after = stage.accept(b"after", topic="other")
    stage.settle()
    assert (before.result().value(), after.result().value()) == (b"before", b"after")
    with pytest.raises(KafkaException, match=r"queue\.buffering\.max\.kbytes") as failed:
        never.result()
    assert failed.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE


async def test_drop__what_is_in_the_buffer__fails_with_its_error_and_its_record(stages) -> None:
    stage = stages()
    told: list[Any] = []
    failed = stage.accept(
        "v",
        key="k",
        partition=2,
        headers={"h": b"1"},
        timestamp=5,
        on_delivery=lambda *report: told.append(report),
    )
    stage.records.drop(PURGED)
    assert not failed.done(), "nobody is told inside of a call that drops"
    assert stage.records.drain(1) is False
    ((error, message),) = told
    assert error.code() == message.error().code() == KafkaError._PURGE_QUEUE
    assert (message.topic(), message.partition(), message.value(), message.key()) == ("t", 2, b"v", b"k")
    assert (message.offset(), message.latency(), message.leader_epoch()) == (None, None, None)
    assert (message.headers(), message.timestamp()[1], len(message)) == ([("h", b"1")], 5, 1)
    assert stage.callbacks.failures == {"_PURGE_QUEUE": 1}
    failed.exception()


async def test_epochs__a_flush_each__are_over_when_all_older_records_are_settled(stages) -> None:
    records = stages().records
    assert records.new_epoch() == records.new_epoch() == records.oldest_epoch()
    records.enter(records.make("t", b"1", *PLAIN))
    first = records.new_epoch()
    assert records.oldest_epoch() < first
    records.enter(records.make("t", b"2", *PLAIN))
    second = records.new_epoch()
    assert second > first
    records.drop(PURGED)
    records.room = 10
    younger = records.accept("t", b"3", *PLAIN)
    assert records.oldest_epoch() < first
    records.drain(1)
    assert records.oldest_epoch() == second
    assert (records.accepted, records.settled, records.unsettled()) == (3, 2, 1)
    assert not younger.done()


async def test_batch__some_can_not_be_sent__the_others_enter_as_there_is_room(stages) -> None:
    stage = stages()
    future: asyncio.Future[Any] = stage.loop.create_future()
    messages = [{"value": b"0"}, {"value": 1}, {"value": "2"}, {"vaule": b"3"}, {"value": b"4", "key": "k"}]
    report = BatchReport(len(messages), future, stage.callbacks.on_failure)
    made = stage.records.make_batch("t", messages, -1, None, report)
    stage.records.room = 2
    assert stage.records.enter_many(made, 0) == 2
    stage.settle()
    assert not future.done()
    stage.records.room = 2
    assert stage.records.enter_many(made, 2) == 3
    stage.settle()
    result = future.result()
    assert (result.count, result.acknowledged, list(result.failures)) == (5, 3, [1, 3])
    assert "'vaule'" in str(result.failures[3])


async def test_budget__spent__the_rest_is_settled_by_the_next_drain(stages) -> None:
    stage = stages()
    calls: list[Any] = []

    def slow(error: Any, message: Any) -> None:
        calls.append(message.value())
        time.sleep(0.002)

    for number in range(10):
        stage.accept(b"%d" % number, on_delivery=slow).add_done_callback(lambda done: done.exception())
    stage.records.drop(PURGED)
    assert stage.records.drain(0.003) is True
    assert 1 <= len(calls) < 10
    while stage.records.drain(0.003):
        pass
    assert calls == [b"%d" % number for number in range(10)]


class Pooled:
    """Records of the pure transport with nothing but a place for callbacks."""

    def __init__(self, pool_max: int) -> None:
        loop = asyncio.get_running_loop()
        client = Producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
        self.records = PureRecords(client, loop, CallbackManager(loop), 1000, None, pool_max)
        self.told: list[Any] = []

    def enter(self, value: bytes) -> tuple[Any, Any]:
        """A record's future, and its callback as librdkafka has it."""
        on_delivery = lambda error, message: self.told.append(message)  # noqa: E731
        future = self.records.enter(self.records.make("t", value, None, -1, on_delivery, 0, None))
        ((run,)) = list(self.records.take())
        return future, run.records[0]["callback"]


async def test_pool__callbacks_used_again__records_stay_apart() -> None:
    stage = Pooled(pool_max=2)
    for created, reused in ((3, 0), (4, 2)):
        entered = [stage.enter(b"%d" % number) for number in range(3)]
        messages = [Message("t", value=b"%d" % number) for number in range(3)]
        for (_, callback), message in zip(entered, messages, strict=True):
            callback(None, message)
        stage.records.run_due(float("inf"))
        assert [future.result() for future, _ in entered] == messages
        assert stage.told[-3:] == messages
        assert (stage.records.created, stage.records.reused) == (created, reused)
