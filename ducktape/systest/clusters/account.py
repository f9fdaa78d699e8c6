"""A node that is this machine: ducktape's account interface on plain processes and files, with no ssh and no root.

Everything of ducktape's `RemoteAccount` goes through `ssh`, `ssh_capture`, `ssh_output` and `sftp_client`; those
four are local here and the rest is ducktape's own. A node has a home directory, where relative paths and commands
start, and an address that its listeners bind. Each command runs in a process group of its own and has a time
limit, past which the whole group is killed.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ducktape.cluster.remoteaccount import RemoteAccountSSHConfig, RemoteCommandError, SSHOutputIter

from systest.clusters.bounded import COMMAND_LIMIT_S, TIMED_OUT_STATUS, BoundedAccount
from systest.clusters.reaper import RUN_VARIABLE


class LocalAccount(BoundedAccount):
    """One node of a `LocalCluster`."""

    def __init__(self, hostname: str, address: str, home: Path, run_id: str) -> None:
        """
        Args:
            hostname: name of the node.
            address: loopback address of its own.
            home: directory of its own, made here.
            run_id: carried by every process that it starts, in the environment variable `RUN_VARIABLE`.
        """
        super().__init__(RemoteAccountSSHConfig(hostname, hostname=address), externally_routable_ip=address)
        self.home = str(home)
        self.address = address
        self.python = sys.executable
        self._run_id = run_id
        home.mkdir(parents=True, exist_ok=True)

    @property
    def sftp_client(self) -> LocalFiles:
        return LocalFiles(self.home)

    def close(self) -> None:
        """Nothing is held open."""

    def read_from(self, path: str, offset: int) -> bytes:
        """What stands in a file from there to its end."""
        with (Path(self.home) / path).open("rb") as file:
            file.seek(offset)
            return file.read()

    def free_bytes(self) -> int:
        """Room on the disk of its home."""
        return shutil.disk_usage(self.home).free

    def here(self, directory: str, copy: Path) -> Path:
        """The same directory, if this machine's programs can read it there; else a copy of it."""
        del copy
        return Path(self.home) / directory

    def spawn(
        self,
        argv: Sequence[str],
        *,
        directory: str,
        stdout: IO[bytes] | int,
        stderr: IO[bytes] | int,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Starts a process in a session, and so a process group, of its own."""
        return subprocess.Popen(
            list(argv),
            cwd=directory,
            env={**os.environ, **(env or {}), RUN_VARIABLE: self._run_id},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )

    def ssh_capture(
        self,
        cmd: str,
        allow_fail: bool = False,
        callback: Callable[[str], Any] | None = None,
        combine_stderr: bool = True,
        timeout_sec: float | None = None,
    ) -> SSHOutputIter:
        """As ducktape's; a line that takes longer than `timeout_sec`, or `COMMAND_LIMIT_S`, ends the command."""
        stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the iterator
        process = self._shell(cmd, subprocess.STDOUT if combine_stderr else stderr)
        lines = _Lines(process, timeout_sec or COMMAND_LIMIT_S)

        def output() -> Iterator[Any]:
            try:
                while line := lines.readline():
                    yield line if callback is None else callback(line)
                status = process.wait(COMMAND_LIMIT_S)
            except BaseException as error:
                # ducktape's has_next() asks for a line with a limit of its own, and may ask again.
                if not (isinstance(error, TimeoutError) and lines.is_asked_only):
                    _end_group(process)
                raise
            with stderr:
                if status != 0 and not allow_fail:
                    stderr.seek(0)
                    raise RemoteCommandError(self, cmd, status, stderr.read())

        return SSHOutputIter(output, lines)

    def _shell(self, cmd: str, stderr: IO[bytes] | int) -> subprocess.Popen[bytes]:
        return self.spawn(["/bin/sh", "-c", cmd], directory=self.home, stdout=subprocess.PIPE, stderr=stderr)

    def _run(
        self, cmd: str, allow_fail: bool, combine_stderr: bool, timeout_sec: float | None
    ) -> tuple[int, bytes]:
        limit_s = timeout_sec or COMMAND_LIMIT_S
        process = self._shell(cmd, subprocess.STDOUT if combine_stderr else subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired as expired:
            _end_group(process)
            reason = f"it had not ended after {limit_s:g} s and was killed"
            raise RemoteCommandError(self, cmd, TIMED_OUT_STATUS, reason) from expired
        except BaseException:
            _end_group(process)
            raise
        if process.returncode != 0 and not allow_fail:
            raise RemoteCommandError(self, cmd, process.returncode, out if combine_stderr else err)
        return process.returncode, out


class LocalFiles:
    """What ducktape uses of paramiko's SFTP client, on this machine's files; relative paths start at `home`."""

    def __init__(self, home: str) -> None:
        self._home = Path(home)

    def stat(self, path: str) -> os.stat_result:
        return (self._home / path).stat()

    def lstat(self, path: str) -> os.stat_result:
        return (self._home / path).lstat()

    def listdir(self, path: str = ".") -> list[str]:
        return [entry.name for entry in (self._home / path).iterdir()]

    def open(self, path: str, mode: str = "r") -> IO[Any]:
        return (self._home / path).open(mode, encoding=None if "b" in mode else "utf-8")

    def get(self, remote: str, local: str) -> None:
        shutil.copyfile(self._home / remote, local)

    def put(self, local: str, remote: str) -> None:
        shutil.copyfile(local, self._home / remote)

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        (self._home / path).mkdir(mode)


class _Lines:
    """A process's output line by line, each within a time limit; stands in for paramiko's channel file."""

    def __init__(self, process: subprocess.Popen[bytes], limit_s: float) -> None:
        assert process.stdout is not None
        self._process = process
        self._descriptor = process.stdout.fileno()
        self._own_limit_s = limit_s
        self._limit_s: float | None = limit_s
        self._pending = b""
        self._ended = False
        self.channel = self  # ducktape sets time limits on a channel file's channel

    def gettimeout(self) -> float | None:
        return self._limit_s

    def settimeout(self, limit_s: float | None) -> None:
        self._limit_s = limit_s

    @property
    def is_asked_only(self) -> bool:
        """Whether the caller's own limit is in force, rather than the command's."""
        return self._limit_s != self._own_limit_s

    def readline(self) -> str:
        """The next line with its end, "" after the last. Raises TimeoutError."""
        limit_s = self._own_limit_s if self._limit_s is None else self._limit_s
        deadline_s = time.monotonic() + limit_s
        while b"\n" not in self._pending and not self._ended:
            left_s = max(0.0, deadline_s - time.monotonic())
            if not select.select([self._descriptor], [], [], left_s)[0]:
                raise TimeoutError(f"no line in {limit_s:g} s")
            got = os.read(self._descriptor, 65536)
            self._ended = not got
            self._pending += got
        line, newline, self._pending = self._pending.partition(b"\n")
        return (line + newline).decode(errors="replace")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
