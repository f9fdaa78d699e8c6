"""How sure a median is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

CONFIDENCE = 0.95
ROUNDS_MIN = 3
"""Fewer rounds say nothing about noise: no interval comes of them, and no winner."""

_T: Mapping[int, float] = {3: 4.3027, 4: 3.1824, 5: 2.7764}
"""Student's t by the number of values, for `CONFIDENCE`."""


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """An interval that holds the true median with `CONFIDENCE`; None where there are too few values.

    Of six values and more its ends are two of them. Each value is as likely below the true median as above it, so how
    many of n are below it is binomial: the k-th least is above the median only if fewer than k are below it. That is
    exact for values of any distribution. Rounds on a shared machine have outliers on one side, which a t-interval would
    take for symmetrical noise; and a bootstrap of ten values is no better than they are, and has a seed. Ten rounds
    give the second least to the second greatest, with 97.9 %.

    Fewer than six can't give 95 % that way. Three to five give the t-interval of their logarithms, since noise
    multiplies a rate or a latency; of themselves where one is not positive. It is wide, so that little is decided, and
    outliers make it wider. With three to five simulated rounds in which chance halved every tenth or fifth, it lay
    wholly on one wrong side of the median in 3.1 % of the runs at most, and in 4.9 % with exponential noise.
    """
    ordered, count = sorted(values), len(values)
    if count in _T:
        return _interval_of_few(ordered)
    tail = (1 - CONFIDENCE) / 2
    rank, below = 0, 0.5**count
    while below <= tail:
        rank += 1
        below += math.comb(count, rank) * 0.5**count
    return (ordered[rank - 1], ordered[count - rank]) if rank else None


def _interval_of_few(ordered: Sequence[float]) -> tuple[float, float]:
    if ordered[0] > 0:
        low, high = _t_interval([math.log(value) for value in ordered])
        return math.exp(low), math.exp(high)
    return _t_interval(ordered)


def _t_interval(values: Sequence[float]) -> tuple[float, float]:
    middle = statistics.fmean(values)
    half = _T[len(values)] * statistics.stdev(values) / math.sqrt(len(values))
    return middle - half, middle + half
