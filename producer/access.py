"""Access: who may call a producer, and when. The right process and loop, and a producer that is still usable."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from confluent_kafka import KafkaException

from producer.errors import ProducerClosedError, WrongLoopError, transaction_error
from producer.lifecycle import LifeCycle, State
from producer.transaction import Phase, Transactions

_T = TypeVar("_T")


class Access:
    """Of one producer, which belongs to the running loop. RuntimeError where none runs."""

    def __init__(self, life: LifeCycle) -> None:
        self.loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self.life = life
        self._calls: dict[asyncio.Future[None], asyncio.Task[Any] | None] = {}

    def is_this_process(self) -> bool:
        """Whether this is the process that made the producer, and no child that was forked from it."""
        return self._pid == os.getpid()

    def require_here(self) -> None:
        """Raise WrongLoopError unless called on the loop that the producer was made on."""
        if not self.is_this_process():
            raise WrongLoopError(
                "The producer belongs to the process that made it. Make a new one after a fork."
            )
        try:
            here = asyncio.get_running_loop() is self.loop
        except RuntimeError:
            here = False
        if not here:
            raise WrongLoopError(
                "The producer belongs to the event loop that it was made on. Call it from a task of that "
                "loop, or from another thread by asyncio.run_coroutine_threadsafe()."
            )

    def require_usable(self) -> None:
        """Raise unless called there, and of a producer that is open."""
        self.require_here()
        self.life.require_open()

    def require_alive(self) -> None:
        """As require_usable(), with a fatal error as the transaction error that it is."""
        self.require_here()
        if self.life.state is State.FAILED and isinstance(self.life.cause, KafkaException):
            raise transaction_error(self.life.cause) from self.life.cause
        self.life.require_open()

    def require_may_produce(self, transactions: Transactions) -> None:
        """Raise unless a record may be produced."""
        if transactions.phase is Phase.UNCONFIGURED:
            self.require_usable()
        else:
            self.require_alive()
            transactions.require("produce")

    def require_may_go_on(self, transactions: Transactions) -> None:
        """As require_may_produce(), of a call that began to and let others run meanwhile."""
        self.life.require_open()
        transactions.require_in_place()

    async def until_closed(self, name: str, call: Callable[[], Awaitable[_T]]) -> _T:
        """Make a call that may wait for long; ProducerClosedError as soon as `end_calls` ends the wait.

        It does so as asyncio.timeout() does: by a cancellation that gets no further than here.
        """
        self.require_here()
        waiting, over = asyncio.current_task(), self.loop.create_future()
        self._calls[over] = waiting
        others = _cancellations(waiting)
        try:
            return await call()
        except asyncio.CancelledError:
            if over in self._calls or _cancellations(waiting, -1) > others:
                raise
            raise ProducerClosedError(
                f"The producer was closed while {name}() waited: what comes of that is not known."
            ) from None
        finally:
            self._calls.pop(over, None)
            over.set_result(None)

    def end_calls(self) -> list[asyncio.Future[None]]:
        """The producer closes: nobody waits any longer. Futures that are done when nobody does."""
        calls, self._calls = self._calls, {}
        for waiting in calls.values():
            if waiting is not None:
                waiting.cancel()
        return list(calls)


def _cancellations(task: Any, change: int = 0) -> int:
    """How many cancellations a task is to end by, after one is taken back with -1."""
    if not hasattr(task, "cancelling"):
        return 0  # Python 3.10 does not count them
    count: int = task.uncancel() if change else task.cancelling()
    return count
