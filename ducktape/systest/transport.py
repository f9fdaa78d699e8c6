"""Which of the producer's transports runs here, and why not the compiled one.

`python -m systest.transport` says it in one line, for `ducktape/environment.sh`.
"""

from __future__ import annotations

import os
import sys

from producer.transport import TRANSPORT_VARIABLE, choose_transport, why_not_compiled


def in_use() -> str:
    """`compiled`, or `pure` and the reason. Raises ValueError if the one that was asked for can't run here."""
    if (requested := os.environ.get(TRANSPORT_VARIABLE)) is not None:
        name = choose_transport(requested)
        return name if name == "compiled" else f"{name}; {TRANSPORT_VARIABLE}={name} is set."
    if (reason := why_not_compiled()) is None:
        return "compiled"
    return f"pure; {reason[:1].lower()}{reason[1:]}"


def main() -> int:
    """Exit status 0 if there is one."""
    try:
        print(f"Transport: {in_use()}", file=sys.stderr)
    except ValueError as error:
        print(f"Transport: none; {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
