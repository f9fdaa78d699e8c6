"""What a user is told who named something that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown(what: str, name: object, choices: Iterable[str]) -> str:
    """The beginning of a sentence: that there is no such name, which one may be meant, and all there are.

    Args:
        what: kind of thing, such as `strategy`.
        name: as the user wrote it.
        choices: the names there are.
    """
    names = list(choices)
    close = difflib.get_close_matches(str(name), names, n=1)
    meant = f", did you mean {close[0]!r}? Choose" if close else "; choose"
    return f"unknown {what} {name!r}{meant} from {', '.join(names)}"
