"""Transactions on the embedded broker, which shows aborted records too: read isolation is not proven here."""

from __future__ import annotations

import asyncio

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from producer import (
    AbortableTransactionError,
    FatalTransactionError,
    ProducerClosedError,
    ProducerFailedError,
    ProducerFencedError,
    RetriableTransactionError,
    TransactionError,
    TransactionStateError,
)
from producer.errors import transaction_error
from producer.transaction import Transaction

ADD_OFFSETS_REQUEST = 25
END_TRANSACTION_REQUEST = 26


async def test_transaction__left_normally__commits_what_was_produced(broker, make) -> None:
    topic = broker.create("committed", 1)
    producer = make({"transactional.id": "a"})
    await producer.init_transactions(30)
    for _ in range(2):
        async with producer.transaction():
            futures = [await producer.produce(topic, b"%d" % number) for number in range(20)]
        assert all(future.result().value() for future in futures)
    assert len(broker.log(topic, 1)[0]) >= 40


@pytest.mark.parametrize("way", ["error", "cancel"])
async def test_transaction__left_by_an_error_or_cancelled__aborts_and_the_next_one_works(
    broker, make, way
) -> None:
    topic = broker.create("aborted", 1)
    producer = make({"transactional.id": "b"})
    await producer.init_transactions(30)
    futures = []

    async def work() -> None:
        async with producer.transaction():
            futures.extend([await producer.produce(topic, b"1") for _ in range(3)])
            if way == "error":
                raise LookupError
            await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises((LookupError, asyncio.CancelledError)):
        await task
    assert all(future.done() for future in futures)
    assert all(future.result().value() == b"1" for future in futures), "sent, and aborted at the broker"
    async with producer.transaction():
        sent = await producer.produce(topic, b"2")
    assert sent.result().value() == b"2"


async def test_abort__records_that_librdkafka_has_not_taken__are_given_up(make) -> None:
    producer = make({"transactional.id": "c"})
    await producer.init_transactions(30)
    await producer.begin_transaction()
    futures = [await producer.produce("given-up", b"1") for _ in range(3)]
    assert producer.statistics().buffered == 2
    await producer.abort_transaction(10)
    codes = [future.exception() and future.exception().args[0].code() for future in futures]
    assert codes == [None, KafkaError._PURGE_QUEUE, KafkaError._PURGE_QUEUE]
    async with producer.transaction():
        await producer.produce("given-up", b"2")


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ({"fatal": True}, FatalTransactionError),
        ({"fatal": True, "error": KafkaError._FENCED}, ProducerFencedError),
        ({"fatal": True, "error": KafkaError.INVALID_PRODUCER_EPOCH}, ProducerFencedError),
        ({"txn_requires_abort": True}, AbortableTransactionError),
        ({"retriable": True}, RetriableTransactionError),
    ],
)
def test_transaction_error__by_librdkafkas_flag__is_told_apart(flags, kind) -> None:
    told = KafkaError(**{"error": 1, "reason": "why", **flags})
    error = transaction_error(KafkaException(told))
    assert type(error) is kind
    assert isinstance(error, TransactionError)
    assert isinstance(error, ProducerFailedError) == told.fatal()
    assert (error.args[0].code(), error.args[0].fatal()) == (told.code(), told.fatal())
    assert error.args[0].str().endswith("why")


def test_transaction_error__no_flag__is_the_cause_itself() -> None:
    cause = KafkaException(KafkaError(1, "why"))
    assert transaction_error(cause) is cause


class Recorder:
    """Notes the calls of a block; its commits and aborts end as told."""

    def __init__(
        self, *commits: type[TransactionError] | None, aborts: tuple[type[TransactionError], ...] = ()
    ) -> None:
        self.calls: list[str] = []
        self._commits, self._aborts = list(commits), list(aborts)

    async def begin_transaction(self) -> None:
        self.calls.append("begin")

    async def commit_transaction(self, timeout: float = -1) -> None:
        self.calls.append("commit")
        outcome = self._commits.pop(0) if self._commits else None
        if outcome is not None:
            raise outcome(KafkaError(1, "why"))

    async def abort_transaction(self, timeout: float = -1) -> None:
        self.calls.append("abort")
        if self._aborts:
            raise self._aborts.pop(0)(KafkaError(1, "why"))


@pytest.mark.parametrize(
    ("aborts", "count"),
    [
        ([RetriableTransactionError] * 2, 3),
        ([RetriableTransactionError] * 9, 5),
        ([TransactionStateError], 1),
        ([FatalTransactionError], 1),
    ],
)
async def test_transaction__abort_ends_so__is_repeated_where_it_may_be(aborts, count) -> None:
    recorder = Recorder(aborts=tuple(aborts))
    with pytest.raises(LookupError):
        async with Transaction(recorder):
            raise LookupError
    assert recorder.calls == ["begin", *["abort"] * count]


@pytest.mark.parametrize(
    ("commits", "raised", "calls"),
    [
        ([None], None, ["commit"]),
        ([RetriableTransactionError, None], None, ["commit", "commit"]),
        ([RetriableTransactionError] * 9, RetriableTransactionError, ["commit"] * 5 + ["abort"]),
        ([AbortableTransactionError], AbortableTransactionError, ["commit", "abort"]),
        ([FatalTransactionError], FatalTransactionError, ["commit"]),
    ],
)
async def test_transaction__commit_ends_so__repeats_aborts_or_gives_up(commits, raised, calls) -> None:
    recorder = Recorder(*commits)
    if raised is None:
        async with Transaction(recorder):
            pass
    else:
        with pytest.raises(raised):
            async with Transaction(recorder):
                pass
    assert recorder.calls == ["begin", *calls]


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (LookupError(), ["abort"]),
        (asyncio.CancelledError(), ["abort"]),
        (AbortableTransactionError(KafkaError(1, "why")), ["abort"]),
        (FatalTransactionError(KafkaError(1, "why")), []),
        (ProducerFailedError("why"), []),
    ],
)
async def test_transaction__block_raises__aborts_unless_fatal_and_lets_it_out(error, calls) -> None:
    recorder = Recorder()
    with pytest.raises(type(error)):
        async with Transaction(recorder):
            raise error
    assert recorder.calls == ["begin", *calls]


async def test_send_offsets__in_a_transaction__are_committed_with_it(broker, make) -> None:
    broker.create("read", 1)
    producer = make({"transactional.id": "e"})
    await producer.init_transactions(30)
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "group"})
    try:
        async with producer.transaction():
            await producer.produce("written", b"1")
            await producer.send_offsets_to_transaction(
                [TopicPartition("read", 0, 7)], consumer.consumer_group_metadata(), 10
            )
    finally:
        consumer.close()


async def test_send_offsets__transaction_before_still_settled__is_repeated(broker, make) -> None:
    """librdkafka gives up after some ten attempts, whatever the timeout."""
    broker.create("read", 1)
    producer = make({"transactional.id": "h", "retry.backoff.ms": 1, "retry.backoff.max.ms": 2})
    await producer.init_transactions(30)
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "group"})
    metadata = consumer.consumer_group_metadata()
    consumer.close()
    async with producer.transaction():
        broker.fail(ADD_OFFSETS_REQUEST, *[KafkaError.CONCURRENT_TRANSACTIONS] * 15)
        await producer.send_offsets_to_transaction([TopicPartition("read", 0, 7)], metadata)
    with pytest.raises(RetriableTransactionError, match="another concurrent operation"):
        async with producer.transaction():
            broker.fail(ADD_OFFSETS_REQUEST, *[KafkaError.CONCURRENT_TRANSACTIONS] * 100)
            await producer.send_offsets_to_transaction([TopicPartition("read", 0, 7)], metadata, 0.05)


async def test_transaction__fenced__fatal_and_later_calls_name_the_cause(broker, make) -> None:
    told: list[KafkaError] = []
    producer = make({"transactional.id": "f", "error_cb": told.append})
    await producer.init_transactions(30)
    await producer.begin_transaction()
    await producer.send_and_wait("fenced", b"1")
    broker.fail(END_TRANSACTION_REQUEST, KafkaError.PRODUCER_FENCED)
    with pytest.raises(ProducerFencedError):
        await producer.commit_transaction(10)
    for call in (producer.begin_transaction, producer.commit_transaction, producer.abort_transaction):
        with pytest.raises(ProducerFencedError, match=r"has taken over, or .* Close this one"):
            await call()
    with pytest.raises(ProducerFencedError, match=r"has taken over, or .* Close this one") as failed:
        await producer.produce("fenced", b"2")
    assert isinstance(failed.value.__cause__, KafkaException)
    await producer.close(timeout=5)
    assert [error.code() for error in told if error.fatal()] == [KafkaError._FENCED]
    with pytest.raises(ProducerClosedError):
        await producer.produce("fenced", b"3")


async def test_transaction__commit_may_not_succeed__aborts_and_the_next_one_works(broker, make) -> None:
    producer = make({"transactional.id": "g"})
    await producer.init_transactions(30)
    with pytest.raises(AbortableTransactionError):
        async with producer.transaction():
            await producer.send_and_wait("abortable", b"1")
            broker.fail(END_TRANSACTION_REQUEST, KafkaError.TRANSACTION_ABORTABLE)
    async with producer.transaction():
        sent = await producer.produce("abortable", b"2")
    assert sent.result().value() == b"2"
