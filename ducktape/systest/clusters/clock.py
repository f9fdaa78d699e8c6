"""How far a node's clock is from the driver's, as NTP estimates it: pure, from questions and answers with their times.

Half of a round trip bounds the error, whatever the way there and the way back had of it; so the estimate is that of the
quickest one. No figure of this harness subtracts one machine's time from another's: a latency is of one worker's own
monotonic clock, and a record's timestamp is compared with what its producer wrote. What a skew does spoil is reading
logs of several nodes side by side, and a broker refuses records that come an hour from its future.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

APART_S = 0.1
"""From here on a skew is worth a sentence in the results."""


@dataclass(frozen=True, slots=True)
class Skew:
    """How far a node's clock is ahead of the driver's, `ahead_s`, give or take `error_s`."""

    ahead_s: float
    error_s: float

    @property
    def is_certain(self) -> bool:
        """Whether the clocks are apart by `APART_S`, even at the least."""
        return abs(self.ahead_s) - self.error_s > APART_S

    def __str__(self) -> str:
        return f"{1e3 * self.ahead_s:+,.1f} ms (give or take {1e3 * self.error_s:.1f})"


def skew(samples: Sequence[tuple[int, int, int]]) -> Skew:
    """Of samples of the driver's time, the node's, and the driver's again, each in nanoseconds; at least one."""
    before_ns, there_ns, after_ns = min(samples, key=lambda sample: sample[2] - sample[0])
    return Skew((there_ns - (before_ns + after_ns) / 2) / 1e9, (after_ns - before_ns) / 2e9)
