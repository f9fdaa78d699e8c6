"""What the repository tracks: files in places that have a meaning, no links, nothing that somebody's test left."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[3]
LIMIT_S = 60.0
FILE, PROGRAM = "100644", "100755"
PLACES = (".ci", ".ducktape", ".github", "docker", "docs", "ducktape", "producer", "tests", "vagrant")
AT_THE_ROOT = (
    *(".dockerignore", ".gitignore", "LICENSE", "README.md"),
    *("pyproject.toml", "run_ducktape.sh", "run_tests.sh", "setup.cfg", "setup.py"),
)


@pytest.fixture
def tracked() -> dict[PurePosixPath, str]:
    """The mode of each path."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("what is tracked, git must say; install git and run this in a clone")
    # Of whoever the checkout is: git trusts no one else's by itself.
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "--stage", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    entries = [line.partition("\t") for line in listed.stdout.split("\0") if line]
    return {PurePosixPath(path): details.split()[0] for details, _, path in entries}


def test_tracked_path__each__is_a_regular_file(tracked: dict[PurePosixPath, str]) -> None:
    assert {path: mode for path, mode in tracked.items() if mode not in (FILE, PROGRAM)} == {}


def test_tracked_path__each__is_in_a_known_place(tracked: dict[PurePosixPath, str]) -> None:
    strangers = [
        path
        for path in tracked
        if path.parts[0] not in PLACES and not (len(path.parts) == 1 and path.name in AT_THE_ROOT)
    ]
    assert strangers == []
