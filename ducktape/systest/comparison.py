"""The main job: strategies take turns on one broker, and what came of it as a `RunResult`."""

from __future__ import annotations

import os
import platform
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import psutil

from systest import strategies
from systest.gates import Gate
from systest.options import RunOptions
from systest.origin import origin_of
from systest.reports import Part, RoundResult, RunResult, StrategyResult
from systest.rounds import Round, RoundPlan, RoundPlayer, client_settings
from systest.services.broker import Broker, BrokerKind, Capability
from systest.strategies.transports import without_twin
from systest.workloads.shapes import SHAPES, words_of

# The embedded broker keeps 5 MiB a partition.
_PARTITIONS: Mapping[BrokerKind, int] = {BrokerKind.KAFKA: 6, BrokerKind.EXTERNAL: 6, BrokerKind.EMBEDDED: 24}

REPORT = "comparison.json"
"""The file in a test's results that holds the result."""
_WHOLE = 0.95
_BOOT = "cat /proc/sys/kernel/random/boot_id 2>/dev/null || sysctl -n kern.bootsessionuuid"
_LOOK_S = 0.2

Say = Callable[[str], None]


def play_comparison(
    options: RunOptions, gates: Sequence[Gate], broker: Broker, player: RoundPlayer, say: Say
) -> RunResult:
    """Every strategy once a round with records of each shape, in an order that chance decides anew for each round.

    A round whose checks do not hold is part of the result; one that can't be played to its end raises what
    `RoundPlayer.play` does.

    Args:
        options: what the user asked for.
        gates: what the result is to be judged by.
        broker: a started one.
        player: on that broker.
        say: is told of each round in a line.
    """
    started, began_s = datetime.now(timezone.utc), time.monotonic()
    origin = origin_of(options.command)
    work, partitions = options.work(), _PARTITIONS[broker.kind]
    names, left_out = without_twin(options.strategies, player.why_pure)
    for note in left_out:
        say(note)
    options = replace(options, strategies=names, notes=(*options.notes, *left_out))
    for records in options.records:
        for name in names:
            if reason := options.refused(name, records):
                say(f"{name} sends no {records} records: {reason}")
    plays = {
        (records, name): RoundPlan(name, work, partitions, shape=SHAPES[records])
        for records in options.records
        for name in names
        if options.refused(name, records) is None
    }
    played: dict[tuple[str, str], list[RoundResult]] = {play: [] for play in plays}
    told: dict[tuple[str, str], Round] = {}
    is_here = all(is_this_machine(account) for account in player.accounts)
    position, count = 0, options.rounds * len(plays)
    for order in orders(options, tuple(plays)):
        for play in order:
            position += 1
            # Nothing of this run is at work now.
            others_percent = psutil.cpu_percent(_LOOK_S) if is_here else None
            outcome = player.play(plays[play])
            result = replace(round_result(position, outcome), others_percent=others_percent)
            played[play].append(result)
            told[play] = outcome
            say(_progress(position, count, *play, result))
    replicas = f"{player.replicas} replica{'s' if player.replicas > 1 else ''}"
    return RunResult(
        started=started.isoformat(timespec="seconds"),
        took_s=time.monotonic() - began_s,
        origin=origin,
        broker=broker.description,
        machine=f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.machine()}",
        notes=(*options.notes, *_limits(broker), *_cut_short(options, played)),
        workload=work,
        topic=f"{partitions} partitions, {replicas}",
        client=client_settings(next(iter(plays.values()))),
        seed=options.seed,
        yardstick=strategies.YARDSTICK if strategies.YARDSTICK in names else names[0],
        gates=tuple(gates),
        parts=tuple(_part(options, records, played, told) for records in options.records),
    )


def _part(
    options: RunOptions,
    records: str,
    played: Mapping[tuple[str, str], Sequence[RoundResult]],
    told: Mapping[tuple[str, str], Round],
) -> Part:
    refused = {name: options.refused(name, records) for name in options.strategies}
    return Part(
        records=records,
        shape=words_of(SHAPES[records]),
        strategies=tuple(
            StrategyResult(
                name,
                told[records, name].ready[0].client,
                told[records, name].ready[0].idiom,
                tuple(played[records, name]),
                told[records, name].transport,
            )
            for name, reason in refused.items()
            if reason is None
        ),
        left_out={name: reason for name, reason in refused.items() if reason is not None},
    )


def is_this_machine(account: Any) -> bool:
    """Whether a node runs on this kernel: so do namespaces and containers, and no virtual or other machine."""
    here = subprocess.run(["/bin/sh", "-c", _BOOT], stdout=subprocess.PIPE, check=False).stdout
    there: bytes = account.ssh_output(_BOOT, allow_fail=True, combine_stderr=False)
    return here.strip() == there.strip() != b""


def orders(options: RunOptions, plays: Sequence[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """The order in which each round has these records and strategies, decided by the seed: what is divided by each
    other, as it is of one shape, comes close together.
    """
    chance = random.Random(options.seed)
    for _ in range(options.rounds):
        shapes = chance.sample(options.records, len(options.records))
        parts = [[play for play in plays if play[0] == records] for records in shapes]
        yield [play for part in parts for play in chance.sample(part, len(part))]


def round_result(position: int, played: Round) -> RoundResult:
    """What of a round belongs in a report."""
    judgement = played.judgement
    return RoundResult(
        position=position,
        verdict=judgement.verdict.value,
        problems=tuple(played.problems()),
        acked=judgement.acked,
        failed=judgement.failed,
        unknown=judgement.unknown_outcomes,
        in_log=judgement.in_log,
        report_inversions=judgement.report_inversions,
        figures=played.figures[0],
    )


def _progress(position: int, count: int, records: str, name: str, result: RoundResult) -> str:
    figures = result.figures
    latency = "" if figures.latency is None else f", p50 {figures.latency.p50_ms:.2f} ms"
    verdict = "verified" if result.verdict == "pass" else f"NOT VERIFIED: {'; '.join(result.problems)}"
    rate = f"{figures.throughput.records_per_s:,.0f} records/s"
    return f"[{position:>{len(str(count))}}/{count}] {records:9}{name:14}{rate:>20}{latency}, {verdict}"


def _limits(broker: Broker) -> list[str]:
    missing = broker.limits.get(Capability.UNLIMITED_LOG)
    return [] if missing is None else [f"this broker can't {Capability.UNLIMITED_LOG.value}: {missing}"]


def _cut_short(options: RunOptions, played: Mapping[tuple[str, str], Sequence[RoundResult]]) -> list[str]:
    work = options.work()
    names = [
        f"{name} ({records})"
        for (records, name), rounds in played.items()
        if min(each.figures.throughput.seconds for each in rounds) < _WHOLE * work.duration_s
    ]
    if not names:
        return []
    return [
        f"a round ends after {work.records_max:,} records, and so before its time for {', '.join(names)}; "
        "the figures are of the time that it took"
    ]
