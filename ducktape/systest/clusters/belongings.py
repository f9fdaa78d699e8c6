"""What a process has on its machine for a time: a directory, and processes that carry an id.

Whatever happens to the owner, nothing of it stays: `close` ends all in order; a reaper process does it if the owner
could not; and if that is gone too, as after the machine went down, whoever makes belongings next on the machine does.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import uuid
from functools import partial
from pathlib import Path

from systest.clusters.owner import Owner
from systest.clusters.reaper import reap, sign_in

_PREFIX = "systest-run-"
_OWNER = "owner.json"
_REAPER_END_S = 5.0


class Belongings:
    """Of the process that makes it, and of its forks; only the maker can close it."""

    def __init__(self, *, reaper: bool = True) -> None:
        """
        Args:
            reaper: whether a process of its own ends all when the owner is gone; else only the owner itself does.
        """
        remove_abandoned()
        self.run_id = uuid.uuid4().hex
        self.directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._maker_pid = os.getpid()
        owner = Owner.this().label()
        (self.directory / _OWNER).write_text(json.dumps({"run_id": self.run_id, "owner": owner}))
        self._reaper: subprocess.Popen[bytes] | None = None
        if reaper:
            self._reaper = subprocess.Popen(
                [
                    *(sys.executable, "-m", "systest.clusters.reaper"),
                    *(str(self.directory), self.run_id, owner),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        # ducktape forks for each test; such a process carries the environment of before, so it signs in.
        os.register_at_fork(after_in_child=partial(sign_in, self.directory))
        atexit.register(self.close)

    def close(self) -> None:
        """Ends every process that carries the id and removes the directory. Safe twice; nothing in a fork."""
        if os.getpid() != self._maker_pid or not self.directory.exists():
            return
        reap(self.directory, self.run_id)
        if self._reaper is not None:
            await_reaper(self._reaper)
        atexit.unregister(self.close)


def await_reaper(reaper: subprocess.Popen[bytes]) -> None:
    """Returns once it has ended, as it does by itself when the directory is gone; else it is killed."""
    try:
        reaper.wait(_REAPER_END_S)
    except subprocess.TimeoutExpired:
        reaper.kill()
        reaper.wait()


def remove_abandoned() -> None:
    """Ends what this user's owners left who are gone, and their reapers too."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            written = json.loads((directory / _OWNER).read_text())
            is_abandoned = Owner.from_label(written["owner"]).is_gone()
        except (OSError, ValueError, KeyError):
            continue  # just being made, or somebody else's
        if is_abandoned:
            reap(directory, written["run_id"])
