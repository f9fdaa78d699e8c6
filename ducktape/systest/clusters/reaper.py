"""Ends what a run left behind when its runner could not: after kill -9, a crash, a closed terminal.

A run is a directory and the processes that carry its id in their environment, that signed in there, or that descend
from its runner. The
reaper is a process of its own session that watches the runner; once that is gone it kills them all, removes the
directory and ends. While the runner lives it only looks. It touches nothing of any other run.

    python -m systest.clusters.reaper DIRECTORY RUN_ID OWNER
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from systest.clusters.owner import Owner, this_machine
from systest.processes import kill, marked, words

RUN_VARIABLE = "SYSTEST_RUN"
"""By this variable of its environment a process is known to belong to a run."""

_LOOK_S = 0.5
_SWEEPS_MAX = 50
_SWEEP_S = 0.1
_SIGNED_IN = "fork-"
_MODULE = "systest.clusters.reaper"


def main(argv: list[str]) -> int:
    directory, run_id, owner = Path(argv[0]), argv[1], Owner.from_label(argv[2])
    known: set[psutil.Process] = set()
    with contextlib.suppress(psutil.NoSuchProcess):  # it ends while it is looked at
        process = psutil.Process(owner.pid)
        while not owner.is_gone():
            if not directory.exists():
                return 0  # the runner cleaned up itself
            known |= {child for child in process.children(recursive=True) if not _is_reaper(child)}
            known = {child for child in known if child.is_running()}
            time.sleep(_LOOK_S)
    reap(directory, run_id, known)
    return 0


def reap(directory: Path, run_id: str, known: Iterable[psutil.Process] = ()) -> None:
    """Kills every process of the run, until none is left, and removes its directory.

    Args:
        directory: of the run.
        run_id: of the run.
        known: processes that belong to it without carrying its id; one whose pid is another's now is spared.
    """
    rest = set(known)
    for _ in range(_SWEEPS_MAX):
        left = [
            process
            for process in {*rest, *marked(RUN_VARIABLE, run_id), *_signed_in(directory)}
            if kill(process)
        ]
        if not left:
            break
        time.sleep(_SWEEP_S)
    shutil.rmtree(directory, ignore_errors=True)


def sign_in(directory: Path) -> None:
    """This process belongs to the run of this directory, if that is still there."""
    with contextlib.suppress(OSError):
        owner = Owner.this()
        (directory / f"{_SIGNED_IN}{owner.pid}-{owner.began}").touch()


def _signed_in(directory: Path) -> set[psutil.Process]:
    found = set()
    for file in directory.glob(f"{_SIGNED_IN}*"):
        pid, began = map(int, file.name.removeprefix(_SIGNED_IN).split("-"))
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if not Owner(this_machine(), pid, began).is_gone():
                found.add(process)
    return found


def _is_reaper(process: psutil.Process) -> bool:
    """One owner may have several, and each has work to do when the owner is gone."""
    return _MODULE in words(process)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
