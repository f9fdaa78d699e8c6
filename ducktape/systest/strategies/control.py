"""`control`: no producer at all, so that what asyncio itself costs can be told from what a producer costs.

Its produce() gives a future as any of them does, and everything produced within a tick of the loop is settled in the
next one, as if a broker had answered at once. No record goes anywhere: its history is never judged.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable
from typing import Any

from systest.strategies.base import Job
from systest.strategies.pipeline import AsyncioStrategy, Polls
from systest.worker.recorder import Recorder, Taker


class ControlStrategy(AsyncioStrategy):
    idiom = "await produce() that makes a future, all of a tick's futures settled in the next; no producer, no Kafka"

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[ControlReport]] = []
        self._report = ControlReport()

    @property
    def client(self) -> str:
        return f"asyncio alone, Python {platform.python_version()}"

    async def start(self, job: Job) -> None:
        self._loop = asyncio.get_running_loop()

    def sender(self) -> Callable[..., Any]:
        return self._produce

    async def _produce(self, topic: str, value: bytes, **fields: Any) -> asyncio.Future[ControlReport]:
        del topic, value, fields
        if not self._waiting:
            self._loop.call_soon(self._settle)
        future: asyncio.Future[ControlReport] = self._loop.create_future()
        self._waiting.append(future)
        return future

    def _settle(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.set_result(self._report)

    def taker(self, recorder: Recorder) -> Taker:
        return recorder.metadata

    async def flush(self, limit_s: float) -> None:
        self._settle()

    async def close(self) -> None:
        self._settle()

    def polls(self) -> Polls:
        why_not = dict.fromkeys(("poll_calls", "poll_s", "polled_reports"), "it has no producer")
        return Polls(None, None, None, why_not)


class ControlReport:
    """An acknowledgement that tells nothing."""

    partition = offset = timestamp = -1
