"""ProducerBatchManager: the buffer between `produce` and the executor, with its order and its bounds.

Owns a record from `produce` until the executor took it. Within a topic, records are grouped into batches
without any two records of one partition changing places: a record joins an open group only if nothing
buffered after that group could go to the same partition. Topics are independent.

Bound: at most `unsettled_max` records (librdkafka's own queue limit) are unsettled, in this buffer and in
librdkafka together. Beyond it callers wait in one line, first come first served; their record enters the
buffer at the moment their turn comes.

Plain records come through the FastLane, which is opened here as far as they may enter unasked. All else goes through
`add`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from confluent_kafka import KafkaError

from producer.arguments import checked_topic
from producer.batch_executor import ProducerBatchExecutor
from producer.callbacks import CallbackManager
from producer.fast_lane import FastLane
from producer.message_batch import PARTITIONER, MessageBatch, Record, create_message_batch

BURST_MIN = 64
ROOM_MIN, ROOM_MAX = 16, 256
"""Records between two looks at the clock."""
STEP_S = 0.0005
"""How long a room's records, or one hand-over, should take: what takes longer is made smaller the next time."""

_T = TypeVar("_T")


@dataclass(slots=True)
class _Group:
    """Records of one topic that may leave partition by partition: all with a partition, or all without."""

    bulk: dict[int, bool] = field(default_factory=dict)
    records: dict[int, list[Record]] = field(default_factory=dict)

    def admits(self, partition: int, bulk: bool) -> bool:
        """Whether a record may join without overtaking, or being overtaken by, a record of its partition."""
        if partition in self.bulk:
            return self.bulk[partition] == bulk
        return partition != PARTITIONER and PARTITIONER not in self.bulk

    def batches(self, topic: str, size_max: int) -> Iterator[MessageBatch]:
        for partition, records in self.records.items():
            for start in range(0, len(records), size_max):
                yield create_message_batch(
                    topic, records[start : start + size_max], partition, self.bulk[partition]
                )


class Turn(Generic[_T]):
    """A place in the line for room: `enter` puts the record into the buffer when its turn has come."""

    __slots__ = ("enter", "granted")

    def __init__(self, enter: Callable[[], _T], granted: asyncio.Future[_T]) -> None:
        self.enter = enter
        self.granted = granted


class ProducerBatchManager:
    """Buffers records and makes batches of them for `executor`; the two attributes are set before the first."""

    executor: ProducerBatchExecutor
    on_left_over: Callable[[], None]
    """Called when reports were settled and the queue is full all the same."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        callbacks: CallbackManager,
        lane: FastLane,
        batch_size: int,
        unsettled_max: int,
    ) -> None:
        self._loop = loop
        self._callbacks = callbacks
        self._batch_size = batch_size
        self._unsettled_max = unsettled_max
        self._topics: dict[str, list[_Group]] = {}
        self._sealed: deque[MessageBatch] = deque()
        self._line: deque[Turn[Any]] = deque()
        self._given_up = 0
        self._burst = min(BURST_MIN, batch_size)
        self._granted = 0
        self._handed_over = 0
        self._room_max = ROOM_MAX
        self._room_opened_s: float | None = None
        self._lane = lane
        lane.open_list = self._open_list

    # Counts

    @property
    def accepted(self) -> int:
        """Records that ever entered the buffer."""
        return self._granted - self._lane.room

    def unsettled(self) -> int:
        """Records in the buffer and in librdkafka that have no outcome yet."""
        return self._granted - self._lane.room - self._callbacks.settled

    def buffered(self) -> int:
        """Records that the transport has not taken."""
        return self._granted - self._lane.room - self._handed_over

    @property
    def waiting(self) -> int:
        """Callers in the line for room."""
        # Of a copy, made at once: a metrics library may ask from a thread of its own.
        return sum(not turn.granted.done() for turn in tuple(self._line))

    def is_idle(self) -> bool:
        """Whether no record is on its way or in line, so that the next one need not wait for the end of the tick."""
        return self._granted - self._lane.room == self._callbacks.settled and not self._line

    # Entering the buffer

    def has_space(self) -> bool:
        """Whether a record may enter now without overtaking anybody in the line."""
        return self.unsettled() < self._unsettled_max and not self._sealed and not self._line

    def add(self, topic: str, partition: int, record: Record, bulk: bool) -> None:
        """Buffer a record. The caller has seen `has_space`, or has been given its turn."""
        groups = self._topics.get(topic)
        if groups is None:
            groups = self._topics[topic] = []
        if not groups or not groups[-1].admits(partition, bulk):
            groups.append(_Group())
            self._lane.lists.pop(topic, None)
        group = groups[-1]
        records = group.records.get(partition)
        if records is None:
            group.bulk[partition] = bulk
            records = group.records[partition] = []
            if bulk and partition == PARTITIONER:
                self._lane.lists[topic] = records
        records.append(record)
        self._granted += 1

    def _open_list(self, topic: str) -> list[Record] | None:
        """As `lists[topic]` of the lane, for a topic that has nothing buffered yet; None where `add` must decide.

        Raises TypeError or ValueError for a topic that cannot be sent to.
        """
        if topic in self._topics:
            return None
        records: list[Record] = []
        self._topics[checked_topic(topic)] = [_Group({PARTITIONER: True}, {PARTITIONER: records})]
        self._lane.lists[topic] = records
        return records

    def burst_is_full(self) -> bool:
        """Whether too much is buffered to wait for the end of the tick. Grows the burst if so."""
        if self.buffered() < self._burst:
            return False
        self._burst = min(self._burst * 2, self._batch_size)
        return True

    def open_room(self) -> None:
        """Let the fast lane append up to the next look at the clock, the burst or the queue limit."""
        if self._sealed or self._line or self._callbacks.marks:
            self.close_room()
            return
        now_s = time.monotonic()
        if self._room_opened_s is not None:
            took_s = now_s - self._room_opened_s
            if took_s > STEP_S:
                self._room_max = max(self._room_max // 2, ROOM_MIN)
            elif took_s < STEP_S / 4:
                self._room_max = min(self._room_max * 2, ROOM_MAX)
        self._room_opened_s = now_s
        room = min(self._room_max, self._burst - self.buffered(), self._unsettled_max - self.unsettled())
        self._granted += max(room, 0) - self._lane.room
        self._lane.room = max(room, 0)

    def close_room(self) -> None:
        """Send the next record through `add`."""
        self._granted -= self._lane.room
        self._lane.room = 0
        self._room_opened_s = None

    async def stand_in_line(self, enter: Callable[[], _T]) -> _T:
        """Wait for room; returns what `enter` returned.

        If cancelled or closed: nothing was buffered, unless the turn had come.
        """
        turn: Turn[_T] = Turn(enter, self._loop.create_future())
        self._line.append(turn)
        try:
            return await turn.granted
        except BaseException:  # also where the coroutine is closed, and nothing but this cancels the wait
            turn.granted.cancel()
            self._forget_given_up()
            raise

    def _forget_given_up(self) -> None:
        """One more caller gave up. Once they are more than half of the line it is made anew without them, which
        bounds what is kept of them at a cost that does not grow with the line.
        """
        self._given_up += 1
        if self._given_up * 2 > len(self._line):
            self._line = deque(turn for turn in self._line if not turn.granted.done())
            self._given_up = 0

    # Leaving it

    def flush_buffer(self) -> bool:
        """Hand everything buffered to the executor; whether it took all."""
        self.close_room()
        if self._topics:
            buffered = self.buffered()
            self._sealed.extend(self._batches(None))
            self._topics.clear()
            self._lane.lists.clear()
            if buffered * 4 < self._burst:
                self._burst = max(self._burst // 2, min(BURST_MIN, self._batch_size))
        if self._sealed:
            began_s = time.monotonic()
            self._handed_over += self.executor.execute(self._sealed)
            if time.monotonic() - began_s > 2 * STEP_S:
                self._burst = max(self._burst // 2, min(BURST_MIN, self._batch_size))
        return not self._sealed

    def hand_over(self) -> bool:
        """Hand over what is buffered and see to it that reports are heard of; whether all was taken."""
        taken = self.flush_buffer()
        self.executor.transport.expect_reports()
        return taken

    def hand_over_alone(self, topic: str, partition: int, record: Record, bulk: bool) -> bool:
        """Hand over a record that nothing is ahead of (`is_idle`); whether it was taken."""
        self._granted += 1
        self._sealed.append(create_message_batch(topic, (record,), partition, bulk))
        self._handed_over += self.executor.execute(self._sealed)
        self.executor.transport.expect_reports()
        return not self._sealed

    def hand_over_plain(
        self, topic: str, value: bytes, key: bytes | None, callback: asyncio.Future[Any]
    ) -> bool:
        """As `hand_over_alone`, with nothing made of the record; False if it must be tried again that way."""
        if not self.executor.execute_alone(topic, value, key, callback):
            return False
        self._granted += 1
        self._handed_over += 1
        self.executor.transport.expect_reports()
        return True

    def make_progress(self) -> None:
        """Reports were settled: retry what a full queue left over, admit the line, wake the flushes."""
        if self._sealed:
            self.flush_buffer()
        admitted = False
        while self._line and not self._sealed and self.unsettled() < self._unsettled_max:
            turn = self._line.popleft()
            if turn.granted.done():
                self._given_up -= 1
            else:
                turn.granted.set_result(turn.enter())
                admitted = True
                if self.buffered() >= self._batch_size:
                    self.flush_buffer()
        if admitted:
            self.flush_buffer()
        if self._sealed:
            self.on_left_over()
        self._callbacks.wake_waiters(self.unsettled())

    def refuse_line(self, reason: Exception) -> None:
        """End everybody's wait for room with an error."""
        while self._line:
            granted = self._line.popleft().granted
            if not granted.done():
                granted.set_exception(reason)

    def drop_buffer(self, error: KafkaError) -> None:
        """Fail every record that the transport has not taken."""
        self.close_room()
        dropped = [*self._sealed, *self._batches(None)]
        self._sealed.clear()
        self._topics.clear()
        self._lane.lists.clear()
        for batch in dropped:
            self._handed_over += len(batch)
            for record in batch.messages:
                self._callbacks.refuse(batch, record, error)

    def preview(self, target_topic: str | None) -> list[MessageBatch]:
        """The batches that a hand-over now would make."""
        sealed = [batch for batch in self._sealed if target_topic in (None, batch.topic)]
        return [*sealed, *self._batches(target_topic)]

    def _batches(self, target_topic: str | None) -> Iterator[MessageBatch]:
        for topic, groups in self._topics.items():
            if target_topic in (None, topic):
                for group in groups:
                    yield from group.batches(topic, self._batch_size)
