"""The producers without the harness: a caller that keeps its window and nothing else, so that ratios are theirs alone.

    .venv/bin/systest kafka up --performance                             # in another terminal; it tells its address
    python tests/ducktape/performance/bare.py --bootstrap-server HOST:PORT [--rounds N] [--records N] [--shapes]
        [--set NAME=VALUE] [--topics N]

The speed table records and verifies every record, which costs the caller of each producer some tenths of a microsecond
and so brings their ratios nearer to 1. Here nothing is stamped and nothing is read back: a fresh process for each
producer in each round, interleaved in an order that chance decides; 10,000 records in flight, a future or an
`on_delivery` each, the oldest awaited while the window is full; then one record at a time with linger.ms=0, timed by
its caller; then new producers, one after the other, each timed until its first record is acknowledged. What asyncio's
own loop costs shows beside uvloop's, with the transport that is taken by default.

With --shapes the records are what services send: text, keys, headers and so on, each shape by itself and all in
turn, and each against the synchronous producer with the same arguments (one `on_delivery` a record, which it has
anyway). What services set can be set, too, and their records go to several topics in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic

from producer import AIOProducer
from producer.transports import transports, why_not_compiled
from systest.worker.loops import Loop, new_loop

IN_FLIGHT = 10_000
BATCH = 1_000
SINGLES = 3_000
NEW_PRODUCERS = 7
WARM_UP_SHARE = 10
PARTITIONS = 6
VALUES = [b"%030d" % number for number in range(BATCH)]
SETTINGS = {"acks": "all", "enable.idempotence": True, "compression.type": "lz4", "batch.size": 1_000_000}
SYNC, FLOOR = "sync", "events alone"
CASES = SINGLE, BULK, ONE_AT_A_TIME, FIRST = (
    "a future per record",
    "produce_batch of 1,000",
    "one at a time",
    "a new producer's first",
)
HEADERS = [("trace", b"%032d" % 0), ("source", b"orders")]


def _noted(error: object, message: object) -> None:
    """What an on_delivery costs by itself."""


async def _noted_async(error: object, message: object) -> None:
    """As `_noted`."""


def _texts() -> list[dict[str, Any]]:
    return [{"value": value.decode()} for value in VALUES]


SHAPES: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "bytes": lambda: [{"value": value} for value in VALUES],
    "bytes, bytes key": lambda: [{"value": value, "key": value[-8:]} for value in VALUES],
    "str": _texts,
    "str, str key": lambda: [{**given, "key": given["value"][-8:]} for given in _texts()],
    "two headers": lambda: [{"value": value, "headers": HEADERS} for value in VALUES],
    "headers, dict": lambda: [{"value": value, "headers": dict(HEADERS)} for value in VALUES],
    "timestamp": lambda: [{"value": value, "timestamp": 1_700_000_000_000} for value in VALUES],
    "partition": lambda: [{"value": value, "partition": n % PARTITIONS} for n, value in enumerate(VALUES)],
    "on_delivery": lambda: [{"value": value, "on_delivery": _noted} for value in VALUES],
    "async on_delivery": lambda: [{"value": value, "on_delivery": _noted_async} for value in VALUES],
    "bytearray": lambda: [{"value": bytearray(value)} for value in VALUES],
    "tombstone": lambda: [{"value": None, "key": value[-8:]} for value in VALUES],
    "all together": lambda: [
        {
            **given,
            "key": given["value"][-8:],
            "partition": 0,
            "headers": HEADERS,
            "timestamp": 1_700_000_000_000,
        }
        | {"on_delivery": _noted}
        for given in _texts()
    ],
    "mixed": lambda: [SHAPES[MIXED[n % len(MIXED)]]()[n] for n in range(BATCH)],
}
MIXED = ("bytes", "str, str key", "two headers", "partition", "on_delivery", "timestamp", "tombstone")
"""In turn: no two neighbours alike."""
IN_BATCH = ", in batches"
BASES = {SINGLE: SINGLE, BULK: SINGLE, ONE_AT_A_TIME: ONE_AT_A_TIME, FIRST: FIRST}
"""What the synchronous producer plays, and is compared by, for each case."""
SHAPE_BASES = {f"{name}{end}": name for name in SHAPES for end in ("", IN_BATCH)}
"""As BASES, for the shapes: one by one with a future each, and by produce_batch."""
PLAY_LIMIT_S = 120

Figures = dict[str, float]
"""`rate_per_s` and `cpu_us` a record; or `p50_us` and `p99_us` of a record, `call_us` the median of its call alone; or
`first_ms`, the median from a producer's making to its first acknowledgement.
"""


def _measured(send: Callable[[int], None], records: int) -> Figures:
    send(records // WARM_UP_SHARE)
    began_s, cpu_from_s = time.perf_counter(), _cpu_s()
    send(records)
    return {
        "rate_per_s": records / (time.perf_counter() - began_s),
        "cpu_us": (_cpu_s() - cpu_from_s) / records * 1e6,
    }


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _times_of(called_ns: list[tuple[int, int, int]]) -> Figures:
    """Of single records: when each was called, when the call was over, when its report was there."""
    measured = called_ns[len(called_ns) // WARM_UP_SHARE :]
    counted = statistics.quantiles([end - begin for begin, _, end in measured], n=100)
    call_us = statistics.median(called - begin for begin, called, _ in measured) / 1e3
    return {"p50_us": counted[49] / 1e3, "p99_us": counted[98] / 1e3, "call_us": call_us}


def _first_of(spans_s: Sequence[float]) -> Figures:
    return {"first_ms": statistics.median(spans_s) * 1e3}


def first_of_sync(conf: dict[str, Any], topic: str) -> Figures:
    """Of confluent's Producer."""
    spans_s = []
    for _ in range(NEW_PRODUCERS):
        began_s = time.perf_counter()
        producer: Any = confluent_kafka.Producer(conf)
        producer.produce(topic, VALUES[0])
        producer.flush()
        spans_s.append(time.perf_counter() - began_s)
    return _first_of(spans_s)


async def first_of_ours(transport: str, conf: dict[str, Any], topic: str) -> Figures:
    """Of this project's AIOProducer."""
    spans_s = []
    for _ in range(NEW_PRODUCERS):
        began_s = time.perf_counter()
        async with AIOProducer(conf, transport=transport) as producer:
            await producer.send_and_wait(topic, VALUES[0])
            spans_s.append(time.perf_counter() - began_s)
    return _first_of(spans_s)


def sync(case: str, conf: dict[str, Any], topics: Sequence[str], records: int) -> Figures:
    """confluent's Producer, with an `on_delivery` for each record."""
    producer: Any = confluent_kafka.Producer(conf)
    told = 0

    def on_delivery(number: int, error: object, message: object) -> None:
        nonlocal told
        told += 1

    records_given = _of_sync(case)

    def send(count: int) -> None:
        first = told
        in_turn = zip(range(count), itertools.cycle(records_given), itertools.cycle(topics), strict=False)
        for number, given, topic in in_turn:
            while number - (told - first) >= IN_FLIGHT:
                producer.poll(0.1)
            producer.produce(topic, on_delivery=partial(on_delivery, number), **given)
            if not number % 100:
                producer.poll(0)
        producer.flush()

    if case != ONE_AT_A_TIME:
        return _measured(send, records)
    times_ns = []
    for number in range(SINGLES):
        began_ns, before = time.perf_counter_ns(), told
        producer.produce(topics[0], VALUES[0], on_delivery=partial(on_delivery, number))
        called_ns = time.perf_counter_ns()
        while told == before:
            producer.poll(0.1)
        times_ns.append((began_ns, called_ns, time.perf_counter_ns()))
    return _times_of(times_ns)


def _of_sync(case: str) -> list[dict[str, Any]]:
    """What confluent's Producer is given for a case: it takes no bytearray, and its on_delivery is the one of all."""
    records = SHAPES.get(case, SHAPES["bytes"])()
    for given in records:
        given.pop("on_delivery", None)
        if isinstance(given["value"], bytearray):
            given["value"] = bytes(given["value"])
    return records


def asynchronous(
    transport: str,
    loop: asyncio.AbstractEventLoop,
    case: str,
    conf: dict[str, Any],
    topics: Sequence[str],
    records: int,
) -> Figures:
    """This project's AIOProducer over one of its transports."""

    async def make() -> AIOProducer:
        return AIOProducer(conf, transport=transport)

    records_given = SHAPES[SHAPE_BASES.get(case, "bytes")]()

    async def singles(count: int) -> None:
        window: deque[asyncio.Future[Any]] = deque()
        in_turn = zip(range(count), itertools.cycle(records_given), itertools.cycle(topics), strict=False)
        for _, given, topic in in_turn:
            if len(window) >= IN_FLIGHT:
                await window.popleft()
                while window and window[0].done():
                    window.popleft()
            window.append(await producer.produce(topic, **given))
        await producer.flush()

    async def batches(count: int) -> None:
        window: deque[asyncio.Future[Any]] = deque()
        for _, topic in zip(range(count // BATCH), itertools.cycle(topics), strict=False):
            if len(window) >= IN_FLIGHT // BATCH:
                await window.popleft()
            window.append(await producer.produce_batch(topic, [{**given} for given in records_given]))
        await producer.flush()

    async def one_at_a_time() -> list[tuple[int, int, int]]:
        times_ns = []
        for _ in range(SINGLES):
            began_ns = time.perf_counter_ns()
            delivery = await producer.produce(topics[0], VALUES[0])
            called_ns = time.perf_counter_ns()
            await delivery
            times_ns.append((began_ns, called_ns, time.perf_counter_ns()))
        return times_ns

    producer = loop.run_until_complete(make())
    if case == ONE_AT_A_TIME:
        figures = _times_of(loop.run_until_complete(one_at_a_time()))
    else:
        send = batches if case == BULK or case.endswith(IN_BATCH) else singles
        figures = _measured(lambda count: loop.run_until_complete(send(count)), records)
    loop.run_until_complete(producer.close())
    return figures


def floor(conf: dict[str, Any], topic: str) -> Figures:
    """One record at a time by the compiled transport's way to librdkafka, with no producer around it: what asyncio and
    a file descriptor cost any design.
    """
    from producer._librdkafka import Client, Records
    from producer.callbacks import CallbackManager

    loop, wake_fd = asyncio.new_event_loop(), os.eventfd(0, os.EFD_NONBLOCK)
    client = Client({name: _setting(value) for name, value in conf.items()}, wake_fd, print)
    reports = Records(client, loop, CallbackManager(loop), 1, None)
    reports.room = SINGLES

    def woken() -> None:
        os.read(wake_fd, 8)
        reports.drain(1.0)

    async def run() -> list[tuple[int, int, int]]:
        times_ns = []
        for _ in range(SINGLES):
            began_ns = time.perf_counter_ns()
            delivery = reports.accept(topic, VALUES[0], None, -1, None, 0, None)
            reports.hand_over()
            called_ns = time.perf_counter_ns()
            await delivery
            times_ns.append((began_ns, called_ns, time.perf_counter_ns()))
        return times_ns

    loop.add_reader(wake_fd, woken)
    reports.drain(1.0)
    figures = _times_of(loop.run_until_complete(run()))
    client.keep_silent()
    reports.release()
    loop.close()
    os.close(wake_fd)
    return figures


def _setting(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Plan:
    """What every producer is given: `settings` above SETTINGS, and how many topics its records go to in turn."""

    servers: str
    records: int
    settings: dict[str, str]
    topics: tuple[str, ...]


def play(producer: str, case: str, plan: Plan) -> Figures:
    """One producer at one case, in this process."""
    conf = {**SETTINGS, "linger.ms": 0 if case == ONE_AT_A_TIME else 1, **plan.settings}
    conf["bootstrap.servers"] = plan.servers
    if producer == SYNC and case == FIRST:
        return first_of_sync(conf, plan.topics[0])
    if producer == SYNC:
        return sync(case, conf, plan.topics, plan.records)
    if producer == FLOOR:
        return floor(conf, plan.topics[0])
    transport, _, kind = producer.partition("/")
    with contextlib.closing(new_loop(Loop(kind or "asyncio"))) as loop:
        if case == FIRST:
            return loop.run_until_complete(first_of_ours(transport, conf, plan.topics[0]))
        return asynchronous(transport, loop, case, conf, plan.topics, plan.records)


Played = dict[tuple[str, str], list[Figures]]
"""What came of each producer at each case, by rounds."""


def compare(plan: Plan, rounds: int, bases: Mapping[str, str]) -> Played:
    """Play each of this project's transports, and the synchronous producer, at the cases that `bases` names."""
    admin = AdminClient({"bootstrap.servers": plan.servers})
    for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in plan.topics]).values():
        made.result()
    ours = [*transports()]
    if ONE_AT_A_TIME in bases:
        ours.insert(1, f"{ours[0]}/uvloop")
    plays = [*((SYNC, case) for case in dict.fromkeys(bases.values())), *itertools.product(ours, bases)]
    if why_not_compiled() is None and ONE_AT_A_TIME in bases:
        plays.append((FLOOR, ONE_AT_A_TIME))
    played: dict[tuple[str, str], list[Figures]] = {each: [] for each in plays}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        for producer, case in random.sample(plays, len(plays)):
            command = [sys.executable, __file__, "--play", producer, case, json.dumps(asdict(plan))]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=PLAY_LIMIT_S).stdout
            played[producer, case].append(json.loads(output))
    for deleted in admin.delete_topics(list(plan.topics)).values():
        deleted.result()
    return played


def ratio_of(played: Played, producer: str, case: str, base: str, name: str) -> str:
    """A figure's ratio to the synchronous producer's in the same round, with its interval."""
    from systest.metrics.interval import (
        median_interval,
    )  # numpy, whose threads are to stay out of a producer's process

    pairs = zip(played[producer, case], played[SYNC, base], strict=True)
    ratios = [figures[name] / against[name] for figures, against in pairs]
    interval = median_interval(ratios)
    sure = "too few rounds" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"
    return f"{statistics.median(ratios):.2f}x [{sure}]"


def lines_of(played: Played, bases: Mapping[str, str]) -> Iterator[str]:
    """A line for each figure."""
    yield f"{'':30}{'':17}{'figure':>12}{'median':>14}  ratio [95 % interval]"
    for (producer, case), rounds in played.items():
        for name in rounds[0]:
            median = statistics.median(figures[name] for figures in rounds)
            ratio = "" if producer == SYNC else ratio_of(played, producer, case, bases[case], name)
            yield f"{case:30}{producer:17}{name:>12}{median:>14,.2f}  {ratio}".rstrip()


def shape_tables(played: Played, names: Sequence[str]) -> Iterator[str]:
    """A table for each transport, in Markdown: a line for each shape."""
    for transport in transports():
        yield f"| {transport} | sync, records/s | CPU, us | one by one: rate | CPU | in batches: rate | CPU |"
        yield "|---|---:|---:|---:|---:|---:|---:|"
        for name in names:
            sync_rounds = played[SYNC, name]
            rate, cpu_us = (
                statistics.median(each[figure] for each in sync_rounds) for figure in ("rate_per_s", "cpu_us")
            )
            ratios = [
                ratio_of(played, transport, case, name, figure)
                for case in (name, f"{name}{IN_BATCH}")
                for figure in ("rate_per_s", "cpu_us")
            ]
            yield f"| {name} | {rate:,.0f} | {cpu_us:.2f} | {' | '.join(ratios)} |"
        yield ""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bootstrap-server", metavar="HOST:PORT", help="of a broker on this machine")
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="of every case (default: 10)")
    parser.add_argument(
        "--records", type=int, default=1_000_000, metavar="N", help="of each (default: 1,000,000)"
    )
    parser.add_argument("--shapes", action="store_true", help="records of every shape instead of plain ones")
    parser.add_argument(
        "--shape",
        action="append",
        choices=SHAPES,
        metavar="NAME",
        help="this shape alone; may be given again",
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of all producers")
    parser.add_argument(
        "--topics", type=int, default=1, metavar="N", help="for the records in turn (default: 1)"
    )
    parser.add_argument("--play", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.play is not None:
        producer, case, given = args.play
        print(json.dumps(play(producer, case, Plan(**json.loads(given)))))
    elif args.bootstrap_server is None:
        parser.error(
            "--bootstrap-server is missing; `systest kafka up --performance` starts a broker and tells its address"
        )
    elif wrong := [each for each in args.set if "=" not in each]:
        parser.error(f"--set {wrong[0]} names no value; write NAME=VALUE")
    else:
        first = f"bare-{random.randrange(1 << 32):08x}"
        topics = tuple(f"{first}-{number}" for number in range(args.topics))
        plan = Plan(
            args.bootstrap_server, args.records, dict(each.split("=", 1) for each in args.set), topics
        )
        names = args.shape or (list(SHAPES) if args.shapes else [])
        bases = {case: name for case, name in SHAPE_BASES.items() if name in names} or BASES
        played = compare(plan, args.rounds, bases)
        print("\n".join(shape_tables(played, names) if names else lines_of(played, bases)))


if __name__ == "__main__":
    main()
