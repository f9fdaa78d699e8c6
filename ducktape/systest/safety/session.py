"""A command's results: a directory of its own, and in it a report of its checks as ducktape leaves one of its tests.

So the night reads both alike (`systest.nightly`).
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_REPORT = "report.json"


@dataclass(frozen=True, slots=True)
class Check:
    """Of one thing that must hold.

    Args:
        name: of what was looked at.
        is_good: whether it held.
        words: what was found, in a sentence or less.
    """

    name: str
    is_good: bool
    words: str


def add_results_root(parser: argparse.ArgumentParser) -> None:
    """The option that every command here has."""
    parser.add_argument(
        "--results-root", metavar="DIR", default="results", help="where results go (default: %(default)s)"
    )


def new_session(results_root: str, command: str) -> Path:
    """A new directory for what a command leaves. Raises OSError where it can't be made."""
    now = datetime.now().strftime("%Y-%m-%d--%H-%M-%S")
    directory = Path(results_root, f"{now}-safety-{command}").absolute()
    directory.mkdir(parents=True)
    return directory


def end_session(directory: Path, command: str, checks: Sequence[Check]) -> int:
    """Leave the report, and say where; the command's exit status."""
    results = [
        {
            "cls_name": f"Safety.{command}",
            "function_name": check.name,
            "injected_args": None,
            "test_status": "PASS" if check.is_good else "FAIL",
            "summary": check.words,
        }
        for check in checks
    ]
    (directory / _REPORT).write_text(json.dumps({"results": results}, indent=1), "utf-8")
    print(os.path.relpath(directory))
    return 0 if all(check.is_good for check in checks) else 1
