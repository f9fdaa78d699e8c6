"""ProducerBatchExecutor: the only way down to the transport.

It hands sealed batches over in order, counts them, and runs the client's blocking calls on threads of their
own. It decides nothing about when: the batch manager and the buffer timeout do.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any

from producer.callbacks import CallbackManager
from producer.errors import ProducerClosedError
from producer.message_batch import MessageBatch
from producer.producer_id import ProducerIdSeeker
from producer.threads import DaemonThreads, call_apart
from producer.transport import Transport


class ProducerBatchExecutor:
    """Hands batches to `transport`; blocking calls go to `executor`, or to `max_workers` threads made when
    first needed. With `gets_producer_id` the first batch has the producer's id looked for.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        callbacks: CallbackManager,
        make_transport: Callable[[], Transport],
        max_workers: int,
        executor: Executor | None,
        gets_producer_id: bool,
    ) -> None:
        self._loop = loop
        self._callbacks = callbacks
        self.transport = make_transport()
        self._threads = DaemonThreads(max_workers) if executor is None else executor
        self._owns_threads = executor is None
        self._gets_producer_id = gets_producer_id
        self._id_seeker: ProducerIdSeeker | None = None
        self.batches = 0
        self.records = 0
        self.queue_full = 0

    def execute(self, batches: deque[MessageBatch]) -> int:
        """Hand over from the left until all are taken or the queue is full; the rest stays, in order.

        Returns the number of records taken.
        """
        records_before = self.records
        if self._gets_producer_id and batches:
            self._gets_producer_id = False
            self._seek_producer_id(batches[0].topic)
        while batches:
            batch = batches.popleft()
            taken = self.transport.submit(batch)
            self.batches += 1
            self.records += taken
            if taken < len(batch.messages):
                self.queue_full += 1
                batches.appendleft(batch.rest(taken))
                break
        return self.records - records_before

    def execute_alone(
        self, topic: str, value: bytes, key: bytes | None, callback: asyncio.Future[Any]
    ) -> bool:
        """Hand over one plain record, as the transport's `submit_alone`, but for the first of all."""
        if self._gets_producer_id or not self.transport.submit_alone(topic, value, key, callback):
            return False
        self.batches += 1
        self.records += 1
        return True

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
        self._callbacks.threads_serving += 1
        try:
            outcome = asyncio.wrap_future(begin(partial(self._call, name, *args, **kwargs)), loop=self._loop)
        except BaseException:  # an executor that was shut down
            self._callbacks.threads_serving -= 1
            raise
        outcome.add_done_callback(self._blocking_call_ended)
        return await outcome

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """On its thread. Raises ProducerClosedError if the client has ended while the call waited for that."""
        client = self.transport.client()
        if client is None:
            raise ProducerClosedError(f"The producer was closed before {name}() got a thread to run on.")
        return getattr(client, name)(*args, **kwargs)

    def _blocking_call_ended(self, outcome: asyncio.Future[Any]) -> None:
        self._callbacks.threads_serving -= 1

    def stop_threads(self) -> None:
        """End the threads made here once they are free; an executor that was given is left running."""
        if self._owns_threads:
            self._threads.shutdown(wait=False)
