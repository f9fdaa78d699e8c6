"""What a run of the scaling curves found: every round's figures, and from them the curves. Pure."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import cached_property

from systest.metrics import figure_at
from systest.reports import document
from systest.scaling.axes import View, views_of
from systest.speed.cases import CaseRun, Played
from systest.strategies import CONTROL


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A cost at one value of an axis: its median over the rounds, and the least and the most of them."""

    value: int
    median: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Curve:
    """A strategy's costs along an axis, where it has any."""

    strategy: str
    points: tuple[CurvePoint, ...]

    def at(self, value: int) -> CurvePoint | None:
        return next((each for each in self.points if each.value == value), None)


@dataclass(frozen=True, kw_only=True)
class ScalingResult(CaseRun):
    """One run.

    Args:
        axes: those that were measured, by name.
        strategies: those that played, in the order of the tables.
    """

    axes: tuple[str, ...]
    strategies: tuple[str, ...]

    @property
    def views(self) -> tuple[View, ...]:
        return views_of(self.axes)

    def curves(self, view: View) -> tuple[Curve, ...]:
        """Of those strategies that have any point there, in the order of the tables; asyncio alone last."""
        curves = (
            Curve(
                name,
                tuple(point for value in view.axis.cases if (point := self._point(view, name, value))),
            )
            for name in (*self.strategies, CONTROL)
        )
        return tuple(curve for curve in curves if curve.points)

    def to_json(self) -> str:
        """The curves for whoever only reads, then everything that they were made of."""
        curves = [
            {
                "axis": view.axis.name,
                "cost": view.label,
                "curves": document.plain(self.curves(view)),
            }
            for view in self.views
        ]
        return document.to_json(self, curves=curves)

    @classmethod
    def from_json(cls, text: str) -> ScalingResult:
        """The result in a file. Raises ValueError, one sentence, if it is none."""
        return document.from_json(cls, text)

    @cached_property
    def _counting(self) -> dict[tuple[str, str], list[Played]]:
        found: dict[tuple[str, str], list[Played]] = {}
        for each in self.played:
            if each.counts:
                found.setdefault((each.strategy, each.case), []).append(each)
        return found

    def _point(self, view: View, strategy: str, value: int) -> CurvePoint | None:
        costs = [
            view.cost(value, cpu_us)
            for each in self._counting.get((strategy, view.axis.case_name(value)), [])
            if each.figures is not None and (cpu_us := figure_at(each.figures, view.axis.metric))
        ]
        if not costs:
            return None
        return CurvePoint(value, statistics.median(costs), min(costs), max(costs), len(costs))
