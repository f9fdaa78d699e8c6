"""The parts on their own: batches, timeout and threads."""

from __future__ import annotations

import asyncio
import threading

import pytest

from producer.buffer_timeout import BufferTimeoutManager
from producer.message_batch import create_message_batch
from producer.threads import DaemonThreads


def test_message_batch__is_immutable_and_knows_its_rest() -> None:
    batch = create_message_batch("t", [{"value": n, "callback": n} for n in range(3)], 5)
    with pytest.raises(AttributeError):
        batch.topic = "other"  # type: ignore[misc]
    assert (batch.size, len(batch), batch.callbacks, batch.partition) == (3, 3, (0, 1, 2), 5)
    assert batch.info == "MessageBatch(t[5], 3 records, bulk)"


async def test_buffer_timeout__left_over__tries_again_once_each_time_it_is_told() -> None:
    handed_over = 0
    done = asyncio.Event()

    def hand_over() -> None:
        nonlocal handed_over
        handed_over += 1
        if handed_over < 3:
            timeouts.try_again()
            timeouts.try_again()
        else:
            done.set()

    timeouts = BufferTimeoutManager(asyncio.get_running_loop(), hand_over, bool, 0.001)
    timeouts.mark_activity()
    timeouts.mark_activity()
    await asyncio.wait_for(done.wait(), 10)
    await asyncio.sleep(0.01)
    assert handed_over == 3


async def test_buffer_timeout__stopped__hands_over_nothing() -> None:
    calls: list[int] = []

    timeouts = BufferTimeoutManager(asyncio.get_running_loop(), lambda: calls.append(1), bool, 1)
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
