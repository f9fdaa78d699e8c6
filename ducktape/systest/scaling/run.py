"""The scaling curves, played: rounds of every case on one warm broker, by what plays the speed table's."""

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
from systest.scaling.axes import AXIS_NAMES, CASES, WARM_UP, axes_named
from systest.scaling.result import ScalingResult
from systest.services.broker import Broker
from systest.speed.play import CasePlayer, Say, check_rounds, cut_off, disk_notes, machine_words, order_of
from systest.strategies import PEERS
from systest.strategies.transports import without_twin

GLOBAL = "scaling"
REPORT = "scaling.json"
"""The file in a test's results that holds the result."""


@dataclass(frozen=True, slots=True)
class ScalingOptions:
    """Along what to measure, and how often; which strategies, the run's own options say.

    Args:
        axes: by name.
        rounds: how often each case is played.
        duration_s: measured time of each.
        up_to: the greatest number along each axis; None for all there are.

    Raises:
        ValueError: one sentence saying what is wrong and what would be right.
    """

    axes: tuple[str, ...] = AXIS_NAMES
    rounds: int = 3
    duration_s: float = 1.0
    up_to: int | None = None

    def __post_init__(self) -> None:
        axes_named(self.axes)
        check_rounds(self.rounds, 0, self.duration_s)

    @classmethod
    def from_globals(cls, user_globals: Mapping[str, Any]) -> ScalingOptions:
        """The options in ducktape's global `scaling`; all axes where it says nothing.

        Its `axes` are names with commas between them, as a user writes them. Raises ValueError as the class does, and
        for a name that is none of its fields.
        """
        given = dict(user_globals.get(GLOBAL, {}))
        known = [each.name for each in fields(cls)]
        if unknown := sorted(given.keys() - set(known)):
            raise ValueError(
                f"there is no option {unknown[0]!r} in the global {GLOBAL!r}; there are {', '.join(known)}, "
                "and --strategies beside it"
            )
        if "axes" in given:
            given["axes"] = tuple(name.strip() for name in given["axes"].split(",") if name.strip())
        return cls(**given)


def play_scaling(
    chosen: ScalingOptions, options: RunOptions, broker: Broker, player: RoundPlayer, say: Say
) -> Iterator[ScalingResult]:
    """Plays the curves, and gives after each round the result so far, so that a run that is cut off has one.

    In each round the axes come in an order that chance decides, and all that is played along one, too; those that leave
    a broker much to clear away come when the others have had all their rounds. Before the first, all but the peers play
    once for nothing. Who fails at a case is a line of the result, which is not verified then unless it was a peer.

    Args:
        chosen: what of them.
        options: strategies, seed and broker, as the user has them.
        broker: a started one.
        player: on that broker.
        say: is told of each play in a line.
    """
    started, began_s = datetime.now(timezone.utc), time.monotonic()
    load, origin = os.getloadavg()[0], origin_of(options.command)
    axes, chance = axes_named(chosen.axes), random.Random(options.seed)
    cases = CasePlayer(player, CASES, chosen.duration_s, chosen.rounds, say)
    names, left_out = without_twin(options.strategies, player.why_pure)
    for note in left_out:
        say(note)
    for name in names:
        if name not in PEERS:
            cases.warm_up(name, WARM_UP)
    notes = (*options.notes, *left_out, *disk_notes(broker))
    parts = [
        part for is_heavy in (False, True) if (part := [axis for axis in axes if axis.is_heavy is is_heavy])
    ]
    rounds = [(number, part) for part in parts for number in range(1, chosen.rounds + 1)]
    for count, (number, part) in enumerate(rounds, 1):
        plays = [axis.plays(names, chosen.up_to) for axis in part]
        for name, case in order_of(plays, chance):
            cases.play(number, name, case)
        yield ScalingResult(
            started=started.isoformat(timespec="seconds"),
            took_s=time.monotonic() - began_s,
            origin=origin,
            broker=broker.description,
            machine=machine_words(load),
            notes=(*notes, *cut_off(count, len(rounds))),
            client=client_settings(CASES[WARM_UP].plan(names[0], chosen.duration_s)),
            seed=options.seed,
            rounds=chosen.rounds,
            duration_s=chosen.duration_s,
            axes=tuple(axis.name for axis in axes),
            strategies=names,
            producers=dict(cases.producers),
            transports=dict(cases.transports),
            played=tuple(cases.played),
        )
