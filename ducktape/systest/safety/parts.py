"""The parts of a check under special conditions: the producer's tests and a short soak, as processes of their own.

What a part says goes to a log file of its own; of one that fails the end of it is shown.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from systest.safety.session import Check

TESTS = Path("tests", "unit", "producer")
SOAK_RECORDS = 400_000
_LIMIT_S = 3600.0
_SHOWN_MAX = 30
_END_S = 5.0


class CanNotRun(Exception):
    """This machine, or this directory, lacks what it takes; the message says what and what to do."""


def require_checkout(root: Path) -> None:
    """Raise CanNotRun unless the producer's sources and tests are here."""
    if not (root / TESTS).is_dir() or not (root / "setup.py").is_file():
        raise CanNotRun("the producer's tests are not here; run this in the repository's root directory")


def tests_command(root: Path) -> list[str]:
    """pytest on the producer's tests over the compiled transport, for whatever directory it is run in."""
    home = root.absolute()
    return [
        *(sys.executable, "-m", "pytest", str(home / TESTS), "-q", "-k", "not pure"),
        *("-c", str(home / "setup.cfg"), "--rootdir", str(home), "-p", "no:cacheprovider"),
        *("--numprocesses", "logical", "--maxprocesses", "4"),
    ]


def soak_command(results: Path) -> list[str]:
    """A short soak over the compiled transport."""
    return [
        *(sys.executable, "-m", "systest.safety", "--transport", "compiled"),
        *("--records", str(SOAK_RECORDS), "--results-root", str(results)),
    ]


def run_part(
    name: str, command: Sequence[str], environment: Mapping[str, str], place: Path, logs: Path
) -> Check:
    """Whether a command ends with exit status 0.

    Args:
        name: of the part, and of its log.
        command: program and arguments.
        environment: beside this process's.
        place: the directory that it is run in.
        logs: where its log goes.
    """
    log = logs / f"{name}.log"
    began_s = time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=place,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        try:
            status = process.wait(_LIMIT_S)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            _end_group(process)
    took = f"{time.monotonic() - began_s:.0f} s"
    lines = log.read_text("utf-8", errors="replace").splitlines() or [""]
    if status == 0:
        return Check(name, True, f"{_said(lines)} ({took})")
    how = f"did not end within {took}" if status is None else f"exit status {status} after {took}"
    shown = "\n".join(f"    {line}" for line in lines[-_SHOWN_MAX:])
    return Check(name, False, f"{how}; the end of {log}:\n{shown}")


def _said(lines: Sequence[str]) -> str:
    """The last line that is a sentence or a sum, and no path."""
    return next((line for line in reversed(lines) if " " in line.strip()), lines[-1]).strip()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Whatever the part left, and the part itself if it still runs."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
