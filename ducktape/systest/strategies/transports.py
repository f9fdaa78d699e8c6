"""Which of this project's two strategies tell different things: without the compiled transport they are one producer.

`python -m systest.strategies.transports` says on the node that it runs on why `async` is the pure one there, in one
sentence, or nothing at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from producer.transport import TRANSPORT_VARIABLE, choose_transport
from systest.strategies import ASYNC, ASYNC_PURE, COMPILED, OURS, PURE


def why_pure() -> str | None:
    """Why the producer runs on its pure transport here if nobody says which; None if it doesn't."""
    if choose_transport(None) != PURE:
        return None
    try:
        choose_transport(COMPILED)
    except ValueError as error:
        return str(error)
    return f"the environment variable {TRANSPORT_VARIABLE} is {os.environ.get(TRANSPORT_VARIABLE, '')!r}."


def without_twin(
    names: Sequence[str], why_pure: Callable[[], str | None]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The strategies to play, and the notes on that: not `async-pure` beside an `async` that would be the same.

    Args:
        names: those that a user chose.
        why_pure: says why `async` is the pure one where they play, None if it isn't; asked only if that matters.
    """
    if not set(OURS) <= set(names) or (reason := why_pure()) is None:
        return tuple(names), ()
    note = f"{ASYNC} runs on the pure transport, and {ASYNC_PURE}, which would be the same, is left out: {reason}"
    return tuple(name for name in names if name != ASYNC_PURE), (note,)


if __name__ == "__main__":
    print(why_pure() or "")
