"""Where a result comes from: the command that made it, and the revision of this project that ran.

git is asked once, when a run begins. What is no checkout of this project, or has no git, has no revision.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_DECIDE_TOO = ("PRODUCER_TRANSPORT", "TMPDIR")
"""Variables of the environment that change what is measured."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What ran.

    Args:
        command: that makes such a result again.
        commit: the checkout's, in full; None outside of one.
        is_clean: whether that commit is all that ran: no file was changed, none was new.
    """

    command: str
    commit: str | None
    is_clean: bool


def origin_of(command: str, checkout: Path = _ROOT) -> Origin:
    """Of a run that begins now."""
    # The prefix is empty at a checkout's root alone: who installed this into some other project's is not of its commit.
    prefix, _, commit = _git(checkout, "rev-parse", "--show-prefix", "HEAD").partition("\n")
    if prefix or not commit:
        return Origin(command, None, is_clean=False)
    return Origin(command, commit.strip(), is_clean=not _git(checkout, "status", "--porcelain"))


def command_line(words: Sequence[str]) -> str:
    """A command as one would type it, with those variables of the environment that it was run with."""
    variables = [f"{name}={shlex.quote(os.environ[name])}" for name in _DECIDE_TOO if os.environ.get(name)]
    return " ".join([*variables, shlex.join(words)])


def _git(checkout: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout
