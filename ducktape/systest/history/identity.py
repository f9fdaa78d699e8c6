"""`RecordStream` for many records at once; shared by the reader, which recognises them, and the checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from systest.workloads.stream import NO_KEY, RecordStream

_MULTIPLIER = np.uint64(2654435761)


def key_indices(stream: RecordStream, sequences: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint64]:
    """`RecordStream.key_index` of each sequence number, which must not be negative."""
    if not stream.keys:
        return np.full(len(sequences), NO_KEY, np.uint64)
    indices: npt.NDArray[np.uint64] = sequences.astype(np.uint64) * _MULTIPLIER % np.uint64(stream.keys)
    return indices
