"""Transactions on the embedded broker, which shows aborted records too: read isolation is not proven here."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from producer import (
    AbortableTransactionError,
    AIOProducer,
    FatalTransactionError,
    ProducerClosedError,
    ProducerFailedError,
    ProducerFencedError,
    RetriableTransactionError,
    TransactionError,
    TransactionStateError,
)
from producer.aio_producer import PURGE_S_MAX, STOP_S_MAX
from producer.errors import transaction_error
from producer.transaction import Transaction

ADD_OFFSETS_REQUEST = 25
END_TRANSACTION_REQUEST = 26
SURELY_S = 20.0
"""Well below transaction.timeout.ms, after which librdkafka would tell of what it kept."""


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


async def test_abort__records_that_librdkafka_has_not_taken__are_given_up(make, monkeypatch) -> None:
    monkeypatch.setattr(
        "producer.batch_manager.TICK_S_MAX", 60
    )  # however slow the machine, no tick ends in between
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
        async with Transaction(recorder, 60, 3):
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
        async with Transaction(recorder, 60, 3):
            pass
    else:
        with pytest.raises(raised):
            async with Transaction(recorder, 60, 3):
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
        async with Transaction(recorder, 60, 3):
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


@pytest.mark.parametrize(("unsettled", "close_s"), [(0, None), (1, 1)])
async def test_send_offsets__group_coordinator_went_away__fails_after_its_limit_and_a_new_producer_goes_on(
    broker, make, monkeypatch, unsettled, close_s
) -> None:
    """librdkafka would wait until any broker's connection comes or goes (librdkafka issues 5456 and 5511)."""
    monkeypatch.setattr("producer.transaction_calls.OVERTIME_S_MAX", 0.5)
    broker.create("read", 1)
    broker.create("written", 2)
    broker.coordinate("group", "i", 2)
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "group"})
    metadata = consumer.consumer_group_metadata()
    consumer.close()
    positions = [TopicPartition("read", 0, 7)]

    async def transact(producer: AIOProducer, timeout: float) -> None:
        async with producer.transaction():
            await producer.send_and_wait("written", b"1", partition=0)
            for _ in range(unsettled):
                await producer.produce("written", b"2", partition=1)  # its leader is the group's coordinator
            await producer.send_offsets_to_transaction(positions, metadata, timeout)

    producer = make({"transactional.id": "i"}, max_workers=1)
    await producer.init_transactions(30)
    await transact(producer, 10)
    broker.down(2)
    with pytest.raises(FatalTransactionError, match=r"hangs in librdkafka.*make a new one"):
        await asyncio.wait_for(transact(producer, 1), 10)
    with pytest.raises(FatalTransactionError, match="hangs in librdkafka"):
        await producer.begin_transaction()
    assert len(producer) == unsettled
    await asyncio.wait_for(producer.close(close_s), 10)  # its only thread hangs
    assert len(producer) == 0

    broker.coordinate("group", "i", 1)
    broker.up()
    heir = make({"transactional.id": "i"})
    await heir.init_transactions(30)
    await transact(heir, 10)


@pytest.mark.parametrize("timeout", [0.5, None])
async def test_close__open_transaction_and_no_broker_answers__ends_within_its_limit(
    broker, make, timeout
) -> None:
    """Without a limit of its own, within twice transaction.timeout.ms."""
    transaction_s_max = 2.0
    broker.create("unreachable", 1)
    producer = make({"transactional.id": "j", "transaction.timeout.ms": int(transaction_s_max * 1000)})
    await producer.init_transactions(30)
    await producer.begin_transaction()
    await producer.send_and_wait("unreachable", b"1")
    broker.down()
    pending = await producer.produce("unreachable", b"2")
    limit_s = 2 * transaction_s_max if timeout is None else timeout
    await asyncio.wait_for(producer.close(timeout), limit_s + PURGE_S_MAX + STOP_S_MAX)
    assert isinstance(pending.exception(), KafkaException)


@pytest.mark.parametrize("fails", [False, True])
async def test_transaction__no_broker_answers__block_ends_within_its_limit(broker, make, fails) -> None:
    """A commit is tried for twice transaction.timeout.ms at most, and so is the abort behind it."""
    transaction_s_max = 1.0
    broker.create("unreachable", 1)
    producer = make({"transactional.id": "k", "transaction.timeout.ms": int(transaction_s_max * 1000)})
    await producer.init_transactions(30)

    async def work() -> None:
        async with producer.transaction():
            await producer.send_and_wait("unreachable", b"1")
            broker.down()
            if fails:
                raise LookupError

    began_s = time.monotonic()
    with pytest.raises(LookupError if fails else TransactionError):
        await work()
    assert time.monotonic() - began_s < (2 if fails else 4) * transaction_s_max + 1


@pytest.mark.parametrize("end", ["commit", "abort", "abort again", "commit given up, abort"])
async def test_transaction__given_up_by_librdkafka_with_a_record_to_be_sent_again__ends_at_once(
    broker, make, end, monkeypatch
) -> None:
    """librdkafka purges its queue when it gives a transaction up. What is in flight then, and is to be sent again by
    its answer, is neither sent nor told of before the abort, or before message.timeout.ms.
    """
    topic = broker.create("stuck", 2)
    producer = make({"transactional.id": "s"})
    await producer.init_transactions(30)
    await producer.begin_transaction()
    for partition in range(2):
        await producer.send_and_wait(topic, b"1", partition=partition)
    broker.hold_next_produce(200, broker=1, code=KafkaError.MSG_SIZE_TOO_LARGE)
    broker.hold_next_produce(600, broker=2, code=KafkaError.NOT_ENOUGH_REPLICAS)
    refused, postponed = [await producer.produce(topic, b"2", partition=partition) for partition in range(2)]
    await producer.flush(0.1)  # both are on their way then
    began_s = time.monotonic()
    if end == "commit":
        with pytest.raises(AbortableTransactionError):
            await producer.commit_transaction(SURELY_S)
    elif end == "abort again":
        with pytest.raises(RetriableTransactionError):
            await producer.abort_transaction(0.05)
    elif end == "commit given up, abort":
        monkeypatch.setattr("producer.transaction_calls.STALL_S", 0.001)  # so that it asks all the time
        committing = asyncio.create_task(producer.commit_transaction(SURELY_S))
        await asyncio.sleep(0.05)
        committing.cancel()
        with contextlib.suppress(asyncio.CancelledError, AbortableTransactionError):
            await committing
    await producer.abort_transaction(SURELY_S)
    assert time.monotonic() - began_s < SURELY_S
    assert [future.exception().args[0].code() for future in (refused, postponed)] == [
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError._PURGE_QUEUE,
    ]
    broker.create("unhurt", 1)
    async with producer.transaction():
        sent = await producer.produce("unhurt", b"3")
    assert sent.result().value() == b"3"


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
