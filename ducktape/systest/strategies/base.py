"""What a strategy is: one producer library, used as its documentation would have it, on a job that all share."""

from __future__ import annotations

import abc
import asyncio
import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from confluent_kafka import KafkaException

from systest.worker.protocol import CodePath, Resources
from systest.worker.recorder import Recorder
from systest.worker.resources import ResourceMeter
from systest.worker.schedule import Schedule
from systest.worker.spec import ProduceSpec
from systest.workloads.stream import RecordStream

BURST_MAX = 16
"""A caller whose window has room sends so many records at the most between two looks at the clock, as one does who
measures nothing. They count as called when the burst began: who is slow with the last can only look worse for it."""
SAMPLE_MASK = 15
"""Of calls that are timed one by one every 16th is, and their time scaled to all, for `CodePath.produce_s`: timing each
would slow a short call by a tenth."""
REACH_LIMIT_S = 6.0
"""How long a client may take to get the topic's metadata before the first record."""
# Short, because a call into the library keeps the process from hearing a signal.
_ATTEMPT_S = 0.5
_PAUSE_S = 0.05


class CannotRun(Exception):
    """A strategy can't do what the spec asks of it; one sentence that says what and why."""


@dataclass(slots=True)
class CallTimes:
    """Where the caller's time goes, from the begin of the measured time on."""

    produce_ns: int = 0
    produce_sampled: int = 0
    poll_calls: int = 0
    poll_ns: int = 0
    polled_reports: int = 0
    flush_ns: int = 0

    def begin(self) -> None:
        """Forgets the warm-up."""
        self.produce_ns = self.produce_sampled = self.poll_calls = self.poll_ns = self.polled_reports = 0

    def produce_s(self, calls: int) -> float:
        """The sampled calls' time, scaled to all."""
        return self.produce_ns / 1e9 * calls / self.produce_sampled if self.produce_sampled else 0.0


@dataclass(slots=True)
class Job:
    """One round's work, as the strategy finds it."""

    spec: ProduceSpec
    recorder: Recorder
    schedule: Schedule
    meter: ResourceMeter
    times: CallTimes = field(default_factory=CallTimes)

    @property
    def stream(self) -> RecordStream:
        return self.spec.stream


@dataclass(frozen=True, slots=True)
class Done:
    """What a strategy did.

    `records` is how many it sent in all, `resources` what the process had used when it had drained and not yet closed
    its client, `lag_ns` and `lag_work_ns` the loop's lag if it has a loop, `transport` see `Summary`.
    """

    records: int
    code_path: CodePath
    resources: Resources
    lag_ns: tuple[int, ...] | None = None
    lag_work_ns: tuple[int, ...] | None = None
    transport: str | None = None


class Strategy(abc.ABC):
    """One producer library. `idiom` says in one line how it is used here, `has_loop` whether on an event loop."""

    idiom: ClassVar[str]
    has_loop: ClassVar[bool] = False

    @property
    @abc.abstractmethod
    def client(self) -> str:
        """Library and version."""

    @abc.abstractmethod
    def run(self, job: Job) -> Done:
        """Sends, waits for what is in flight, and closes the client. Raises CannotRun before the first record."""


@dataclass(frozen=True, slots=True)
class ArgumentNames:
    """What a library calls a record's optional fields; None where it has no such argument."""

    key: str | None = "key"
    partition: str | None = "partition"
    headers: str | None = "headers"
    timestamp: str | None = "timestamp"
    on_delivery: str | None = "on_delivery"


Fields = dict[str, Any]
"""A record's arguments beside topic and value, by the library's names."""


def fields_of(
    stream: RecordStream,
    names: ArgumentNames,
    library: str,
    callbacks: Iterator[Callable[..., None] | None] | None = None,
) -> Iterator[Fields] | None:
    """The fields of records 0, 1, 2 and so on; None if they have none.

    Args:
        stream: whose.
        names: of the library's arguments.
        library: for whom a refusal is told.
        callbacks: of a caller that gives some beside awaiting each outcome.

    Raises CannotRun if the stream has a field that the library can't send.
    """
    turns: dict[str, list[Any]] = {}
    if stream.keys:
        turns[_known(names.key, "keys", library)] = [*stream.key_turns()]
    if stream.partition(0) is not None:
        turns[_known(names.partition, "partitions", library)] = stream.partition_turns()
    if stream.headers:
        turns[_known(names.headers, "headers", library)] = stream.header_turns()
    others: dict[str, Iterator[Any]] = {}
    if stream.timestamp_base_ms is not None:
        others[_known(names.timestamp, "timestamps", library)] = stream.sent_timestamps()
    if callbacks is not None:
        others[_known(names.on_delivery, "callbacks", library)] = callbacks
    if not turns and not others:
        return None
    period = math.lcm(*map(len, turns.values()))
    fields: Iterator[Fields] = itertools.cycle(
        {name: values[n % len(values)] for name, values in turns.items()} for n in range(period)
    )
    for name, values in others.items():
        fields = _with(fields, name, values)
    return fields


def _known(argument: str | None, what: str, library: str) -> str:
    if argument is None:
        raise CannotRun(f"{library} can't send records with {what} of their own")
    return argument


def _with(fields: Iterator[Fields], name: str, values: Iterator[Any]) -> Iterator[Fields]:
    """These fields with one more, where it is not None."""
    return (
        given if value is None else {**given, name: value}
        for given, value in zip(fields, values, strict=False)
    )


def require_topics(list_topics: Callable[..., Any], job: Job) -> None:
    """Has a confluent-kafka client know the topics' leaders, so that no record need wait for them.

    Args:
        list_topics: the client's.

    Raises:
        CannotRun: no broker answers, or none has the topics.
    """
    deadline_s = time.monotonic() + REACH_LIMIT_S
    for topic in job.stream.topic_names:
        while complaint := _complaint(partial(list_topics, topic, timeout=_ATTEMPT_S), topic, job):
            if time.monotonic() > deadline_s:
                raise CannotRun(complaint)
            time.sleep(_PAUSE_S)


async def require_topics_async(list_topics: Callable[..., Any], job: Job) -> None:
    """As `require_topics`, for a client whose `list_topics` is a coroutine function."""
    deadline_s = time.monotonic() + REACH_LIMIT_S
    for topic in job.stream.topic_names:
        while True:
            answer = asyncio.ensure_future(list_topics(topic, timeout=_ATTEMPT_S))
            await asyncio.wait({answer})
            complaint = _complaint(answer.result, topic, job)
            if complaint is None:
                break
            if time.monotonic() > deadline_s:
                raise CannotRun(complaint)
            await asyncio.sleep(_PAUSE_S)


def _complaint(metadata: Callable[[], Any], topic: str, job: Job) -> str | None:
    try:
        error = metadata().topics[topic].error
    except KafkaException as unreachable:
        return (
            f"no broker answered at {job.spec.client.get('bootstrap.servers')} within {REACH_LIMIT_S:.0f} s: "
            f"{unreachable.args[0].str()}"
        )
    return None if error is None else f"the broker says of topic {topic}: {error.str()}"


def elapsed_ns(since_ns: int) -> int:
    return time.perf_counter_ns() - since_ns
