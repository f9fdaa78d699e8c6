"""Docker's engine, asked through its command-line client, one command at a time.

Commands run out of a terminal's reach: Ctrl-C is for the run, which ends them as it sees fit. Each carries the run's
id in its environment, so that the reaper knows it when the run is gone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from systest.clusters.place import PlaceUnavailable
from systest.clusters.reaper import RUN_VARIABLE

CLIENT = "docker"
_VERSION_LIMIT_S = 10.0
_COMMAND_LIMIT_S = 60.0
_END_LIMIT_S = 10.0


class EngineUnavailable(PlaceUnavailable):
    """There is no engine that this user may use: why, and what to do."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy


class CommandFailed(PlaceUnavailable):
    """The client said no; `said` is its reason."""

    def __init__(self, arguments: Sequence[str], said: str) -> None:
        super().__init__(f"docker {arguments[0]} failed: {said}")
        self.said = said


def version() -> str:
    """Of the engine. Raises EngineUnavailable."""
    if shutil.which(CLIENT) is None:
        raise EngineUnavailable("there is no docker command here", "install Docker")
    host = os.environ.get("DOCKER_HOST")
    name = f"Docker's engine at {host}" if host else "Docker's engine"
    try:
        done = subprocess.run(
            [CLIENT, "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_VERSION_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EngineUnavailable(
            f"{name} has not answered in {_VERSION_LIMIT_S:.0f} s", "see whether it runs"
        ) from None
    if done.returncode == 0:
        return done.stdout.strip()
    if "permission denied" in done.stderr.lower():
        raise EngineUnavailable(
            f"this user may not use {name}", "add the user to the group docker, or run as root"
        )
    raise EngineUnavailable(f"{name} does not answer ({_reason(done.stderr)})", "start it")


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine, as one run uses it."""

    run_id: str

    def ask(
        self, *arguments: str, limit_s: float = _COMMAND_LIMIT_S, patience_s: float = _END_LIMIT_S
    ) -> str:
        """What a command prints. Raises CommandFailed.

        If interrupted: the client may first end by itself within `patience_s`, so that what it asked the engine for is
        there, or never will be.
        """
        process = self.started(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            end(process)
            raise CommandFailed(arguments, f"it had not ended after {limit_s:.0f} s") from None
        except BaseException:
            try:
                process.communicate(timeout=patience_s)
            except subprocess.TimeoutExpired:
                end(process)
            raise
        if process.returncode != 0:
            raise CommandFailed(arguments, _reason(err))
        return str(out).strip()

    def show(self, *arguments: str, complaints_only: bool = False) -> int:
        """Runs a command whose output is for the user; returns its status. If interrupted, it ends too."""
        stdout = subprocess.DEVNULL if complaints_only else sys.stderr.fileno()
        process = self.started(*arguments, stdout=stdout, stderr=None)
        try:
            return process.wait()
        except BaseException:
            end(process)
            raise

    def started(self, *arguments: str, stdout: int | None, stderr: int | None) -> subprocess.Popen[str]:
        """A command's process; its caller sees to its end."""
        return subprocess.Popen(
            [CLIENT, *arguments],
            env={**os.environ, RUN_VARIABLE: self.run_id},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
            errors="replace",
            start_new_session=True,
        )


def end(process: subprocess.Popen[str]) -> None:
    """Ends a client in order, so that the engine learns of it; by force if it takes long."""
    process.terminate()
    try:
        process.communicate(timeout=_END_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _reason(text: str) -> str:
    """The last line of a complaint's first paragraph; what follows is the client's manual."""
    lines = text.strip().partition("\n\n")[0].splitlines()
    return lines[-1].strip() if lines else "it said nothing"
