"""Whether a figure that was measured in several rounds keeps to a bound: a goal of the speed table, or a gate."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.Enum):
    """Met or not if the noise can't change it; undecided while the interval has both in it, or there is none.

    Not judged is what has no figure at all.
    """

    MET = "met"
    NOT_MET = "not met"
    UNDECIDED = "undecided"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True, slots=True)
class Bound:
    """On a ratio, or on a figure that is no ratio."""

    limit: float
    at_least: bool = False

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


def verdict_of(bound: Bound, value: float | None, interval: tuple[float, float] | None) -> Verdict:
    """Of a figure's median and its interval: met if the bound holds all through it, not met if nowhere in it."""
    if value is None:
        return Verdict.NOT_JUDGED
    if interval is None:
        return Verdict.UNDECIDED
    low, high = interval
    if bound.holds(low) != bound.holds(high):
        return Verdict.UNDECIDED
    return Verdict.MET if bound.holds(low) else Verdict.NOT_MET
