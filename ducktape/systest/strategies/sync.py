"""`sync`: confluent's synchronous Producer, the yardstick.

Idiom: `produce()` with a callback for each record, `poll(0)` once in 100 calls, a blocking `poll()` while the
window is full or the next record is not due, `flush()` at the end. The callback of a record is a `partial` that knows
which record it is for.
"""

from __future__ import annotations

import itertools
import time
from functools import partial
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from systest.history.columns import Outcome
from systest.strategies.base import (
    SAMPLE_MASK,
    ArgumentNames,
    Done,
    Job,
    Strategy,
    elapsed_ns,
    extras_of,
    require_topics,
)
from systest.strategies.mutants import planted_in_sync
from systest.worker.protocol import CodePath
from systest.worker.recorder import outcome_of

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
        acked, not_acked = recorder.acked, recorder.not_acked

        def told(sequence: int, error: KafkaError | None, message: Any) -> None:
            if error is None:
                acked(sequence, message)
            else:
                not_acked(sequence, outcome_of(error))

        def poll(timeout_s: float) -> None:
            began_ns, told_before = clock_ns(), recorder.told
            producer.poll(timeout_s)
            times.poll_ns += clock_ns() - began_ns
            times.polled_reports += recorder.told - told_before
            times.poll_calls += 1

        topics, value = itertools.cycle(job.stream.topic_names), job.stream.value_maker()
        extras = extras_of(job.stream, ArgumentNames(), self.client)
        produce, called_ns, clock_ns = producer.produce, recorder.called_ns, time.perf_counter_ns
        topic, payload = next(topics), value(0)  # made outside of the timed call
        schedule.start()
        boundary_ns = schedule.boundary_ns
        sequence = allowed = 0
        while sequence < schedule.records:
            now_ns = clock_ns()
            if now_ns >= boundary_ns:
                if not schedule.passed(sequence):
                    break
                boundary_ns = schedule.boundary_ns
                continue
            if sequence >= allowed:
                allowed = schedule.allowed(now_ns, recorder.told)
                if sequence >= allowed:
                    poll(min(_BLOCK_S, schedule.wait_s(sequence, now_ns)))
                continue
            called_ns[sequence] = now_ns
            while True:
                try:
                    if extras is None:
                        produce(topic, payload, on_delivery=partial(told, sequence))
                    else:
                        fields = extras(sequence)
                        produce(topic, payload, on_delivery=partial(told, sequence), **fields)
                except BufferError:
                    poll(_BLOCK_S)
                    continue
                except KafkaException:
                    not_acked(sequence, Outcome.FAILED)  # it never took the record
                break
            if not sequence & SAMPLE_MASK:
                times.produce_ns += clock_ns() - now_ns
                times.produce_sampled += 1
            sequence += 1
            topic, payload = next(topics), value(sequence)
            if not sequence % POLL_EVERY:
                poll(0)
        schedule.end(sequence)
        return sequence


def _flushed(producer: Any, limit_s: float) -> int:
    """Flushes within a time; returns how many records are left."""
    deadline_s = time.monotonic() + limit_s
    while (left := int(producer.flush(_BLOCK_S))) and time.monotonic() < deadline_s:
        pass
    return left
