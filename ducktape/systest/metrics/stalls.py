"""Times in which nothing was acknowledged, and how soon a producer was itself again after each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from systest.metrics.percentile import percentile

STALL_S = 1.0
"""A shorter time without an acknowledgement is no stall: a slow caller or a full disk queue has those too."""
_BUCKET_S = 1.0
_NORMAL_TIMES = 5.0
_NORMAL_MS_MIN = 50.0


@dataclass(frozen=True, slots=True)
class Stall:
    """A time without an acknowledgement while records waited for one.

    `began_s` counts from the first call, `length_s` to the next acknowledgement. `back_to_normal_s` is how long after
    that the 99th percentile of a second's calls was again at most five times what it was before the first stall (or
    50 ms, where that is more); None if it never was, or if nothing came before.
    """

    began_s: float
    length_s: float
    back_to_normal_s: float | None


def stalls(called_ns: npt.NDArray[Any], settled_ns: npt.NDArray[Any]) -> tuple[Stall, ...]:
    """The stalls of a producer, in order.

    Args:
        called_ns, settled_ns: of its acknowledged records: when each was called and when its caller learned of it.
    """
    if not len(called_ns):
        return ()
    first_ns = int(called_ns.min())
    called_s, settled_s = (called_ns - first_ns) / 1e9, (settled_ns - first_ns) / 1e9
    order = np.sort(settled_s)
    gaps = np.flatnonzero(np.diff(order) > STALL_S)
    spans = [
        (float(order[gap]), float(order[gap + 1]))
        for gap in gaps
        if np.any((called_s < order[gap + 1] - STALL_S) & (settled_s >= order[gap + 1]))
    ]
    if not spans:
        return ()
    latency_ms = (settled_s - called_s) * 1e3
    before = np.sort(latency_ms[settled_s <= spans[0][0]])
    limit_ms = max(_NORMAL_TIMES * percentile(before, 99), _NORMAL_MS_MIN) if len(before) else None
    ends = [*(began_s for began_s, _ in spans[1:]), float(np.max(called_s))]
    return tuple(
        Stall(began_s, ended_s - began_s, _normal_after(called_s, latency_ms, (ended_s, until_s), limit_ms))
        for (began_s, ended_s), until_s in zip(spans, ends, strict=True)
    )


def _normal_after(
    called_s: npt.NDArray[Any], latency_ms: npt.NDArray[Any], span_s: Sequence[float], limit_ms: float | None
) -> float | None:
    if limit_ms is None:
        return None
    from_s, until_s = span_s
    for start_s in np.arange(from_s, until_s, _BUCKET_S):
        calls = np.sort(latency_ms[(called_s >= start_s) & (called_s < start_s + _BUCKET_S)])
        if len(calls) and percentile(calls, 99) <= limit_ms:
            return float(start_s - from_s)
    return None
