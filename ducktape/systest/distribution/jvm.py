"""Running one short Java command of Kafka's, bounded and with its reason when it fails."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

_LIMIT_S = 60.0
_LINES_SHOWN = 3


class JavaCommandFailed(Exception):
    """The message says what failed and ends with the last lines of output."""


def environment(class_path: Sequence[str]) -> dict[str, str]:
    """The class path travels here: ninety jars on the command line would bury the rest of it."""
    return {"CLASSPATH": os.pathsep.join(class_path)}


def run_java(command: Sequence[str], class_path: Sequence[str], what: str) -> None:
    """Runs it to its end. Raises JavaCommandFailed on another status than 0 or when the time is up."""
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **environment(class_path)},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise JavaCommandFailed(f"{what} took more than {_LIMIT_S:.0f} s") from None
    if done.returncode != 0:
        last = last_lines(done.stdout + done.stderr)
        raise JavaCommandFailed(f"{what} ended with status {done.returncode}: {last}")


def last_lines(output: str) -> str:
    """The end of a command's output on one line."""
    return " / ".join(output.strip().splitlines()[-_LINES_SHOWN:]) or "no output"
