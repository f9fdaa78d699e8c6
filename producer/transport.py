"""The seam below the batch executor: a transport carries batches to librdkafka and brings reports back.

Above the seam there is one producer; below it there are two transports with one contract, `Transport`. The pure one
is on confluent-kafka's public API and always there; the compiled one is Cython on librdkafka's public C interface, and
is there where it was built. A transport comes with its fast lane, the way of a plain record into the buffer.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from producer.fast_lane import FastLane
from producer.message_batch import MessageBatch
from producer.pure_transport import PureTransport

PURE, COMPILED = "pure", "compiled"
TRANSPORT_VARIABLE = "PRODUCER_TRANSPORT"

_NOT_BUILT = Path(__file__).with_name("_not_built.txt")
"""Where a build that had to do without the compiled transport says why."""
_logger = logging.getLogger("producer")


class Transport(Protocol):
    """What the batch executor needs of a transport. On the loop's thread, where not said otherwise."""

    name: str
    polls: int
    """Calls on the loop that look for reports and serve them."""
    poll_s: float
    """Time in them, callbacks included."""

    def submit(self, batch: MessageBatch) -> int:
        """Hand records over, in order; how many were taken. Fewer than all: the queue is full, the rest is
        the caller's.

        A record that librdkafka refuses for its own sake counts as taken and its callback is called at once.
        """

    def submit_alone(
        self, topic: str, value: bytes, key: bytes | None, callback: asyncio.Future[Any]
    ) -> bool:
        """Hand over one plain record; False if nothing was taken, and `submit` is to be asked instead."""

    def expect_reports(self) -> None:
        """Records were handed over: bring their reports to the loop when they come."""

    def serve(self) -> None:
        """Serve the reports that are there, within a time budget; those beyond it in the next ticks."""

    def client(self) -> Any | None:
        """Has the blocking methods of `confluent_kafka.Producer`, for worker threads; None once it has ended. Reports
        still reach the loop meanwhile. Any thread.
        """

    def abandon(self) -> None:
        """Nobody will close the producer: bring the outstanding reports, then stop. Any thread."""

    async def stop(self) -> None:
        """Stop the threads and release the client. Nothing may be outstanding that still matters.

        If cancelled: the stopping goes on.
        """


@dataclass(frozen=True)
class TransportKind:
    """How to make one kind of transport and its fast lane; `calls_futures` if it tells futures by calling them."""

    make: Callable[..., Transport]
    fast_lane: Callable[..., FastLane]
    calls_futures: bool


def transports() -> tuple[str, ...]:
    """The transports that this installation has, the one taken by default first."""
    return (COMPILED, PURE) if why_not_compiled() is None else (PURE,)


@cache
def why_not_compiled() -> str | None:
    """Why the compiled transport can't be had, as a sentence; None where it can."""
    try:
        importlib.import_module("producer.compiled_transport")
    except ImportError as missing:
        if missing.name == "producer._librdkafka" and _NOT_BUILT.exists():
            return _NOT_BUILT.read_text(encoding="utf-8").strip()
        return f"The compiled transport can't be loaded: {missing}."
    return None


def choose_transport(requested: str | None) -> str:
    """The transport's name from the argument, else the environment, else the best there is.

    Raises ValueError for one that is not to be had. Where nobody asked for one and the best can't be loaded, the log
    tells why, once.
    """
    name = requested if requested is not None else os.environ.get(TRANSPORT_VARIABLE)
    if name is None:
        _tell_why_not()
        return transports()[0]
    if name not in transports():
        source = "transport" if requested is not None else f"the environment variable {TRANSPORT_VARIABLE}"
        why = f" {why_not_compiled()}" if name == COMPILED else ""
        raise ValueError(f"{source} is {name!r}; this installation has: {', '.join(transports())}.{why}")
    return name


def transport_kind(name: str) -> TransportKind:
    """The kind of this name, which `choose_transport` returned."""
    if name == COMPILED:
        from producer.compiled_transport import CompiledFastLane, CompiledTransport

        return TransportKind(CompiledTransport, CompiledFastLane, calls_futures=False)
    return TransportKind(PureTransport, FastLane, calls_futures=True)


@cache
def _tell_why_not() -> None:
    reason = why_not_compiled()
    if reason is not None:
        _logger.warning("The pure transport is used. %s", reason)
