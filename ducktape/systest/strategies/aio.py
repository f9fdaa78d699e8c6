"""`async`: this project's AIOProducer as a user gets it, and `async-pure`: the same on its pure transport.

Idiom: `await produce()` for each record and a window of futures (`systest.strategies.pipeline`), `await flush()` and
`await close()` at the end; the producer's own defaults for batches. A workload in bulk is `await produce_batch()`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import confluent_kafka

from producer import AIOProducer
from systest.strategies import PURE
from systest.strategies.base import Job, require_topics_async
from systest.strategies.mutants import planted_in_async
from systest.strategies.pipeline import AsyncioStrategy, Polls
from systest.worker.recorder import Recorder, Taker


class AsyncStrategy(AsyncioStrategy):
    idiom = (
        "await produce() per record, with on_delivery= where it has a callback, a window of futures, flush(), close(); "
        "its default batches"
    )
    transport_wanted: ClassVar[str | None] = None
    """None for the producer's own choice."""

    def __init__(self) -> None:
        self._producer: Any = None

    @property
    def client(self) -> str:
        return (
            f"producer.AIOProducer (confluent-kafka {confluent_kafka.__version__}, "
            f"librdkafka {confluent_kafka.libversion()[0]})"
        )

    async def start(self, job: Job) -> None:
        self._producer = AIOProducer(job.spec.client, transport=self.transport_wanted)
        await require_topics_async(self._producer.list_topics, job)
        if job.spec.mutant is not None:
            self._producer = planted_in_async(job.spec.mutant, self._producer, job.spec)

    def transport(self) -> str | None:
        transport: str = self._producer.transport
        return transport

    def sender(self) -> Callable[..., Any]:
        produce: Callable[..., Any] = self._producer.produce
        return produce

    def batch_sender(self) -> Callable[..., Any]:
        produce_batch: Callable[..., Any] = self._producer.produce_batch
        return produce_batch

    def taker(self, recorder: Recorder) -> Taker:
        return recorder.messages

    async def flush(self, limit_s: float) -> None:
        await self._producer.flush(limit_s)

    async def close(self) -> None:
        await self._producer.close(timeout=0)

    def polls(self) -> Polls:
        statistics = self._producer.statistics()
        return Polls(statistics.polls, statistics.poll_s, statistics.settled)


class AsyncPureStrategy(AsyncStrategy):
    transport_wanted = PURE
