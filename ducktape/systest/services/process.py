"""One process group on one node: started in a session of its own, signalled and measured as a whole.

On this machine it is asked directly. On any other node whether it lives is read from /proc over the connection that is
there anyway, which costs the node next to nothing, so that it can be asked often; the rest goes through commands, which
need `setsid` and `ps` there.
"""

from __future__ import annotations

import abc
import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from systest.clusters.account import LocalAccount
from systest.clusters.ssh import SshAccount

Account = LocalAccount | SshAccount

_POLL_S = 0.02
_KILL_LIMIT_S = 10.0
_GONE = "gone"  # the beginning of a process that ended before it could be asked
_FREE_PORTS = """
import socket, sys
sockets = []
for _ in range(int(sys.argv[2])):
    one = socket.socket()
    one.bind((sys.argv[1], 0))
    sockets.append(one)
print(*(one.getsockname()[1] for one in sockets))
"""


class NodeProcess:
    """A process that runs on a node; `pid` is its process group too."""

    def __init__(self, account: Account, name: str, directory: str, group: _Group) -> None:
        self.name = name
        self.pid = group.pid
        self.stdout_path = f"{directory}/{name}.stdout"
        self.stderr_path = f"{directory}/{name}.stderr"
        self._account = account
        self._group = group
        self._heard_bytes = 0

    @classmethod
    def start(
        cls,
        account: Account,
        argv: Sequence[str],
        *,
        name: str,
        directory: str,
        env: Mapping[str, str] | None = None,
    ) -> NodeProcess:
        """Starts a command, detached.

        Args:
            account: of the node.
            argv: the command and its arguments.
            name: of its output files, `<directory>/<name>.stdout` and `.stderr`.
            directory: where it runs, made if it is missing.
            env: variables on top of the account's own.
        """
        output = f"{directory}/{name}"
        group: _Group
        if isinstance(account, LocalAccount):
            group = _LocalGroup.start(account, argv, output, directory, env or {})
        else:
            group = _RemoteGroup.start(account, argv, output, directory, env or {})
        return cls(account, name, directory, group)

    def is_alive(self) -> bool:
        """Whether the process itself runs, paused or not; its children don't count."""
        return self._group.is_alive()

    def signal(self, signal_name: str) -> None:
        """Sends `KILL`, `STOP`, `CONT` ... to the whole group. No error if it is gone."""
        self._group.signal(signal_name)

    def terminate(self, grace_s: float = 5.0) -> None:
        """SIGTERM, then SIGKILL for whatever is left after `grace_s`; returns once all are gone. Safe twice."""
        self._group.signal("TERM")
        if not self._group.gone_within(grace_s):
            self.kill()

    def kill(self) -> None:
        """SIGKILL; returns once all of the group are gone. Safe twice."""
        self._group.signal("KILL")
        if not self._group.gone_within(_KILL_LIMIT_S):
            raise RuntimeError(f"{self.name} (process group {self.pid}) can't be killed")

    def hear(self) -> bytes:
        """What it wrote to stdout since this was asked last."""
        new: bytes = self._account.read_from(self.stdout_path, self._heard_bytes)
        self._heard_bytes += len(new)
        return new

    def tail(self, lines: int = 20) -> str:
        """The last lines of what it wrote to stderr and to stdout, labelled; "" if it wrote nothing."""
        parts = []
        for label, path in (("stderr", self.stderr_path), ("stdout", self.stdout_path)):
            command = f"tail -n {lines} {shlex.quote(path)}"
            said = self._account.ssh_output(command, allow_fail=True, combine_stderr=False)
            if text := said.decode(errors="replace").rstrip():
                parts.append(f"[{label}]\n{text}")
        return "\n".join(parts)

    def cpu_seconds(self) -> float:
        """CPU time, user and system, of all of the group that live."""
        return self._group.cpu_seconds()

    def rss_bytes(self) -> int:
        """Resident memory of all of the group that live."""
        return self._group.rss_bytes()


class _Group(abc.ABC):
    """A process group, asked in the way that suits the node."""

    pid: int

    @abc.abstractmethod
    def is_alive(self) -> bool: ...

    @abc.abstractmethod
    def gone_within(self, limit_s: float) -> bool: ...

    @abc.abstractmethod
    def signal(self, signal_name: str) -> None: ...

    @abc.abstractmethod
    def cpu_seconds(self) -> float: ...

    @abc.abstractmethod
    def rss_bytes(self) -> int: ...


class _LocalGroup(_Group):
    """On this machine: a child of this process, and what it started."""

    def __init__(self, leader: subprocess.Popen[bytes]) -> None:
        self.pid = leader.pid
        self._leader = leader

    @classmethod
    def start(
        cls, account: LocalAccount, argv: Sequence[str], output: str, directory: str, env: Mapping[str, str]
    ) -> _LocalGroup:
        Path(directory).mkdir(parents=True, exist_ok=True)
        with Path(f"{output}.stdout").open("wb") as out, Path(f"{output}.stderr").open("wb") as err:
            return cls(account.spawn(argv, directory=directory, stdout=out, stderr=err, env=env))

    def is_alive(self) -> bool:
        return self._leader.poll() is None

    def gone_within(self, limit_s: float) -> bool:
        deadline_s = time.monotonic() + limit_s
        while self._members() or self.is_alive():  # which also waits for a leader that is a zombie
            if time.monotonic() > deadline_s:
                return False
            time.sleep(_POLL_S)
        return True

    def signal(self, signal_name: str) -> None:
        # A leader that was waited for leaves its number to others, unless members of its group hold it.
        if self.is_alive() or self._members():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, getattr(signal, f"SIG{signal_name}"))

    def cpu_seconds(self) -> float:
        return sum(sum(_ask(member, "cpu_times", (0.0, 0.0))[:2]) for member in self._members())

    def rss_bytes(self) -> int:
        return sum(_ask(member, "memory_info", (0,))[0] for member in self._members())

    def _members(self) -> list[psutil.Process]:
        """Those of the group that are more than a zombie."""
        members = []
        for pid in psutil.pids():
            with contextlib.suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
                if os.getpgid(pid) == self.pid:
                    process = psutil.Process(pid)
                    if process.status() != psutil.STATUS_ZOMBIE:
                        members.append(process)
        return members


class _RemoteGroup(_Group):
    """On another machine."""

    def __init__(self, account: SshAccount, pid: int, began: str) -> None:
        """
        Args:
            account: of the node.
            pid: of the leader.
            began: when it did, as the node's kernel counts: another process may get the same number later.
        """
        self.pid = pid
        self._account = account
        self._began = began

    @classmethod
    def start(
        cls, account: SshAccount, argv: Sequence[str], output: str, directory: str, env: Mapping[str, str]
    ) -> _RemoteGroup:
        command = shlex.join(["setsid", "env", *(f"{key}={value}" for key, value in env.items()), *argv])
        there, out, err = (shlex.quote(path) for path in (directory, f"{output}.stdout", f"{output}.stderr"))
        # The files are made first: the command itself may come to that only after this has returned, or fail at it.
        script = (
            f"mkdir -p {there} && cd {there} && : >{out} && : >{err} && "
            f"{{ {command} >{out} 2>{err} </dev/null & echo $!; cat /proc/$!/stat 2>/dev/null || :; }}"
        )
        pid, status = account.ssh_output(script, combine_stderr=False).decode().split("\n", 1)
        return cls(account, int(pid), _state_and_start(status)[1] if status else _GONE)

    def is_alive(self) -> bool:
        status = self._account.status_of(self.pid)
        if status is None:
            return False
        state, began = _state_and_start(status)
        return began == self._began and state not in "ZX"

    def gone_within(self, limit_s: float) -> bool:
        script = (
            f"end=$(($(date +%s) + {int(limit_s) + 1})); while ps -eo pgid=,stat= | "
            f"awk '$1 == {self.pid} && $2 !~ /^Z/ {{ found = 1 }} END {{ exit !found }}'; "
            "do [ $(date +%s) -lt $end ] || exit 1; sleep 0.05; done"
        )
        return bool(self._account.ssh(script, allow_fail=True) == 0)

    def signal(self, signal_name: str) -> None:
        self._account.ssh(f"kill -s {signal_name} -- -{self.pid}", allow_fail=True)

    def cpu_seconds(self) -> float:
        ticks_per_s, _, members = self._members()
        return sum(ticks for ticks, _ in members) / ticks_per_s

    def rss_bytes(self) -> int:
        _, page_bytes, members = self._members()
        return page_bytes * sum(pages for _, pages in members)

    def _members(self) -> tuple[int, int, list[tuple[int, int]]]:
        """Ticks a second, bytes a page, and ticks of CPU time and resident pages of those more than a zombie.

        ps would round the time of each to a second.
        """
        # What follows the name, which may hold blanks: state, parent, group; 12 and 13 are user and system time.
        wanted = f"$3 == {self.pid} && $1 !~ /[ZX]/ {{ print $12, $13, $22 }}"
        command = (
            "getconf CLK_TCK && getconf PAGESIZE && "
            f"cat /proc/[0-9]*/stat 2>/dev/null | sed 's/^.*) //' | awk {shlex.quote(wanted)}"
        )
        ticks_per_s, page_bytes, *rows = self._account.ssh_output(command).decode().splitlines()
        members = [tuple(map(int, row.split())) for row in rows]
        return (
            int(ticks_per_s),
            int(page_bytes),
            [(user + system, pages) for user, system, pages in members],
        )


def node_home(account: Account) -> str:
    """The directory on the node that a run may write in."""
    return account.home


def node_address(account: Account) -> str:
    """The address on which the node's listeners are bound, and dialled."""
    return account.address


def node_python(account: Account) -> str:
    """A Python on the node that has this package installed."""
    return account.python


def free_ports(account: Account, count: int) -> list[int]:
    """Ports that are free now on the node's address, asked on the node itself."""
    command = shlex.join([node_python(account), "-c", _FREE_PORTS, node_address(account), str(count)])
    return [int(port) for port in account.ssh_output(command, combine_stderr=False).split()]


def _ask(process: psutil.Process, question: str, gone: Any) -> Any:
    try:
        return getattr(process, question)()
    except psutil.NoSuchProcess:
        return gone


def _state_and_start(status: str) -> tuple[str, str]:
    """A process's state and when it began, from its line in /proc; its name may hold anything but its last `)`."""
    fields = status.rpartition(")")[2].split()
    return fields[0], fields[19]
