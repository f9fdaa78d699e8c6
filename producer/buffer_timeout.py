"""BufferTimeoutManager: no record waits in the buffer for company.

The buffer is handed over at the end of the loop's current tick. When librdkafka's queue was full then, the
rest is tried again whenever reports make room and, whatever happens, every `buffer_timeout` (0: only when
reports make room).

An exception that a signal's handler raises may cost the loop any call, this hand-over or one that serves reports. So
while records are on their way somebody looks after them now and then, whoever else should.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LOOK_AFTER_S = 0.25
"""How often records that are on their way are looked after."""


class BufferTimeoutManager:
    """Calls `hand_over` at the end of a tick in which there was activity, and `buffer_timeout_s` after `try_again`; and
    from the first activity on `look_after`, now and then, until it returns False.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        hand_over: Callable[[], object],
        look_after: Callable[[], bool],
        buffer_timeout_s: float,
    ) -> None:
        self._loop = loop
        self._hand_over = hand_over
        self._look_after = look_after
        self._buffer_timeout_s = buffer_timeout_s
        self._scheduled: asyncio.Handle | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self._look_overdue_s = 0.0
        """When the next look, by the loop's time, has not happened for a reason."""
        self.tick_began_s = 0.0
        """Monotonic loop time of the first record of the current tick."""

    def mark_activity(self) -> None:
        """A record was buffered."""
        if self._scheduled is None:
            self.tick_began_s = now_s = self._loop.time()
            if now_s > self._look_overdue_s:
                self._look_again(now_s)
            self._scheduled = self._loop.call_soon(self._end_of_tick)

    def elapsed_s(self) -> float:
        """How long records have been produced in this tick."""
        return self._loop.time() - self.tick_began_s if self._scheduled is not None else 0.0

    def stop(self) -> None:
        """Hand over nothing any more."""
        for handle in (self._scheduled, self._retry, self._look):
            if handle is not None:
                handle.cancel()
        self._scheduled = self._retry = self._look = None

    def _end_of_tick(self) -> None:
        self._scheduled = None
        self._hand_over()

    def _timed_out(self) -> None:
        self._retry = None
        self._hand_over()

    def try_again(self) -> None:
        """Something was left over."""
        if self._retry is None and self._buffer_timeout_s:
            self._retry = self._loop.call_later(self._buffer_timeout_s, self._timed_out)

    def _look_again(self, now_s: float) -> None:
        self._look = self._loop.call_later(LOOK_AFTER_S, self._looks)
        self._look_overdue_s = now_s + 2 * LOOK_AFTER_S

    def _looks(self) -> None:
        self._look_again(self._loop.time())
        self._scheduled = None
        if not self._look_after() and self._look is not None:
            self._look.cancel()
            self._look_overdue_s = 0.0
