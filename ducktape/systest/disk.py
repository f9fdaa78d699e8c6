"""Whether there is room: for a run, whose logs and histories go to the temporary directory, and for its results."""

from __future__ import annotations

import shutil
from pathlib import Path

WANTED_GIB = 2.0
FULL_BYTES = 8 << 20


def free_gib(directory: Path) -> float:
    """Free space where the directory is, or would be made."""
    there = directory.resolve()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free / 2**30


def full(results: Path) -> str | None:
    """One sentence if there is no room left for results while a run is at work; None if there is."""
    free = free_gib(results) * 2**30
    if free >= FULL_BYTES:
        return None
    return (
        f"the disk of the results, {results}, is full, {free / 2**20:.1f} MiB are free; free some, "
        "or choose a larger disk with --results-root"
    )


def shortage(directory: Path) -> str | None:
    """One sentence if a run might not fit, saying what to do; None if it does."""
    free = free_gib(directory)
    if free >= WANTED_GIB:
        return None
    return (
        f"{directory} has {free:.1f} GiB free and a run needs {WANTED_GIB:.0f}; free some, "
        "or choose a larger disk with TMPDIR (data) or --results-root (reports)"
    )
