"""What a user may choose of the speed table, and in which order it is played."""

from __future__ import annotations

import random
from typing import Any

import pytest

from systest.speed.play import have_peers, order_of
from systest.speed.rows import GROUPS, MACHINE, plays_of, rows_of
from systest.speed.run import SpeedOptions
from systest.strategies import CONTROL
from tests.unit.speed.conftest import BOTH


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


def test_peers__fewer_rounds_than_there_are__are_spread() -> None:
    assert [number for number in range(1, 11) if have_peers(number, rounds=10, peer_rounds=2)] == [5, 10]
    assert not any(have_peers(number, rounds=3, peer_rounds=0) for number in range(1, 4))
    assert all(have_peers(number, rounds=3, peer_rounds=3) for number in range(1, 4))


def test_order__of_every_round__has_each_play_once_in_an_order_of_its_own_and_parts_close_together() -> None:
    chance = random.Random(1)
    plays = plays_of(rows_of(("saturation", "open")), BOTH, with_peers=True)
    orders = [order_of([*plays.values(), ((CONTROL, MACHINE),)], chance) for _ in range(4)]
    for order in orders:
        assert sorted(order) == sorted([*plays["saturation"], *plays["open"], (CONTROL, MACHINE)])
        at = [index for index, play in enumerate(order) if play in plays["saturation"]]
        assert at == list(range(at[0], at[0] + len(at)))
    assert len({tuple(order) for order in orders}) == 4


def test_order__same_seed__is_the_same() -> None:
    parts = plays_of(rows_of(("open",)), BOTH, with_peers=True).values()
    first, second = (order_of(parts, random.Random(5)) for _ in range(2))
    assert first == second
