"""Transactions on the embedded broker, which shows aborted records too: read isolation is not proven here."""

from __future__ import annotations

import asyncio

import pytest
from confluent_kafka import KafkaError, KafkaException

from producer import (
    AbortableTransactionError,
    FatalTransactionError,
    RetriableTransactionError,
    TransactionError,
)
from producer.errors import transaction_error


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
    for future in futures:
        assert future.done()
        future.exception()
    async with producer.transaction():
        sent = await producer.produce(topic, b"2")
    assert sent.result().value() == b"2"


async def test_produce__outside_a_transaction__that_future_fails(make) -> None:
    producer = make({"transactional.id": "c"})
    await producer.init_transactions(30)
    outside = await producer.produce("t", b"1")
    await producer.begin_transaction()
    inside = await producer.produce("t", b"2")
    await producer.commit_transaction(30)
    with pytest.raises(KafkaException) as failed:
        outside.result()
    assert failed.value.args[0].code() == KafkaError._STATE
    assert inside.result().value() == b"2"


async def test_begin__not_initialised__a_clear_kafka_exception(make) -> None:
    with pytest.raises(KafkaException):
        await make({"transactional.id": "d"}).begin_transaction()
    with pytest.raises(KafkaException):
        await make().begin_transaction()


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ({"fatal": True}, FatalTransactionError),
        ({"txn_requires_abort": True}, AbortableTransactionError),
        ({"retriable": True}, RetriableTransactionError),
    ],
)
def test_transaction_error__by_librdkafkas_flag__is_told_apart(flags, kind) -> None:
    error = transaction_error(KafkaException(KafkaError(1, "why", **flags)))
    assert type(error) is kind
    assert isinstance(error, TransactionError)
    assert error.args[0].code() == 1


def test_transaction_error__no_flag__is_the_cause_itself() -> None:
    cause = KafkaException(KafkaError(1, "why"))
    assert transaction_error(cause) is cause
