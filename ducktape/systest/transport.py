"""Which of the producer's transports runs here, and why not the compiled one.

`python -m systest.transport` says it in one line, for `ducktape/environment.sh`; with `--why-pure` it says the reason
alone, or nothing, for a run that asks a node.
"""

from __future__ import annotations

import os
import sys

from producer.transports import PURE, TRANSPORT_VARIABLE, choose_transport, why_not_compiled

WHY_PURE = "--why-pure"


def why_pure() -> str | None:
    """Why the producer runs on its pure transport here if nobody says which, as a sentence; None if it doesn't.

    Raises ValueError if the environment asks for one that can't run here.
    """
    if (requested := os.environ.get(TRANSPORT_VARIABLE)) is None:
        return why_not_compiled()
    if choose_transport(None) != PURE:
        return None
    return f"It was asked for by the environment: {TRANSPORT_VARIABLE}={requested}."


def in_use() -> str:
    """`compiled`, or `pure` and the reason. Raises ValueError if the one that was asked for can't run here."""
    reason = why_pure()
    return "compiled" if reason is None else f"pure; {reason[:1].lower()}{reason[1:]}"


def main(arguments: list[str]) -> int:
    """Exit status 0 if there is one."""
    try:
        if arguments == [WHY_PURE]:
            print(why_pure() or "")
        else:
            print(f"Transport: {in_use()}", file=sys.stderr)
    except ValueError as error:
        print(f"Transport: none; {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
