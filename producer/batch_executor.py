"""ProducerBatchExecutor: the only way down to the transport.

It has records handed over, and runs the client's blocking calls on threads of their own. It decides nothing about
when: the batch manager and the buffer timeout do.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any

from producer.errors import ProducerClosedError
from producer.producer_id import ProducerIdSeeker
from producer.threads import DaemonThreads, call_apart
from producer.transport import Transport

END_LINGER_S = 0.01
"""How long librdkafka is kept from lingering by one call: its threads must notice meanwhile."""


class ProducerBatchExecutor:
    """Hands records over to `transport`; blocking calls go to `executor`, or to `max_workers` threads made when first
    needed. With `gets_producer_id` the first hand-over has the producer's id looked for.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: Transport,
        max_workers: int,
        executor: Executor | None,
        gets_producer_id: bool,
    ) -> None:
        self._loop = loop
        self.transport = transport
        self._threads = DaemonThreads(max_workers) if executor is None else executor
        self._owns_threads = executor is None
        self._gets_producer_id = gets_producer_id
        self._id_seeker: ProducerIdSeeker | None = None
        self._end_of_linger: Future[Any] | None = None

    def hand_over(self) -> bool:
        """Hand over what is buffered, in order, until all is taken or the queue is full; whether all is."""
        records = self.transport.records
        if self._gets_producer_id:
            self._gets_producer_id = False
            self._seek_producer_id(records.preview(None)[0].topic)
        return records.hand_over()

    def end_linger(self) -> None:
        """Have librdkafka send at once what it holds back to wait for more."""
        if self._end_of_linger is None or self._end_of_linger.done():
            with contextlib.suppress(RuntimeError):  # no thread at the interpreter's end: it lingers, then
                self._end_of_linger = call_apart(partial(self._call, "flush", END_LINGER_S))

    def _seek_producer_id(self, topic: str) -> None:
        with contextlib.suppress(RuntimeError):  # no thread at the interpreter's end: the timer will do
            self._id_seeker = ProducerIdSeeker(self.transport.client, topic)

    async def run_blocking(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a blocking method of the client off the loop.

        If cancelled: the call itself goes on in its thread, and its outcome is dropped.
        """
        return await self._follow(self._threads.submit, name, *args, **kwargs)

    async def run_blocking_apart(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """As `run_blocking`, on a new thread: every other may be taken by a call that never returns, or an executor
        that was given be shut down.
        """
        return await self._follow(call_apart, name, *args, **kwargs)

    async def stop_seeking(self) -> None:
        """End the search for a producer id, which uses the client."""
        if self._id_seeker is not None:
            await self._id_seeker.stop()

    async def _follow(
        self, begin: Callable[[Callable[[], Any]], Future[Any]], name: str, *args: Any, **kwargs: Any
    ) -> Any:
        return await asyncio.wrap_future(begin(partial(self._call, name, *args, **kwargs)), loop=self._loop)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """On its thread. Raises ProducerClosedError if the client has ended while the call waited for that."""
        client = self.transport.client()
        if client is None:
            raise ProducerClosedError(f"The producer was closed before {name}() got a thread to run on.")
        return getattr(client, name)(*args, **kwargs)

    def stop_threads(self) -> None:
        """End the threads made here once they are free; an executor that was given is left running."""
        if self._owns_threads:
            self._threads.shutdown(wait=False)
