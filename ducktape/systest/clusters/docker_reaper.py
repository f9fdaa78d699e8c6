"""Removes what a run has in Docker when its runner could not: after kill -9, a crash, a closed terminal.

    python -m systest.clusters.docker_reaper DIRECTORY RUN_ID OWNER

Takes the place of `systest.clusters.reaper` for such a run, since two would end each other's commands. A process of its
own session that watches the runner. Once that is gone it removes all that the engine has of the run, ends the run's
Docker clients, and last removes the directory, with the key. While the runner lives it only looks; it ends when the
runner has removed the directory itself.
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

from systest.clusters.docker_objects import remove
from systest.clusters.engine import Engine
from systest.clusters.owner import Owner
from systest.clusters.place import PlaceUnavailable
from systest.clusters.reaper import reap

_LOOK_S = 0.5
# A container that a client was asking for when it ended may still be on its way.
_SWEEPS = 4
_SWEEP_S = 1.0


def main(argv: list[str]) -> int:
    directory, run_id, owner = Path(argv[0]), argv[1], Owner.from_label(argv[2])
    while not owner.is_gone():
        if not directory.exists():
            return 0
        time.sleep(_LOOK_S)
    for _ in range(_SWEEPS):
        with contextlib.suppress(PlaceUnavailable):  # nobody is there to be told; the next run tries again
            remove(Engine(run_id))
        reap(directory, run_id)
        time.sleep(_SWEEP_S)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
