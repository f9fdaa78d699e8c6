"""Which of this project's two strategies to play: without the compiled transport they are one producer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from systest.strategies import ASYNC, ASYNC_PURE, OURS


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
