"""How sure a median is."""

from __future__ import annotations

import math
from collections.abc import Sequence

CONFIDENCE = 0.95


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """An interval that holds the true median with at least this confidence; None where there are too few values.

    Its ends are two of the values themselves. Each value is as likely below the true median as above it, so how many
    of n are below it is binomial: the k-th least is above the median only if fewer than k are below it. That is exact
    for values of any distribution. Rounds on a shared machine have outliers on one side, which a t-interval would take
    for symmetrical noise; and a bootstrap of ten values is no better than they are, and has a seed. Ten rounds give the
    second least to the second greatest, with 97.9 %; fewer than six can't give 95 %.
    """
    ordered, count = sorted(values), len(values)
    tail = (1 - confidence) / 2
    rank, below = 0, 0.5**count
    while below <= tail:
        rank += 1
        below += math.comb(count, rank) * 0.5**count
    return (ordered[rank - 1], ordered[count - rank]) if rank else None
