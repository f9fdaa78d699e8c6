"""UserCalls: callers' own code, run on the loop. Whatever it raises or returns, it harms nobody else."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any

Context = Callable[[], dict[str, Any]]
"""What the loop's exception handler is told beside the exception; made when there is one."""

_here: ContextVar[asyncio.Future[None]] = ContextVar("producer_callback")
"""In a callback that runs on the loop, and in the tasks that it starts: what `UserCalls.pending` has of it."""


class UserCalls:
    """Calls callbacks, plain or async. What they raise goes to the loop's exception handler, of whatever kind it
    is, but for KeyboardInterrupt and SystemExit, which get out. On the loop's thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.pending: dict[asyncio.Future[None], asyncio.Future[Any]] = {}
        """The async ones that have not ended, which nobody else keeps alive, by a future that is done when they have,
        or need not be waited for.
        """

    def call(self, context: Context, callback: Callable[..., Any], *args: Any) -> None:
        """Call `callback`, and `follow` what it returns."""
        try:
            outcome = callback(*args)
        except BaseException as raised:  # noqa: BLE001 (user code)
            self.note_raised(context, raised)
        else:
            if outcome is not None:
                self.follow(context, outcome)

    def follow(self, context: Context, outcome: Any) -> None:
        """Await what a callback returned, where it can be awaited."""
        try:
            if not inspect.isawaitable(outcome):
                return
            over = self._loop.create_future()
            own = copy_context()
            own.run(_here.set, over)
            running = own.run(asyncio.ensure_future, outcome, loop=self._loop)
        except BaseException as raised:  # noqa: BLE001 (user code: what looks like an awaitable need not be one)
            self.note_raised(context, raised)
        else:
            self.pending[over] = running
            running.add_done_callback(partial(self._ended, context, over))

    def wait_no_longer_for_this(self) -> None:
        """Where one of these callbacks runs: it waits for something that waits for it."""
        over = _here.get(None)
        if over in self.pending and not over.done():
            over.set_result(None)

    def note_raised(self, context: Context, raised: BaseException) -> None:
        """A callback raised."""
        if isinstance(raised, (KeyboardInterrupt, SystemExit)):
            raise raised
        self._loop.call_exception_handler({**context(), "exception": raised})

    def _ended(self, context: Context, over: asyncio.Future[None], ended: asyncio.Future[Any]) -> None:
        del self.pending[over]
        if not over.done():
            over.set_result(None)
        if not ended.cancelled() and (raised := ended.exception()) is not None:
            self.note_raised(context, raised)
