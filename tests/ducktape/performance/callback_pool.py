"""Does pooling callbacks pay? Pooled ones against plain objects made for each record, in one process, in turn.

    python tests/ducktape/performance/callback_pool.py [--rounds N]

For each number of records in flight: nanoseconds a record for making its callback and taking its report, by the
producer's CallbackManager and its pools, and by the simplest callback that does the same without one. No broker: a
report is a call, as librdkafka's is. The garbage collector runs as it does for a user, since sparing it is what a
pool is for.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, Message

from producer.callbacks import BatchReport, CallbackManager, OnDelivery

RECORDS = 10_000
IN_FLIGHT = (1, 100, 10_000)
_MESSAGE = Message("t", value=b"1")


class PlainCallback:
    """A record's callback with all that ReusableMessageCallback does, but made anew and dropped."""

    __slots__ = ("_future", "_manager", "_on_delivery")

    def __init__(
        self, manager: CallbackManager, future: asyncio.Future[Any], on_delivery: OnDelivery
    ) -> None:
        self._manager = manager
        self._future = future
        self._on_delivery = on_delivery

    def __call__(self, error: KafkaError | None, message: Any) -> None:
        manager = self._manager
        if manager.threads_serving and manager.caught_elsewhere(self, error, message):
            return
        if error is not None:
            manager.fail(self._future, error)
        elif not self._future.done():
            self._future.set_result(message)
        manager.call_later(self._on_delivery, error, message, manager.marks)


def _on_delivery(error: KafkaError | None, message: Any) -> None:
    """Does nothing: what is measured is the way to it."""


class Benchmark:
    """The same records through pooled and through plain callbacks."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._manager = CallbackManager(self._loop)
        self._futures = [self._manager.future_type(loop=self._loop) for _ in range(RECORDS)]
        for future in self._futures:
            future.set_result(_MESSAGE)

    def on_delivery_pooled(self, in_flight: int) -> None:
        manager = self._manager
        self._reported(in_flight, lambda future: manager.callback_for(future, _on_delivery))

    def on_delivery_plain(self, in_flight: int) -> None:
        manager = self._manager
        self._reported(in_flight, lambda future: PlainCallback(manager, future, _on_delivery))

    def batch_pooled(self, in_flight: int) -> None:
        self._batches(in_flight, lambda count, future: self._manager.batch_report(count, future, None))

    def batch_plain(self, in_flight: int) -> None:
        def make(count: int, future: asyncio.Future[Any]) -> BatchReport:
            report = BatchReport(self._manager)
            report.begin(count, future, None)
            return report

        self._batches(in_flight, make)

    def _reported(self, in_flight: int, make: Callable[[asyncio.Future[Any]], Callable[..., None]]) -> None:
        for start in range(0, RECORDS, in_flight):
            callbacks = [make(future) for future in self._futures[start : start + in_flight]]
            for callback in callbacks:
                callback(None, _MESSAGE)
            self._manager.run_due(float("inf"))

    def _batches(self, in_flight: int, make: Callable[[int, asyncio.Future[Any]], BatchReport]) -> None:
        for _ in range(0, RECORDS, in_flight):
            report = make(in_flight, self._loop.create_future())
            for slot in report.slots[:in_flight]:
                slot(None, _MESSAGE)


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
    benchmark = Benchmark()
    lines = [f"{'callback':12}{'in flight':>10}{'pooled, ns':>12}{'plain, ns':>12}{'ratio':>8}"]
    for name, pooled, plain in (
        ("on_delivery", benchmark.on_delivery_pooled, benchmark.on_delivery_plain),
        ("batch slot", benchmark.batch_pooled, benchmark.batch_plain),
    ):
        for in_flight in IN_FLIGHT:
            ns = paired(lambda: pooled(in_flight), lambda: plain(in_flight), rounds)  # noqa: B023 (called at once)
            lines.append(f"{name:12}{in_flight:>10,}{ns[0]:>12.0f}{ns[1]:>12.0f}{ns[2]:>8.2f}")
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=40, metavar="N", help="rounds of both (default: 40)")
    print("\n".join(asyncio.run(compare(parser.parse_args(argv).rounds))))


if __name__ == "__main__":
    main()
