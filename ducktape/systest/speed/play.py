"""Cases played in rounds on one broker: fresh processes, strategies interleaved by chance, every record verified.

The speed table and the scaling curves are both made of what this plays.
"""

from __future__ import annotations

import os
import platform
import random
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from systest.comparison import round_result
from systest.reports.words import producer_words
from systest.rounds import Round, RoundPlayer
from systest.services.broker import Broker, BrokerKind
from systest.services.worker import WorkerFailed
from systest.speed.cases import Case, Played
from systest.strategies import CONTROL

ROUNDS_MAX = 1_000

Say = Callable[[str], None]
Play = tuple[str, str]
"""A strategy and a case."""


def check_rounds(rounds: int, peer_rounds: int, duration_s: float) -> None:
    """Raises ValueError, one sentence, if nobody can play so."""
    if not 1 <= rounds <= ROUNDS_MAX:
        raise ValueError(f"{rounds} rounds can't be run; choose 1 to {ROUNDS_MAX}")
    if not 0 <= peer_rounds <= rounds:
        raise ValueError(f"peers can't have {peer_rounds} of {rounds} rounds")
    if not 0.1 <= duration_s <= 60:
        raise ValueError(f"a duration of {duration_s} s can't be run; choose 0.1 to 60")


def have_peers(number: int, rounds: int, peer_rounds: int) -> bool:
    """Whether the peers play in this round of so many: theirs are spread evenly."""
    before, after = ((n * peer_rounds) // rounds for n in (number - 1, number))
    return after > before


def order_of(parts: Iterable[Sequence[Play]], chance: random.Random) -> list[Play]:
    """The plays of a round: the parts in any order, and what is in one in any order, but close together."""
    parts = list(parts)
    return [play for part in chance.sample(parts, len(parts)) for play in chance.sample(part, len(part))]


@dataclass
class CasePlayer:
    """Plays, and keeps what came of it.

    Args:
        player: on the broker.
        cases: by name.
        duration_s: measured time of each.
        rounds: how many there will be.
        say: is told of each play in a line.
    """

    player: RoundPlayer
    cases: Mapping[str, Case]
    duration_s: float
    rounds: int
    say: Say
    played: list[Played] = field(default_factory=list)
    producers: dict[str, str] = field(default_factory=dict)
    """Library and idiom of each strategy that played."""
    transports: dict[str, str] = field(default_factory=dict)
    """What each strategy's producer said that it used, where it has a choice."""

    def warm_up(self, name: str, case: str) -> None:
        """Once for nothing, so that the broker's JIT compiler has done its work. Raises as `RoundPlayer.play` does."""
        self._learn(name, self.player.play(self.cases[case].plan(name, self.duration_s)))
        self.say(f"{name} has played once to warm the broker up")

    def play(self, number: int, name: str, case: str) -> None:
        """One play in round `number`. What a worker fails at is kept beside what others do well.

        Raises:
            DiskFull, BrokerError: nobody could play on.
        """
        played = self._play(number, name, case)
        self.played.append(played)
        self.say(self._progress(played))

    def _play(self, number: int, name: str, case: str) -> Played:
        plan = self.cases[case].plan(name, self.duration_s)
        if name == CONTROL:
            return Played(number, name, case, "", (), 0, self.player.control(plan))
        try:
            outcome = self.player.play(plan)
        except WorkerFailed as error:
            return Played(number, name, case, "unknown", (str(error).splitlines()[0],), 0, None)
        self._learn(name, outcome)
        result = round_result(number, outcome)
        return Played(number, name, case, result.verdict, result.problems, result.acked, result.figures)

    def _learn(self, name: str, outcome: Round) -> None:
        ready = outcome.ready[0]
        self.producers[name] = producer_words(ready.client, ready.idiom, outcome.transport)
        if outcome.transport is not None:
            self.transports[name] = outcome.transport

    def _progress(self, played: Played) -> str:
        width = max(map(len, self.cases))
        where = f"[{played.round:>{len(str(self.rounds))}}/{self.rounds}] {played.case:{width}} {played.strategy:14}"
        if played.figures is None:
            return f"{where} no figures: {'; '.join(played.problems)}"
        figures = played.figures
        p99 = "" if figures.latency is None else f"p99 {figures.latency.p99_ms:,.2f} ms, "
        cpu = "" if figures.cpu.client_us is None else f"CPU {figures.cpu.client_us:.2f} us, "
        checked = {"": "no log", "pass": "verified"}.get(
            played.verdict, f"NOT VERIFIED: {'; '.join(played.problems)}"
        )
        return f"{where} {figures.throughput.records_per_s:>11,.0f} records/s, {p99}{cpu}{checked}"


def cut_off(played: int, rounds: int) -> tuple[str, ...]:
    """The note of a result that has not all of its rounds yet: it will be the last one if the run ends here."""
    if played == rounds:
        return ()
    return (
        f"cut off after {played} of {rounds} rounds; what leaves a broker much to clear away has its rounds last",
    )


def machine_words(load: float) -> str:
    """What the run had; `load` is the load average at its beginning."""
    return (
        f"{os.cpu_count()} cores, load average {load:.1f} at the beginning, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}"
    )


def disk_notes(broker: Broker) -> tuple[str, ...]:
    """Waits for the disk hide what a producer costs, where each of many partitions has to wait."""
    here = tempfile.gettempdir()
    mounts = [each for each in psutil.disk_partitions(all=True) if Path(here).is_relative_to(each.mountpoint)]
    kind = max(mounts, key=lambda mount: len(mount.mountpoint)).fstype if mounts else "unknown"
    if broker.kind is not BrokerKind.KAFKA or kind == "tmpfs":
        return ()
    return (
        f"the broker's log is in {here} on a disk ({kind}), and waits for it are in the figures, with many topics "
        "above all; TMPDIR=/dev/shm keeps them out",
    )
