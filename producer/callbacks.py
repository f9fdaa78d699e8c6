"""What comes of delivery reports beyond a record's own future: callbacks, a batch's result, failures and figures.

Everything here runs on the loop's thread, and none of it inside librdkafka's poll(), where polling again would
abort the process.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from producer.message import Message
from producer.statistics import LatencySampler
from producer.user_calls import UserCalls

OnDelivery = Callable[[KafkaError | None, Any], Awaitable[None] | None]
"""The message is a `Message`; Any, so that a callback may have confluent's type for it."""

SERVE_BUDGET_S = 0.001
"""How long a transport serves reports before it lets the loop go on."""
LOOK_MASK_MAX = 63
"""Between two looks at the clock at most so many records are settled, a power of two less one. At each look one
record's latency is sampled: so each one up to a thousand a second, and about a thousand a second beyond.
"""
LOOK_S_MIN, LOOK_S_MAX = 0.0005, 0.002
"""Looks closer together than the one become rarer, further apart than the other more frequent."""


@dataclass(frozen=True)
class BatchResult:
    """What became of the records of one `produce_batch`: `failures` names each failed one by its index.

    `messages` has the Message of each record at its index, a failed one's too, and None for a record that could not
    be sent at all; with `keep_messages=True`, else it is empty.
    """

    count: int
    failures: Mapping[int, BaseException] = field(default_factory=dict)
    messages: tuple[Message | None, ...] = field(default=(), repr=False)

    @property
    def acknowledged(self) -> int:
        """Number of records that were acknowledged."""
        return self.count - len(self.failures)

    @property
    def ok(self) -> bool:
        """Whether every record was acknowledged."""
        return not self.failures

    def raise_for_failures(self) -> None:
        """Raise BatchFailedError unless every record was acknowledged."""
        if self.failures:
            first = min(self.failures)
            raise BatchFailedError(self) from self.failures[first]


class BatchFailedError(Exception):
    """Not every record of a batch was acknowledged; `result` names each failed one, and the cause is the first."""

    def __init__(self, result: BatchResult) -> None:
        super().__init__(result)
        self.result = result

    def __str__(self) -> str:
        failures = self.result.failures
        first = min(failures)
        return f"{len(failures)} of {self.result.count} records failed; the first is number {first}: {failures[first]}"


class BatchReport:
    """Collects the outcomes of the records of one `produce_batch`, and resolves its future with the last.

    Whoever settles one counts `remaining` down in the same step in which it notes for itself that it did, where no
    signal can come between; then it calls `finish`. All else here may be repeated when it was interrupted.
    """

    __slots__ = ("_count", "_failures", "_future", "_note_failure", "messages", "remaining")

    def __init__(
        self,
        count: int,
        future: asyncio.Future[BatchResult],
        note_failure: Callable[[KafkaError], bool],
        keep_messages: bool = False,
    ) -> None:
        self._count = self.remaining = count
        self._future = future
        self._note_failure = note_failure
        self._failures: dict[int, BaseException] = {}
        self.messages: list[Message | None] | None = [None] * count if keep_messages else None
        """Where each record that has its outcome puts its Message first, if they are to be kept. Not a call, which
        would cost every record of those who don't ask.
        """

    def reject(self, index: int, reason: BaseException) -> None:
        """The record at `index` cannot be sent at all."""
        self._note_failure(KafkaError(KafkaError._INVALID_ARG, str(reason)))
        self._failures[index] = reason.with_traceback(
            None
        )  # which would keep the caller's frames, and the producer
        self.remaining -= 1
        self.finish()

    def fail(self, index: int, error: KafkaError) -> None:
        """The record at `index` failed. It still is to be counted."""
        self._failures[index] = KafkaException(error)

    def finish(self) -> None:
        """Resolve the future if no record remains."""
        if not self.remaining and not self._future.done():
            failures = dict(sorted(self._failures.items()))
            self._future.set_result(BatchResult(self._count, failures, tuple(self.messages or ())))


class CallbackManager:
    """Takes note of failures, and follows what callers' callbacks return and raise, for one producer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, only_failures: bool = False) -> None:
        self._calls = UserCalls(loop)
        self.only_failures = only_failures
        """Whether on_delivery is to be called for failures alone (`delivery.report.only.error`)."""
        self.failures: Counter[str] = Counter()
        """Failed records by the name of their error. Whoever settles one counts it, as a batch's `remaining`."""
        self.latencies = LatencySampler()
        self.on_failure: Callable[[KafkaError], bool] = lambda error: False
        """Told of every record's failure, of one perhaps again; whether its caller hears of it otherwise than by the
        future.
        """

    def follow(self, outcome: Any, message: Any) -> None:
        """on_delivery returned something: await it where it can be awaited."""
        self._calls.follow(partial(_context_of, message), outcome)

    def note_raised(self, raised: BaseException, message: Any) -> None:
        """on_delivery raised: the loop's exception handler hears of it. KeyboardInterrupt and SystemExit get out."""
        self._calls.note_raised(partial(_context_of, message), raised)

    def note_event_raised(self, raised: BaseException) -> None:
        """An event of librdkafka's that is no report could not be served."""
        self._calls.note_raised(lambda: {"message": "an event of the producer could not be served"}, raised)

    def pending(self) -> set[asyncio.Future[None]]:
        """The async on_delivery calls that have not ended, nor wait for the producer's end themselves."""
        return {over for over in self._calls.pending if not over.done()}

    def wait_for_all_but_this(self) -> None:
        """Called for the producer's end, maybe by an on_delivery, which `pending` has no longer then."""
        self._calls.wait_no_longer_for_this()


def _context_of(message: Any) -> dict[str, Any]:
    return {"message": f"on_delivery raised for {_name(message)}", "record": message}


def _name(message: Any) -> str:
    where = f"{message.topic()} [{message.partition()}]"
    if message.error() is not None or message.offset() is None:
        return f"the record with key {message.key()!r} for {where}"
    return f"the record at {where} offset {message.offset()}"
