"""What is kept of a round whose checks did not hold: its histories, compressed and within bounds, and what was found.

A history of millions of records is hundreds of megabytes, and a bad run has many bad rounds. So each round's evidence
has a bound, all of a test's have one, and some room is left on the disk; what does not fit is not kept, and is told.
The counter-examples themselves are always kept: they are short, and name their records.

    evidence/003-async/problems.txt     the anomalies, with counter-examples
    evidence/003-async/001-003-async.tar.gz    the history of that worker: columns as `systest.history` has them
"""

from __future__ import annotations

import contextlib
import gzip
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, cast

ROUND_BYTES_MAX = 128 << 20
TEST_BYTES_MAX = 256 << 20
LEFT_FREE_BYTES = 1 << 30
_LEVEL = 1  # columns of times and offsets shrink by it to a third, and no further by more
_MIB = 1 << 20


def keep(
    histories: Mapping[str, Path],
    problems: Sequence[str],
    kept: Path,
    *,
    round_max: int = ROUND_BYTES_MAX,
    test_max: int = TEST_BYTES_MAX,
) -> str:
    """Keeps what fits of a round's evidence; returns a line that says where it is, how large, and what is not there.

    Args:
        histories: directories by the worker's name.
        problems: what was found.
        kept: directory for it; beside it is what is kept of the test's other rounds.
        round_max: bytes for this round.
        test_max: bytes for all rounds of the test.
    """
    kept.mkdir(parents=True)
    (kept / "problems.txt").write_text("\n".join(problems) + "\n", "utf-8")
    left_out = []
    for name, history in histories.items():
        room = min(
            round_max - _size(kept),
            test_max - _size(kept.parent),
            shutil.disk_usage(kept).free - LEFT_FREE_BYTES,
        )
        if not _packed(history, kept / f"{name}.tar.gz", room):
            left_out.append(f"{name} ({_size(history) / _MIB:.0f} MiB unpacked)")
    line = f"evidence: {kept}, {_size(kept) / _MIB:.1f} MiB"
    if not left_out:
        return line
    return (
        f"{line}; not kept, for want of room within {round_max / _MIB:.0f} MiB a round, {test_max / _MIB:.0f} MiB "
        f"a test and what the disk has free: {', '.join(left_out)}"
    )


class _FullError(Exception):
    """There is no room for more."""


class _Bounded:
    """A file that takes no more than `room` bytes."""

    def __init__(self, file: IO[bytes], room: int) -> None:
        self._file = file
        self._room = room

    def write(self, data: bytes) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise _FullError
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def _packed(directory: Path, archive: Path, room: int) -> bool:
    """Whether the directory, compressed, fits into the room; the archive is there only then."""
    try:
        with archive.open("wb") as file:
            bounded = cast("IO[bytes]", _Bounded(file, room))
            with (
                gzip.GzipFile("", "wb", _LEVEL, bounded) as packed,
                tarfile.open(mode="w|", fileobj=packed) as tar,
            ):
                tar.add(directory, directory.name)
    except (_FullError, OSError):
        archive.unlink()
        return False
    return True


def _size(directory: Path) -> int:
    size = 0
    for file in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            size += file.lstat().st_size if file.is_file() else 0
    return size
