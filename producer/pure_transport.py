"""The pure transport: confluent-kafka's public API and nothing else, so that it is always there.

How it hears of reports without busy waiting. Reports are served on the loop's thread, by
poll(0) within a time budget: served on a worker thread each one would fight the loop for the interpreter
lock. With few records in flight nobody knows when the next report comes, so a thread waits inside a blocking
poll(). The first report's callback notices the wrong thread, keeps the report for the loop and raises, which
makes librdkafka put the remaining ones back; the loop is woken and serves them. The thread waits again only
when the loop asks it to. Where the report is the only one that was outstanding, nothing need be put back:
the thread stays for a moment, so that a caller with one record at a time costs no hand-over to the thread
for each. With many records in flight the loop looks itself, once a millisecond, and hands over to the thread
when nothing came for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

import confluent_kafka.admin  # noqa: F401 (list_topics() imports it: a daemon thread that ends in an import hangs the exit)
from confluent_kafka import KafkaError, KafkaException, Producer

from producer.buffer_timeout import LOOK_AFTER_S
from producer.callbacks import SERVE_BUDGET_S, CallbackManager
from producer.client_conf import ClientConf, answer_at_once
from producer.forks import keep_from_children
from producer.interruptions import complete_call_soon
from producer.pure_records import STOP, PureRecords, StopServing, forget_trace
from producer.transport import Records

POLL_INTERVAL_S = 0.001
"""Between two looks of the loop while many records are in flight."""
EMPTY_LOOKS_MAX = 5
"""Looks without a report after which the thread waits instead."""
IN_FLIGHT_FEW = 256
"""Up to here the thread waits for the next report; above, the loop looks for it."""
WAIT_S = 0.1
"""One blocking poll() of the thread. From 0.2 s on confluent-kafka polls on after a served event."""
STAY_S = 0.02
"""How long the thread stays in poll() after the only outstanding report: close() may have to wait for it."""
IDLE_LOOK_S = 5.0
"""How often, with nothing in flight, events that nobody asked for are served, so that they cannot pile up."""
EVENTS_WAIT_S = 0.05
"""With nothing in flight and callbacks for events configured: after so long the thread waits for events."""


class PureTransport:
    """Transport on `confluent_kafka.Producer`. Made on the loop's thread."""

    name = "pure"
    on_progress: Callable[[], None]

    def __init__(
        self,
        prepared: ClientConf,
        loop: asyncio.AbstractEventLoop,
        callbacks: CallbackManager,
        batch_size: int,
    ) -> None:
        self._loop = loop
        self._serves_events = prepared.serves_events
        conf = dict(prepared.conf)
        answer_at_once(conf)
        self._error_cb: Callable[[KafkaError], None] = conf["error_cb"]
        """Told of fatal errors by hand: poll() raises those instead of calling it."""
        self._producer = Producer(conf)
        records = PureRecords(self._producer, loop, callbacks, batch_size, prepared.on_delivery)
        records.on_refused = self._serve_soon  # no report will come to make the loop look
        records.on_caught = self._caught
        self.records: Records = records
        keep_from_children(self)
        self._poll = self._producer.poll
        self.polls = 0
        self.poll_s = 0.0
        self._next_look: asyncio.Handle | None = None
        self._empty_looks = 0
        self._idle_look: asyncio.Handle | None = None
        self._thread_waits = False
        self._stopping = False
        self._abandoned = False
        self._is_told = False
        """Whether the loop will serve what a thread of somebody else's caught."""
        self._stopped: asyncio.Future[None] = loop.create_future()
        self._baton: SimpleQueue[None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run_thread, name="producer-reports", daemon=True)
        self._thread.start()
        self._plan_next(more=False, settled_some=False)

    # Reports, on the loop

    def expect_reports(self) -> None:
        if self.records.unsettled() > IN_FLIGHT_FEW:
            self.serve()
        elif not self._thread_waits and self._next_look is None:
            self._let_thread_wait()

    def serve(self) -> None:
        self._is_told = False
        self._plan_look(None)
        if self._stopping:
            return
        records = self.records
        settled_before = records.settled
        more = True
        try:
            is_more = self._drain()
            self.on_progress()
            more = is_more
        except BaseException as raised:
            complete_call_soon(raised)
            raise
        finally:
            self._plan_next(more, records.settled > settled_before)

    def _drain(self) -> bool:
        began_s = time.perf_counter()
        try:
            return self.records.drain(SERVE_BUDGET_S)
        except KafkaException as fatal:
            self._error_cb(fatal.args[0])
            return True
        finally:
            self.polls += 1
            self.poll_s += time.perf_counter() - began_s

    def _serve_soon(self) -> None:
        self._plan_look(self._loop.call_soon(self.serve))

    def _plan_next(self, more: bool, settled_some: bool) -> None:
        """Decide who notices the next report: the loop's next tick, a look in a moment, or the thread."""
        if self._stopping or self._next_look is not None:
            return
        self._empty_looks = 0 if settled_some or more else self._empty_looks + 1
        unsettled = self.records.unsettled()
        if more:
            self._plan_look(self._loop.call_soon(self.serve))
        elif unsettled > IN_FLIGHT_FEW and self._empty_looks < EMPTY_LOOKS_MAX:
            self._plan_look(self._loop.call_later(POLL_INTERVAL_S, self.serve))
        elif unsettled:
            if not self._thread_waits:
                self._let_thread_wait()
        elif self._abandoned:
            self._begin_stop()
        elif self._idle_look is None:
            wait_s = EVENTS_WAIT_S if self._serves_events else IDLE_LOOK_S
            self._idle_look = self._loop.call_later(wait_s, self._look_when_idle)

    def _look_when_idle(self) -> None:
        self._idle_look = None
        if self._stopping or self.records.unsettled():
            return
        if not self._serves_events:
            self.serve()
        elif not self._thread_waits:
            self._let_thread_wait()

    def _plan_look(self, look: asyncio.Handle | None) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
        self._next_look = look

    # The waiting thread. It says itself that it does not wait any more: the loop may lose the word that it sends.

    def _let_thread_wait(self) -> None:
        self._empty_looks = 0
        self._thread_waits = True
        self._baton.put(None)

    def _caught(self) -> None:
        if threading.get_ident() != self._thread.ident:
            if not self._is_told:
                self._is_told = True
                self._tell_loop(self.serve)
        elif self.records.unsettled() > 1:
            raise STOP

    def _tell_loop(self, call: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(call, *args)

    def _run_thread(self) -> None:
        while not (self._stopping or self._loop.is_closed()):
            with contextlib.suppress(Empty):
                self._baton.get(timeout=IDLE_LOOK_S)
                self._wait_for_report()
                self._thread_waits = False
                self._tell_loop(self.serve)
        self._release_client()
        self._tell_loop(self._note_stopped)

    def _wait_for_report(self) -> None:
        """Wait until one of several outstanding reports was caught, or there is nothing left to wait for."""
        served = 0
        try:
            while served or self.records.unsettled() or self._serves_events:
                if self._stopping or self._loop.is_closed():
                    return
                try:
                    served = self._poll(STAY_S if served else WAIT_S)
                except KafkaException as fatal:
                    served = 0
                    self._error_cb(fatal.args[0])
                if served:
                    # Only now: until its report has returned, a record takes its room in the queue.
                    self._tell_loop(self.serve)
        except StopServing as stop:
            forget_trace(stop)

    # Blocking calls and the end

    def client(self) -> Producer | None:
        return getattr(self, "_producer", None)

    def abandon(self) -> None:
        self._abandoned = True
        if self._loop.is_closed():
            self._begin_stop()
        else:
            self._tell_loop(self.serve)

    async def stop(self) -> None:
        self._begin_stop()
        while self._thread.is_alive() and not self._stopped.done():
            await asyncio.wait([self._stopped], timeout=LOOK_AFTER_S)  # the loop may lose the thread's word

    def _begin_stop(self) -> None:
        self._stopping = True
        self._baton.put(None)

    def _release_client(self) -> None:
        """Drop the last references to the client: librdkafka's own threads end here, off the loop."""
        self.records.release()
        del self._poll, self._producer

    def _note_stopped(self) -> None:
        self._plan_look(None)
        if self._idle_look is not None:
            self._idle_look.cancel()
        if not self._stopped.done():
            self._stopped.set_result(None)
