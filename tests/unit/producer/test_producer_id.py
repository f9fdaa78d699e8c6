"""An idempotent producer's id is there as soon as a broker is, and nobody waits for the search."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ClusterMetadata

from producer import AIOProducer
from producer.producer_id import BOOTSTRAP, SEEK_S_MAX, ProducerIdSeeker

IDEMPOTENT = {"enable.idempotence": True}
TIMER_S = 0.5
"""librdkafka's."""


async def test_first_record__idempotent__does_not_wait_for_librdkafkas_timer(broker, make) -> None:
    broker.create("t", 4)  # while it is being made, metadata comes again and again
    took_s = []
    for _ in range(40):
        began_s = time.monotonic()
        await make(IDEMPOTENT).send_and_wait("t", b"1")
        took_s.append(time.monotonic() - began_s)
    quick = sum(each < TIMER_S for each in took_s)
    # Without the search each is by one chance in two: 28 of 40 once in a hundred runs. A busy machine delays some.
    assert quick >= 28, took_s


@pytest.mark.parametrize(
    ("conf", "searches"),
    [
        ({}, 0),
        ({"enable.idempotence": "false"}, 0),
        ({"enable.idempotence": "true"}, 1),
        ({"enable.idempotence": True, "transactional.id": "t"}, 0),
    ],
)
async def test_search__one_for_each_idempotent_producer__and_none_for_others(
    make, monkeypatch, conf, searches: int
) -> None:
    topics = []

    class Seeker(ProducerIdSeeker):
        def __init__(self, client, topic: str) -> None:
            topics.append(topic)
            super().__init__(client, topic)

    monkeypatch.setattr("producer.batch_executor.ProducerIdSeeker", Seeker)
    producer = make(conf)
    if "transactional.id" in conf:
        await producer.init_transactions()
        await producer.begin_transaction()
    for topic in ("first", "second"):
        await producer.send_and_wait(topic, b"1")
    assert topics == ["first"] * searches


async def test_search__answer_over_the_bootstrap_connection__asks_again() -> None:
    """As chance wants it with a real client: here its answers come in the order in which they would not help."""
    answers = [KafkaException(KafkaError(KafkaError._TRANSPORT)), BOOTSTRAP, BOOTSTRAP, 1]

    class Client:
        def list_topics(self, topic: str, timeout: float) -> ClusterMetadata:
            answer = answers.pop(0)
            if isinstance(answer, KafkaException):
                raise answer
            metadata = ClusterMetadata()
            metadata.orig_broker_id = answer
            return metadata

    client = Client()
    ProducerIdSeeker(lambda: client, "t")
    for _ in range(1000):
        if not answers:
            break
        await asyncio.sleep(0.01)
    assert not answers


async def test_search__broker_unreachable__ends_with_close(broker, make) -> None:
    def threads() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "producer-call"}

    before = threads()
    broker.down()
    producer = make(IDEMPOTENT)
    delivery = await producer.produce("t", b"1")
    search = threads() - before
    assert len(search) == 1
    await asyncio.wait_for(producer.close(timeout=0), SEEK_S_MAX - 1)
    with pytest.raises(KafkaException):
        delivery.result()
    for thread in search:
        thread.join(1)  # it has nothing left to do but end
    assert not threads() & search


async def test_search__broker_comes_later__is_found(broker, make) -> None:
    broker.down()
    producer = make({**IDEMPOTENT, "reconnect.backoff.max.ms": 100})
    delivery = await producer.produce("t", b"1")
    await asyncio.sleep(0.3)
    broker.up()
    assert (await asyncio.wait_for(delivery, 20)).offset() == 0


async def test_search__topic_that_cannot_be__gives_up_and_harms_nobody(make) -> None:
    producer = make(IDEMPOTENT)
    with pytest.raises(KafkaException):
        await producer.send_and_wait("t" * 600, b"1")
    assert (await producer.send_and_wait("t", b"1")).offset() == 0


@pytest.mark.filterwarnings("ignore:AIOProducer dropped:ResourceWarning")
async def test_search__producer_dropped_meanwhile__does_not_keep_it(broker, transport) -> None:
    producer = AIOProducer(
        {"bootstrap.servers": broker.address, "linger.ms": 0, **IDEMPOTENT}, transport=transport
    )
    delivery = await producer.produce("t", b"1")
    gone = weakref.ref(producer)
    del producer
    gc.collect()
    assert gone() is None
    assert (await delivery).offset() == 0
