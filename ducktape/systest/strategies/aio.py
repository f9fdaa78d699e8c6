"""`async`: this project's AIOProducer.

Idiom: `await produce()` for each record and a window of futures (`systest.strategies.pipeline`), `await flush()` and
`await close()` at the end; the producer's own defaults for batches. A workload in bulk is `await produce_batch()`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import confluent_kafka

from producer import AIOProducer
from producer.transport import choose_transport
from systest.strategies.base import Job, require_topics_async
from systest.strategies.mutants import planted_in_async
from systest.strategies.pipeline import AsyncioStrategy, Polls
from systest.worker.recorder import Recorder


class AsyncStrategy(AsyncioStrategy):
    idiom = "await produce() per record, a window of futures, flush(), close(); its default batches"

    def __init__(self) -> None:
        self._producer: Any = None

    @property
    def client(self) -> str:
        return (
            f"producer.AIOProducer, {choose_transport(None)} transport (confluent-kafka "
            f"{confluent_kafka.__version__}, librdkafka {confluent_kafka.libversion()[0]})"
        )

    async def start(self, job: Job) -> None:
        self._producer = AIOProducer(job.spec.client)
        await require_topics_async(self._producer.list_topics, job)
        if job.spec.mutant is not None:
            self._producer = planted_in_async(job.spec.mutant, self._producer, job.spec)

    def sender(self) -> Callable[..., Any]:
        produce: Callable[..., Any] = self._producer.produce
        return produce

    def batch_sender(self) -> Callable[..., Any]:
        produce_batch: Callable[..., Any] = self._producer.produce_batch
        return produce_batch

    def taker(self, recorder: Recorder) -> Callable[[int, Any], None]:
        return recorder.acked

    async def flush(self, limit_s: float) -> None:
        await self._producer.flush(limit_s)

    async def close(self) -> None:
        await self._producer.close(timeout=0)

    def polls(self) -> Polls:
        statistics = self._producer.statistics()
        return Polls(statistics.polls, statistics.poll_s, statistics.settled)
