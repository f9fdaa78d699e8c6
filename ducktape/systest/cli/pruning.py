"""Old results go when those of a root have become too many, the oldest first; it is told which.

Only what this harness made is ever removed: a directory below the root with the name that ducktape, or a night, gives
one, and with a mark in it. The mark is locked for as long as the run is at work, by its process and all that it forks,
so that no other run removes it; what `latest` leads to stays, too, and so does the newest.
"""

from __future__ import annotations

import fcntl
import re
import shutil
from pathlib import Path
from typing import IO

MARK = ".made-by-systest"
KEPT_GIB = 5.0
_SESSION = re.compile(r"\d{4}-\d\d-\d\d--\d{3,}")
_NIGHT = re.compile(r"\d{4}-\d\d-\d\d--\d\d-\d\d-\d\d")
_LATEST = "latest"
_GIB = 1 << 30


def mark(directory: Path) -> IO[str]:
    """Marks results as this harness's own; they are at work for as long as the file that is returned is open."""
    file = (directory / MARK).open("w", encoding="utf-8")
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def prune(root: Path, kept_gib: float) -> str | None:
    """Removes the oldest results below a root until no more than so many GiB are left of them.

    Returns:
        one sentence that says what was removed, and why; None if nothing was.
    """
    sizes = {each: _size(each) for each in _results_in(root)}
    total, removed = sum(sizes.values()), []
    latest = (root / _LATEST).resolve()
    for directory in sorted(sizes, key=lambda each: (each / MARK).stat().st_mtime)[:-1]:
        if total <= kept_gib * _GIB:
            break
        if directory.resolve() == latest or not _is_at_rest(directory):
            continue
        shutil.rmtree(directory, ignore_errors=True)
        total -= sizes[directory]
        removed.append(directory)
    if not removed:
        return None
    freed = sum(sizes[each] for each in removed) / _GIB
    names = removed[0].name if len(removed) == 1 else f"{removed[0].name} to {removed[-1].name}"
    return (
        f"removed the results of {len(removed)} older {'run' if len(removed) == 1 else 'runs'}, {names} "
        f"({freed:.2f} GiB), as {root} is to keep {kept_gib:g} GiB; see --keep-results"
    )


def _results_in(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return [
        each
        for each in root.iterdir()
        if (_SESSION.fullmatch(each.name) or _NIGHT.fullmatch(each.name))
        and each.is_dir()
        and not each.is_symlink()
        and (each / MARK).is_file()
    ]


def _is_at_rest(directory: Path) -> bool:
    with (directory / MARK).open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def _size(directory: Path) -> int:
    return sum(file.lstat().st_size for file in directory.rglob("*") if not file.is_dir())
