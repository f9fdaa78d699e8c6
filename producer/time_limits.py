"""Time limits as moments of the monotonic clock, `math.inf` for none."""

from __future__ import annotations

import math
import time


def moment_after(timeout_s: float | None) -> float:
    """When a time limit is over."""
    return math.inf if timeout_s is None else time.monotonic() + timeout_s


def left_s(moment_s: float) -> float:
    """The time until then."""
    return max(moment_s - time.monotonic(), 0)


def as_timeout(moment_s: float) -> float | None:
    """The time until then, as asyncio has it."""
    return None if moment_s == math.inf else left_s(moment_s)
