"""The process that something belongs to: whether it still runs, as another process can tell later.

A number alone does not say it, since numbers are used again, and neither does a time of day, which is set when a
virtual machine wakes up or a clock is corrected. So a process is known by when it began in ticks since the machine's
start, where the system tells.
"""

from __future__ import annotations

import functools
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

_STATE, _BEGAN = 0, 19  # of what follows the name in /proc/PID/stat
_APART = 0 if psutil.LINUX else 60  # where it is a time of day, so much may be a clock's correction


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, and on which machine it is one.

    Args:
        machine: where a process's number means that process.
        pid: its number there.
        began: in ticks since the machine's start on Linux, elsewhere in seconds of the time of day.
    """

    machine: str
    pid: int
    began: int

    @classmethod
    def of(cls, pid: int) -> Owner:
        """A process of this machine. Raises ProcessLookupError if there is none."""
        began = _began(pid)
        if began is None:
            raise ProcessLookupError(f"there is no process {pid}")
        return cls(this_machine(), pid, began)

    @classmethod
    def this(cls) -> Owner:
        """The process that calls."""
        return cls.of(os.getpid())

    @classmethod
    def from_label(cls, text: str) -> Owner:
        """Raises ValueError if it is none."""
        machine, pid, began = text.rsplit(":", 2)
        return cls(machine, int(pid), int(began))

    def label(self) -> str:
        return f"{self.machine}:{self.pid}:{self.began}"

    def is_gone(self) -> bool:
        """Whether it is known to run no more; of another machine's nothing is known."""
        if self.machine != this_machine():
            return False
        began = _began(self.pid)
        return began is None or abs(began - self.began) > _APART


@functools.cache  # a laptop's name may change with its network
def this_machine() -> str:
    """A container may share its host's name and files, and not its processes' numbers."""
    try:
        return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return socket.gethostname()


def _began(pid: int) -> int | None:
    """When a process began; None if none has this number, or it has ended and waits for its parent."""
    try:
        if not psutil.LINUX:
            process = psutil.Process(pid)
            return None if process.status() == psutil.STATUS_ZOMBIE else round(process.create_time())
        # The name before the last bracket may be of any bytes.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return None if fields[_STATE] in (b"Z", b"X") else int(fields[_BEGAN])
    except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
        return None
