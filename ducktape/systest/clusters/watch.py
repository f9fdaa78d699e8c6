"""The driver's end on a node: it says where the node's things are, and tidies up when the driver is gone.

    python -m systest.clusters.watch

Runs at the other end of an account's ssh connection for as long as that lasts, with the connection as its stdin. Its
first line is a `Hello` in JSON. Each line it reads is a `Question`, and the answer a line with a number. At the end of
its stdin, however that came about, it kills every process that was started for this connection and removes their
directory; so nothing on a node outlives its driver, and the next test starts clean. A driver that lost its power or its
network ends nothing, and an sshd minds that for hours: so a driver asks all the time, and silence is an end too.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import os
import platform
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from systest.clusters.belongings import Belongings
from systest.clusters.harness import harness_id

SILENCE_LIMIT_S = 60.0
_STDIN = 0


class Question(enum.Enum):
    """What it answers."""

    CLOCK = "clock"  # the node's time, in nanoseconds
    ROOM = "room"  # free bytes where the home is


@dataclass(frozen=True, slots=True)
class Hello:
    """What a node says first.

    Args:
        home: the directory for what this connection's driver writes and starts there.
        address: at which the connection reached it, as the node itself has it; "" if its sshd does not tell.
        run_id: for `systest.clusters.reaper.RUN_VARIABLE`, by which the processes are known.
        python: its interpreter.
        python_version: of that.
        machine: its cores, system and processor.
        harness: as `harness_id`.
    """

    home: str
    address: str
    run_id: str
    python: str
    python_version: str
    machine: str
    harness: str

    @classmethod
    def from_line(cls, line: str) -> Hello:
        """Raises ValueError, KeyError or TypeError if it is none."""
        return cls(**json.loads(line))


def main() -> int:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it is the last to leave
    belongings = Belongings(reaper=False)
    hello = Hello(
        home=str(belongings.directory),
        address=_own_address(os.environ.get("SSH_CONNECTION", "")),
        run_id=belongings.run_id,
        python=sys.executable,
        python_version=platform.python_version(),
        machine=f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        harness=harness_id(),
    )
    print(json.dumps(dataclasses.asdict(hello)), flush=True)
    for line in _lines():
        match Question(line.decode()):
            case Question.CLOCK:
                answer = time.time_ns()
            case Question.ROOM:
                answer = shutil.disk_usage(belongings.directory).free
        print(answer, flush=True)
    belongings.close()
    return 0


def _own_address(connection: str) -> str:
    """From what sshd says of a connection: the client's address and port, and the server's."""
    match connection.split():
        case [_, _, address, _]:
            return address
    return ""


def _lines() -> Iterator[bytes]:
    """Those of stdin as they come, without their ends, until it ends or nothing comes for long."""
    pending = b""
    while select.select([_STDIN], [], [], SILENCE_LIMIT_S)[0] and (got := os.read(_STDIN, 4096)):
        *lines, pending = (pending + got).split(b"\n")
        yield from lines


if __name__ == "__main__":
    sys.exit(main())
