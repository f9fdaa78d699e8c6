"""The guide's tables for those who come from another producer: what confluent's AIOProducer does, and what ours does.

A test of `there` runs confluent's, so that the table is no longer true of a version in which it fails.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from producer import AbortableTransactionError, AIOProducer, Message, TransactionStateError

aio = pytest.importorskip("confluent_kafka.aio")

HERE_ALONE = {
    "closed",
    "create_batches_preview",
    "get_batch_processor_stats",
    "produce_batch",
    "produce_nowait",
    "send_and_wait",
    "statistics",
    "transaction",
    "transport",
}
LIMIT_S = 10
There = Callable[..., Any]


@pytest.fixture
async def there(broker) -> AsyncIterator[There]:
    """Makes confluent's producers on the embedded broker."""
    made: list[Any] = []

    def make_producer(conf: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        settings = {"bootstrap.servers": broker.address, "linger.ms": 0, "log_level": 0, **(conf or {})}
        made.append(aio.AIOProducer(settings, **kwargs))
        return made[-1]

    yield make_producer
    for producer in made:
        producer._batch_processor.clear_buffer()
        producer._producer.purge()
        producer.executor.shutdown()


async def acknowledged(producer: Any, *args: Any, **kwargs: Any) -> Any:
    """The message of a record, whoever's producer sends it."""
    future = await producer.produce(*args, **kwargs)
    await producer.flush(LIMIT_S)
    return await asyncio.wait_for(future, LIMIT_S)


async def unsettled_at_a_broker_that_is_away(producer: Any) -> list[asyncio.Future[Any]]:
    """The futures of a record that librdkafka has, and of one that may still be in the buffer."""
    first = await producer.produce("t", b"1")
    await asyncio.sleep(0.6)
    return [first, await producer.produce("t", b"2")]


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


# Names and shapes


def test_names__of_confluents_producer__are_here_with_their_parameters() -> None:
    assert public(AIOProducer) - public(aio.AIOProducer) == HERE_ALONE
    assert public(aio.AIOProducer) - public(AIOProducer) == set()
    theirs = set(inspect.signature(aio.AIOProducer).parameters)
    assert theirs - set(inspect.signature(AIOProducer).parameters) == set()
    for name in public(aio.AIOProducer):
        assert inspect.iscoroutinefunction(getattr(AIOProducer, name)), name


async def test_calls__by_position_and_by_name__are_taken_as_there(make) -> None:
    producer = make()
    await producer.flush(LIMIT_S)
    await producer.flush(timeout=LIMIT_S)
    await producer.poll(0)
    await producer.purge(True, True, True)
    await producer.purge(in_queue=True, in_flight=False, blocking=False)
    for metadata in (
        await producer.list_topics("t", LIMIT_S),
        await producer.list_topics(topic="t", timeout=LIMIT_S),
    ):
        assert set(metadata.topics) == {"t"}
    assert await producer.cluster_id(LIMIT_S) == metadata.cluster_id
    await producer.set_sasl_credentials("user", "secret")
    await producer.set_sasl_credentials(username="user", password="secret")
    for wrong in ((None, "secret"), ("user", None), (5, "secret")):
        with pytest.raises(TypeError):
            await producer.set_sasl_credentials(*wrong)
    assert not hasattr(producer, "executor")


# Records


async def test_produce__what_confluents_drops_or_refuses__is_heard(broker, make, there) -> None:
    broker.create("t", 4)
    told: list[Any] = []
    await acknowledged(
        there({"on_delivery": lambda *_: told.append(0)}), "t", b"1", callback=lambda *_: told.append(0)
    )
    await acknowledged(there(), "t", b"1", None, 3, lambda *_: told.append(0), nonsense=1)
    assert told == []
    with pytest.raises(NotImplementedError):
        await there().produce("t", b"1", headers=None)
    for record in ({"value": bytearray(b"1")}, {"value": memoryview(b"1")}, {"value": b"1", "timestamp": 5}):
        with pytest.raises((NotImplementedError, TypeError)):
            await acknowledged(there(), "t", **record)
        assert (await acknowledged(make(), "t", **record)).value() == b"1"
    ours = make()
    message = await acknowledged(ours, "t", b"1", None, 3, lambda *_: told.append(1), 5, {"h": b"1"})
    assert (message.partition(), message.headers(), told) == (3, [("h", b"1")], [1])
    with pytest.raises(TypeError, match="nonsense"):
        await ours.produce("t", b"1", nonsense=1)


async def test_produce__wrong_argument__harms_no_other_record(make, there) -> None:
    theirs, ours = there(), make()
    good = await theirs.produce("t", b"1"), await ours.produce("t", b"1")
    await theirs.produce("t", 5)
    with pytest.raises(TypeError):
        await ours.produce("t", 5)
    for _ in range(2):
        with pytest.raises(TypeError):
            await theirs.flush()
    assert isinstance(good[0].exception(), TypeError)
    assert (await good[1]).value() == b"1"


async def test_produce__full_queue__waits_where_confluents_future_fails(broker, make, there) -> None:
    few = {"queue.buffering.max.messages": 2}
    broker.down()
    theirs, ours = there(few, batch_size=1), make(few)
    futures = [await theirs.produce("t", b"1") for _ in range(3)]
    assert futures[2].exception().args[0].code() == KafkaError._QUEUE_FULL
    for _ in range(2):
        await ours.produce("t", b"1")
    in_line = asyncio.ensure_future(ours.produce("t", b"1"))
    await asyncio.sleep(0.05)
    assert not in_line.done()
    broker.up()
    assert (await asyncio.wait_for(await in_line, LIMIT_S)).error() is None


async def test_buffer__nobody_calls__leaves_at_once_where_confluents_waits(make, there) -> None:
    theirs, ours = (
        await there(buffer_timeout=0).produce("t", b"1"),
        await make(buffer_timeout=0).produce("t", b"1"),
    )
    await asyncio.wait_for(ours, LIMIT_S)
    assert not theirs.done()


async def test_message__methods__are_confluents_and_its_class_is_not(broker, make, there) -> None:
    producer = make({"message.max.bytes": 2000})
    with_headers = {"key": b"k", "headers": [("h", b"1")], "timestamp": 1_700_000_000_000}
    message = await producer.send_and_wait("t", b"1", **with_headers)
    confluents: list[Any] = []
    synchronous = Producer({"bootstrap.servers": broker.address})
    synchronous.produce("t", b"1", **with_headers, on_delivery=lambda error, told: confluents.append(told))
    synchronous.flush()
    lost: list[Any] = []
    with pytest.raises(KafkaException):
        await producer.send_and_wait("t", b"x" * 5000, on_delivery=lambda error, told: lost.append(told))
    await producer.flush(LIMIT_S)
    for name in public(Message):
        for told in (message, lost[0]):
            assert callable(getattr(told, name)), name
        if name not in ("offset", "latency", "leader_epoch", "headers"):
            assert getattr(message, name)() == getattr(confluents[0], name)(), name
    assert len(message) == len(confluents[0]) == 1
    assert message.headers() == with_headers["headers"]
    assert isinstance(message, confluent_kafka.Message) == (producer.transport == "pure")
    assert not isinstance(lost[0], confluent_kafka.Message)
    assert isinstance(await acknowledged(there(), "t", b"1"), confluent_kafka.Message)


# Waiting


async def test_poll__number__is_of_records_alone(make, there) -> None:
    async def stats_cb(text: str) -> None:
        pass

    conf = {"statistics.interval.ms": 20, "stats_cb": stats_cb}
    theirs, ours = there(conf), make(conf)
    await asyncio.sleep(0.3)
    assert await theirs.poll(0.1) > 0
    assert await ours.poll(0.1) == 0
    future = await ours.produce("t", b"1")
    assert await ours.poll(None) == 1
    assert future.done()
    for call in (theirs.poll, theirs.flush):
        with pytest.raises(TypeError):
            await call(None)
    assert await ours.flush(None) == 0


async def test_purge__futures__fail_where_confluents_are_cancelled_or_wait_for_a_poll(
    broker, make, there
) -> None:
    broker.down()
    theirs, ours = there(buffer_timeout=0.1), make()
    handed_over, buffered = await unsettled_at_a_broker_that_is_away(theirs)
    await theirs.purge()
    assert (handed_over.done(), buffered.cancelled()) == (False, True)
    await theirs.poll(0)
    await asyncio.sleep(0)
    assert handed_over.exception().args[0].code() == KafkaError._PURGE_QUEUE
    futures = await unsettled_at_a_broker_that_is_away(ours)
    assert len(ours) == 2
    await ours.purge()
    await asyncio.wait(futures, timeout=LIMIT_S)
    assert [future.exception().args[0].code() for future in futures] == [KafkaError._PURGE_QUEUE] * 2


async def test_event_callbacks__plain__are_called_where_confluents_raise_out_of_poll(
    make, there, raised
) -> None:
    told: list[str] = []
    conf = {"statistics.interval.ms": 20, "stats_cb": told.append}
    theirs = there(conf)
    with pytest.raises(TypeError, match="await"):
        await theirs.poll(1)
    theirs._producer = Producer({})  # else whatever ends it would raise the same
    told.clear()
    make(conf)
    for _ in range(500):
        if told:
            break
        await asyncio.sleep(0.01)
    assert told
    assert raised == []


async def test_conf__callbacks_and_list_of_servers__is_left_alone_or_refused(broker, transport) -> None:
    async def error_cb(error: KafkaError) -> None:
        pass

    conf = {"bootstrap.servers": broker.address, "error_cb": error_cb}
    async with AIOProducer(conf, transport=transport):
        assert conf["error_cb"] is error_cb
    async with aio.AIOProducer(conf):
        assert conf["error_cb"] is not error_cb
    servers = {"bootstrap.servers": ["127.0.0.1:1", "127.0.0.1:2"], "log_level": 0}
    async with aio.AIOProducer(servers):
        pass
    with pytest.raises(TypeError, match="commas"):
        AIOProducer(servers, transport=transport)


# Transactions


async def test_transaction__a_record_failed__is_not_committed_where_confluents_is(make, there) -> None:
    conf = {"message.max.bytes": 2000}
    theirs, ours = there({**conf, "transactional.id": "theirs"}), make({**conf, "transactional.id": "ours"})
    for producer in (theirs, ours):
        await producer.init_transactions(LIMIT_S)
        await producer.begin_transaction()
        await producer.produce("t", b"x" * 5000)
    await theirs.commit_transaction(LIMIT_S)
    with pytest.raises(AbortableTransactionError):
        await ours.commit_transaction(LIMIT_S)
    await ours.abort_transaction(LIMIT_S)


async def test_transaction__mistakes__raise_from_the_call_with_a_type_of_their_own(make, there) -> None:
    with pytest.raises(KafkaException) as failed:
        await there().init_transactions(LIMIT_S)
    assert failed.value.args[0].code() == KafkaError._NOT_CONFIGURED
    with pytest.raises(TransactionStateError) as refused:
        await make().init_transactions(LIMIT_S)
    assert refused.value.args[0].code() == KafkaError._STATE
    theirs, ours = there({"transactional.id": "theirs"}), make({"transactional.id": "ours"})
    for producer in (theirs, ours):
        await producer.init_transactions(LIMIT_S)
    with pytest.raises(KafkaException) as outside:
        await acknowledged(theirs, "t", b"1")
    assert outside.value.args[0].code() == KafkaError._STATE
    with pytest.raises(TransactionStateError):
        await ours.produce("t", b"1")


# The end


async def test_close__given_executor_and_what_comes_later__is_clear_where_confluents_hangs(
    make, there
) -> None:
    theirs_runs_in, ours_runs_in = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
    theirs, ours = there(executor=theirs_runs_in), make(executor=ours_runs_in)
    for producer in (theirs, ours):
        await acknowledged(producer, "t", b"1")
        await producer.close()
    with pytest.raises(RuntimeError, match="after shutdown"):
        await theirs.close()
    await ours.close(timeout=1)
    with pytest.raises(RuntimeError, match="after shutdown"):
        theirs_runs_in.submit(int)
    assert ours_runs_in.submit(int).result() == 0
    ours_runs_in.shutdown()
    never = await theirs.produce("t", b"1")
    await asyncio.sleep(0)
    assert not never.done()
    with pytest.raises(Exception, match="closed"):
        await ours.produce("t", b"1")
    assert (len(theirs), len(ours), await ours.flush()) == (0, 0, 0)


async def test_dropped__without_close__says_so_and_settles_where_confluents_is_silent(
    broker, transport, recwarn
) -> None:
    settings = {"bootstrap.servers": broker.address}
    theirs = await aio.AIOProducer(dict(settings)).produce("t", b"1")
    gc.collect()
    assert [warning for warning in recwarn if "AIOProducer" in str(warning.message)] == []
    ours = await AIOProducer(settings, transport=transport).produce("t", b"1")
    gc.collect()
    assert [warning.category for warning in recwarn if "AIOProducer" in str(warning.message)] == [
        ResourceWarning
    ]
    await asyncio.wait_for(ours, LIMIT_S)
    assert not theirs.done()


async def test_another_thread__produces__is_refused_where_confluents_takes_it(make, there) -> None:
    def elsewhere(producer: Any, outcomes: list[Any]) -> None:
        try:
            outcomes.append(asyncio.run(producer.produce("t", b"1")))
        except RuntimeError as refused:
            outcomes.append(refused)

    outcomes: list[Any] = []
    for producer in (there(), make()):
        thread = threading.Thread(target=elsewhere, args=(producer, outcomes))
        thread.start()
        thread.join()
    assert isinstance(outcomes[0], asyncio.Future)
    assert "run_coroutine_threadsafe" in str(outcomes[1])


# aiokafka


async def test_from_aiokafka__row_by_row__is_as_the_table_says(broker, make) -> None:
    topic = broker.create("t", 12)
    producer = make({"partitioner": "murmur2_random"})
    message = await producer.send_and_wait(
        topic, "v", key="21", timestamp=1_700_000_000_000, headers=[("k", b"v")]
    )
    assert (message.value(), message.key(), message.headers()) == (b"v", b"21", [("k", b"v")])
    assert message.offset() == 0
    assert message.partition() == (-973932308 & 0x7FFFFFFF) % 12  # Java's murmur2 of "21"
    assert len((await producer.list_topics(topic)).topics[topic].partitions) == 12
    assert (await (await producer.produce_batch(topic, [{"value": "v", "headers": {"k": b"v"}}]))).ok
