"""What became of records: one outcome each, and what is said where that is not so."""

from __future__ import annotations

import asyncio

from confluent_kafka import KafkaError, KafkaException

from producer import BatchResult
from systest.safety.outcomes import Outcomes


async def futures_of_every_kind() -> list[asyncio.Future[object]]:
    loop = asyncio.get_running_loop()
    acknowledged, failed, given_up, batch = (loop.create_future() for _ in range(4))
    acknowledged.set_result("message")
    failed.set_exception(KafkaException(KafkaError(KafkaError._PURGE_QUEUE)))
    given_up.cancel()
    batch.set_result(
        BatchResult(10, {3: TypeError(), 7: KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))})
    )
    return [acknowledged, failed, given_up, batch]


async def test_count__of_every_kind__is_complete() -> None:
    outcomes = Outcomes(sent=15, refused=1, unheard=1)
    outcomes.count(await futures_of_every_kind())
    outcomes.count_callbacks(b"\1\1")
    assert (outcomes.acknowledged, outcomes.given_up, outcomes.callbacks) == (9, 1, 2)
    assert outcomes.failed == {"_PURGE_QUEUE": 1, "TypeError": 1, "MSG_SIZE_TOO_LARGE": 1}
    assert outcomes.defects() == []


async def test_defects__each_kind__is_told_with_its_number() -> None:
    outcomes = Outcomes(sent=20)
    outcomes.count([*await futures_of_every_kind(), asyncio.get_running_loop().create_future()])
    outcomes.count_callbacks(b"\0\1\2\3")
    outcomes.trouble["a thread ended by ValueError: no"] += 2
    assert outcomes.defects() == [
        "1 records stayed without an outcome",
        "6 records are missing among the outcomes",
        "1 calls of on_delivery never came",
        "2 records had their on_delivery called twice",
        "a thread ended by ValueError: no (2 times)",
    ]
    assert Outcomes(sent=1, acknowledged=2).defects() == ["1 outcomes are of no record"]


def test_add__of_another_thread__is_the_sum_of_all_fields() -> None:
    one, other = Outcomes(sent=1, pending=2), Outcomes(sent=10, producers=3)
    one.failed["a"] += 1
    other.failed["a"] += 1
    other.failed["b"] += 1
    one.add(other)
    assert (one.sent, one.pending, one.producers, one.failed) == (11, 2, 3, {"a": 2, "b": 1})
