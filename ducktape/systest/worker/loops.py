"""The event loops that a strategy on asyncio may run on."""

from __future__ import annotations

import asyncio
import enum


class Loop(enum.Enum):
    """Whose loop, and in which mode."""

    ASYNCIO = "asyncio"
    ASYNCIO_DEBUG = "asyncio-debug"
    UVLOOP = "uvloop"


def new_loop(kind: Loop) -> asyncio.AbstractEventLoop:
    """A loop that nobody runs yet. Raises ImportError if it is uvloop's and that is not installed."""
    if kind is Loop.UVLOOP:
        import uvloop

        return uvloop.new_event_loop()
    loop = asyncio.new_event_loop()
    loop.set_debug(kind is Loop.ASYNCIO_DEBUG)
    return loop
