"""The seam below the batch executor: a transport keeps records in call order, hands them to librdkafka and brings their
reports back, within the budgets that it is given.

Above the seam there is one producer; below it there are two transports with one contract, `Transport` and in it
`Records`. The pure one is on confluent-kafka's public API and always there; the compiled one is Cython on
librdkafka's public C interface, and is there where it was built.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from confluent_kafka import KafkaError

from producer.callbacks import BatchReport, CallbackManager
from producer.client_conf import ClientConf
from producer.message_batch import MessageBatch


class Records(Protocol):
    """A producer's records in call order, from their entry to their outcome, and all counts of them. On the loop's
    thread.

    `room` records may enter by `accept` or `enter_many` without anybody being asked. `on_first` is called before a
    record enters the empty buffer, `on_alone` when it has and no other is on its way, `on_refused` when `drain` has
    something to do that librdkafka tells nobody of.
    """

    room: int
    on_first: Callable[[], object]
    on_alone: Callable[[], object]
    on_refused: Callable[[], object]

    @property
    def accepted(self) -> int:
        """Records that ever entered."""

    @property
    def handed_over(self) -> int:
        """Records that librdkafka took or refused."""

    @property
    def settled(self) -> int:
        """Records that have their outcome."""

    @property
    def batches(self) -> int:
        """Calls of librdkafka that handed records over."""

    @property
    def queue_full(self) -> int:
        """Hand-overs that its full queue cut short."""

    @property
    def created(self) -> int:
        """Objects that were made to stand for a record until its report."""

    @property
    def reused(self) -> int:
        """Those that were used again instead."""

    def accept(
        self, topic: Any, value: Any, key: Any, partition: Any, on_delivery: Any, timestamp: Any, headers: Any
    ) -> asyncio.Future[Any] | None:
        """Check a record, put it into the buffer, and return its future; None without a look at it where there is no
        room, or on another thread. Raises TypeError or ValueError for a record that can't be sent.
        """

    def make(
        self, topic: Any, value: Any, key: Any, partition: Any, on_delivery: Any, timestamp: Any, headers: Any
    ) -> Any:
        """A checked record that can `enter` later, whatever becomes of what it was made of. Raises as `accept`."""

    def make_batch(
        self, topic: Any, messages: Iterable[Any], partition: Any, on_delivery: Any, report: BatchReport
    ) -> list[Any]:
        """Checked records of a batch; `report` hears of those that can't be sent. Raises as `accept` for all at
        once.
        """

    def enter(self, made: Any) -> Any:
        """Put a checked record into the buffer, and return its future, or None for a batch's."""

    def enter_many(self, made: list[Any], start: int) -> int:
        """`enter` from the index `start` on while there is room; the index of the first that did not."""

    def hand_over(self) -> bool:
        """Hand the buffer over to librdkafka, in order, until its queue is full; whether all was taken.

        A record that librdkafka refuses for its own sake is settled by the next `drain`, with an error.
        """

    def drop(self, error: KafkaError) -> None:
        """Have the next `drain` settle with `error` whatever is in the buffer."""

    def preview(self, target_topic: str | None) -> list[MessageBatch]:
        """The batches that `hand_over` would make, of one topic or of all."""

    def drain(self, budget_s: float) -> bool:
        """Settle the records whose reports are there, for so long; whether some may be left."""

    def unsettled(self) -> int:
        """Records in the buffer and in librdkafka that have no outcome yet."""

    def buffered(self) -> int:
        """Records that librdkafka has neither taken nor refused."""

    def new_epoch(self) -> int:
        """Records that enter from now on belong to this epoch, or a later one; those before to earlier ones."""

    def oldest_epoch(self) -> int:
        """Every record of earlier epochs is settled."""

    def release(self) -> None:
        """Let go of the client, for good: no record may enter, be handed over or be reported any more."""


class Transport(Protocol):
    """What the batch executor needs of a transport. On the loop's thread, where not said otherwise."""

    name: str
    records: Records
    polls: int
    """Calls on the loop that look for reports and serve them."""
    poll_s: float
    """Time in them, callbacks included."""
    on_progress: Callable[[], None]
    """Called on the loop after every serving."""

    def expect_reports(self) -> None:
        """Records were handed over: bring their reports to the loop when they come."""

    def serve(self) -> None:
        """Serve the reports that are there, within a time budget; those beyond it in the next ticks."""

    def client(self) -> Any | None:
        """Has the blocking methods of `confluent_kafka.Producer`, for worker threads; None once it has ended. Reports
        still reach the loop meanwhile. Any thread.
        """

    def abandon(self) -> None:
        """Nobody will close the producer: bring the outstanding reports, then stop. Any thread."""

    async def stop(self) -> None:
        """Stop the threads and release the client. Nothing may be outstanding that still matters.

        If cancelled: the stopping goes on.
        """


class MakeTransport(Protocol):
    """Makes a transport; on the loop's thread."""

    def __call__(
        self,
        prepared: ClientConf,
        loop: asyncio.AbstractEventLoop,
        callbacks: CallbackManager,
        batch_size: int,
    ) -> Transport: ...
