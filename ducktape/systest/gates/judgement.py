"""From the rounds of a run and a gate to a verdict.

Rounds were interleaved: round n of one strategy and round n of another met the same machine, so a ratio is taken within
a round. Judged is the median over the rounds, by its confidence interval: a gate is failed only if the noise can't
explain it.

A gate of another workload, other records or another transport, or of strategies that did not run, is not judged and
says why. It is a failure if the run was one that it speaks of, and still has no figure for it: the strategy gave none,
or some check did not hold in one of its rounds, since what is not in the log has no throughput. Fewer rounds than show
the noise fail nobody, by whatever.

On a machine that others use elapsed time errs in one direction, and no number of rounds shows it: a scheduler is fair
to threads, so who has more of them gets more, and a rate of 1.7 times another's was 1.1 times it. So there the interval
of whatever depends on it, such as a rate or a latency, is taken twice as far both ways. CPU time needs no such room.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from systest.gates.gate import Gate
from systest.metrics import RoundFigures
from systest.metrics.interval import ROUNDS_MIN, median_interval
from systest.metrics.verdict import Verdict, verdict_of

_OTHERS_MAX_PERCENT = 25.0
_ROOM = 2.0


class PlayedRound(Protocol):
    """What must be known of one strategy's round; `verdict` is the checks'."""

    @property
    def position(self) -> int: ...
    @property
    def verdict(self) -> str: ...
    @property
    def figures(self) -> RoundFigures: ...
    @property
    def others_percent(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """What became of a gate.

    Args:
        gate: that one.
        verdict: on it.
        value: median over the rounds of the ratio, or of the figure; None if not judged.
        low, high: its 95 % interval, wider on a machine that others use; None with too few rounds.
        is_failure: whether the run fails by it.
        why: the reason where it is not judged, or has no interval or a wider one, else "".
    """

    gate: Gate
    verdict: Verdict
    value: float | None
    low: float | None
    high: float | None
    is_failure: bool
    why: str


def judge(
    gate: Gate,
    workload: str,
    played: Mapping[str, Mapping[str, Sequence[PlayedRound]]],
    transports: Mapping[str, str | None],
) -> GateVerdict:
    """The verdict on one gate.

    Args:
        gate: to be judged.
        workload: of the run, by its name.
        played: by the shape of the records each strategy's rounds, in the order in which they were played.
        transports: which of its transports each strategy's producer used, None for a library with but one way.
    """
    if gate.workload != workload:
        return _not_judged(gate, f"the gate is for {gate.workload}, and this run was {workload}")
    if gate.records not in played:
        return _not_judged(
            gate, f"the gate is for {gate.records} records, and this run had {', '.join(played)}"
        )
    rounds = played[gate.records]
    if absent := [name for name in gate.strategies if not rounds.get(name)]:
        return _not_judged(gate, f"{' and '.join(absent)} did not run")
    transport = transports.get(gate.strategy)
    if gate.transport is not None and gate.transport != transport:
        ran = (
            f"{gate.strategy} ran on the {transport} one"
            if transport
            else f"{gate.strategy} did not say which it had"
        )
        return _not_judged(gate, f"the gate is for the {gate.transport} transport, and {ran}")
    if why := _lack(gate, rounds):
        is_enough = len(rounds[gate.strategy]) >= ROUNDS_MIN
        return _not_judged(gate, why, is_failure=is_enough)
    own = [gate.metric.of(each.figures) or 0.0 for each in rounds[gate.strategy]]
    if gate.times is not None:
        others = [gate.metric.of(each.figures) or 0.0 for each in rounds[gate.times]]
        own = [value / other for value, other in zip(own, others, strict=True)]
    value, interval = statistics.median(own), median_interval(own)
    why = "" if interval else f"{ROUNDS_MIN} rounds or more show the noise"
    others_percent = _others_percent(gate, rounds)
    if interval and gate.metric.is_elapsed and others_percent > _OTHERS_MAX_PERCENT:
        interval = _widened(*interval)
        why = f"others took {others_percent:.0f} % of the machine, which widens it"
    verdict = verdict_of(gate.bound, value, interval)
    low, high = interval or (None, None)
    return GateVerdict(gate, verdict, value, low, high, verdict is Verdict.NOT_MET, why)


def _lack(gate: Gate, rounds: Mapping[str, Sequence[PlayedRound]]) -> str:
    """Why a figure of rounds that were played can't be had, "" if it can."""
    for name in gate.strategies:
        unverified = [str(each.position) for each in rounds[name] if each.verdict != "pass"]
        if unverified:
            return f"the records of {name} are not verified (position {', '.join(unverified)})"
        for each in rounds[name]:
            value = gate.metric.of(each.figures)
            if value is None:
                return f"{name} has no {gate.metric.label}: {gate.metric.why_not(each.figures)}"
            if name == gate.times and value <= 0:
                return f"nothing can be divided by {value:g}, the {gate.metric.label} of {name}"
    return ""


def _others_percent(gate: Gate, rounds: Mapping[str, Sequence[PlayedRound]]) -> float:
    found = [
        each.others_percent
        for name in gate.strategies
        for each in rounds[name]
        if each.others_percent is not None
    ]
    return statistics.median(found) if found else 0.0


def _widened(low: float, high: float) -> tuple[float, float]:
    return (
        low / _ROOM if low > 0 else low * _ROOM,
        high * _ROOM if high > 0 else high / _ROOM,
    )


def _not_judged(gate: Gate, why: str, is_failure: bool = False) -> GateVerdict:
    return GateVerdict(gate, Verdict.NOT_JUDGED, None, None, None, is_failure, why)
