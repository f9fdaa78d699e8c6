"""The speed table, played: rounds of every row on one warm broker, strategies in turn, all records verified."""

from __future__ import annotations

import os
import platform
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil

from systest.comparison import round_result
from systest.options import RunOptions
from systest.rounds import RoundPlan, RoundPlayer, client_settings
from systest.services.broker import Broker, BrokerKind
from systest.services.worker import WorkerFailed
from systest.speed.result import Played, SpeedResult
from systest.speed.rows import CASES, GROUPS, MACHINE, PEERS, SUBJECTS, TOPICS, Row, plays_of, rows_of
from systest.strategies import CONTROL, YARDSTICK

GLOBAL = "speed"
REPORT = "speed.json"
"""The file in a test's results that holds the result."""
ROUNDS = 10
PEER_ROUNDS = 2
"""Peers stand beside the goals and are not judged by them: two rounds say where they are."""
ROUNDS_MAX = 1_000

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SpeedOptions:
    """What of the table to measure, and how often.

    Args:
        groups: parts of the table.
        rounds: how often the strategies under test and the yardstick are played.
        peer_rounds: how often the peers are; 0 leaves them out.
        duration_s: measured time of each.

    Raises:
        ValueError: one sentence saying what is wrong and what would be right.
    """

    groups: tuple[str, ...] = GROUPS
    rounds: int = ROUNDS
    peer_rounds: int = PEER_ROUNDS
    duration_s: float = 2.0

    def __post_init__(self) -> None:
        rows_of(self.groups)
        if not 1 <= self.rounds <= ROUNDS_MAX:
            raise ValueError(f"{self.rounds} rounds can't be run; choose 1 to {ROUNDS_MAX}")
        if not 0 <= self.peer_rounds <= self.rounds:
            raise ValueError(f"peers can't have {self.peer_rounds} of {self.rounds} rounds")
        if not 0.1 <= self.duration_s <= 60:
            raise ValueError(f"a duration of {self.duration_s} s can't be run; choose 0.1 to 60")

    @classmethod
    def from_globals(cls, user_globals: Mapping[str, Any]) -> SpeedOptions:
        """The options in ducktape's global `speed`; the whole table where it says nothing.

        Its `rows` are the names of groups with commas between them, as a user writes them. Raises ValueError as the
        class does, and for a name that is none of its fields.
        """
        given = dict(user_globals.get(GLOBAL, {}))
        if "rows" in given:
            given["groups"] = tuple(name.strip() for name in given.pop("rows").split(",") if name.strip())
        if "rounds" in given:
            given.setdefault("peer_rounds", min(PEER_ROUNDS, given["rounds"]))
        if unknown := sorted(given.keys() - {each.name for each in fields(cls)}):
            raise ValueError(
                f"there is no option {unknown[0]!r} in the global {GLOBAL!r}; "
                "there are rows, rounds, peer_rounds and duration_s"
            )
        return cls(**given)


def play_speed(
    chosen: SpeedOptions, options: RunOptions, broker: Broker, player: RoundPlayer, say: Say
) -> SpeedResult:
    """Plays the table.

    In each round the parts of the table come in an order that chance decides, and within a part all that is divided
    by each other, in an order that chance decides too. The peers' rounds are spread evenly. Before the first, the
    strategies under test and the yardstick play once for nothing, so that the broker's JIT compiler has done its work.
    A peer that fails is a line of the result; whoever else fails raises what `RoundPlayer.play` does.

    Args:
        chosen: what of the table.
        options: seed and broker, as the user has them.
        broker: a started one.
        player: on that broker.
        say: is told of each play in a line.
    """
    started, began_s = datetime.now(timezone.utc), time.monotonic()
    load = os.getloadavg()[0]
    rows, chance = rows_of(chosen.groups), random.Random(options.seed)
    producers: dict[str, str] = {}
    for name in (YARDSTICK, *SUBJECTS):
        _play(player, 0, name, "saturate", chosen.duration_s, producers)
        say(f"{name} has played once to warm the broker up")
    played: list[Played] = []
    # Topics come last: a broker is busy for a minute with what is left of a thousand deleted ones.
    few, many = [row for row in rows if row.group != TOPICS], [row for row in rows if row.group == TOPICS]
    first, *later = [part for part in (few, many) if part]
    for part, others in ((first, [(CONTROL, MACHINE)]), *((part, []) for part in later)):
        for number in range(1, chosen.rounds + 1):
            for name, case in order_of(part, others, number, chosen, chance):
                outcome = _play(player, number, name, case, chosen.duration_s, producers)
                played.append(outcome)
                say(_progress(chosen, outcome))
    return SpeedResult(
        started=started.isoformat(timespec="seconds"),
        took_s=time.monotonic() - began_s,
        broker=broker.description,
        machine=f"{os.cpu_count()} cores, load average {load:.1f} at the beginning, "
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}",
        notes=(*options.notes, *_disk_note(broker)),
        client=client_settings(RoundPlan(YARDSTICK, CASES["saturate"].work(chosen.duration_s))),
        seed=options.seed,
        rounds=chosen.rounds,
        peer_rounds=chosen.peer_rounds,
        duration_s=chosen.duration_s,
        groups=chosen.groups,
        producers=producers,
        played=tuple(played),
    )


def _disk_note(broker: Broker) -> list[str]:
    """Waits for the disk hide what a producer costs, where each of many partitions has to wait."""
    here = tempfile.gettempdir()
    mounts = [each for each in psutil.disk_partitions(all=True) if Path(here).is_relative_to(each.mountpoint)]
    kind = max(mounts, key=lambda mount: len(mount.mountpoint)).fstype if mounts else "unknown"
    if broker.kind is not BrokerKind.KAFKA or kind == "tmpfs":
        return []
    return [
        f"the broker's log is in {here} on a disk ({kind}), and waits for it are in the figures, with many topics "
        "above all; TMPDIR=/dev/shm keeps them out"
    ]


def order_of(
    rows: Sequence[Row],
    others: Sequence[tuple[str, str]],
    number: int,
    chosen: SpeedOptions,
    chance: random.Random,
) -> Iterator[tuple[str, str]]:
    """Who plays what in a round, and in which order."""
    before, after = ((n * chosen.peer_rounds) // chosen.rounds for n in (number - 1, number))
    parts = [*plays_of(rows, with_peers=after > before).values(), others]
    for part in chance.sample(parts, len(parts)):
        yield from chance.sample(part, len(part))


def _play(
    player: RoundPlayer, number: int, name: str, case_name: str, duration_s: float, producers: dict[str, str]
) -> Played:
    case = CASES[case_name]
    work = case.work(duration_s)
    if name == CONTROL:
        return Played(number, name, case_name, "", (), 0, player.control(work))
    try:
        outcome = player.play(RoundPlan(name, work, case.partitions, topics=case.topics))
    except WorkerFailed as error:
        if name not in PEERS:
            raise
        return Played(number, name, case_name, "unknown", (str(error).splitlines()[0],), 0, None)
    producers[name] = f"{outcome.ready[0].client}; {outcome.ready[0].idiom}"
    result = round_result(number, outcome)
    return Played(number, name, case_name, result.verdict, result.problems, result.acked, result.figures)


def _progress(chosen: SpeedOptions, played: Played) -> str:
    where = (
        f"[{played.round:>{len(str(chosen.rounds))}}/{chosen.rounds}] {played.case:14} {played.strategy:14}"
    )
    if played.figures is None:
        return f"{where} no figures: {'; '.join(played.problems)}"
    figures = played.figures
    p99 = "" if figures.latency is None else f"p99 {figures.latency.p99_ms:,.2f} ms, "
    cpu = "" if figures.cpu.client_us is None else f"CPU {figures.cpu.client_us:.2f} us, "
    checked = {"": "no log", "pass": "verified"}.get(
        played.verdict, f"NOT VERIFIED: {'; '.join(played.problems)}"
    )
    return f"{where} {figures.throughput.records_per_s:>11,.0f} records/s, {p99}{cpu}{checked}"
