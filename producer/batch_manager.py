"""ProducerBatchManager: the way into the buffer, and its bounds.

The buffer itself is the transport's `Records`, in call order. Here is decided how many records may enter it unasked
(its `room`), who waits while the queue is full, and when what is in it leaves: at the end of the loop's tick, when
a burst is full, at once where nothing else is on its way.

Bound: at most `unsettled_max` records (librdkafka's own queue limit) are unsettled, in the buffer and in librdkafka
together. Beyond it callers wait in one line, first come first served; their record enters the buffer at the moment
their turn comes, as it was when they called.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from confluent_kafka import KafkaError

from producer.batch_executor import ProducerBatchExecutor
from producer.buffer_timeout import BufferTimeoutManager

BURST_MIN = 64
ROOM_MIN, ROOM_MAX = 16, 256
"""Records between two looks at the clock."""
STEP_S = 0.0005
"""How long a room's records, or one hand-over, should take: what takes longer is made smaller the next time."""
TICK_S_MAX = 0.001
"""How long produce() may keep the loop before it lets other tasks run."""

LINGER_AGAIN_S = 0.05
"""While a flush waits, what lingers is sent again and again: it is sent only where librdkafka's threads notice in
time.
"""


class Turn:
    """A place in the line for room: `enter` puts the record into the buffer when its turn has come."""

    __slots__ = ("enter", "granted")

    def __init__(self, enter: Callable[[], Any], granted: asyncio.Future[Any]) -> None:
        self.enter = enter
        self.granted = granted


class ProducerBatchManager:
    """Lets records into the buffer, and has `executor` hand them over. On the loop's thread.

    `require_may_produce` raises unless a record may be produced; `require_may_go_on` the same for a call that began to
    and let others run meanwhile.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        executor: ProducerBatchExecutor,
        require_may_produce: Callable[[], None],
        require_may_go_on: Callable[[], None],
        batch_size: int,
        buffer_timeout_s: float,
        unsettled_max: int,
    ) -> None:
        self._loop = loop
        self._executor = executor
        self._records = records = executor.transport.records
        self._require_may_produce = require_may_produce
        self._require_may_go_on = require_may_go_on
        self._batch_size = batch_size
        self._unsettled_max = unsettled_max
        self._timeouts = BufferTimeoutManager(loop, self.hand_over, self._look_after, buffer_timeout_s)
        self._line: deque[Turn] = deque()
        self._given_up = 0
        self._is_left_over = False
        self._burst = min(BURST_MIN, batch_size)
        self._room_max = ROOM_MAX
        self._room_opened_s: float | None = None
        self._flushes: set[tuple[int, asyncio.Future[None]]] = set()
        self._watchers: list[tuple[int, asyncio.Future[None]]] = []
        records.on_first = self._timeouts.mark_activity
        records.on_alone = self.hand_over

    @property
    def waiting(self) -> int:
        """Callers in the line for room."""
        # Of a copy, made at once: a metrics library may ask from a thread of its own.
        return sum(not turn.granted.done() for turn in tuple(self._line))

    # Entering the buffer where there is no room to enter unasked

    async def enter(self, *given: Any) -> asyncio.Future[Any]:
        """Let a record in, given as to `Records.accept`; waits in line while the queue is full."""
        self._require_may_produce()
        if not self._open_room():
            made = self._records.make(*given)
            waited: asyncio.Future[Any] = await self._stand_in_line(partial(self._records.enter, made))
            return waited
        future = self._records.accept(*given)
        assert future is not None, "there is room"
        if self._timeouts.elapsed_s() > TICK_S_MAX:
            await asyncio.sleep(0)
        return future

    def enter_nowait(self, *given: Any) -> asyncio.Future[Any]:
        """As `enter`, but BufferError instead of waiting."""
        self._require_may_produce()
        made = self._records.make(*given)
        if not self._open_room():
            raise BufferError(
                "The producer's queue is full. Await produce(), or try again when reports have come."
            )
        future: asyncio.Future[Any] = self._records.enter(made)
        return future

    async def enter_batch(self, made: list[Any]) -> None:
        """Let in the records of a batch, in order, as there is room."""
        index = 0
        while True:
            if self._open_room():
                index = self._records.enter_many(made, index)
            elif index < len(made):
                await self._stand_in_line(partial(self._records.enter, made[index]))
                index += 1
            if index == len(made):
                return
            if self._timeouts.elapsed_s() > TICK_S_MAX:
                await asyncio.sleep(0)
            self._require_may_go_on()

    def _open_room(self) -> bool:
        """Let records enter unasked up to the next look at the clock, the burst or the queue limit; whether any may."""
        records = self._records
        if records.room > 0:
            return True
        if records.buffered() >= self._burst:
            self._burst = min(self._burst * 2, self._batch_size)
            self._hand_over_timed()
        if not self._has_space():
            return False
        now_s = time.monotonic()
        if self._room_opened_s is not None:
            took_s = now_s - self._room_opened_s
            if took_s > STEP_S:
                self._room_max = max(self._room_max // 2, ROOM_MIN)
            elif took_s < STEP_S / 4:
                self._room_max = min(self._room_max * 2, ROOM_MAX)
        self._room_opened_s = now_s
        room_in_burst = max(self._burst - records.buffered(), 1)
        records.room = min(self._room_max, room_in_burst, self._unsettled_max - records.unsettled())
        return True

    def _has_space(self) -> bool:
        """Whether a record may enter now without overtaking anybody in the line."""
        return self._records.unsettled() < self._unsettled_max and not self._is_left_over and not self._line

    def close_room(self) -> None:
        """Have the next record ask."""
        self._records.room = 0
        self._room_opened_s = None

    async def _stand_in_line(self, enter: Callable[[], Any]) -> Any:
        """Wait for room; returns what `enter` returned.

        If cancelled or closed: nothing was buffered, unless the turn had come.
        """
        turn = Turn(enter, self._loop.create_future())
        try:
            self._line.append(turn)
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

    def refuse_line(self, reason: Exception) -> None:
        """End everybody's wait for room with an error."""
        while self._line:
            granted = self._line.popleft().granted
            if not granted.done():
                granted.set_exception(reason)

    # Leaving it

    def hand_over(self) -> None:
        """Hand over what is buffered and see to it that reports are heard of."""
        self._hand_over_timed()
        self._executor.transport.expect_reports()

    def _hand_over_timed(self) -> None:
        self.close_room()
        buffered = self._records.buffered()
        if buffered:
            began_s = time.monotonic()
            self._is_left_over = not self._executor.hand_over()
            took_s = time.monotonic() - began_s
            if buffered * 4 < self._burst or took_s > 2 * STEP_S:
                self._burst = max(self._burst // 2, min(BURST_MIN, self._batch_size))
            if self._is_left_over:
                self._timeouts.try_again()

    def _look_after(self) -> bool:
        """Do what any call of the loop should have done; whether there is more to come."""
        self.hand_over()
        transport = self._executor.transport
        transport.serve()
        is_at_work = self._records.unsettled() > 0 or bool(self._line)
        return is_at_work and transport.client() is not None

    def drop_buffer(self, error: KafkaError) -> None:
        """Fail every record that the transport has not taken."""
        self.close_room()
        self._records.drop(error)
        self._is_left_over = False

    def stop(self) -> None:
        """Hand over nothing any more."""
        self._timeouts.stop()

    # Reports

    def make_progress(self) -> None:
        """Reports were settled: retry what a full queue left over, admit the line, wake who waits for reports."""
        if self._is_left_over:
            self._hand_over_timed()
        self._admit_line()
        self._wake_waiters()

    def _admit_line(self) -> None:
        records = self._records
        admitted = False
        while self._line and not self._is_left_over and records.unsettled() < self._unsettled_max:
            turn = self._line[0]
            if turn.granted.done():
                self._given_up = max(self._given_up - 1, 0)
            else:
                self._grant(turn)
                admitted = True
            del self._line[0]
            if records.buffered() >= self._batch_size:
                self._hand_over_timed()
        if admitted:
            self._hand_over_timed()

    @staticmethod
    def _grant(turn: Turn) -> None:
        try:
            turn.granted.set_result(turn.enter())
        except BaseException:
            # A signal's, perhaps when the record was in: nothing changes then by entering it again.
            if not turn.granted.done():
                try:
                    entered = turn.enter()
                except Exception as raised:  # noqa: BLE001 (its caller's to know)
                    turn.granted.set_exception(raised)
                    return
                turn.granted.set_result(entered)
            raise

    def _wake_waiters(self) -> None:
        settled = self._records.settled
        if self._watchers:
            for before, watcher in self._watchers:
                if settled > before and not watcher.done():
                    watcher.set_result(None)
            self._watchers = [entry for entry in self._watchers if not entry[1].done()]
        if self._flushes:
            oldest = self._records.oldest_epoch()
            for epoch, done in self._flushes:
                if epoch <= oldest and not done.done():
                    done.set_result(None)

    def next_settlement(self) -> asyncio.Future[None]:
        """A future that is done when more records are settled than now."""
        watcher: asyncio.Future[None] = self._loop.create_future()
        self._watchers.append((self._records.settled, watcher))
        return watcher

    async def flush(self, end_s: Callable[[], float]) -> int:
        """Wait until every record that is there now is settled, or it is `end_s` by the monotonic clock, which may be
        changed meanwhile. What lingers is sent now. Returns how many records are unsettled then.
        """
        self.hand_over()
        self._executor.transport.serve()
        if self._records.unsettled():
            await self._wait_for_older(end_s)
        return self._records.unsettled()

    async def _wait_for_older(self, end_s: Callable[[], float]) -> None:
        done: asyncio.Future[None] = self._loop.create_future()
        flush = (self._records.new_epoch(), done)
        self._flushes.add(flush)
        try:
            while not done.done() and (left_s := end_s() - time.monotonic()) > 0:
                self._executor.end_linger()
                await asyncio.wait([done], timeout=min(left_s, LINGER_AGAIN_S))
                self._executor.transport.serve()  # a signal's exception may have cost the loop a call of ours
        finally:
            self._flushes.discard(flush)
