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

from producer.callbacks import SERVE_BUDGET_S, CallbackManager, StopServing
from producer.client_conf import ClientConf, answering
from producer.forks import keep_from_children
from producer.message_batch import MessageBatch, Record

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
_STOP = StopServing()
"""One for all, since confluent-kafka never gives back its reference to what a callback raised (2.16)."""


class PureTransport:
    """Transport on `confluent_kafka.Producer`. Made on the loop's thread.

    `unsettled` counts the records that have no outcome yet; `on_progress` is called on the loop after every
    serving.
    """

    name = "pure"

    def __init__(
        self,
        prepared: ClientConf,
        loop: asyncio.AbstractEventLoop,
        callbacks: CallbackManager,
        unsettled: Callable[[], int],
        on_progress: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._callbacks = callbacks
        self._unsettled = unsettled
        self._on_progress = on_progress
        self._serves_events = prepared.serves_events
        conf = dict(prepared.conf)
        if "oauth_cb" in conf:
            conf["oauth_cb"] = answering(conf["oauth_cb"])
        callbacks.on_caught = self._caught
        callbacks.stop = _STOP
        self._error_cb: Callable[[KafkaError], None] = conf["error_cb"]
        """Told of fatal errors by hand: poll() raises those instead of calling it."""
        self._producer = Producer(conf)
        keep_from_children(self)
        self._produce = self._producer.produce
        self._produce_batch = getattr(self._producer, "produce_batch", None)  # from 2.12 on
        self._poll = self._producer.poll
        self.polls = 0
        self.poll_s = 0.0
        self._next_look: asyncio.Handle | None = None
        self._empty_looks = 0
        self._idle_look: asyncio.Handle | None = None
        self._thread_waits = False
        self._stopping = False
        self._abandoned = False
        self._stopped: asyncio.Future[None] = loop.create_future()
        self._baton: SimpleQueue[None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run_thread, name="producer-reports", daemon=True)
        self._thread.start()
        self._plan_next(more=False, settled_some=False)

    # Hand-over

    def submit(self, batch: MessageBatch) -> int:
        if batch.bulk and len(batch.messages) > 1 and self._produce_batch is not None:
            return self._submit_bulk(batch, self._produce_batch)
        return self._submit_singly(batch)

    def submit_alone(self, topic: str, value: bytes, key: bytes | None, callback: Any) -> bool:
        try:
            self._produce(topic, value, key, on_delivery=callback)
        except Exception:  # noqa: BLE001 (nothing was taken; handed over by `submit` it gets its error or its way)
            return False
        return True

    def _submit_bulk(self, batch: MessageBatch, produce_batch: Callable[..., int]) -> int:
        messages = list(batch.messages)
        try:
            accepted = produce_batch(batch.topic, messages, batch.partition)
        except Exception:  # noqa: BLE001 (the call took nothing; one by one, each record gets its own error or its way)
            return self._submit_singly(batch)
        if accepted == len(messages):
            return accepted
        taken = len(messages)
        for index, message in enumerate(messages):
            error = message.pop("_error", None)
            if error is None:
                continue
            if error.code() != KafkaError._QUEUE_FULL:
                self._refuse(batch, message, error)
            elif taken > index:
                taken = index  # librdkafka takes nothing after the first that found the queue full
        return taken

    def _submit_singly(self, batch: MessageBatch) -> int:
        for index, message in enumerate(batch.messages):
            try:
                self._produce(
                    batch.topic,
                    message["value"],
                    message["key"],
                    batch.partition,
                    on_delivery=message["callback"],
                    timestamp=message.get("timestamp", 0),
                    headers=message.get("headers"),
                )
            except BufferError:
                return index
            except KafkaException as refused:
                self._refuse(batch, message, refused.args[0])
            except Exception as refused:  # noqa: BLE001 (whatever it is, it is this record's outcome and no other's)
                error = KafkaError(KafkaError._INVALID_ARG, f"{type(refused).__name__}: {refused}")
                self._refuse(batch, message, error)
        return len(batch.messages)

    def _refuse(self, batch: MessageBatch, message: Record, error: KafkaError) -> None:
        self._callbacks.refuse(batch, message, error)
        self._plan_look(self._loop.call_soon(self.serve))  # no report will come to make the loop look

    # Reports, on the loop

    def expect_reports(self) -> None:
        if self._unsettled() > IN_FLIGHT_FEW:
            self.serve()
        elif not self._thread_waits and self._next_look is None:
            self._let_thread_wait()

    def serve(self) -> None:
        self._plan_look(None)
        if self._stopping:
            return
        callbacks = self._callbacks
        settled_before = callbacks.settled
        more = False
        try:
            caught = callbacks.settle_caught()
            until_s = callbacks.serve_within(SERVE_BUDGET_S)
            try:
                if self._unsettled() or not caught:
                    self._poll_here()
            except StopServing as stop:
                _forget_trace(stop)
                more = True
            except KafkaException as fatal:
                self._error_cb(fatal.args[0])
                more = True
            finally:
                callbacks.serve_without_limit()
            more = callbacks.run_due(until_s) or more
            self._on_progress()
        finally:
            self._plan_next(more, callbacks.settled > settled_before)

    def _poll_here(self) -> None:
        began_s = time.perf_counter()
        try:
            self._poll(0)
        finally:
            self.polls += 1
            self.poll_s += time.perf_counter() - began_s

    def _plan_next(self, more: bool, settled_some: bool) -> None:
        """Decide who notices the next report: the loop's next tick, a look in a moment, or the thread."""
        if self._stopping or self._next_look is not None:
            return
        self._empty_looks = 0 if settled_some or more else self._empty_looks + 1
        unsettled = self._unsettled()
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
        if self._stopping or self._unsettled():
            return
        if not self._serves_events:
            self.serve()
        elif not self._thread_waits:
            self._let_thread_wait()

    def _plan_look(self, look: asyncio.Handle | None) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
        self._next_look = look

    # The waiting thread. Its state is changed on the loop only; the thread sends word.

    def _let_thread_wait(self) -> None:
        self._empty_looks = 0
        self._thread_waits = True
        self._callbacks.threads_serving += 1
        self._baton.put(None)

    def _thread_returned(self) -> None:
        self._thread_waits = False
        self._callbacks.threads_serving -= 1
        self.serve()

    def _caught(self) -> None:
        if threading.get_ident() != self._thread.ident:
            self._tell_loop(self.serve)
        elif self._unsettled() > 1:
            raise self._callbacks.stop

    def _tell_loop(self, call: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(call, *args)

    def _run_thread(self) -> None:
        while not (self._stopping or self._loop.is_closed()):
            with contextlib.suppress(Empty):
                self._baton.get(timeout=IDLE_LOOK_S)
                self._wait_for_report()
                self._tell_loop(self._thread_returned)
        self._release_client()
        self._tell_loop(self._note_stopped)

    def _wait_for_report(self) -> None:
        """Wait until one of several outstanding reports was caught, or there is nothing left to wait for."""
        served = 0
        try:
            while served or self._unsettled() or self._serves_events:
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
            _forget_trace(stop)

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
        await asyncio.shield(self._stopped)

    def _begin_stop(self) -> None:
        self._stopping = True
        self._baton.put(None)

    def _release_client(self) -> None:
        """Drop the last references to the client: librdkafka's own threads end here, off the loop."""
        del self._produce, self._produce_batch, self._poll, self._producer

    def _note_stopped(self) -> None:
        self._plan_look(None)
        if self._idle_look is not None:
            self._idle_look.cancel()
        if not self._stopped.done():
            self._stopped.set_result(None)


def _forget_trace(stop: StopServing) -> None:
    """Else what its trace can see would never go."""
    stop.with_traceback(None)
