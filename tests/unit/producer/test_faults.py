"""An exception at any moment: raised by a signal's handler wherever CPython runs one, in the producer's own code and in
asyncio's below it. Afterwards each record has its one outcome, whoever waits is awake, and the producer works.

CPython looks for signals where a Python function begins or goes on, after a call, and where a loop jumps back.
`Injector` raises at the N-th such place of a play, so that each can be had. What C code does between two of them can't
be interrupted. One place is the caller's alone: where its own callback begins, which then was called and did nothing.

A normal run tries some places of each play. All: `PRODUCER_FAULTS=all pytest tests/unit/producer/test_faults.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dis
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

import producer as producer_package
from producer import AIOProducer

pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # of coroutines that an exception kept from being awaited, or closed

OURS = str(Path(producer_package.__file__).parent)
ASYNCIO = {asyncio.base_events.__file__, asyncio.events.__file__}
LIMIT_S = 10
TRIED = 20
QUEUE_MAX = 5
BYTES_MAX = 2000


class Interruption(BaseException):
    """Raised by a signal's handler."""


class Alarm(Exception):
    """Raised by a signal's handler, of the kind that `except Exception` sees."""


KINDS: tuple[type[BaseException], ...] = (Interruption, Alarm, KeyboardInterrupt, MemoryError)


@cache
def after_calls(code: CodeType) -> frozenset[int]:
    """Where the instructions are after which CPython looks for signals."""
    looks = ("CALL", "JUMP_BACKWARD", "JUMP_ABSOLUTE")
    return frozenset(i.offset for i in dis.get_instructions(code) if i.opname.startswith(looks))


class Injector:
    """Raises `kind` at the `at`-th place; counts them without (`at` = 0)."""

    def __init__(self, kind: type[BaseException], at: int) -> None:
        self._kind, self._at = kind, at
        self.places = 0
        self.raised: BaseException | None = None
        self.where = ""

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self._on_call)
        try:
            yield
        finally:
            sys.settrace(before)

    def _on_call(self, frame: FrameType, event: str, argument: Any) -> Any:
        if self.raised is not None or not is_below_producer(frame):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        looks = after_calls(frame.f_code)
        last = -1

        def on_event(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal last
            if self.raised is not None:
                return None
            if event == "opcode":
                if last in looks:
                    self._pass(frame)
                last = frame.f_lasti
            elif event == "exception":
                last = -1
            return on_event

        self._pass(frame)
        return on_event

    def _pass(self, frame: FrameType) -> None:
        self.places += 1
        if self.places == self._at:
            self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"
            self.raised = self._kind("planted")
            raise self.raised


def is_below_producer(frame: FrameType) -> bool:
    """Whether a frame is the producer's, or asyncio's and called by it; not what a finalizer raises, which nobody gets,
    nor what a callback's own calls do.
    """
    above: FrameType | None = frame
    if frame.f_code.co_name == "__del__" or frame.f_code.co_filename.endswith("message.py"):
        return False
    while above is not None and above.f_code.co_filename in ASYNCIO:
        if above.f_code.co_name == "__del__":
            return False
        above = above.f_back
    return above is not None and above.f_code.co_filename.startswith(OURS)


@dataclass
class Sent:
    """What became of one call: of a record, or of a batch of `count`."""

    count: int = 1
    is_called_back: bool = False
    future: asyncio.Future[Any] | None = None
    is_hit: bool = False
    """The call raised what was planted."""
    is_awake: bool = False
    """Who awaited the future went on."""
    told: Counter[bytes] = field(default_factory=Counter)


class Play:
    """A producer that is interrupted once, and its records."""

    def __init__(self, injector: Injector, producer: AIOProducer, topic: str) -> None:
        self.injector, self.producer, self.topic = injector, producer, topic
        self.sent: list[Sent] = []
        self.heard = 0
        self.others: list[Any] = []
        self._tasks: list[asyncio.Task[None]] = []

    def is_planted(self, raised: BaseException | None) -> bool:
        while raised is not None:
            if raised is self.injector.raised:
                self.heard += 1
                return True
            raised = raised.__cause__ or raised.__context__
        return False

    def on_context(self, context: dict[str, Any]) -> None:
        # The future of a record whose caller was hit may fail unread.
        is_unread = "never retrieved" in context["message"] and any(sent.is_hit for sent in self.sent)
        if not self.is_planted(context.get("exception")) and not is_unread:
            self.others.append(context)

    async def send(self, value: bytes, **given: Any) -> None:
        sent = Sent(is_called_back="on_delivery" in given)
        await self._call(sent, self.producer.produce, self.topic, value, **self._given(sent, given))

    async def send_nowait(self, value: bytes, **given: Any) -> None:
        sent = Sent(is_called_back="on_delivery" in given)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return self.producer.produce_nowait(*args, **kwargs)

        await self._call(sent, call, self.topic, value, **self._given(sent, given))

    async def send_batch(self, *values: bytes, **given: Any) -> None:
        sent = Sent(len(values), "on_delivery" in given)
        messages = [{"value": value} for value in values]
        await self._call(sent, self.producer.produce_batch, self.topic, messages, **self._given(sent, given))

    def _given(self, sent: Sent, given: dict[str, Any]) -> dict[str, Any]:
        if sent.is_called_back:
            given["on_delivery"] = lambda error, message: sent.told.update([message.value()])
        return given

    async def _call(self, sent: Sent, call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.sent.append(sent)
        try:
            sent.future = await call(*args, **kwargs)
        except BaseException as raised:
            if not self.is_planted(raised):
                raise
            sent.is_hit = True
        else:
            self._tasks.append(asyncio.ensure_future(self._await(sent)))

    async def _await(self, sent: Sent) -> None:
        assert sent.future is not None
        with contextlib.suppress(Exception):
            await sent.future
        sent.is_awake = True

    async def perform(self) -> None:
        large = b"x" * BYTES_MAX
        await self.send(b"alone")
        await self.send(b"headers", headers={"h": b"1"}, on_delivery=True)
        await self.send_nowait(b"key", key="k", partition=1)
        await self.settled()
        await self.send(b"called", on_delivery=True, timestamp=5)
        await self.send(b"refused" + large, partition=2)
        await self.send(b"refused and told" + large, on_delivery=True)
        await self.settled()
        await self.send_batch(b"a", b"b" + large, b"c")
        await self.send_batch(b"d", b"e", b"f" + large, on_delivery=True)
        await self.settled()
        await asyncio.gather(*(self.send(b"%d" % number, partition=0) for number in range(QUEUE_MAX * 2 + 1)))
        await self.settled()

    async def settled(self) -> None:
        """Flush; interrupted, again."""
        outstanding = 1
        while outstanding:
            try:
                outstanding = await self.producer.flush(LIMIT_S)
            except BaseException as raised:
                if not self.is_planted(raised):
                    raise
        await asyncio.wait_for(asyncio.gather(*self._tasks), LIMIT_S)

    async def judge(self) -> None:
        # What a generator raises when it is let go of half-way is nobody's to hear, by Python's rules.
        heard = self.injector.raised is None or self.heard or "<genexpr>" in self.injector.where
        assert heard, "nobody heard of it"
        assert self.others == [], self.others
        hits = 0
        failed = 0
        for sent in self.sent:
            if sent.is_hit:
                hits += sent.count
                assert max(sent.told.values(), default=0) <= 1, sent
                continue
            assert sent.future is not None
            assert sent.future.done(), sent
            assert sent.is_awake, sent
            if sent.is_called_back:
                assert sorted(sent.told.values()) == [1] * sent.count, sent
            error = sent.future.exception()
            failed += len(sent.future.result().failures) if sent.count > 1 else error is not None
        sure = sum(sent.count for sent in self.sent) - hits
        figures = self.producer.statistics()
        assert sure <= figures.accepted <= sure + hits, figures
        assert figures.accepted == figures.settled, figures
        assert failed <= figures.failed <= failed + hits, figures
        assert (len(self.producer), figures.buffered, figures.waiting) == (0, 0, 0), figures
        delivery = await asyncio.wait_for(self.producer.produce(self.topic, b"after", partition=3), LIMIT_S)
        assert (await asyncio.wait_for(delivery, LIMIT_S)).value() == b"after", "the producer does not work"


def played(
    kind: type[BaseException], at: int, address: str, transport: str, loop: asyncio.AbstractEventLoop
) -> Injector:
    """A play with an exception at one place; what is promised held."""
    injector = Injector(kind, at)

    async def begin() -> Play:
        conf = {
            "bootstrap.servers": address,
            "linger.ms": 0,
            "log_level": 0,
            "message.max.bytes": BYTES_MAX,
            "queue.buffering.max.messages": QUEUE_MAX,
        }
        producer = AIOProducer(conf, transport=transport)
        await producer.list_topics("t", timeout=LIMIT_S)
        return Play(injector, producer, "t")

    play = loop.run_until_complete(begin())
    loop.set_exception_handler(lambda _, context: play.on_context(context))
    performing = loop.create_task(asyncio.wait_for(play.perform(), LIMIT_S))
    try:
        with injector.at_work():
            while not performing.done():
                try:
                    loop.run_until_complete(asyncio.wait([performing]))
                except BaseException as raised:
                    if not play.is_planted(raised):
                        raise
        performing.result()
        loop.run_until_complete(play.judge())
        loop.run_until_complete(asyncio.wait_for(play.producer.close(), LIMIT_S))
    except BaseException as broken:
        if hasattr(broken, "add_note"):
            broken.add_note(f"{kind.__name__} at place {at}: {injector.where}\n{play.producer.statistics()}")
        with contextlib.suppress(Exception):
            loop.run_until_complete(asyncio.wait_for(play.producer.close(timeout=0), LIMIT_S))
        raise
    return injector


def ran(loop: asyncio.AbstractEventLoop, *play: Any) -> Injector:
    try:
        return played(*play, loop)
    finally:
        loop.close()


@pytest.mark.parametrize("kind", KINDS)
def test_exception__at_any_place__every_record_keeps_its_one_outcome(
    broker, transport, kind: type[BaseException]
) -> None:
    broker.create("t", 4)
    places = ran(asyncio.new_event_loop(), kind, 0, broker.address, transport).places
    assert places > 1000, "the injector sees the producer"
    every = list(range(1, places + 1))
    some = random.Random(f"{transport} {kind}").sample(every, TRIED)
    for at in every if os.environ.get("PRODUCER_FAULTS") == "all" else some:
        ran(asyncio.new_event_loop(), kind, at, broker.address, transport)


class Forgetful(asyncio.SelectorEventLoop):
    """Forgets one of the producer's calls, as a loop does where a signal's exception falls between taking a call and
    making it.
    """

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at
        self.calls = 0

    def call_soon(self, callback: Any, *args: Any, **kwargs: Any) -> Any:
        handle = super().call_soon(callback, *args, **kwargs)
        return self._forget(handle, callback)

    def call_at(self, when: float, callback: Any, *args: Any, **kwargs: Any) -> Any:
        handle = super().call_at(when, callback, *args, **kwargs)
        return self._forget(handle, callback)

    def call_soon_threadsafe(self, callback: Any, *args: Any, **kwargs: Any) -> Any:
        handle = super().call_soon_threadsafe(callback, *args, **kwargs)
        return self._forget(handle, callback)

    def _forget(self, handle: Any, callback: Any) -> Any:
        # In AIOProducer itself there is nothing but coroutines, whose calls are their tasks'.
        if str(getattr(callback, "__module__", "")).startswith("producer."):
            self.calls += 1
            if self.calls == self._at:
                handle._callback, handle._args = _nothing, ()
        return handle


def _nothing() -> None:
    """What is made instead of a call that is forgotten."""


def test_loop__forgets_a_call__records_are_settled_all_the_same(broker, transport) -> None:
    broker.create("t", 4)
    counting = Forgetful(0)
    ran(counting, Interruption, 0, broker.address, transport)
    assert counting.calls > 10, "the loop sees the producer's calls"
    every = list(range(1, counting.calls + 1))
    some = every if os.environ.get("PRODUCER_FAULTS") == "all" else random.Random(transport).sample(every, 8)
    for at in some:
        ran(Forgetful(at), Interruption, 0, broker.address, transport)


class Disturbed:
    """Signals that raise, for as long as it lasts, at moments that chance gives."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.raised: list[BaseException] = []

    def __enter__(self) -> Disturbed:
        self._before = signal.signal(signal.SIGVTALRM, self._raise)
        self._next()
        return self

    def __exit__(self, *raised: object) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, self._before)

    def _next(self) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, self._random.uniform(0.0003, 0.004))

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self._next()
        # As the injector: asyncio's own code, and what it calls, is not made for it.
        if frame is not None and is_below_producer(frame):
            self.raised.append(Interruption())
            raise self.raised[-1]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no SIGVTALRM")
def test_signals__again_and_again__every_record_keeps_its_one_outcome(broker, transport) -> None:
    broker.create("t", 4)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    told: Counter[int] = Counter()
    entered: set[int] = set()
    futures: dict[int, Any] = {}

    async def send(number: int) -> None:
        def on_delivery(error: Any, message: Any) -> None:
            told[number] += 1

        given = {0: {}, 1: {"on_delivery": on_delivery}, 2: {"headers": {"h": b"1"}}}[number % 3]
        entered.add(number)
        try:
            futures[number] = await producer.produce("t", b"%d" % number, **given)
        except Interruption:
            entered.discard(number)

    async def make() -> AIOProducer:
        conf = {
            "bootstrap.servers": broker.address,
            "linger.ms": 0,
            "log_level": 0,
            "queue.buffering.max.messages": 300,
        }
        return AIOProducer(conf, transport=transport)

    producer = loop.run_until_complete(make())
    records = 200_000 if os.environ.get("PRODUCER_FAULTS") == "all" else 20_000

    async def work() -> None:
        for start in range(0, records, 500):
            await asyncio.gather(*(send(number) for number in range(start, start + 500)))

    with Disturbed(seed=1) as disturbed:
        loop.run_until_complete(asyncio.wait_for(work(), LIMIT_S * 10))
    assert len(disturbed.raised) > 3
    until_s = time.monotonic() + LIMIT_S
    while len(producer):
        assert time.monotonic() < until_s, producer.statistics()
        loop.run_until_complete(producer.flush(1))
    figures = producer.statistics()
    assert figures.accepted == figures.settled, figures
    assert len(entered) <= figures.accepted <= records, figures
    undone = [number for number in futures if not futures[number].done()]
    assert undone == [], [
        (number, getattr(futures[number], "epoch", None), told[number]) for number in undone
    ]
    assert set(told.values()) == {1}, [number for number in told if told[number] > 1]
    assert sorted({number for number in futures if number % 3 == 1} - set(told)) == []
    loop.run_until_complete(asyncio.wait_for(producer.close(), LIMIT_S))
    loop.close()
