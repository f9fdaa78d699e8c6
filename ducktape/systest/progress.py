"""What a person sees while a run works: one line a step, on stderr, past ducktape's own output."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
