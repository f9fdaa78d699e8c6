"""flush, poll, close, construction, loops and the end of the interpreter."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import textwrap
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from producer import AIOProducer, ProducerClosedError, WrongLoopError
from producer.lifecycle import NEXT_STATES, LifeCycle, State
from producer.transports import COMPILED, transports
from systest.safety.meter import Meter


async def test_flush__time_is_up__returns_the_number_outstanding(broker, make) -> None:
    producer = make()
    await producer.send_and_wait("t", b"0")
    broker.answer_after(400)
    for number in range(7):
        await producer.produce("t", b"%d" % number)
    assert await producer.flush(0.05) == 7
    assert len(producer) == 7
    assert await producer.flush(0) == 7
    assert await producer.flush() == 0
    assert len(producer) == 0


async def test_flush__others_go_on_producing__ends_when_the_older_records_are_settled(broker, make) -> None:
    producer = make()
    await producer.send_and_wait("t", b"0")
    broker.answer_after(20)
    older = [await producer.produce("t", b"%d" % number) for number in range(50)]
    stop = False

    async def go_on() -> None:
        while not stop:
            await producer.produce("t", b"younger")
            await producer.produce_batch("t", [{"value": b"younger"}] * 3)
            await asyncio.sleep(0.001)

    busy = asyncio.create_task(go_on())
    outstanding = await asyncio.wait_for(producer.flush(), 10)
    stop = True
    await busy
    assert outstanding > 0
    assert all(future.done() for future in older)
    assert await producer.flush(10) == 0


async def test_flush__failures_and_callbacks__are_all_told_before_it_returns(make) -> None:
    producer = make({"message.max.bytes": 2000})
    told: list[Any] = []
    for size in (1, 5000) * 50:
        await producer.produce(
            "t", b"x" * size, on_delivery=lambda error, message: told.append(error is None)
        )
    assert await producer.flush(10) == 0
    assert (told.count(True), told.count(False)) == (50, 50)


async def test_poll__nothing_and_something__returns_the_number_settled(broker, make) -> None:
    producer = make()
    assert await producer.poll(0) == 0
    assert await producer.poll(0.01) == 0
    await producer.send_and_wait("t", b"0")
    broker.answer_after(50)
    await producer.produce("t", b"1")
    assert await producer.poll(10) == 1


async def test_close__twice_and_from_two_tasks__is_one_closing(make) -> None:
    producer = make()
    future = await producer.produce("t", b"1")
    await asyncio.gather(producer.close(), producer.close())
    await producer.close()
    assert future.result().value() == b"1"
    for call in (
        producer.produce("t", b"2"),
        producer.list_topics(),
        producer.begin_transaction(),
        producer.purge(),
        producer.produce_batch("t", [{"value": b"1"}]),
    ):
        with pytest.raises(ProducerClosedError):
            await call
    assert await producer.flush() == 0


async def test_close__broker_unreachable__settles_every_future_within_its_time(broker, make) -> None:
    producer = make({"queue.buffering.max.messages": 3})
    broker.down()
    told: list[KafkaError] = []
    futures = [
        await producer.produce("t", b"%d" % number, on_delivery=lambda error, message: told.append(error))
        for number in range(3)
    ]
    waiting = asyncio.create_task(producer.produce("t", b"3"))
    await asyncio.sleep(0)
    await asyncio.wait_for(producer.close(timeout=0.1), 10)
    for future in futures:
        with pytest.raises(KafkaException) as failed:
            future.result()
        assert failed.value.args[0].code() in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)
    with pytest.raises(ProducerClosedError):
        await waiting
    assert len(told) == 3


async def test_close__cancelled__the_closing_goes_on(broker, make) -> None:
    producer = make()
    await producer.send_and_wait("t", b"0")
    broker.answer_after(100)
    future = await producer.produce("t", b"1")
    closing = asyncio.create_task(producer.close())
    await asyncio.sleep(0.01)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await producer.close()
    assert future.result().value() == b"1"


def producer_threads() -> set[threading.Thread]:
    """Those that run now. A call that hangs in librdkafka keeps one of an earlier test's until it is let go."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("producer-")}


async def test_close__threads__are_gone_and_a_given_executor_still_works(make) -> None:
    before = producer_threads()
    with ThreadPoolExecutor(1) as executor:
        producer = make(executor=executor)
        assert (await producer.list_topics(timeout=10)).brokers
        own = make()
        await own.list_topics(timeout=10)
        await producer.close()
        await own.close()
        assert executor.submit(lambda: 5).result() == 5
    for _ in range(100):
        if producer_threads() <= before:
            break
        await asyncio.sleep(0.01)
    assert producer_threads() <= before


async def test_close__produce_batch_half_way__queues_no_more_and_leaves_nothing(make, monkeypatch) -> None:
    monkeypatch.setattr("producer.batch_manager.TICK_S_MAX", -1)  # it pauses after every room
    producer = make()
    told: list[Any] = []
    messages = [{"value": b"1", "headers": {"h": b"1"}}] * 2_000
    producing = asyncio.ensure_future(
        producer.produce_batch("t", messages, on_delivery=lambda error, message: told.append(error))
    )
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await producer.close()
    with pytest.raises(ProducerClosedError):
        await asyncio.wait_for(producing, 10)
    assert len(producer) == 0
    assert 1 <= len(told) < 2_000
    assert told == [None] * producer.statistics().accepted


async def test_close__a_call_still_waits_for_a_thread__that_call_tells_so(make) -> None:
    gate = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        producer = make(executor=executor)
        executor.submit(gate.wait, 10)
        asking = asyncio.ensure_future(producer.list_topics(timeout=1))
        await asyncio.sleep(0)
        await producer.close()
        gate.set()
        with pytest.raises(ProducerClosedError, match="closed"):
            await asking


@pytest.mark.parametrize("given", ["stuck", "shut down", None])
async def test_close__no_thread_is_free__still_settles_every_future(broker, make, given) -> None:
    broker.down()
    gate = threading.Event()
    executor = ThreadPoolExecutor(1) if given else None
    producer = make(executor=executor, max_workers=1)
    future = await producer.produce("t", b"1")
    asking: asyncio.Future[Any] | None = None
    if executor is None:
        asking = asyncio.ensure_future(producer.list_topics())
    elif given == "stuck":
        executor.submit(gate.wait, 10)
    else:
        executor.shutdown()
    await asyncio.sleep(0.05)
    try:
        await asyncio.wait_for(producer.close(timeout=0.05), 5)
        assert isinstance(future.exception(), KafkaException)
    finally:
        gate.set()
    if asking is not None:
        with pytest.raises(ProducerClosedError):
            await asking


async def test_close__async_callback_running__waits_for_it(make) -> None:
    producer = make()
    ended: list[bool] = []

    async def slow(error: Any, message: Any) -> None:
        await asyncio.sleep(0.05)
        ended.append(True)

    await producer.produce("t", b"1", on_delivery=slow)
    await producer.close()
    assert ended == [True]


async def test_context_manager__left_by_an_error__closes_and_lets_it_out(make) -> None:
    with pytest.raises(LookupError):
        async with make() as producer:
            future = await producer.produce("t", b"1")
            raise LookupError
    assert future.result().value() == b"1"


async def test_dropped__without_close__warns_and_still_settles_what_was_sent(broker, transport) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        producer = AIOProducer({"bootstrap.servers": broker.address}, transport=transport)
        future = await producer.produce("t", b"1")
        del producer
        gc.collect()
    assert [warning.category for warning in caught] == [ResourceWarning]
    assert (await asyncio.wait_for(future, 10)).value() == b"1"


@pytest.mark.parametrize(
    ("kwargs", "error", "name"),
    [
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"batch_size": "1"}, TypeError, "batch_size"),
        ({"buffer_timeout": -1}, ValueError, "buffer_timeout"),
        ({"buffer_timeout": None}, TypeError, "buffer_timeout"),
        ({"max_workers": 0}, ValueError, "max_workers"),
        ({"executor": 5}, TypeError, "executor"),
        ({"transport": "other"}, ValueError, "transport"),
    ],
)
async def test_construction__wrong_parameter__raises_with_its_name(kwargs, error, name) -> None:
    with pytest.raises(error, match=name):
        AIOProducer({"bootstrap.servers": "127.0.0.1:1"}, **kwargs)


@pytest.mark.parametrize("conf", [5, {"bootstrap.servers": "127.0.0.1:1", "stats_cb": 5}])
async def test_construction__wrong_conf__type_error(conf) -> None:
    with pytest.raises(TypeError):
        AIOProducer(conf)


async def test_construction__setting_unknown_to_librdkafka__kafka_exception(transport) -> None:
    with pytest.raises(KafkaException):
        AIOProducer({"no.such.setting": 1}, transport=transport)


async def test_construction__conf__is_left_as_it_was(make, transport) -> None:
    conf = {"stats_cb": print, "error_cb": print, "on_delivery": print, "delivery.report.only.error": True}
    before = dict(conf)
    make(conf)
    conf_of_its_own = {"bootstrap.servers": "127.0.0.1:1", "logger": None}
    producer = AIOProducer(conf_of_its_own, transport=transport)
    await producer.close()
    assert conf == before
    assert conf_of_its_own == {"bootstrap.servers": "127.0.0.1:1", "logger": None}


async def test_transport__argument_and_environment__choose_and_are_told(make, transport, monkeypatch) -> None:
    assert make().transport == transport
    monkeypatch.setenv("PRODUCER_TRANSPORT", transport)
    assert make(transport=None).transport == transport
    monkeypatch.setenv("PRODUCER_TRANSPORT", "nonsense")
    have = ", ".join(transports())
    with pytest.raises(ValueError, match=f"PRODUCER_TRANSPORT is 'nonsense'; this installation has: {have}"):
        make(transport=None)
    assert make().transport == transport


async def test_events__plain_and_async_callbacks__run_on_the_loop(make, raised) -> None:
    here = threading.get_ident()
    seen: dict[str, int] = {}
    done = asyncio.Event()

    async def stats(text: str) -> None:
        seen["stats"] = threading.get_ident()
        done.set()
        raise LookupError("stats")

    def error(kafka_error: KafkaError) -> None:
        seen["error"] = threading.get_ident()

    class Logger:
        def log(self, *args: Any) -> None:
            seen["log"] = threading.get_ident()

    make(
        {
            "statistics.interval.ms": 50,
            "stats_cb": stats,
            "logger": Logger(),
            "debug": "broker",
            "log_level": 7,
        }
    )
    unreachable = make({"bootstrap.servers": "127.0.0.1:1", "error_cb": error, "log_level": 0})
    await asyncio.wait_for(done.wait(), 10)
    for _ in range(500):
        if len(seen) == 3:
            break
        await asyncio.sleep(0.01)
    await unreachable.close()
    assert seen == {"stats": here, "error": here, "log": here}
    assert [str(context["exception"]) for context in raised][:1] == ["stats"]


async def test_oauth_cb__async__answers_librdkafka(make) -> None:
    asked: list[str] = []

    async def token(config: str) -> tuple[str, float]:
        asked.append(config)
        return "token", 2_000_000_000.0

    producer = make(
        {
            "security.protocol": "sasl_plaintext",
            "sasl.mechanisms": "OAUTHBEARER",
            "sasl.oauthbearer.config": "scope",
            "oauth_cb": token,
            "log_level": 0,
        }
    )
    for _ in range(300):
        if asked:
            break
        await asyncio.sleep(0.01)
    await producer.close(timeout=0)
    assert asked[0] == "scope"


async def test_wrong_loop__other_thread_and_no_loop__clear_error(make, monkeypatch) -> None:
    monkeypatch.setattr(
        "producer.batch_manager.TICK_S_MAX", 60
    )  # however slow the machine, no tick ends in between
    producer = make()
    await producer.send_and_wait("t", b"0")
    for _ in range(3):
        await producer.produce("t", b"1")
    assert producer._records.room > 0, "a record could enter unasked"
    errors: list[BaseException] = []

    def elsewhere() -> None:
        for call in (
            lambda: asyncio.run(producer.produce("t", b"2")),
            lambda: asyncio.run(producer.flush()),
            lambda: asyncio.run(producer.close()),
            lambda: producer.produce_nowait("t", b"2"),
        ):
            try:
                call()
            except WrongLoopError as error:
                errors.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(errors) == 4
    assert await producer.flush(10) == 0


def test_construction__no_running_loop__runtime_error(transport) -> None:
    with pytest.raises(RuntimeError):
        AIOProducer({"bootstrap.servers": "127.0.0.1:1"}, transport=transport)


def test_loops__one_producer_each_in_many_threads__all_deliver(broker, transport, new_loop) -> None:
    delivered: list[int] = []

    async def work(name: int) -> None:
        async with AIOProducer({"bootstrap.servers": broker.address}, transport=transport) as producer:
            futures = [await producer.produce("t", b"%d" % (name * 1000 + number)) for number in range(1000)]
            await producer.flush()
            delivered.extend(int(future.result().value()) for future in futures)

    def run(name: int) -> None:
        with contextlib.closing(new_loop()) as loop:
            loop.run_until_complete(work(name))

    threads = [threading.Thread(target=run, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(delivered) == list(range(4000))


@pytest.mark.filterwarnings("ignore:AIOProducer dropped:ResourceWarning")
def test_producers__made_and_closed_or_dropped_by_the_hundred__leave_nothing(broker, transport) -> None:
    async def make_and_end(count: int) -> None:
        for number in range(count):
            producer = AIOProducer({"bootstrap.servers": broker.address, "linger.ms": 0}, transport=transport)
            future = await producer.produce("t", b"1")
            if number % 2:
                await producer.close()
            else:
                del producer
                await future

    total = 1000 if transport == COMPILED else 250  # the other waits for its thread at each end
    meter = Meter()
    asyncio.run(make_and_end(100))
    before = meter.sample(100, 100)
    asyncio.run(make_and_end(total - 100))
    after = meter.sample(total, total)
    assert after.own_objects == before.own_objects
    assert after.objects - before.objects < 90, "less than one for each"
    assert (after.threads, after.descriptors) == (before.threads, before.descriptors)


@pytest.mark.parametrize(
    "ending",
    [
        "asyncio.run(work())",
        "loop = asyncio.new_event_loop(); loop.run_until_complete(work()); loop.close()",
        "loop = asyncio.new_event_loop(); kept = loop.run_until_complete(work())",
        "asyncio.run(work()); gc.collect(); time.sleep(0.3)",
    ],
)
@pytest.mark.parametrize("address", ["{broker}", "127.0.0.1:1"])
def test_interpreter__ends_without_close__does_not_hang(broker, transport, ending: str, address: str) -> None:
    reached = address.format(broker=broker.address)
    program = f"""
        import asyncio, gc, time
        from producer import AIOProducer
        async def work():
            producer = AIOProducer(
                {{"bootstrap.servers": "{reached}", "log_level": 0, "enable.idempotence": True}}
            )
            for number in range(10):
                await producer.produce("t", b"1")
            task = asyncio.ensure_future(producer.list_topics())
            await asyncio.sleep(0.05)
            task.cancel()
            return producer
        {ending}
        print("ended")
    """
    ended = subprocess.run(
        [sys.executable, "-W", "default::ResourceWarning", "-c", textwrap.dedent(program)],
        env={**os.environ, "PRODUCER_TRANSPORT": transport},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (ended.returncode, ended.stdout) == (0, "ended\n"), ended.stderr
    assert "dropped without close()" in ended.stderr or "kept" in ending


def run_to_its_end(program: str, transport: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(program)],
        env={**os.environ, "PRODUCER_TRANSPORT": transport},
        capture_output=True,
        text=True,
        timeout=20,
    )


def test_interpreter__ends_while_a_thread_has_a_lock__does_not_hang(broker, transport) -> None:
    """Daemon threads end with the interpreter wherever they are; what they held is never given back."""
    program = f"""
        import asyncio
        from producer import AIOProducer
        async def work():
            producer = AIOProducer({{"bootstrap.servers": "{broker.address}"}})
            await producer.list_topics()
            producer._executor._threads._lock.acquire()
            return producer
        loop = asyncio.new_event_loop(); kept = loop.run_until_complete(work())
        print("ended")
    """
    ended = run_to_its_end(program, transport)
    assert (ended.returncode, ended.stdout) == (0, "ended\n"), ended.stderr


def test_interpreter__producers_threads__never_import(broker, transport) -> None:
    """A daemon thread that the exit catches in an import keeps the import lock, and the exit may wait for that."""
    program = f"""
        import asyncio, sys, threading
        from producer import AIOProducer
        def audit(event, arguments):
            if event == "import" and threading.current_thread() is not threading.main_thread():
                print(threading.current_thread().name, "imports", arguments[0])
        async def work():
            sys.addaudithook(audit)
            conf = {{"bootstrap.servers": "{broker.address}", "enable.idempotence": True}}
            async with AIOProducer(conf) as producer:
                await (await producer.produce("t", b"1"))
                await producer.list_topics()
                await producer.purge()
        asyncio.run(work())
    """
    ended = run_to_its_end(program, transport)
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr


def said_by_forking(program: str, transport: str) -> list[str]:
    """The lines that a program prints which forks, and ends well."""
    # Since 3.12 Python warns whoever forks with threads; that a user does it all the same is the point.
    ended = run_to_its_end(program, transport, "-W", "ignore::DeprecationWarning")
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def test_fork__child_uses_and_drops_the_producer__clear_error_and_no_hang(broker, transport) -> None:
    program = f"""
        import asyncio, gc, os
        from producer import AIOProducer, WrongLoopError
        loop = asyncio.new_event_loop()
        async def make():
            conf = {{"bootstrap.servers": "{broker.address}", "enable.idempotence": True}}
            producer = AIOProducer(conf)
            return producer, await producer.produce("t", b"1")
        producer, future = loop.run_until_complete(make())
        child = os.fork()
        if child == 0:
            try:
                producer.produce_nowait("t", b"2")
            except WrongLoopError as error:
                print(error, flush=True)
            getattr(producer._executor.transport, "__dict__", {{}}).clear()
            del producer, future
            gc.collect()
            os._exit(0)  # closing the loop here would take the parent's file descriptors out of its epoll
        loop.run_until_complete(future)
        assert os.waitpid(child, 0) == (child, 0)
        loop.run_until_complete(producer.close())
        loop.close()
        print("ended")
    """
    assert said_by_forking(program, transport) == [
        "The producer belongs to the process that made it. Make a new one after a fork.",
        "ended",
    ]


def test_fork__in_the_middle_of_a_tick__no_record_enters_in_the_child(broker, transport) -> None:
    program = f"""
        import asyncio, os
        from producer import AIOProducer, WrongLoopError
        async def main():
            async with AIOProducer({{"bootstrap.servers": "{broker.address}"}}) as producer:
                futures = []
                while producer._records.room <= 0:  # on a slow machine a tick may be over in between
                    futures.append(await producer.produce("t", b"1"))
                if (child := os.fork()) == 0:
                    try:
                        producer.produce("t", b"2").send(None)
                    except WrongLoopError as error:
                        print(error, flush=True)
                    os._exit(0)
                assert os.waitpid(child, 0) == (child, 0)
                await asyncio.gather(*futures)
        asyncio.run(main())
    """
    assert said_by_forking(program, transport) == [
        "The producer belongs to the process that made it. Make a new one after a fork."
    ]


@pytest.mark.parametrize("start", list(State))
@pytest.mark.parametrize("end", list(State))
def test_life_cycle__every_pair_of_states__moves_as_the_table_says(start: State, end: State) -> None:
    life = LifeCycle()
    life.state = start
    assert life.may_move(end) == (end in NEXT_STATES[start])
    if end in NEXT_STATES[start]:
        life.move(end)
        assert life.state is end
    else:
        with pytest.raises(RuntimeError, match="cannot become"):
            life.move(end)
        assert life.state is start


def test_life_cycle__table__names_every_state_and_ends_in_closed() -> None:
    assert set(NEXT_STATES) == set(State)
    assert NEXT_STATES[State.CLOSED] == frozenset()
    assert all(State.CLOSED in reachable(state) for state in State if state is not State.CLOSED)


def reachable(state: State) -> set[State]:
    found: set[State] = set()
    todo = [state]
    while todo:
        for successor in NEXT_STATES[todo.pop()] - found:
            found.add(successor)
            todo.append(successor)
    return found
