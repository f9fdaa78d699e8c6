"""Evidence of a round that failed: all of it where it fits, and in any case what was found, and a line that tells."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from systest import evidence
from systest.evidence import keep

MIB = 1 << 20
PROBLEMS = ["lost-write (1): record 7 of producer 0 was acknowledged at 3@12 and is not in the log"]


def history(directory: Path, mib: int) -> Path:
    """As much noise, which can't be compressed."""
    directory.mkdir()
    (directory / "settled_ns").write_bytes(np.random.default_rng(1).bytes(mib * MIB))
    (directory / "manifest.json").write_text("{}")
    return directory


def test_keep__what_fits__gives_back_the_very_files(tmp_path: Path) -> None:
    one = history(tmp_path / "one", 2)
    line = keep({"001-async": one}, PROBLEMS, tmp_path / "evidence" / "001")
    kept = tmp_path / "evidence" / "001"
    assert line == f"evidence: {kept}, 2.0 MiB"
    assert (kept / "problems.txt").read_text("utf-8") == PROBLEMS[0] + "\n"
    with tarfile.open(kept / "001-async.tar.gz") as archive:
        again = archive.extractfile("one/settled_ns")
        assert again is not None
        assert again.read() == (one / "settled_ns").read_bytes()


@pytest.mark.parametrize("bound", [{"round_max": 3 * MIB}, {"test_max": 3 * MIB}], ids=str)
def test_keep__more_than_a_bound__keeps_what_fits_and_names_what_does_not(
    tmp_path: Path, bound: dict[str, int]
) -> None:
    both = {"small": history(tmp_path / "small", 2), "large": history(tmp_path / "large", 4)}
    line = keep(both, PROBLEMS, tmp_path / "evidence" / "001", **bound)
    assert line.endswith("large (4 MiB unpacked)")
    assert "not kept, for want of room within" in line
    assert {each.name for each in (tmp_path / "evidence/001").iterdir()} == {"problems.txt", "small.tar.gz"}


def test_keep__round_after_round__all_of_a_test_are_bounded(tmp_path: Path) -> None:
    one = history(tmp_path / "one", 2)
    lines = [keep({"w": one}, PROBLEMS, tmp_path / "evidence" / f"{n}", test_max=5 * MIB) for n in range(9)]
    assert ["not kept" in line for line in lines] == [False, False, *7 * [True]]
    assert evidence._size(tmp_path / "evidence") < 5 * MIB


def test_keep__on_a_disk_with_little_room__leaves_it_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "LEFT_FREE_BYTES", 1 << 60)
    line = keep({"w": history(tmp_path / "one", 1)}, PROBLEMS, tmp_path / "evidence" / "001")
    assert "not kept" in line
    assert "what the disk has free" in line
