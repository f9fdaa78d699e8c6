"""What a user may choose of the speed table, and in which order it is played."""

from __future__ import annotations

import random
from typing import Any

import pytest

from systest.speed.rows import GROUPS, MACHINE, PEERS, plays_of, rows_of
from systest.speed.run import SpeedOptions, order_of
from systest.strategies import CONTROL


def test_options__nothing_said__are_the_whole_table() -> None:
    chosen = SpeedOptions.from_globals({})
    assert (chosen.groups, chosen) == (GROUPS, SpeedOptions())
    assert chosen.rounds >= 10


def test_options__rows_and_rounds__are_taken_as_a_user_writes_them() -> None:
    chosen = SpeedOptions.from_globals({"speed": {"rows": "open, tasks", "rounds": 1}})
    assert chosen == SpeedOptions(groups=("open", "tasks"), rounds=1, peer_rounds=1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rows": "sprint"}, "no rows 'sprint'; choose from saturation"),
        ({"rows": ""}, "no rows to measure"),
        ({"rounds": 0}, "0 rounds can't be run"),
        ({"rounds": 2, "peer_rounds": 3}, "peers can't have 3 of 2 rounds"),
        ({"duration_s": 0}, "a duration of 0 s"),
        ({"round": 3}, "no option 'round' in the global 'speed'; there are rows, rounds"),
    ],
)
def test_options__that_cannot_be__are_refused_in_a_sentence(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SpeedOptions.from_globals({"speed": given})


def test_order__of_every_round__has_the_same_plays_by_group_and_the_peers_spread() -> None:
    chosen, chance = SpeedOptions(rounds=10, peer_rounds=2), random.Random(1)
    rows = rows_of(("saturation", "open"))
    orders = [list(order_of(rows, [(CONTROL, MACHINE)], number, chosen, chance)) for number in range(1, 11)]
    with_peers = [number for number, order in enumerate(orders, 1) if any(name in PEERS for name, _ in order)]
    assert with_peers == [5, 10]
    for number, order in enumerate(orders, 1):
        wanted = plays_of(rows, with_peers=number in with_peers)
        assert sorted(order) == sorted([*wanted["saturation"], *wanted["open"], (CONTROL, MACHINE)])
        at = [index for index, play in enumerate(order) if play in wanted["saturation"]]
        assert at == list(range(at[0], at[0] + len(at)))  # close together
    assert len({tuple(order) for order in orders[:4]}) == 4


def test_order__same_seed__is_the_same() -> None:
    rows, chosen = rows_of(("open",)), SpeedOptions()
    first, second = (list(order_of(rows, [], 1, chosen, random.Random(5))) for _ in range(2))
    assert first == second
