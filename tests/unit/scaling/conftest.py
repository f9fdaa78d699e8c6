"""A run of the scaling curves with costs made up by strategy and case."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from systest import strategies
from systest.scaling.axes import AXIS_NAMES, axes_named
from systest.scaling.result import ScalingResult
from tests.unit.speed.conftest import BOTH, ORIGIN, Costs, made_up

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
            play
            for number in range(1, rounds + 1)
            for axis in axes_named(axes)
            for play in made_up(number, axis.plays(names), costs)
        ]
        return ScalingResult(
            started="2026-11-25T00:00:00+00:00",
            took_s=1_500.0,
            origin=ORIGIN,
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
