"""The speed table, played: rounds of every row on one warm broker, strategies in turn, all records verified."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from typing import Any

from systest.options import RunOptions
from systest.origin import origin_of
from systest.rounds import RoundPlayer, client_settings
from systest.services.broker import Broker
from systest.speed.play import (
    CasePlayer,
    Say,
    check_rounds,
    cut_off,
    disk_notes,
    have_peers,
    machine_words,
    order_of,
)
from systest.speed.result import SpeedResult
from systest.speed.rows import CASES, GROUPS, MACHINE, TOPICS, plays_of, rows_of
from systest.strategies import CONTROL, OURS, TRANSPORTS, YARDSTICK
from systest.strategies.transports import without_twin

GLOBAL = "speed"
REPORT = "speed.json"
"""The file in a test's results that holds the result."""
ROUNDS = 10
PEER_ROUNDS = 2
"""Peers stand beside the goals and are not judged by them: two rounds say where they are."""


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
        check_rounds(self.rounds, self.peer_rounds, self.duration_s)

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
) -> Iterator[SpeedResult]:
    """Plays the table, and gives after each round the result so far, so that a run that is cut off has one.

    In each round the parts of the table come in an order that chance decides, and within a part all that is divided
    by each other, in an order that chance decides too. The peers' rounds are spread evenly. Before the first, the
    strategies under test and the yardstick play once for nothing, so that the broker's JIT compiler has done its work.
    Who fails at a case is a line of the result, which is not verified then unless it was a peer.

    Args:
        chosen: what of the table.
        options: seed and broker, as the user has them.
        broker: a started one.
        player: on that broker.
        say: is told of each play in a line.
    """
    started, began_s = datetime.now(timezone.utc), time.monotonic()
    load, origin = os.getloadavg()[0], origin_of(options.command)
    rows, chance = rows_of(chosen.groups), random.Random(options.seed)
    cases = CasePlayer(player, CASES, chosen.duration_s, chosen.rounds, say)
    subjects, left_out = without_twin(OURS, player.why_pure)
    for note in left_out:
        say(note)
    for name in (YARDSTICK, *subjects):
        cases.warm_up(name, "saturate")
    notes = (*options.notes, *left_out, *_unjudged(cases.transports), *disk_notes(broker))
    # Topics come last: a broker is busy for a minute with what is left of a thousand deleted ones.
    few, many = [row for row in rows if row.group != TOPICS], [row for row in rows if row.group == TOPICS]
    first, *later = [part for part in (few, many) if part]
    parts = [(first, [(CONTROL, MACHINE)]), *((part, []) for part in later)]
    rounds = [(number, *part) for part in parts for number in range(1, chosen.rounds + 1)]
    for count, (number, part, others) in enumerate(rounds, 1):
        with_peers = have_peers(number, chosen.rounds, chosen.peer_rounds)
        plays = plays_of(part, cases.transports, with_peers)
        for name, case in order_of([*plays.values(), others], chance):
            cases.play(number, name, case)
        yield SpeedResult(
            started=started.isoformat(timespec="seconds"),
            took_s=time.monotonic() - began_s,
            origin=origin,
            broker=broker.description,
            machine=machine_words(load),
            notes=(*notes, *cut_off(count, len(rounds))),
            client=client_settings(CASES["saturate"].plan(YARDSTICK, chosen.duration_s)),
            seed=options.seed,
            rounds=chosen.rounds,
            peer_rounds=chosen.peer_rounds,
            duration_s=chosen.duration_s,
            groups=chosen.groups,
            producers=dict(cases.producers),
            transports=dict(cases.transports),
            played=tuple(cases.played),
        )


def _unjudged(transports: Mapping[str, str]) -> list[str]:
    absent = [name for name in TRANSPORTS if name not in transports.values()]
    return [f"nothing ran on the {name} transport, so its goals are not judged" for name in absent]
