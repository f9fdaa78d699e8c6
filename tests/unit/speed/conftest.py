"""A run of the speed table with figures made up by strategy and case."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import pytest

from systest.metrics import RoundFigures
from systest.origin import Origin
from systest.speed.cases import Played
from systest.speed.result import SpeedResult
from systest.speed.rows import GROUPS, MACHINE, plays_of, rows_of
from systest.strategies import CONTROL
from tests.unit.metrics.test_figures import figures_of, history, summary

#: Strategy and case -> its cost, by round; what is left out costs 1.
Costs = Mapping[tuple[str, str], Callable[[int], float]]
Make = Callable[..., SpeedResult]
ORIGIN = Origin("./run_ducktape.sh", "0123456789abcdef" * 2 + "01234567", is_clean=True)
BOTH = {"async": "compiled", "async-pure": "pure"}
PURE_ALONE = {"async": "pure"}


def figures(cost: float) -> RoundFigures:
    """All that costs is `cost` (us or ms), and the rate its reciprocal."""
    send = history([cost] * 50)
    base = figures_of(send, summary(send, lag_ns=(round(cost * 1e6),) * 5))
    return dataclasses.replace(
        base,
        throughput=dataclasses.replace(base.throughput, records_per_s=1e6 / cost),
        cpu=dataclasses.replace(base.cpu, client_us=cost, caller_us=cost),
    )


def made_up(number: int, plays: Iterable[tuple[str, str]], costs: Costs | None) -> list[Played]:
    """A round of these strategies and cases, verified."""
    return [
        Played(
            *(number, name, case, "" if name == CONTROL else "pass", (), 50),
            figures((costs or {}).get((name, case), lambda _: 1.0)(number)),
        )
        for name, case in plays
    ]


@pytest.fixture
def result() -> Make:
    def make(
        costs: Costs | None = None,
        *,
        rounds: int = 10,
        groups: tuple[str, ...] = GROUPS,
        peer_rounds: int = 3,
        transports: Mapping[str, str] = PURE_ALONE,
    ) -> SpeedResult:
        played = [
            play
            for number in range(1, rounds + 1)
            for part in [
                *plays_of(rows_of(groups), transports, number <= peer_rounds).values(),
                ((CONTROL, MACHINE),),
            ]
            for play in made_up(number, part, costs)
        ]
        return SpeedResult(
            started="2026-11-24T00:00:00+00:00",
            took_s=1_200.0,
            origin=ORIGIN,
            broker="Apache Kafka 4.3.0, 1 broker",
            machine="2 cores",
            notes=("Kafka can't be had.",),
            client={"acks": "all", "enable.idempotence": True},
            seed=7,
            rounds=rounds,
            peer_rounds=peer_rounds,
            duration_s=2.0,
            groups=groups,
            producers={"sync": "confluent-kafka; one call a record"},
            transports=transports,
            played=tuple(played),
        )

    return make
