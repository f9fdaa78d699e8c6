"""The parts on their own: buffer, batches, callbacks, timeout and threads."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Any

import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from producer import callbacks
from producer.batch_manager import ProducerBatchManager
from producer.buffer_timeout import BufferTimeoutManager
from producer.callbacks import CallbackManager, StopServing
from producer.fast_lane import FastLane
from producer.message_batch import MessageBatch, create_message_batch
from producer.threads import DaemonThreads

MESSAGE = Message("t", value=b"1")
OTHER_MESSAGE = Message("t", value=b"2")


class Taking:
    """An executor that takes as many records as it is told to."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.taken: list[tuple[str, int, Any]] = []
        self.batches: list[MessageBatch] = []

    def execute(self, batches: deque[MessageBatch]) -> int:
        count = 0
        while batches:
            batch = batches.popleft()
            self.batches.append(batch)
            fits = min(len(batch), self.capacity)
            self.capacity -= fits
            count += fits
            self.taken.extend(
                (batch.topic, batch.partition, record["value"]) for record in batch.messages[:fits]
            )
            if fits < len(batch):
                batches.appendleft(batch.rest(fits))
                break
        return count


def new_manager(loop: asyncio.AbstractEventLoop, batch_size: int, unsettled_max: int) -> ProducerBatchManager:
    callbacks = CallbackManager(loop)
    return ProducerBatchManager(
        loop, callbacks, FastLane(loop, callbacks.future_type), batch_size, unsettled_max
    )


RECORDS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(-1, 2), st.booleans()), min_size=1, max_size=60
)


@given(records=RECORDS, batch_size=st.integers(1, 7), capacities=st.lists(st.integers(0, 9), max_size=20))
def test_manager__any_records_and_any_full_queue__no_partition_is_reordered(
    records, batch_size, capacities
) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        manager = new_manager(loop, batch_size, 10_000)
        executor = Taking(0)
        manager.executor = executor  # type: ignore[assignment]
        todo = list(capacities)
        for number, (topic, partition, bulk) in enumerate(records):
            manager.add(topic, partition, {"value": number, "key": None, "callback": None}, bulk)
            if number % 5 == 0 and todo:
                executor.capacity = todo.pop()
                manager.flush_buffer()
        executor.capacity = 10_000
        assert manager.flush_buffer()
        assert manager.buffered() == 0
        assert sorted(number for _, _, number in executor.taken) == list(range(len(records)))
        assert all(len(batch) <= batch_size for batch in executor.batches)
        for batch in executor.batches:
            for record in batch.messages:
                assert records[record["value"]] == (batch.topic, batch.partition, batch.bulk)
        for topic in "ab":
            for partition in range(3):
                # A record without partition may land anywhere: it must keep its place among all of its topic.
                order = [n for t, p, n in executor.taken if t == topic and p in (-1, partition)]
                assert order == sorted(order)

    asyncio.run(run())


async def test_manager__preview__shows_the_batches_and_changes_nothing() -> None:
    loop = asyncio.get_running_loop()
    manager = new_manager(loop, 2, 100)
    for number in range(3):
        manager.add("a", -1, {"value": number, "key": None, "callback": None}, True)
    manager.add("b", 1, {"value": 3, "key": None, "callback": None, "headers": []}, False)
    for _ in range(2):
        assert [batch.info for batch in manager.preview(None)] == [
            "MessageBatch(a, 2 records, bulk)",
            "MessageBatch(a, 1 records, bulk)",
            "MessageBatch(b[1], 1 records, one by one)",
        ]
    assert [batch.topic for batch in manager.preview("b")] == ["b"]
    assert manager.buffered() == 4


def test_message_batch__is_immutable_and_knows_its_rest() -> None:
    batch = create_message_batch("t", [{"value": n, "callback": n} for n in range(3)], 5)
    with pytest.raises(AttributeError):
        batch.topic = "other"  # type: ignore[misc]
    assert (batch.size, len(batch), batch.callbacks, batch.partition) == (3, 3, (0, 1, 2), 5)
    assert batch.rest(2) == create_message_batch("t", [{"value": 2, "callback": 2}], 5)


async def test_callbacks__pool__reuses_a_settled_callback_without_mixing_records() -> None:
    loop = asyncio.get_running_loop()
    manager = CallbackManager(loop)
    told: list[Any] = []
    first, second = manager.future_type(loop=loop), manager.future_type(loop=loop)
    callback = manager.callback_for(first, lambda error, message: told.append(message))
    callback(None, MESSAGE)
    again = manager.callback_for(second, lambda error, message: told.append(message))
    again(None, OTHER_MESSAGE)
    manager.run_due(float("inf"))
    assert again is callback
    assert (await first, await second, told) == (MESSAGE, OTHER_MESSAGE, [MESSAGE, OTHER_MESSAGE])
    assert (manager.created, manager.reused, manager.settled) == (1, 1, 2)
    assert manager.callback_for(first, None) is first


async def test_callbacks__more_at_once_than_the_pool_holds__are_told_and_dropped(monkeypatch) -> None:
    monkeypatch.setattr(callbacks, "CALLBACK_POOL_MAX", 2)
    loop = asyncio.get_running_loop()
    manager = CallbackManager(loop)
    told: list[Any] = []
    for expected in ((5, 0), (8, 2)):
        made = [
            manager.callback_for(manager.future_type(loop=loop), lambda error, message: told.append(message))
            for _ in range(5)
        ]
        for callback in made:
            callback(None, MESSAGE)
        assert (manager.created, manager.reused) == expected
    manager.run_due(float("inf"))
    assert len(told) == 10


async def test_callbacks__report_on_another_thread__is_kept_for_the_loop_and_stops_the_thread() -> None:
    loop = asyncio.get_running_loop()
    manager = CallbackManager(loop)
    future = manager.future_type(loop=loop)
    manager.threads_serving = 1
    stopped: list[bool] = []

    def stop() -> None:
        raise StopServing

    def serve() -> None:
        try:
            future(None, MESSAGE)
        except StopServing:
            stopped.append(True)

    manager.on_caught = stop
    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    assert (stopped, future.done(), manager.settled) == ([True], False, 0)
    manager.settle_caught()
    assert (future.result(), manager.settled) == (MESSAGE, 1)


async def test_callbacks__budget_spent__the_raising_report_itself_is_settled() -> None:
    loop = asyncio.get_running_loop()
    manager = CallbackManager(loop)
    manager.serve_within(-1)
    future = manager.future_type(loop=loop)
    with pytest.raises(StopServing):
        future(None, MESSAGE)
    assert (future.result(), manager.settled) == (MESSAGE, 1)


async def test_callbacks__many_reports_at_once__the_clock_is_read_for_one_in_64() -> None:
    loop = asyncio.get_running_loop()
    manager = CallbackManager(loop)
    for _ in range(2_000):
        manager.future_type(loop=loop)(None, MESSAGE)
    manager.serve_within(-1)
    before = manager.settled
    with pytest.raises(StopServing):
        for _ in range(64):
            manager.future_type(loop=loop)(None, MESSAGE)
    assert manager.settled > before + 1, "each report costs a look at the clock"


async def test_buffer_timeout__not_all_taken__tries_again_until_all_is() -> None:
    loop = asyncio.get_running_loop()
    outcomes = [False, False, True]
    done = asyncio.Event()

    def hand_over() -> bool:
        taken = outcomes.pop(0)
        if taken:
            done.set()
        return taken

    timeouts = BufferTimeoutManager(loop, hand_over, 0.001)
    timeouts.mark_activity()
    timeouts.mark_activity()
    await asyncio.wait_for(done.wait(), 10)
    await asyncio.sleep(0.01)
    assert outcomes == []


async def test_buffer_timeout__stopped__hands_over_nothing() -> None:
    calls: list[int] = []

    def hand_over() -> bool:
        calls.append(1)
        return True

    timeouts = BufferTimeoutManager(asyncio.get_running_loop(), hand_over, 1)
    timeouts.mark_activity()
    timeouts.stop()
    await asyncio.sleep(0.01)
    assert calls == []


def test_daemon_threads__more_calls_than_threads__all_run_on_no_more_threads_than_asked() -> None:
    threads = DaemonThreads(3)
    gate = threading.Event()
    seen: set[int] = set()

    def call(number: int) -> int:
        gate.wait(10)
        seen.add(threading.get_ident())
        return number

    futures = [threads.submit(call, number) for number in range(20)]
    gate.set()
    assert [future.result(10) for future in futures] == list(range(20))
    assert 1 <= len(seen) <= 3
    threads.shutdown()
    with pytest.raises(RuntimeError):
        threads.submit(call, 1)


def test_daemon_threads__call_raises__the_future_tells_and_the_thread_lives_on() -> None:
    threads = DaemonThreads(1)

    def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        threads.submit(fail).result(10)
    assert threads.submit(lambda: 1).result(10) == 1
    threads.shutdown()
