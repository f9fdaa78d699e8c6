"""Transactions used as they should not be: what a caller is told, and that nothing half-done stays behind.

What only a broker can prove, that nobody reads an aborted record, is in tests/ducktape/transactions.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from producer import (
    AbortableTransactionError,
    ProducerClosedError,
    RetriableTransactionError,
    TransactionStateError,
)
from producer.transaction import FITS, Phase, Transactions

END_TRANSACTION_REQUEST = 26
PRODUCE_REQUEST = 0
SLOW_MS = 400
HELD_S = 0.1
TOO_LARGE = b"x" * 2_000_000
CALLS = {
    "init_transactions": lambda producer: producer.init_transactions(10),
    "begin_transaction": lambda producer: producer.begin_transaction(),
    "produce": lambda producer: producer.produce("orders", b"1"),
    "send_offsets_to_transaction": lambda producer: producer.send_offsets_to_transaction([], b"", 10),
    "commit_transaction": lambda producer: producer.commit_transaction(10),
    "abort_transaction": lambda producer: producer.abort_transaction(10),
}


@pytest.fixture
async def producer(make) -> Any:
    """One that is ready for transactions."""
    made = make({"transactional.id": "mistaken"})
    await made.init_transactions(30)
    return made


# Calls out of place


@pytest.mark.parametrize(
    ("before", "misfits", "instead"),
    [
        (None, set(CALLS) - {"produce"}, "has no transactional.id. Set one"),
        ([], set(CALLS) - {"init_transactions"}, r"Await init_transactions\(\) first, once"),
        (["init_transactions"], {"init_transactions"}, "initialised already"),
        (
            ["init_transactions"],
            {"produce", "send_offsets_to_transaction", "commit_transaction", "abort_transaction"},
            r"none was begun.*Await begin_transaction\(\) first",
        ),
        (
            ["init_transactions", "begin_transaction"],
            {"begin_transaction"},
            "Commit or abort it first; for two at once make two producers",
        ),
        (["init_transactions", "begin_transaction"], {"init_transactions"}, "initialised already"),
        (
            ["init_transactions", "begin_transaction", "produce", "commit_transaction"],
            {"produce", "commit_transaction", "abort_transaction"},
            "committed or aborted already",
        ),
        (
            ["init_transactions", "begin_transaction", "abort_transaction"],
            {"produce", "commit_transaction", "abort_transaction"},
            "committed or aborted already",
        ),
    ],
)
async def test_call__out_of_place__is_told_what_to_call_and_harms_nothing(
    make, before, misfits, instead
) -> None:
    producer = make() if before is None else make({"transactional.id": "misfit"})
    for name in before or []:
        await CALLS[name](producer)
    for name in sorted(misfits):
        with pytest.raises(TransactionStateError, match=rf"{name}\(\) does not fit here: .*{instead}"):
            await CALLS[name](producer)
    assert len(producer) == 0
    if before:
        if "begin_transaction" not in before or before[-1] != "begin_transaction":
            await producer.begin_transaction()
        assert (await producer.send_and_wait("orders", b"2")).value() == b"2"
        await producer.commit_transaction(10)


def test_fits__every_phase__allows_a_way_on() -> None:
    for phase in set(Phase) - {Phase.UNCONFIGURED}:
        assert any(phase in phases for phases in FITS.values()), phase
    for phase in Phase:
        transactions = Transactions(configured=True)
        transactions.phase = phase
        for call, phases in FITS.items():
            if phase in phases:
                transactions.require(call)
            else:
                with pytest.raises(TransactionStateError):
                    transactions.require(call)


@pytest.mark.parametrize("way", ["produce", "produce_nowait", "send_and_wait", "produce_batch"])
async def test_produce__outside_of_a_transaction__raises_and_queues_nothing(producer, way) -> None:
    for _ in range(2):
        with pytest.raises(TransactionStateError, match="no transaction is open"):
            outcome = getattr(producer, way)("orders", [{"value": b"1"}] if way == "produce_batch" else b"1")
            if asyncio.iscoroutine(outcome):
                await outcome
        assert len(producer) == 0
        # The same behind a transaction, whose fast path must be closed again.
        await producer.begin_transaction()
        for _ in range(3):
            await producer.produce("orders", b"in")
        await producer.commit_transaction(10)


@pytest.mark.parametrize(
    ("positions", "metadata", "named"),
    [
        (None, b"", "positions"),
        (["orders"], b"", "positions"),
        ([TopicPartition("orders", 0, 1)], None, "group_metadata"),
        ([TopicPartition("orders", 0, 1)], "group", "group_metadata"),
    ],
)
async def test_send_offsets__wrong_argument__is_named(producer, positions, metadata, named) -> None:
    async with producer.transaction():
        with pytest.raises(TypeError, match=f"^{named} must be"):
            await producer.send_offsets_to_transaction(positions, metadata)


@pytest.mark.parametrize("name", ["init_transactions", "commit_transaction", "abort_transaction"])
async def test_timeout__not_a_number__is_named(producer, name) -> None:
    with pytest.raises(TypeError, match="timeout must be a number of seconds, not str"):
        await getattr(producer, name)("soon")


async def test_transaction__nested__the_inner_one_raises_and_the_outer_one_aborts(producer) -> None:
    with pytest.raises(TransactionStateError, match="two producers"):
        async with producer.transaction():
            await producer.produce("orders", b"1")
            async with producer.transaction():
                pass
    async with producer.transaction():
        await producer.produce("orders", b"2")


# Records that fail


@pytest.mark.parametrize("way", ["produce", "on_delivery", "produce_batch", "bad in a batch", "cancelled"])
async def test_transaction__a_record_failed_unread__is_not_committed(producer, raised, way) -> None:
    with pytest.raises(AbortableTransactionError, match=r"A record of this transaction was not sent: .+"):
        async with producer.transaction():
            await producer.produce("orders", b"small")
            match way:
                case "produce":
                    await producer.produce("orders", TOO_LARGE)
                case "on_delivery":
                    await producer.produce("orders", TOO_LARGE, on_delivery=lambda error, message: None)
                case "produce_batch":
                    await producer.produce_batch("orders", [{"value": b"1"}, {"value": TOO_LARGE}])
                case "bad in a batch":
                    await producer.produce_batch("orders", [{"value": b"1"}, {"value": object()}])
                case "cancelled":
                    (await producer.produce("orders", TOO_LARGE, on_delivery=print)).cancel()
    async with producer.transaction():
        await producer.produce("orders", b"2")
    assert raised == [], "the commit told of it: an unread future is no unheard failure"


async def test_produce__behind_a_failed_record__is_refused_with_the_cause(producer) -> None:
    with pytest.raises(AbortableTransactionError, match="Message size too large"):
        async with producer.transaction():
            failed = await producer.produce("orders", TOO_LARGE)
            with pytest.raises(KafkaException):
                await failed
            with pytest.raises(AbortableTransactionError):
                await producer.send_offsets_to_transaction([], b"")
            await producer.produce("orders", b"next")


async def test_transaction__the_broker_refused_a_record__is_not_committed(broker, producer) -> None:
    await producer.begin_transaction()
    broker.fail(PRODUCE_REQUEST, KafkaError.MSG_SIZE_TOO_LARGE)
    await producer.produce("orders", b"1")
    for _ in range(2):
        with pytest.raises(AbortableTransactionError, match="Message size too large"):
            await producer.commit_transaction(10)
    await producer.abort_transaction(10)
    await producer.begin_transaction()
    await producer.abort_transaction(10)


async def test_transaction__records_purged__is_not_committed(broker, producer) -> None:
    await producer.begin_transaction()
    broker.answer_after(SLOW_MS)
    await producer.produce("orders", b"1")
    await producer.purge()
    with pytest.raises(AbortableTransactionError, match="Purged"):
        await producer.commit_transaction(10)
    await producer.abort_transaction(10)


# Time limits


async def test_commit__not_all_records_sent_in_time__may_be_called_again(broker, producer) -> None:
    await producer.begin_transaction()
    broker.answer_after(SLOW_MS)
    await producer.produce("orders", b"1")
    with pytest.raises(RetriableTransactionError, match="Make the same call again"):
        await producer.commit_transaction(0.1)
    await producer.produce("orders", b"it is open still")
    await producer.commit_transaction(10)


async def test_commit__timed_out_at_the_broker__only_a_commit_fits_until_it_ends(broker, producer) -> None:
    await producer.begin_transaction()
    await producer.send_and_wait("orders", b"1")
    broker.answer_after(SLOW_MS)
    with pytest.raises(RetriableTransactionError):
        await producer.commit_transaction(0.1)
    for misfit in ("produce", "begin_transaction", "abort_transaction"):
        with pytest.raises(TransactionStateError, match=r"a commit has not ended.*again if it timed out"):
            await CALLS[misfit](producer)
    await producer.commit_transaction(10)
    await producer.begin_transaction()


async def test_abort__timed_out_at_the_broker__only_an_abort_fits_until_it_ends(broker, producer) -> None:
    await producer.begin_transaction()
    await producer.send_and_wait("orders", b"1")
    broker.answer_after(SLOW_MS)
    with pytest.raises(RetriableTransactionError):
        await producer.abort_transaction(0.1)
    with pytest.raises(TransactionStateError, match=r"an abort has not ended.*again if it timed out"):
        await producer.commit_transaction(10)
    await producer.abort_transaction(10)
    await producer.begin_transaction()


# Several tasks


async def test_transaction__in_two_tasks_at_once__the_second_is_refused_and_harms_not_the_first(
    producer,
) -> None:
    inside = asyncio.Event()

    async def first() -> Any:
        async with producer.transaction():
            record = await producer.produce("orders", b"first")
            inside.set()
            await asyncio.sleep(0.05)
        return record.result()

    async def second() -> None:
        await inside.wait()
        async with producer.transaction():
            raise AssertionError("both are in")

    mine, theirs = await asyncio.gather(first(), second(), return_exceptions=True)
    assert mine.value() == b"first"
    assert isinstance(theirs, TransactionStateError), theirs


async def test_calls__while_a_commit_runs__are_refused_and_the_commit_stands(broker, producer) -> None:
    await producer.begin_transaction()
    broker.answer_after(SLOW_MS)
    sent = await producer.produce("orders", b"1")
    committing = asyncio.create_task(producer.commit_transaction(10))
    for moment in ("while it flushes", "while it commits"):
        await asyncio.sleep(0.05)
        assert sent.done() == (moment == "while it commits")
        for name in ("produce", "begin_transaction", "commit_transaction", "abort_transaction"):
            with pytest.raises(
                TransactionStateError, match=r"commit_transaction\(\) .* runs in another task"
            ):
                await CALLS[name](producer)
        if moment == "while it flushes":
            await sent
    await committing


async def test_produce__in_line_when_another_task_commits__joins_no_transaction(broker, make) -> None:
    producer = make({"transactional.id": "line", "queue.buffering.max.messages": 1})
    await producer.init_transactions(30)
    await producer.begin_transaction()
    broker.answer_after(SLOW_MS // 4)
    await producer.produce("orders", b"1")
    late = asyncio.create_task(producer.produce("orders", b"2"))
    await asyncio.sleep(0)
    assert producer.statistics().waiting == 1
    await producer.commit_transaction(10)
    with pytest.raises(TransactionStateError, match="the transaction ends before"):
        await late
    assert producer.statistics().accepted == 1


async def test_produce_batch__half_queued_when_another_task_commits__stops_there(producer) -> None:
    records = [{"value": b"1"}] * 50_000
    await producer.begin_transaction()
    batch = asyncio.create_task(producer.produce_batch("orders", records))
    await asyncio.sleep(0)
    assert 0 < producer.statistics().accepted < len(records)
    await producer.commit_transaction(10)
    with pytest.raises(TransactionStateError, match="the transaction ends before"):
        await batch
    async with producer.transaction():
        before = producer.statistics().accepted
    assert producer.statistics().accepted == before < len(records)


# Cancellation, in every phase of the block


@pytest.mark.parametrize("phase", ["begin", "body", "flush", "commit", "abort"])
@pytest.mark.parametrize("times", [1, 2])
async def test_transaction__cancelled__ends_as_promised_and_the_next_one_works(
    broker, producer, phase, times
) -> None:
    reached = asyncio.Event()
    sent: list[asyncio.Future[Any]] = []
    ends: list[str] = []

    for name in ("begin", "commit", "abort"):
        watch(producer, f"{name}_transaction", reached if name == phase else None, ends)

    async def work() -> None:
        async with producer.transaction():
            sent.append(await producer.produce("orders", b"1"))
            if phase != "flush":
                await sent[0]
            broker.answer_after(SLOW_MS)
            if phase in ("body", "flush"):
                reached.set()
            if phase == "body":
                await asyncio.sleep(30)
            if phase == "abort":
                raise LookupError

    if phase == "flush":
        broker.answer_after(SLOW_MS)
    task = asyncio.create_task(work())
    await reached.wait()
    for _ in range(times):
        await asyncio.sleep(0.02)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(future.done() for future in sent) or times == 2
    broker.answer_after(0)
    async with producer.transaction():
        await producer.produce("orders", b"2")
    expected = ["commit_transaction"] if phase == "commit" else ["abort_transaction"]
    assert ends == [*expected, "commit_transaction"]


def watch(producer: Any, name: str, reached: asyncio.Event | None, ends: list[str]) -> None:
    """Tells when the client's own call begins, holds it, and tells that a commit or an abort succeeded."""
    executor = producer._executor
    call = executor._call
    loop = asyncio.get_running_loop()

    def run(asked: str, *args: Any, **kwargs: Any) -> Any:
        if asked == name and reached is not None:
            loop.call_soon_threadsafe(reached.set)
            time.sleep(HELD_S)
        answer = call(asked, *args, **kwargs)
        if asked == name and name != "begin_transaction":
            ends.append(name)
        return answer

    executor._call = run


async def test_commit__cancelled_while_it_flushes__leaves_the_transaction_open(broker, producer) -> None:
    await producer.begin_transaction()
    broker.answer_after(SLOW_MS)
    await producer.produce("orders", b"1")
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(producer.commit_transaction(), 0.05)
    await producer.produce("orders", b"2")
    await producer.commit_transaction(10)


# The end


async def test_close__a_transaction_is_open__aborts_it(broker, make) -> None:
    producer = make({"transactional.id": "left"})
    await producer.init_transactions(30)
    ends: list[str] = []
    watch(producer, "abort_transaction", None, ends)
    await producer.begin_transaction()
    broker.answer_after(SLOW_MS // 4)
    sent = await producer.produce("orders", b"1")
    await producer.close(timeout=10)
    assert ends == ["abort_transaction"]
    assert sent.done()


async def test_close__in_the_block__the_commit_says_so(producer) -> None:
    with pytest.raises(ProducerClosedError):
        async with producer.transaction():
            await producer.close()
