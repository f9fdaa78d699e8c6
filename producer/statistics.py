"""What a producer has done and what it holds: one frozen value, made when somebody asks.

Nothing is exported on the path of a record. A metrics library asks `AIOProducer.statistics()` when it is asked
itself, at a scrape or an export (docs/producer.md, "Metrics"); between two of those it costs nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

LATENCY_BOUNDS_S = (
    *(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0),
)
"""Upper bounds of the buckets: from an acknowledgement on the same machine to librdkafka's default time-out."""


@dataclass(frozen=True)
class LatencyHistogram:
    """Acknowledgement latencies in buckets, as Prometheus and OpenTelemetry have them.

    `counts[i]` samples were at most `bounds_s[i]` and above the bound before it; the last count, one more than
    there are bounds, is of those above all bounds. Sampled over time: each record up to about a thousand a
    second, about a thousand records a second beyond.
    """

    bounds_s: tuple[float, ...]
    counts: tuple[int, ...]
    sum_s: float

    @property
    def count(self) -> int:
        """Number of samples."""
        return sum(self.counts)

    def quantile_s(self, share: float) -> float | None:
        """The bound below which `share` (0 to 1) of the samples are; None without samples, infinite above
        all bounds.
        """
        if not self.count:
            return None
        below = 0
        for bound_s, count in zip((*self.bounds_s, float("inf")), self.counts, strict=True):
            below += count
            if below >= share * self.count:
                return bound_s
        return float("inf")


class LatencySampler:
    """Collects the samples of a LatencyHistogram."""

    def __init__(self) -> None:
        self._counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self._sum_s = 0.0

    def add(self, latency_s: float) -> None:
        """One more sample."""
        self._counts[bisect_left(LATENCY_BOUNDS_S, latency_s)] += 1
        self._sum_s += latency_s

    def histogram(self) -> LatencyHistogram:
        """The samples up to now."""
        return LatencyHistogram(LATENCY_BOUNDS_S, tuple(self._counts), self._sum_s)


@dataclass(frozen=True)
class ProducerStatistics:
    """One producer at one moment; counts are since it was made.

    Records:
        accepted: entered the buffer.
        settled: have an outcome; acknowledged + failed.
        acknowledged, failed: which one.
        failures: how many failed with which error, by librdkafka's name of it.
    Now:
        unsettled: accepted and without an outcome; buffered + in_flight.
        buffered: not handed to librdkafka yet.
        in_flight: handed over, in librdkafka's queue or on the way.
        waiting: callers in line because the queue is full.
    Hand-over:
        batches, records_per_batch: hand-overs to librdkafka, and their mean size.
        queue_full: hand-overs that its full queue cut short.
        polls, poll_s: calls of its poll() on the loop, and the seconds in them, callbacks included.
    Callback pool:
        callbacks_created, callbacks_reused: callback objects made, and taken from the pool instead.
        reuse_ratio: share of those taken from the pool.
    Latency:
        latency: from the hand-over to the acknowledgement, as librdkafka measured it.
    """

    accepted: int
    settled: int
    acknowledged: int
    failed: int
    failures: Mapping[str, int]
    unsettled: int
    buffered: int
    in_flight: int
    waiting: int
    batches: int
    records_per_batch: float
    queue_full: int
    polls: int
    poll_s: float
    callbacks_created: int
    callbacks_reused: int
    reuse_ratio: float
    latency: LatencyHistogram
