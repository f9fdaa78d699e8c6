"""Ends what a test's main thread does at its limit, with the stacks of all that hung.

At the limit a thread of its own has the stacks written, of this process and of what the test started, and then
interrupts the main thread by an exception. It does so before anything is unwound, which would end the very workers that
hang. Should Python itself stand still, as in C code that keeps the interpreter's lock, faulthandler's thread, which
needs no lock, still writes the stacks; ending such a process is the runner's affair.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from systest.limits import TestTookTooLong

STACKS = "stacks.txt"
"""The file in a test's results."""
ASK_S = 10.0
"""What those that the test started are given to write theirs."""
AGAIN_S = 5.0
"""Until the main thread is interrupted once more, if the test went on all the same."""
LOCKED_S = ASK_S + 5.0
"""After the limit, when stacks are written past the interpreter's lock."""


@contextlib.contextmanager
def limited(limit_s: float, what: str, results: Path, ask_others: Callable[[], list[str]]) -> Iterator[None]:
    """Raises TestTookTooLong in the main thread, from which this must be called, if the block takes longer.

    Args:
        limit_s: seconds.
        what: has the limit, for the message.
        results: directory for the file of stacks.
        ask_others: has whatever the test started write its stacks; returns where those will be.
    """
    message = f"{what} was at work after {limit_s:g} s, its limit"
    over = threading.Event()

    def interrupt(signum: int, frame: object) -> None:
        del signum, frame
        if not over.is_set():
            raise TestTookTooLong(message)

    def watch() -> None:
        nonlocal message
        if over.wait(limit_s):
            return
        places = [f"{STACKS} of its results"]
        with contextlib.suppress(OSError), (results / STACKS).open("a", encoding="utf-8") as file:
            file.write(f"{message}; process {os.getpid()}:\n")
            file.flush()
            faulthandler.dump_traceback(file, all_threads=True)
        asked = threading.Thread(target=lambda: places.extend(ask_others()), daemon=True)
        asked.start()
        asked.join(ASK_S)
        message += f"; the stacks are in {', '.join(places)}"
        while not over.is_set():
            signal.pthread_kill(main, signal.SIGALRM)
            over.wait(AGAIN_S)

    main = threading.get_ident()
    # It stays, as a signal may come late: the system's own handler would end the process.
    signal.signal(signal.SIGALRM, interrupt)
    with contextlib.ExitStack() as stack:
        locked = stack.enter_context((results / STACKS).with_suffix(".locked").open("w"))
        stack.callback(_remove_if_empty, Path(locked.name))
        faulthandler.dump_traceback_later(limit_s + LOCKED_S, file=locked)
        stack.callback(faulthandler.cancel_dump_traceback_later)
        thread = threading.Thread(target=watch, name="limit", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(ASK_S)


def _remove_if_empty(file: Path) -> None:
    if file.stat().st_size == 0:
        file.unlink()
