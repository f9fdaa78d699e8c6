"""Which of the producer's transports runs here, and why not the compiled one.

`python -m systest.transport` says it in one line, for `ducktape/environment.sh`.
"""

from __future__ import annotations

import sys

from producer.transport import TRANSPORT_VARIABLE, choose_transport, why_not_compiled


def in_use() -> str:
    """`compiled`, or `pure` and the reason. Raises ValueError if the one that was asked for can't run here."""
    name = choose_transport(None)
    if name == "compiled":
        return name
    reason = why_not_compiled() or f"{TRANSPORT_VARIABLE}={name} is set"
    return f"{name}; {reason.removesuffix('.')}."


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
