"""The whole producer against chance: several tasks do everything that its users may do, at any moment, and the broker
fails on the way. Afterwards the promises that hold always are looked at one by one, in `assert_kept`.

A case is a plain value, printed when it fails; hypothesis takes away whatever does not matter to the failure. For a
long run: `pytest tests/unit/producer/test_interleavings.py --hypothesis-profile=long`.

Two things that the embedded broker can't do, and a case leaves out. When a connection is lost it forgets which records
it has, so copies and failures for certain are not judged in a case with an outage. And having refused a request it
takes those behind it, where Kafka would find their sequence numbers out of order; librdkafka's second attempt then is a
"duplicate", acknowledged without an offset. So an idempotent producer that will be refused has one request in flight.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from producer import AIOProducer, ProducerClosedError, ProducerFailedError
from systest.history.columns import Outcome
from systest.worker.recorder import outcome_of

TOPIC = "t"
PARTITIONS = 4  # of a topic that the embedded broker makes on first use
NO_SUCH_PARTITION = 7
BYTES_MAX = 2000
PRODUCE_REQUEST = 0
HANG_S = 20.0


class Callback(enum.Enum):
    """What a record's on_delivery is and does."""

    NONE = "none"
    PLAIN = "plain"
    ASYNC = "async"
    RAISES = "raises"
    ASYNC_RAISES = "async raises"


class Poison(enum.Enum):
    """What is wrong with a record."""

    NONE = "none"
    BAD_TYPE = "bad type"
    TOO_LARGE = "too large"
    NO_PARTITION = "no such partition"


class Way(enum.Enum):
    """How a call is made: awaited; without waiting; or by a task that is cancelled some ticks later."""

    AWAIT = "await"
    NOWAIT = "nowait"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Send:
    way: Way = Way.AWAIT
    partition: int = -1
    callback: Callback = Callback.NONE
    poison: Poison = Poison.NONE
    headers: bool = False
    ticks: int = 0
    gives_up: bool = False  # cancels the delivery future


@dataclass(frozen=True)
class SendBatch:
    records: tuple[tuple[int, Poison], ...]
    way: Way = Way.AWAIT
    callback: Callback = Callback.NONE
    ticks: int = 0
    gives_up: bool = False
    keeps: bool = False


@dataclass(frozen=True)
class Flush:
    timeout_s: float | None = None


@dataclass(frozen=True)
class Poll:
    timeout_s: float = 0


@dataclass(frozen=True)
class Purge:
    in_queue: bool = True
    in_flight: bool = True


@dataclass(frozen=True)
class Close:
    timeout_s: float | None = None


@dataclass(frozen=True)
class Ticks:
    """Lets the others run."""

    count: int = 1


@dataclass(frozen=True)
class AwaitLatest:
    """Waits for the task's latest record."""


@dataclass(frozen=True)
class Refuse:
    """The broker answers its next produce requests with an error."""

    code: int
    times: int


@dataclass(frozen=True)
class Outage:
    """The broker hangs up and takes no connection for a while."""

    ms: int


@dataclass(frozen=True)
class Slow:
    """Every answer takes so long from now on."""

    ms: int


Step = Send | SendBatch | Flush | Poll | Purge | Close | Ticks | AwaitLatest | Refuse | Outage | Slow


@dataclass(frozen=True)
class Case:
    tasks: list[list[Step]]
    closes: Close
    loop: str
    idempotent: bool
    queue_max: int
    batch_size: int
    is_cold: bool = False
    """Whether it begins before the client has found the broker, which costs librdkafka a second now and then."""

    def has(self, kind: type) -> bool:
        return any(isinstance(step, kind) for steps in self.tasks for step in steps)


TICKS = st.integers(0, 3)
SENDS = st.builds(
    Send,
    way=st.sampled_from(Way),
    partition=st.integers(-1, PARTITIONS - 1),
    callback=st.sampled_from(Callback),
    poison=st.sampled_from([Poison.NONE, Poison.NONE, *Poison]),
    headers=st.booleans(),
    ticks=TICKS,
    gives_up=st.booleans(),
)
BATCHES = st.builds(
    SendBatch,
    records=st.lists(
        st.tuples(st.integers(-1, PARTITIONS - 1), st.sampled_from([Poison.NONE, Poison.NONE, *Poison])),
        max_size=6,
    ).map(tuple),
    way=st.sampled_from([Way.AWAIT, Way.CANCELLED]),
    callback=st.sampled_from(Callback),
    ticks=TICKS,
    gives_up=st.booleans(),
    keeps=st.booleans(),
)
CLOSES = st.builds(Close, st.sampled_from([None, 0, 0.02]))
REFUSALS = st.builds(
    Refuse,
    st.sampled_from(
        [
            KafkaError.REQUEST_TIMED_OUT,
            KafkaError.NOT_ENOUGH_REPLICAS,
            KafkaError.NOT_LEADER_FOR_PARTITION,
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
        ]
    ),
    st.integers(1, 3),
)
STEPS = st.one_of(
    SENDS,
    SENDS,
    SENDS,
    BATCHES,
    st.builds(Ticks, st.integers(1, 5)),
    st.just(AwaitLatest()),
    st.builds(Flush, st.sampled_from([None, 0, 0.01])),
    st.builds(Poll, st.sampled_from([0, 0.005])),
    st.builds(Purge, st.booleans(), st.booleans()),
    REFUSALS,
    st.builds(Outage, st.integers(1, 30)),
    st.builds(Slow, st.integers(0, 20)),
    CLOSES,
)


def cases(loops: list[str]) -> st.SearchStrategy[Case]:
    return st.builds(
        Case,
        tasks=st.lists(st.lists(STEPS, max_size=10), min_size=1, max_size=4),
        closes=CLOSES,
        loop=st.sampled_from(loops),
        idempotent=st.booleans(),
        queue_max=st.sampled_from([100_000, 1, 2, 5]),
        batch_size=st.sampled_from([1000, 1, 2]),
        is_cold=st.sampled_from([False] * 9 + [True]),
    )


@dataclass
class Sent:
    """One record that a task sent, and all that it was told."""

    number: int
    partition: int
    poison: Poison
    callback: Callback
    called: int
    """The run's clock when the call was made; `returned` when it came back with a future."""
    returned: int | None = None
    batch: int | None = None
    is_refused: bool = False
    """The call raised: nothing was queued."""
    is_cut_short: bool = False
    """The call was cancelled: queued or not."""
    future: asyncio.Future[Any] | None = None
    index: int = 0
    told: list[KafkaError | None] = field(default_factory=list)

    @property
    def value(self) -> bytes:
        return b"%d %s" % (self.number, b"x" * BYTES_MAX if self.poison is Poison.TOO_LARGE else b"")

    @property
    def message(self) -> dict[str, Any]:
        partition = NO_SUCH_PARTITION if self.poison is Poison.NO_PARTITION else self.partition
        return {"value": 5 if self.poison is Poison.BAD_TYPE else self.value, "partition": partition}

    def outcome(self) -> tuple[Outcome, Any]:
        """What its future says, and the message or error."""
        if self.is_refused:
            return Outcome.FAILED, None
        if self.future is None or self.future.cancelled():
            return Outcome.UNKNOWN, None
        assert self.future.done(), f"{self} was left pending"
        error = self.future.exception()
        if self.batch is not None and error is None:
            result = self.future.result()
            error = result.failures.get(self.index)
            if error is None:
                return Outcome.ACKED, result.messages[self.index] if result.messages else None
        if error is None:
            return Outcome.ACKED, self.future.result()
        return Outcome.FAILED if isinstance(error, TypeError) else outcome_of(error), error


class Run:
    """One case at work."""

    def __init__(self, case: Case, broker: Any, producer: AIOProducer) -> None:
        self.case, self.broker, self.producer = case, broker, producer
        self.records: list[Sent] = []
        self.clock = 0
        self.batches = 0
        self.contexts: list[dict[str, Any]] = []
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda _, context: self.contexts.append(context))

    async def work(self) -> None:
        await asyncio.gather(*(self._task(steps) for steps in self.case.tasks))
        await self._close(self.case.closes)
        await asyncio.sleep(0)

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    async def _task(self, steps: list[Step]) -> None:
        latest: asyncio.Future[Any] | None = None
        for step in steps:
            match step:
                case Send():
                    latest = await self._send(step) or latest
                case SendBatch():
                    latest = await self._send_batch(step) or latest
                case Flush():
                    await self._flush(step)
                case Poll():
                    with contextlib.suppress(ProducerClosedError, ProducerFailedError):
                        assert await self.producer.poll(step.timeout_s) >= 0
                case Purge():
                    with contextlib.suppress(ProducerClosedError, ProducerFailedError):
                        await self.producer.purge(step.in_queue, step.in_flight)
                case Close():
                    await self._close(step)
                case Ticks():
                    for _ in range(step.count):
                        await asyncio.sleep(0)
                case AwaitLatest():
                    if latest is not None:
                        await asyncio.wait([latest])
                case Refuse():
                    self.broker.fail(PRODUCE_REQUEST, *[step.code] * step.times)
                case Outage():
                    self.broker.down()
                    self._loop.call_later(step.ms / 1000, self.broker.up)
                case Slow():
                    self.broker.answer_after(step.ms)

    def _new(self, partition: int, poison: Poison, callback: Callback) -> Sent:
        sent = Sent(len(self.records), partition, poison, callback, called=self.tick())
        self.records.append(sent)
        return sent

    async def _send(self, step: Send) -> asyncio.Future[Any] | None:
        if step.way is Way.NOWAIT:
            sent = self._new(step.partition, step.poison, step.callback)
            with self._refusals(sent):
                sent.future = self.producer.produce_nowait(*self._arguments(sent, step))
                sent.returned = self.tick()
            return self._given([sent], step.gives_up)
        sent_by: list[Sent] = []

        async def call() -> None:
            sent = self._new(step.partition, step.poison, step.callback)
            sent_by.append(sent)
            with self._refusals(sent):
                sent.future = await self.producer.produce(*self._arguments(sent, step))
                sent.returned = self.tick()

        await self._call(call(), step.way, step.ticks, sent_by)
        return self._given(sent_by, step.gives_up)

    async def _send_batch(self, step: SendBatch) -> asyncio.Future[Any] | None:
        self.batches += 1
        number, sent_by = self.batches, list[Sent]()

        async def call() -> None:
            called = self.tick()
            for index, (partition, poison) in enumerate(step.records):
                sent = self._new(partition, poison, step.callback)
                sent.called, sent.batch, sent.index = called, number, index
                sent_by.append(sent)
            on_delivery = self._on_delivery(step.callback, None)
            with self._refusals(*sent_by):
                future = await self.producer.produce_batch(
                    TOPIC,
                    [sent.message for sent in sent_by],
                    on_delivery=on_delivery,
                    keep_messages=step.keeps,
                )
                returned = self.tick()
                for sent in sent_by:
                    sent.future, sent.returned = future, returned

        await self._call(call(), step.way, step.ticks, sent_by)
        return self._given(sent_by, step.gives_up)

    async def _call(self, call: Any, way: Way, ticks: int, sent_by: list[Sent]) -> None:
        if way is Way.AWAIT:
            await call
            return
        task = asyncio.ensure_future(call)
        for _ in range(ticks):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if task.cancelled():
            for sent in sent_by:
                sent.is_cut_short = True
        else:
            task.result()

    @staticmethod
    @contextlib.contextmanager
    def _refusals(*records: Sent) -> Iterator[None]:
        try:
            yield
        except (BufferError, TypeError, ProducerClosedError, ProducerFailedError):
            for sent in records:
                # A batch that waits for room when the producer is closed is cut short.
                sent.is_refused, sent.is_cut_short = sent.batch is None, sent.batch is not None

    @staticmethod
    def _given(records: list[Sent], gives_up: bool) -> asyncio.Future[Any] | None:
        if not records or records[0].future is None:
            return None
        if gives_up:
            records[0].future.cancel()
        return records[0].future

    def _arguments(self, sent: Sent, step: Send) -> tuple[Any, ...]:
        message = sent.message
        return (
            TOPIC,
            message["value"],
            None,
            message["partition"],
            self._on_delivery(step.callback, sent),
            0,
            {"h": b"1"} if step.headers else None,
        )

    def _on_delivery(self, callback: Callback, own: Sent | None) -> Callable[..., Any] | None:
        """One that notes what it is told; `own` is the record that it belongs to, None for a batch's."""

        def note(error: KafkaError | None, message: Any) -> None:
            sent = self.records[int(message.value().split()[0])]
            assert own is None or sent is own, f"{own} was told of {sent}"
            sent.told.append(error)

        def plain(error: KafkaError | None, message: Any) -> None:
            note(error, message)
            if callback is Callback.RAISES:
                raise LookupError

        async def coroutine(error: KafkaError | None, message: Any) -> None:
            await asyncio.sleep(0)
            note(error, message)
            if callback is Callback.ASYNC_RAISES:
                raise LookupError

        if callback is Callback.NONE:
            return None
        return plain if callback in (Callback.PLAIN, Callback.RAISES) else coroutine

    async def _flush(self, step: Flush) -> None:
        older = [sent for sent in self.records if sent.returned is not None]
        outstanding = await self.producer.flush(step.timeout_s)
        assert outstanding == len(self.producer)
        if step.timeout_s is None or not outstanding:
            for sent in older:
                assert sent.future is not None
                assert sent.future.done(), f"{sent} was unsettled after a flush"

    async def _close(self, step: Close) -> None:
        given = [sent for sent in self.records if sent.future is not None]
        await self.producer.close(step.timeout_s)
        assert len(self.producer) == 0
        for sent in given:
            assert sent.future is not None
            assert sent.future.done(), f"{sent} was left pending by close()"


def assert_kept(run: Run, log: list[list[Any]]) -> None:
    """Every promise that holds whatever was done."""
    found = Counter(int(message.value().split()[0]) for partition in log for message in partition)
    stable = not run.case.has(Outage)
    for sent in run.records:
        outcome, what = sent.outcome()
        assert_told_once(sent, outcome)
        copies = found[sent.number]
        if sent.poison is not Poison.NONE:
            assert outcome is not Outcome.ACKED, f"{sent} cannot be sent, and was acknowledged"
            assert not copies, f"{sent} cannot be sent, and was"
        if sent.is_refused:
            assert not copies, f"{sent} was refused, and is in the log"
        if outcome is Outcome.ACKED:
            assert copies, f"{sent} was acknowledged, and is nowhere"
            if what is not None:
                assert_at_its_place(sent, what, log)
        if stable:
            assert copies <= 1, f"{sent} is {copies} times in the log"
            if outcome is Outcome.FAILED:
                assert not copies, f"{sent} failed for certain ({what}), and is in the log"
    assert_handler_heard(run)
    assert_cut_batches_are_prefixes(run, found)
    if run.case.idempotent or (stable and not run.case.has(Refuse)):
        for partition in log:
            assert_in_call_order([run.records[int(message.value().split()[0])] for message in partition])


def assert_told_once(sent: Sent, outcome: Outcome) -> None:
    """Its on_delivery ran once if it was queued, and said the same as its future."""
    if sent.callback is Callback.NONE:
        return
    never = sent.is_refused or (sent.batch is not None and sent.poison is Poison.BAD_TYPE)
    if sent.is_cut_short:
        assert len(sent.told) <= 1, f"{sent} was told {len(sent.told)} times"
    else:
        assert len(sent.told) == (not never), f"{sent} was told {len(sent.told)} times"
    if sent.told and sent.future is not None and not sent.future.cancelled():
        assert (sent.told[0] is None) == (outcome is Outcome.ACKED), f"{sent}: future and callback disagree"


def assert_at_its_place(sent: Sent, message: Any, log: list[list[Any]]) -> None:
    assert message.value() == sent.value, f"{sent} got the report of {message.value()!r}"
    assert sent.partition in (-1, message.partition()), f"{sent} went to partition {message.partition()}"
    stored = log[message.partition()][message.offset()]
    assert stored.value() == sent.value, f"{sent} lies elsewhere than it was acknowledged"


def assert_handler_heard(run: Run) -> None:
    """Each exception of an on_delivery reached the loop's handler with its record, and nothing else did."""
    heard = Counter(
        int(context["record"].value().split()[0]) for context in run.contexts if "record" in context
    )
    raising = (Callback.RAISES, Callback.ASYNC_RAISES)
    assert heard == Counter({s.number: len(s.told) for s in run.records if s.callback in raising and s.told})
    for context in run.contexts:
        # The future that a cancelled call never gave to anybody may fail unread.
        unread = "never retrieved" in context["message"] and any(s.is_cut_short for s in run.records)
        assert "record" in context or unread, context


def assert_cut_batches_are_prefixes(run: Run, found: Counter[int]) -> None:
    """Of a batch whose call was cancelled, the records from the first on are queued, and the rest not."""
    for number in range(1, run.batches + 1):
        records = [s for s in run.records if s.batch == number and s.poison is not Poison.BAD_TYPE]
        if not records or not records[0].is_cut_short or records[0].callback is Callback.NONE:
            continue
        queued = [bool(sent.told) for sent in records]
        assert queued == sorted(queued, reverse=True), f"of batch {number} were queued: {queued}"
        for sent in records:
            assert sent.told or not found[sent.number], f"{sent} is in the log, and its callback never ran"


def assert_in_call_order(records: list[Sent]) -> None:
    """No record lies behind one whose call began after its own had ended; a batch's lie in the batch's order.

    A call that waits in line holds its place from its beginning; of a batch only its first record does.
    """
    seen: set[int] = set()
    ahead: list[Sent] = []
    for sent in records:
        if sent.number in seen:
            continue  # a copy: the broker's doing
        seen.add(sent.number)
        for other in ahead:
            if sent.batch is not None and other.batch == sent.batch:
                assert other.index < sent.index, f"{sent} lies behind {other}, which follows it in its batch"
            else:
                assert not _is_earlier(sent, other), f"{sent} lies behind {other}, which was sent later"
        ahead.append(sent)


def _is_earlier(sent: Sent, other: Sent) -> bool:
    if sent.batch is None:
        return sent.called < other.called
    return sent.returned is not None and sent.returned < other.called


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_interleavings__anything_at_any_time__every_promise_is_kept(
    data: st.DataObject, new_broker: Any, loops: dict[str, Any], transport: str
) -> None:
    case = data.draw(cases(list(loops)), "case")
    with contextlib.closing(new_broker()) as broker, contextlib.closing(loops[case.loop]()) as loop:
        run = loop.run_until_complete(asyncio.wait_for(played(case, broker, transport), HANG_S))
        assert_kept(run, broker.log(TOPIC, PARTITIONS))


async def played(case: Case, broker: Any, transport: str) -> Run:
    conf: dict[str, Any] = {
        "bootstrap.servers": broker.address,
        "log_level": 0,
        "linger.ms": 0,
        "enable.idempotence": case.idempotent,
        "message.max.bytes": BYTES_MAX,
        "message.timeout.ms": 5000,
        "queue.buffering.max.messages": case.queue_max,
        "retry.backoff.ms": 2,
        "retry.backoff.max.ms": 10,
        "reconnect.backoff.ms": 2,
        "reconnect.backoff.max.ms": 10,
        "topic.metadata.refresh.fast.interval.ms": 10,
    }
    if case.idempotent and case.has(Refuse):
        conf["max.in.flight"] = 1
    producer = AIOProducer(conf, batch_size=case.batch_size, transport=transport)
    run = Run(case, broker, producer)
    try:
        if not case.is_cold:
            await producer.list_topics(TOPIC, timeout=HANG_S)
        await run.work()
    finally:
        await producer.close(timeout=0)
        if case.has(Outage):
            broker.up()
    return run
