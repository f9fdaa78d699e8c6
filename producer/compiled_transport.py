"""The compiled transport: librdkafka's own event interface, on the loop, without a thread in the path of a record.

librdkafka makes a file descriptor readable when there are events; the loop reads them within a time budget, whatever
number of records is in flight. Nothing waits in a thread, nothing looks in vain, and a report never waits for the
interpreter's lock. What a record passes through is C (`producer._librdkafka`); here is what decides.

Threads there are for calls that block, for a plain oauth_cb, and one at the end, which lets librdkafka
go.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from producer._librdkafka import Client, Records
from producer.binding import native_settings, oauth_cb_for
from producer.buffer_timeout import LOOK_AFTER_S
from producer.callbacks import SERVE_BUDGET_S, CallbackManager
from producer.client_conf import ClientConf, checked_token
from producer.forks import keep_from_children
from producer.interruptions import complete_call_soon
from producer.threads import call_apart


class CompiledTransport:
    """Transport on librdkafka's public C interface. Made on the loop's thread."""

    name = "compiled"
    on_progress: Callable[[], None]

    def __init__(
        self,
        prepared: ClientConf,
        loop: asyncio.AbstractEventLoop,
        callbacks: CallbackManager,
        batch_size: int,
    ) -> None:
        conf = prepared.conf
        self._loop = loop
        self._oauth_cb = oauth_cb_for(conf)
        self._token_tasks: set[asyncio.Task[None]] = set()
        self.polls = 0
        self.poll_s = 0.0
        self._next_serve: asyncio.Handle | None = None
        self._abandoned = False
        self._stopping = False
        self._last_thread: threading.Thread | None = None
        self._stopped: asyncio.Future[None] = loop.create_future()
        self._wake = _WakeUp()
        try:
            self._client = Client(
                native_settings(conf),
                self._wake.write_fd,
                conf["error_cb"],
                conf.get("stats_cb"),
                conf.get("throttle_cb"),
                self._token_wanted if self._oauth_cb is not None else None,
                conf.get("logger"),
            )
            self.records = Records(self._client, loop, callbacks, batch_size, prepared.on_delivery)
            self.records.on_refused = self._serve_soon  # no report will come to make the loop look
            loop.add_reader(self._wake.read_fd, self._woken)
        except BaseException:
            self._wake.close()
            raise
        keep_from_children(self)
        self._serve_soon()  # events that came before librdkafka knew of the descriptor wake nobody

    # Reports, on the loop

    def expect_reports(self) -> None:
        """librdkafka wakes the loop."""

    def _woken(self) -> None:
        self._wake.clear()
        self.serve()

    def serve(self) -> None:
        if self._next_serve is not None:
            self._next_serve.cancel()
            self._next_serve = None
        if self._stopping:
            return
        more = True
        try:
            is_more = self._drain()
            self.on_progress()
            more = is_more
        except BaseException as raised:
            complete_call_soon(raised)
            raise
        finally:
            if more:
                self._serve_soon()
        if self._abandoned and not self.records.unsettled():
            self._begin_stop()

    def _drain(self) -> bool:
        began_s = time.perf_counter()
        try:
            return self.records.drain(SERVE_BUDGET_S)
        finally:
            self.polls += 1
            self.poll_s += time.perf_counter() - began_s

    def _serve_soon(self) -> None:
        if self._next_serve is None:
            self._next_serve = self._loop.call_soon(self.serve)

    # OAuth tokens

    def _token_wanted(self, config: str | None) -> None:
        task = self._loop.create_task(self._provide_token(config))
        self._token_tasks.add(task)
        task.add_done_callback(self._token_tasks.discard)

    async def _provide_token(self, config: str | None) -> None:
        try:
            token = checked_token(await self._ask_for_token(config))
            self._client.set_token(*token)
        except BaseException as raised:  # whatever ends it: librdkafka asks again only if it is told
            if (client := self.client()) is not None:
                client.set_token_failure(f"oauth_cb raised {type(raised).__name__}: {raised}")
            if not isinstance(raised, Exception) or client is None:
                raise
            self._loop.call_exception_handler(
                {"message": "oauth_cb of the producer raised", "exception": raised}
            )

    async def _ask_for_token(self, config: str | None) -> Any:
        """A plain oauth_cb may block, so that it has a thread; an async one runs on the loop."""
        assert self._oauth_cb is not None, "librdkafka asks only where there is one"
        if inspect.iscoroutinefunction(self._oauth_cb):
            return await self._oauth_cb(config)
        outcome = await asyncio.wrap_future(call_apart(self._oauth_cb, config))
        return await outcome if inspect.isawaitable(outcome) else outcome

    # Blocking calls and the end

    def client(self) -> Client | None:
        return getattr(self, "_client", None)

    def abandon(self) -> None:
        self._abandoned = True
        if self._loop.is_closed():
            self._begin_stop()
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
                self._loop.call_soon_threadsafe(self.serve)

    async def stop(self) -> None:
        self._begin_stop()
        while self._last_thread is not None and self._last_thread.is_alive() and not self._stopped.done():
            await asyncio.wait([self._stopped], timeout=LOOK_AFTER_S)  # the loop may lose the thread's word

    def _begin_stop(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        if sys.is_finalizing():
            return  # no thread starts any more; the process takes the client with it
        for task in self._token_tasks:
            task.cancel()
        self._client.keep_silent()
        self.records.release()
        if not self._loop.is_closed():
            self._loop.remove_reader(self._wake.read_fd)
        self._wake.close()
        last = [self._client]
        del self._client
        self._last_thread = threading.Thread(target=self._end, args=(last,), name="producer-end", daemon=True)
        self._last_thread.start()

    def _end(self, last: list[Any]) -> None:
        """Drop the last reference to the client, unless a blocking call has one, on a thread: librdkafka's own threads
        end here.
        """
        last.clear()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(self._note_stopped)

    def _note_stopped(self) -> None:
        if not self._stopped.done():
            self._stopped.set_result(None)


class _WakeUp:
    """What librdkafka writes to and the loop waits for: an eventfd, or a pipe where the system has none."""

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self.read_fd = self.write_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self.read_fd, self.write_fd = os.pipe()
            os.set_blocking(self.read_fd, False)
            os.set_blocking(self.write_fd, False)

    def clear(self) -> None:
        """Make it unreadable until the next write."""
        try:  # noqa: SIM105 (suppress() would cost as much as the reading, each time that the loop is woken)
            os.read(self.read_fd, 4096)
        except BlockingIOError:
            pass

    def close(self) -> None:
        for fd in {self.read_fd, self.write_fd}:
            os.close(fd)
