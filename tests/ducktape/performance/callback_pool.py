"""Does pooling callbacks pay? The pure transport's records with their pool against the same without, in turn.

    python tests/ducktape/performance/callback_pool.py [--rounds N]

For each number of records in flight: nanoseconds a record from its entry to the end of its on_delivery, or of its
place in a batch's report. No broker: a report is a call, as librdkafka's is. The garbage collector runs as it does
for a user, since sparing it is what a pool is for.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from producer.callbacks import BatchReport, CallbackManager
from producer.pure_records import Made, PureRecords

RECORDS = 10_000
IN_FLIGHT = (1, 100, 10_000)
_MESSAGE = Message("t", value=b"1")


def _on_delivery(error: KafkaError | None, message: Any) -> None:
    """Does nothing: what is measured is the way to it."""


class Benchmark:
    """The same records with at most `pool_max` callbacks kept to be used again."""

    def __init__(self, pool_max: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._callbacks = CallbackManager(self._loop)
        client = Producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
        self._records = PureRecords(client, self._loop, self._callbacks, RECORDS, None, pool_max)

    def on_delivery(self, in_flight: int) -> None:
        for _ in range(0, RECORDS, in_flight):
            self._report([self._made(_on_delivery, None, 0) for _ in range(in_flight)])

    def batch(self, in_flight: int) -> None:
        for _ in range(0, RECORDS, in_flight):
            report = BatchReport(in_flight, self._loop.create_future(), self._callbacks.on_failure)
            self._report([self._made(None, report, index) for index in range(in_flight)])

    def _made(self, on_delivery: Any, report: BatchReport | None, index: int) -> Made:
        return "t", -1, {"value": b"1", "key": None, "callback": None}, on_delivery, report, index

    def _report(self, made: list[Made]) -> None:
        for record in made:
            self._records.enter(record)
        for batch in self._records.take():
            for record in batch.records:
                record["callback"](None, _MESSAGE)
        self._records.run_due(float("inf"))


def paired(pooled: Callable[[], None], plain: Callable[[], None], rounds: int) -> tuple[float, float, float]:
    """Median nanoseconds a record of both, and the median of their ratios round by round."""
    times_ns: list[tuple[float, float]] = []
    for number in range(rounds + 1):
        first, second = (pooled, plain) if number % 2 else (plain, pooled)
        took = {}
        for run in (first, second):
            began_ns = time.perf_counter_ns()
            run()
            took[run] = (time.perf_counter_ns() - began_ns) / RECORDS
        times_ns.append((took[pooled], took[plain]))
    measured = times_ns[1:]  # the first round fills the pools
    return (
        statistics.median(pooled_ns for pooled_ns, _ in measured),
        statistics.median(plain_ns for _, plain_ns in measured),
        statistics.median(pooled_ns / plain_ns for pooled_ns, plain_ns in measured),
    )


async def compare(rounds: int) -> list[str]:
    """A line for each kind of callback and number in flight."""
    pooled, plain = Benchmark(RECORDS), Benchmark(0)
    lines = [f"{'callback':12}{'in flight':>10}{'pooled, ns':>12}{'plain, ns':>12}{'ratio':>8}"]
    for name, with_pool, without in (
        ("on_delivery", pooled.on_delivery, plain.on_delivery),
        ("batch", pooled.batch, plain.batch),
    ):
        for in_flight in IN_FLIGHT:
            ns = paired(lambda: with_pool(in_flight), lambda: without(in_flight), rounds)  # noqa: B023 (called at once)
            lines.append(f"{name:12}{in_flight:>10,}{ns[0]:>12.0f}{ns[1]:>12.0f}{ns[2]:>8.2f}")
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=40, metavar="N", help="rounds of both (default: 40)")
    print("\n".join(asyncio.run(compare(parser.parse_args(argv).rounds))))


if __name__ == "__main__":
    main()
