"""What statistics() tells, against what really happened."""

from __future__ import annotations

import asyncio
from dataclasses import FrozenInstanceError, asdict
from typing import Any

import pytest
from confluent_kafka import KafkaException

from producer.statistics import LATENCY_BOUNDS_S, LatencyHistogram, LatencySampler

PRODUCE_REQUEST = 0
MSG_SIZE_TOO_LARGE = 10


async def test_statistics__acknowledged_failed_and_waiting__are_told_apart(broker, make) -> None:
    producer = make({"queue.buffering.max.messages": 3, "message.max.bytes": 1000})
    await producer.send_and_wait("t", b"warm")
    with pytest.raises(KafkaException):
        await producer.send_and_wait("t", b"x" * 2000)
    batch = await (await producer.produce_batch("t", [{"value": b"1"}, {"value": b"x" * 2000}]))
    assert list(batch.failures) == [1]
    broker.answer_after(300)
    in_flight = [await producer.produce("t", b"%d" % number) for number in range(3)]
    in_line = asyncio.create_task(producer.produce("t", b"3"))
    await asyncio.sleep(0.05)
    seen = producer.statistics()
    assert (seen.accepted, seen.settled, seen.acknowledged, seen.failed) == (7, 4, 2, 2)
    assert seen.failures == {"MSG_SIZE_TOO_LARGE": 2}
    assert (seen.unsettled, seen.buffered, seen.in_flight, seen.waiting) == (3, 0, 3, 1)
    assert seen.unsettled == len(producer)
    await asyncio.gather(*in_flight, await in_line)
    assert producer.statistics().acknowledged == 6


async def test_statistics__on_delivery_has_not_run__the_failure_is_not_settled_yet(make, monkeypatch) -> None:
    monkeypatch.setattr(
        "producer.batch_manager.TICK_S_MAX", 60
    )  # however slow the machine, no tick ends in between
    producer = make({"message.max.bytes": 1000})
    seen: list[Any] = []
    await producer.produce(
        "t", b"x" * 2000, on_delivery=lambda error, message: seen.append(producer.statistics())
    )
    assert (producer.statistics().failed, producer.statistics().acknowledged) == (0, 0)
    await producer.flush()
    assert [(each.failed, each.acknowledged) for each in seen] == [(1, 0)]


async def test_statistics__few_records__each_latency_is_in_the_histogram(broker, make) -> None:
    producer = make()
    await producer.send_and_wait("t", b"warm")
    quick = producer.statistics().latency.count
    broker.answer_after(120)
    for _ in range(3):
        await producer.send_and_wait("t", b"slow")
    latency = producer.statistics().latency
    assert latency.count == quick + 3
    slow = sum(count for bound, count in zip(latency.bounds_s, latency.counts, strict=False) if bound > 0.1)
    assert slow >= 3
    assert latency.sum_s > 3 * 0.12


async def test_statistics__many_records__latencies_are_sampled(make) -> None:
    producer = make()
    await asyncio.gather(*[await producer.produce("t", b"%d" % number) for number in range(20_000)])
    seen = producer.statistics()
    assert seen.acknowledged == 20_000
    assert 20_000 / 64 / 2 < seen.latency.count < 10_000


async def test_statistics__asked_on_another_thread_all_the_while__answers(broker, make) -> None:
    producer = make({"queue.buffering.max.messages": 10})
    ended = asyncio.Event()

    def ask() -> int:
        asked = 0
        while not ended.is_set():
            asked += producer.statistics().accepted >= 0
        return asked

    asking = asyncio.get_running_loop().run_in_executor(None, ask)
    try:
        for _ in range(3):
            tasks = [asyncio.create_task(producer.send_and_wait("t", b"1")) for _ in range(300)]
            await asyncio.gather(*tasks)
    finally:
        ended.set()
    assert await asking > 0


async def test_statistics__is_a_frozen_value_and_the_proposals_dict_is_the_same(make) -> None:
    producer = make()
    before = producer.statistics()
    await producer.send_and_wait("t", b"1")
    after = producer.statistics()
    assert (before.settled, after.settled) == (0, 1)
    with pytest.raises(FrozenInstanceError):
        after.settled = 2
    assert producer.get_batch_processor_stats() == asdict(after)


def test_latency_histogram__quantile__is_the_bound_that_holds_the_share() -> None:
    sampler = LatencySampler()
    assert sampler.histogram().quantile_s(0.5) is None
    for latency_s in (0.0001, 0.0002, 0.004, 1000.0):
        sampler.add(latency_s)
    histogram = sampler.histogram()
    assert histogram.quantile_s(0.5) == 0.0002
    assert histogram.quantile_s(0.75) == 0.005
    assert histogram.quantile_s(1.0) == float("inf")
    assert histogram.count == 4


def test_latency_histogram__counts__have_one_more_place_than_bounds() -> None:
    empty: LatencyHistogram = LatencySampler().histogram()
    assert len(empty.counts) == len(empty.bounds_s) + 1 == len(LATENCY_BOUNDS_S) + 1
