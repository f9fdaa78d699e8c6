"""The main job: strategies take turns on one broker, and what came of it as a `RunResult`."""

from __future__ import annotations

import os
import platform
import random
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import psutil

from systest import strategies
from systest.gates import Gate
from systest.options import RunOptions
from systest.origin import origin_of
from systest.reports import RoundResult, RunResult, StrategyResult
from systest.rounds import Round, RoundPlan, RoundPlayer, client_settings
from systest.services.broker import Broker, BrokerKind, Capability
from systest.strategies.transports import without_twin

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
    """Every strategy once a round, in an order that chance decides anew for each round.

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
    plans = {name: RoundPlan(name, work, partitions) for name in names}
    played: dict[str, list[RoundResult]] = {name: [] for name in names}
    told: dict[str, Round] = {}
    is_here = all(is_this_machine(account) for account in player.accounts)
    position, count = 0, options.rounds * len(plans)
    for order in orders(options):
        for name in order:
            position += 1
            # Nothing of this run is at work now.
            others_percent = psutil.cpu_percent(_LOOK_S) if is_here else None
            outcome = player.play(plans[name])
            result = replace(round_result(position, outcome), others_percent=others_percent)
            played[name].append(result)
            told[name] = outcome
            say(_progress(position, count, name, result))
    stream = told[names[0]].stream
    replicas = f"{player.replicas} replica{'s' if player.replicas > 1 else ''}"
    return RunResult(
        started=started.isoformat(timespec="seconds"),
        took_s=time.monotonic() - began_s,
        origin=origin,
        broker=broker.description,
        machine=f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.machine()}",
        notes=(*options.notes, *_limits(broker), *_cut_short(options, played)),
        workload=work,
        topic=f"values of {stream.value_bytes} bytes, {partitions} partitions, {replicas}",
        client=client_settings(plans[names[0]]),
        seed=options.seed,
        yardstick=strategies.YARDSTICK if strategies.YARDSTICK in plans else names[0],
        gates=tuple(gates),
        strategies=tuple(
            StrategyResult(
                name,
                told[name].ready[0].client,
                told[name].ready[0].idiom,
                tuple(rounds),
                told[name].transport,
            )
            for name, rounds in played.items()
        ),
    )


def is_this_machine(account: Any) -> bool:
    """Whether a node runs on this kernel: so do namespaces and containers, and no virtual or other machine."""
    here = subprocess.run(["/bin/sh", "-c", _BOOT], stdout=subprocess.PIPE, check=False).stdout
    there: bytes = account.ssh_output(_BOOT, allow_fail=True, combine_stderr=False)
    return here.strip() == there.strip() != b""


def orders(options: RunOptions) -> list[tuple[str, ...]]:
    """The order of strategies in each round, decided by the seed."""
    chance = random.Random(options.seed)
    return [tuple(chance.sample(options.strategies, len(options.strategies))) for _ in range(options.rounds)]


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


def _progress(position: int, count: int, name: str, result: RoundResult) -> str:
    figures = result.figures
    latency = "" if figures.latency is None else f", p50 {figures.latency.p50_ms:.2f} ms"
    verdict = "verified" if result.verdict == "pass" else f"NOT VERIFIED: {'; '.join(result.problems)}"
    rate = f"{figures.throughput.records_per_s:,.0f} records/s"
    return f"[{position:>{len(str(count))}}/{count}] {name:14}{rate:>20}{latency}, {verdict}"


def _limits(broker: Broker) -> list[str]:
    missing = broker.limits.get(Capability.UNLIMITED_LOG)
    return [] if missing is None else [f"this broker can't {Capability.UNLIMITED_LOG.value}: {missing}"]


def _cut_short(options: RunOptions, played: Mapping[str, Sequence[RoundResult]]) -> list[str]:
    work = options.work()
    names = [
        name
        for name, rounds in played.items()
        if min(each.figures.throughput.seconds for each in rounds) < _WHOLE * work.duration_s
    ]
    if not names:
        return []
    return [
        f"a round ends after {work.records_max:,} records, and so before its time for {', '.join(names)}; "
        "the figures are of the time that it took"
    ]
