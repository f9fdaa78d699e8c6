"""The one percentile that all figures mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def percentile(sorted_values: npt.NDArray[Any], percent: float) -> float:
    """The smallest sample that at least `percent` of them don't exceed: a value that was really seen."""
    rank = int(np.ceil(len(sorted_values) * percent / 100))
    return float(sorted_values[max(rank, 1) - 1])
