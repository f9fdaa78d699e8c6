"""What a run of the speed table found: every round's figures, and from them each line with its verdict. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from systest.metrics import RoundFigures, figure_at
from systest.metrics.interval import median_interval
from systest.metrics.verdict import Bound, Verdict, verdict_of
from systest.reports import document
from systest.speed.cases import CaseRun
from systest.speed.rows import MACHINE, Row, rows_of
from systest.strategies import CONTROL, PEERS


@dataclass(frozen=True, slots=True)
class Line:
    """One row for one strategy under test; figures are medians over the rounds.

    Args:
        value: the strategy's figure; None for a flatness, which has but the ratio.
        base: the figure that it is divided by.
        ratio: of the two in the same round, or the figure itself where it is divided by none.
        low, high: the 95 % interval of `ratio`; None with too few rounds.
        goal: None where the contract asks nothing.
        verdict: None without a goal.
        peers: the others' ratio, None where they have none.
    """

    row: Row
    value: float | None
    base: float | None
    ratio: float | None
    low: float | None
    high: float | None
    goal: Bound | None
    verdict: Verdict | None
    peers: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class SpeedResult(CaseRun):
    """One run; `linger.ms` is 0 for one record at a time, whatever `client` says. The goals are those of `transports`.

    Args:
        peer_rounds: how often the peers were played, as `rounds` says it of the strategies under test.
        groups: the parts of the table that were measured.
    """

    peer_rounds: int
    groups: tuple[str, ...]

    @cached_property
    def _by_place(self) -> dict[tuple[int, str, str], RoundFigures]:
        return {
            (each.round, each.strategy, each.case): each.figures
            for each in self.played
            if each.figures is not None and each.counts
        }

    def lines(self, subject: str) -> tuple[Line, ...]:
        """The table for a strategy under test."""
        return tuple(self._line(row, subject) for row in rows_of(self.groups))

    def machine_ms(self, metric: str) -> float | None:
        """A figure of an event loop that had nearly nothing to do: what the machine itself adds to any latency."""
        values = self._values(metric, CONTROL, MACHINE)
        return statistics.median(values.values()) if values else None

    def to_json(self) -> str:
        """The table for whoever only reads, then everything that it was made of."""
        table = {subject: document.plain(self.lines(subject)) for subject in self.transports}
        return document.to_json(self, table=table)

    @classmethod
    def from_json(cls, text: str) -> SpeedResult:
        """The result in a file. Raises ValueError, one sentence, if it is none."""
        return document.from_json(cls, text)

    def _line(self, row: Row, subject: str) -> Line:
        ratios = self._ratios(row, subject)
        ratio, interval = _median(ratios), median_interval(ratios)
        low, high = interval or (None, None)
        goal = row.goals.get(self.transports[subject])
        return Line(
            row=row,
            value=None if row.is_flatness else self._median(row.metric, subject, row.cases[0]),
            base=None if row.over is None else self._median(row.metric, *row.over),
            ratio=ratio,
            low=low,
            high=high,
            goal=goal,
            verdict=None if goal is None else verdict_of(goal, ratio, interval),
            peers={name: _median(self._ratios(row, name)) for name in PEERS},
        )

    def _ratios(self, row: Row, strategy: str) -> list[float]:
        """One a round in which all that it takes was measured."""
        values = [self._values(row.metric, strategy, case) for case in row.cases]
        whole = sorted(set.intersection(*(set(each) for each in values)))
        if row.is_flatness:
            each_round = [[each[number] for each in values] for number in whole]
            return [max(figures) / min(figures) for figures in each_round if min(figures) > 0]
        [own] = values
        if row.over is None:
            return [own[number] for number in whole]
        base = self._values(row.metric, *row.over)
        return [own[number] / base[number] for number in whole if base.get(number)]

    def _values(self, metric: str, strategy: str, case: str) -> dict[int, float]:
        """By round."""
        found = {
            number: figure_at(figures, metric)
            for (number, name, at), figures in self._by_place.items()
            if (name, at) == (strategy, case)
        }
        return {number: value for number, value in found.items() if value is not None}

    def _median(self, metric: str, strategy: str, case: str) -> float | None:
        return _median(list(self._values(metric, strategy, case).values()))


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
