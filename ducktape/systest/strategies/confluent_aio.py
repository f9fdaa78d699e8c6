"""`confluent-aio`: the asyncio producer that confluent-kafka ships, `confluent_kafka.aio.AIOProducer`.

Idiom: `await produce()` for each record and a window of futures (`systest.strategies.pipeline`), `await flush()` and
`await close()` at the end, as its documentation has it. Its default batches (1,000 records, 1 s), but none larger than
the window: it would never fill.

What it does with a record's fields: headers are refused by produce(); a timestamp makes its whole batch fail. It
settles futures on a thread that does not wake the event loop; the harness's timer for the loop's lag, every 5 ms, does,
so its latency looks a little better here than in a program that sits idle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import confluent_kafka
from confluent_kafka.aio import AIOProducer

from systest.strategies.base import ArgumentNames, Job, require_topic_async
from systest.strategies.pipeline import AsyncioStrategy, Polls
from systest.worker.recorder import Recorder

_DEFAULT_BATCH_SIZE = 1000


class ConfluentAioStrategy(AsyncioStrategy):
    idiom = "await produce() per record, a window of futures, flush(), close(); its default batches"
    names = ArgumentNames(headers=None, timestamp=None)
    refusal_is_certain = False  # what it raises may be of the batch that this record completed

    def __init__(self) -> None:
        self._producer: Any = None

    @property
    def client(self) -> str:
        return (
            f"confluent-kafka {confluent_kafka.__version__} aio.AIOProducer "
            f"(librdkafka {confluent_kafka.libversion()[0]})"
        )

    async def start(self, job: Job) -> None:
        # A copy, because it changes the one that it is given.
        batch_size = min(_DEFAULT_BATCH_SIZE, job.spec.workload.in_flight)
        self._producer = AIOProducer(dict(job.spec.client), batch_size=batch_size)
        await require_topic_async(self._producer.list_topics, job)

    def sender(self) -> Callable[..., Any]:
        produce: Callable[..., Any] = self._producer.produce
        return produce

    def taker(self, recorder: Recorder) -> Callable[[int, Any], None]:
        return recorder.acked

    async def flush(self, limit_s: float) -> None:
        await self._producer.flush(limit_s)

    async def give_up(self) -> None:
        await self._producer.purge()

    async def close(self) -> None:
        await self._producer.close()

    def polls(self) -> Polls:
        return Polls(why_not="it polls on threads of its own and counts nothing")
