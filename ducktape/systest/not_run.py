"""What a run of tests left out, and why: noted by whoever skips a test, told in a few lines when all is over.

A ducktape test says so by what it returns, `not_run.data(reason)`; `systest run` tells it and notes it.

Notes go to the file that the variable SYSTEST_NOT_RUN names, one JSON object a line, so that runners of any kind and
their worker processes can add to it; without the variable nothing is noted. `./run_tests.sh` sets it and tells:

    python -m systest.not_run FILE [--allowed LIST]

With a list, what was left out for a reason that is not on it is a failure: each line of the list is a regular
expression for whole reasons; empty lines and those that begin with # say why.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "SYSTEST_NOT_RUN"
_NAMED = 2
_DATA = "not_run"
_DATA_IN_PART = "left_out"


@dataclass(frozen=True, slots=True)
class NotRun:
    """One test.

    Args:
        test: its name.
        reason: why, in a sentence that says what would make it run.
    """

    test: str
    reason: str


def data(reason: str) -> dict[str, str]:
    """What a ducktape test returns that can't be run here, with a reason as `NotRun` has it."""
    return {_DATA: reason}


def data_in_part(reason: str | None) -> dict[str, str] | None:
    """What a ducktape test returns that ran, but had to leave something out; None if there is no reason."""
    return None if reason is None else {_DATA_IN_PART: reason}


def reason_of(returned: object) -> str | None:
    """Why a test was not run, from what it returned; None if it was."""
    return returned.get(_DATA) if isinstance(returned, dict) else None


def left_out_of(returned: object) -> str | None:
    """What a test that ran left out and why, from what it returned; None if nothing."""
    return returned.get(_DATA_IN_PART) if isinstance(returned, dict) else None


def note(test: str, reason: str) -> None:
    """Adds to the notes, if anybody wants them."""
    if not (file := os.environ.get(VARIABLE)):
        return
    line = json.dumps(asdict(NotRun(test, " ".join(reason.split()))))
    with Path(file).open("a", encoding="utf-8") as notes:
        notes.write(f"{line}\n")  # at once, or lines of several processes mix


def notes_in(file: Path) -> list[NotRun]:
    return [NotRun(**json.loads(line)) for line in file.read_text("utf-8").splitlines()]


def told(notes: Iterable[NotRun]) -> list[str]:
    """A line for each reason, with how many tests, which ones where they are few, and what would make them run."""
    by_reason: dict[str, list[str]] = {}
    for each in notes:
        by_reason.setdefault(each.reason, []).append(each.test)
    lines = []
    for reason, tests in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        names = f" ({', '.join(tests)})" if len(tests) <= _NAMED else f", such as {tests[0]}"
        lines.append(f"{len(tests)} {'test' if len(tests) == 1 else 'tests'}: {reason}{names}")
    return lines


def not_allowed(notes: Iterable[NotRun], allowed: str) -> list[NotRun]:
    """Those whose reason is on no line of the list."""
    lines = [line.strip() for line in allowed.splitlines()]
    patterns = [re.compile(line) for line in lines if line and not line.startswith("#")]
    return [each for each in notes if not any(pattern.fullmatch(each.reason) for pattern in patterns)]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 1 if something was left out that the list does not allow."""
    parser = argparse.ArgumentParser(
        prog="python -m systest.not_run", description="What was not run here, and why."
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the notes")
    parser.add_argument("--allowed", metavar="LIST", type=Path, help="of reasons that are no failure")
    args = parser.parse_args(argv)
    notes = notes_in(args.file)
    print("\n".join(told(notes)) or "nothing: every test was run")
    forbidden = [] if args.allowed is None else not_allowed(notes, args.allowed.read_text("utf-8"))
    if forbidden:
        print(f"Not run and not allowed to be left out here, see {args.allowed}:", file=sys.stderr)
        print("\n".join(told(forbidden)), file=sys.stderr)
    return int(bool(forbidden))


if __name__ == "__main__":
    sys.exit(main())
