"""Old results go, the oldest first, until what is left fits; nothing goes that is not this harness's, or is in use."""

from __future__ import annotations

import os
from pathlib import Path

from systest.cli.pruning import MARK, mark, prune

MIB = 1 << 20
GIB = 1 / 1024
"""A MiB, in GiB."""


def results(root: Path, name: str, *, age: int, mib: int = 1, marked: bool = True) -> Path:
    directory = root / name
    (directory / "ATest").mkdir(parents=True)
    (directory / "ATest" / "history").write_bytes(bytes(mib * MIB))
    if marked:
        mark(directory).close()
        os.utime(directory / MARK, (1e9 - age, 1e9 - age))
    return directory


def test_prune__more_than_is_to_be_kept__removes_the_oldest_and_tells(tmp_path: Path) -> None:
    old, middle, new = (results(tmp_path, f"2026-01-01--00{n}", age=9 - n) for n in range(3))
    told = prune(tmp_path, 2.5 * GIB)
    assert [each.exists() for each in (old, middle, new)] == [False, True, True]
    assert told is not None
    assert "removed the results of 1 older run, 2026-01-01--000 (0.00 GiB)" in told
    assert "--keep-results" in told


def test_prune__what_fits__removes_nothing_and_says_nothing(tmp_path: Path) -> None:
    kept = [results(tmp_path, f"2026-01-01--00{n}", age=9 - n) for n in range(3)]
    assert prune(tmp_path, 3.5 * GIB) is None
    assert all(each.exists() for each in kept)


def test_prune__of_nights__knows_their_names(tmp_path: Path) -> None:
    old, new = (results(tmp_path, f"2026-01-0{n}--01-02-03", age=9 - n) for n in (1, 2))
    prune(tmp_path, 0)
    assert [each.exists() for each in (old, new)] == [False, True]


def test_prune__with_no_room_at_all__spares_the_newest_the_latest_and_what_is_at_work(tmp_path: Path) -> None:
    at_work, latest, old, new = (results(tmp_path, f"2026-01-01--00{n}", age=9 - n) for n in range(4))
    (tmp_path / "latest").symlink_to(latest)
    with mark(at_work):
        os.utime(at_work / MARK, (1e9 - 9, 1e9 - 9))
        prune(tmp_path, 0)
    assert [each.exists() for each in (at_work, latest, old, new)] == [True, True, False, True]


def test_prune__what_somebody_else_made__stays(tmp_path: Path) -> None:
    others = [
        results(tmp_path, "2026-01-01--001", age=9, marked=False),
        results(tmp_path, "2026-01-01--notes", age=8),
        results(tmp_path, "thesis", age=7),
    ]
    elsewhere = results(tmp_path / "elsewhere", "2026-01-01--001", age=6)
    link = tmp_path / "2026-01-01--002"
    link.symlink_to(elsewhere)
    results(tmp_path, "2026-01-01--003", age=0)
    assert prune(tmp_path, 0) is None
    assert all(each.exists() for each in (*others, elsewhere, link))


def test_prune__where_nothing_is__does_nothing(tmp_path: Path) -> None:
    assert prune(tmp_path / "nowhere", 0) is None
