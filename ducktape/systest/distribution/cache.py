"""The per-user cache: where it is, one process at a time, and nothing half-made ever visible.

Whatever is put here is built beside its final place and renamed into it, so that a reader never needs a lock
and a process that is killed leaves only a `partial-*` directory, which the next holder of the lock removes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from systest.distribution.errors import DistributionUnavailable

_LOCK_LIMIT_S = 300.0
_PARTIAL_PREFIX = "partial-"


def cache_root() -> Path:
    """`$SYSTEST_CACHE`, or `kafka-systest` in `$XDG_CACHE_HOME` or `~/.cache`. May not exist yet."""
    if chosen := os.environ.get("SYSTEST_CACHE"):
        return Path(chosen).expanduser().absolute()
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The specification has a relative one ignored.
    return (caches if caches.is_absolute() else Path.home() / ".cache") / "kafka-systest"


def key_of(files: Sequence[str], *facts: str) -> str:
    """A short name that changes with any of `facts`, and with each file's place, size and time of change.

    Whole seconds: the JVM itself looks no closer, and a file in a container's image keeps no more.
    """
    digest = hashlib.sha256()
    for fact in facts:
        digest.update(f"{fact}\n".encode())
    for file in files:
        status = Path(file).stat()
        digest.update(f"{file} {status.st_size} {int(status.st_mtime)}\n".encode())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def exclusive(directory: Path, limit_s: float = _LOCK_LIMIT_S) -> Iterator[None]:
    """Holds `directory` against every other process on this machine, making it if need be.

    Two processes that want the same thing build it once. The lock goes with the process, however it ends.
    Raises DistributionUnavailable if the directory can't be written or the lock isn't free in `limit_s`.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / ".lock").open("w")
    except OSError as error:
        raise DistributionUnavailable(
            f"The cache {directory} can't be written ({error.strerror}); "
            "set SYSTEST_CACHE to a directory that can."
        ) from error
    with lock:
        _acquire(lock.fileno(), directory, limit_s)
        for leftover in directory.glob(_PARTIAL_PREFIX + "*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield


def _acquire(descriptor: int, directory: Path, limit_s: float) -> None:
    deadline_s = time.monotonic() + limit_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline_s:
                raise DistributionUnavailable(
                    f"Another process holds {directory} for {limit_s:.0f} s now; wait for its end, or end it."
                ) from None
            time.sleep(0.1)
        else:
            return


@contextlib.contextmanager
def partial(directory: Path) -> Iterator[Path]:
    """A new directory in `directory` to build in; gone afterwards. Hold `exclusive(directory)` meanwhile."""
    path = Path(tempfile.mkdtemp(prefix=_PARTIAL_PREFIX, dir=directory))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
