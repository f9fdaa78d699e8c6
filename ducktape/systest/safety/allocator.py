"""The producer's tests and a short soak under Python's debug allocator, in its development mode and asyncio's.

The allocator fills what is freed, guards both ends of every block and checks them when it is freed, so that a write
beyond a block, a use after its end or a second end aborts the process, with a stack.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from systest.safety.parts import require_checkout, run_part, soak_command, tests_command
from systest.safety.session import Check

ENVIRONMENT = {"PYTHONMALLOC": "debug", "PYTHONDEVMODE": "1", "PYTHONASYNCIODEBUG": "1"}


def check(root: Path, directory: Path, show: Callable[[Check], None]) -> list[Check]:
    """What was found.

    Args:
        root: of the repository.
        directory: where logs go.
        show: gets each finding when it is there.

    Raises:
        CanNotRun: this is no checkout of the repository.
    """
    require_checkout(root)
    found = []
    for name, command in (("tests", tests_command(root)), ("soak", soak_command(directory / "soak"))):
        found.append(run_part(name, command, ENVIRONMENT, root, directory))
        show(found[-1])
    return found
