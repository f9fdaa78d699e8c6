"""`sync`: confluent's synchronous Producer, the yardstick.

Idiom: `produce()` with a callback for each record, `poll(0)` once in 100 calls, a blocking `poll()` while the
window is full or the next record is not due, `flush()` at the end. The callback of a record is a `partial` that knows
which record it is for.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaException

from systest.history.columns import Outcome
from systest.strategies.base import (
    BURST_MAX,
    ArgumentNames,
    Done,
    Fields,
    Job,
    Strategy,
    elapsed_ns,
    fields_of,
    require_topics,
)
from systest.strategies.mutants import planted_in_sync
from systest.worker.protocol import CodePath

POLL_EVERY = 100
# Short, because a call into the library keeps the process from hearing a signal.
_BLOCK_S = 0.1
_GIVE_UP_S = 5.0


class SyncStrategy(Strategy):
    idiom = f"produce(on_delivery=partial) per record, poll(0) once in {POLL_EVERY}, flush()"

    @property
    def client(self) -> str:
        return f"confluent-kafka {confluent_kafka.__version__} Producer (librdkafka {confluent_kafka.libversion()[0]})"

    def run(self, job: Job) -> Done:
        producer: Any = confluent_kafka.Producer(dict(job.spec.client))
        require_topics(producer.list_topics, job)
        if job.spec.mutant is not None:
            producer = planted_in_sync(job.spec.mutant, producer, job.spec)
        sent = self._send(job, producer)
        times = job.times
        calls = sent - job.schedule.first_measured
        began_ns = time.perf_counter_ns()
        left = _flushed(producer, job.spec.drain_s)
        path = CodePath(
            produce_calls=calls,
            produce_s=times.produce_s(calls),
            poll_calls=times.poll_calls,
            poll_s=times.poll_ns / 1e9,
            polled_reports=times.polled_reports,
            flush_s=elapsed_ns(began_ns) / 1e9,
            why_not={},
        )
        resources = job.meter.end()
        if left:
            producer.purge()
            _flushed(producer, _GIVE_UP_S)
        return Done(sent, path, resources)

    def _send(self, job: Job, producer: Any) -> int:
        recorder, schedule, times = job.recorder, job.schedule, job.times
        told = recorder.reported

        def poll(timeout_s: float) -> None:
            began_ns, told_before = clock_ns(), recorder.told
            producer.poll(timeout_s)
            times.poll_ns += clock_ns() - began_ns
            times.polled_reports += recorder.told - told_before
            times.poll_calls += 1

        topics, values = itertools.cycle(job.stream.topic_names), job.stream.sent_values()
        fields: Iterator[Fields | None]
        fields = fields_of(job.stream, ArgumentNames(), self.client) or itertools.repeat(None)
        produce, clock_ns = producer.produce, time.perf_counter_ns
        schedule.start()
        first = polled_at = 0
        while first < schedule.records:
            now_ns = clock_ns()
            if now_ns >= schedule.boundary_ns:
                if not schedule.passed(first, recorder.told):
                    break
                continue
            end = min(schedule.allowed(now_ns, recorder.told), schedule.records, first + BURST_MAX)
            if end <= first:
                poll(min(_BLOCK_S, schedule.wait_s(first, now_ns)))
                continue
            burst = [*zip(range(first, end), topics, values, fields, strict=False)]
            now_ns = clock_ns()
            recorder.called(first, end - first, now_ns)
            for sequence, topic, payload, given in burst:
                while True:
                    try:
                        if given is None:
                            produce(topic, payload, on_delivery=partial(told, sequence))
                        else:
                            produce(topic, payload, on_delivery=partial(told, sequence), **given)
                    except BufferError:
                        poll(_BLOCK_S)
                        continue
                    except KafkaException:
                        recorder.not_acked(sequence, Outcome.FAILED)  # it never took the record
                    break
            times.produce_ns += clock_ns() - now_ns
            times.produce_sampled += end - first
            first = end
            if end - polled_at >= POLL_EVERY:
                polled_at = end
                poll(0)
        schedule.end(first)
        return first


def _flushed(producer: Any, limit_s: float) -> int:
    """Flushes within a time; returns how many records are left."""
    deadline_s = time.monotonic() + limit_s
    while (left := int(producer.flush(_BLOCK_S))) and time.monotonic() < deadline_s:
        pass
    return left
