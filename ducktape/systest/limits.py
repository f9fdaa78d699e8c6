"""How long a test may take: five minutes, or what it says for itself.

    @limit(minutes=20)
    def test_all_of_it(self) -> None: ...

A limit is there to end what hangs, and not to judge speed: it is five times and more what the test takes on a quiet
machine, so that it holds on a busy one and with others side by side. It counts from the test's set-up to its last line;
what tidies up after it has `TEARDOWN_S` of its own. `systest run` keeps to it; ducktape by itself knows no limit of one
test, but only `--test-runner-timeout`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

DEFAULT_S = 300.0
TEARDOWN_S = 120.0
_NAME = "systest_limit_s"

Limit = float | Callable[[Any], float]
_Limited = TypeVar("_Limited")


class TestTookTooLong(Exception):
    """A test was at work when its limit was reached; says where the stacks of what hung are."""


def limit(
    *, seconds: float = 0.0, minutes: float = 0.0, of: Callable[[Any], float] | None = None
) -> Callable[[_Limited], _Limited]:
    """The limit of a test or, on a class, of all its tests that have none.

    Args:
        seconds: and
        minutes: which together are the limit.
        of: instead, seconds as they follow from what the user chose: is given the test's context.
    """
    chosen: Limit = 60.0 * minutes + seconds if of is None else of

    def limited(test: _Limited) -> _Limited:
        setattr(test, _NAME, staticmethod(chosen) if callable(chosen) and isinstance(test, type) else chosen)
        return test

    return limited


def limit_s(context: Any) -> float:
    """Of the test with this context."""
    chosen: Limit = getattr(context.cls, _NAME, DEFAULT_S)
    chosen = getattr(context.function, _NAME, chosen)
    return chosen(context) if callable(chosen) else chosen
