"""A run of the scaling curves with costs made up by strategy and case."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from systest import strategies
from systest.scaling.axes import AXIS_NAMES, axes_named
from systest.scaling.result import ScalingResult
from systest.speed.cases import Played
from systest.strategies import CONTROL
from tests.unit.speed.conftest import BOTH, figures

#: Strategy and case -> its CPU time, by round; what is left out costs 1 us.
Costs = Mapping[tuple[str, str], Callable[[int], float]]
Make = Callable[..., ScalingResult]


@pytest.fixture
def result() -> Make:
    def make(
        costs: Costs | None = None,
        *,
        rounds: int = 3,
        axes: tuple[str, ...] = AXIS_NAMES,
        names: tuple[str, ...] = strategies.NAMES,
    ) -> ScalingResult:
        played = [
            Played(
                *(number, name, case, "" if name == CONTROL else "pass", (), 50),
                figures((costs or {}).get((name, case), lambda _: 1.0)(number)),
            )
            for number in range(1, rounds + 1)
            for axis in axes_named(axes)
            for name, case in axis.plays(names)
        ]
        return ScalingResult(
            started="2026-11-25T00:00:00+00:00",
            took_s=1_500.0,
            broker="Apache Kafka 4.3.0, 1 broker",
            machine="2 cores",
            notes=("Kafka can't be had.",),
            client={"acks": "all", "enable.idempotence": True},
            seed=7,
            rounds=rounds,
            duration_s=1.0,
            axes=axes,
            strategies=names,
            producers={"sync": "confluent-kafka; one call a record"},
            transports={name: transport for name, transport in BOTH.items() if name in names},
            played=tuple(played),
        )

    return make
