"""What a person sees while a run works: one line a step, on stderr, past ducktape's own output."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")  # at once, or lines of several threads mix
    sys.stderr.flush()
