"""Runs one step's command and leaves nothing of it, however it ends.

A step has a session of its own, so that a terminal's Ctrl-C reaches the night alone, which passes it on. It is ended
in order first, as Ctrl-C ends it, then by SIGTERM, then for good; this repository's commands clean up on either of the
first two. Every process that it starts carries a mark in its environment, and what is left of those after its end is
killed: also what made a session of its own, or outlived its parent. What can't be killed, as it hangs in the kernel, is
waited for no longer than all else. Should the night itself be killed, Linux ends the step by SIGTERM.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import psutil

from systest.nightly.outcome import End, Ended
from systest.processes import kill, lives, marked, words

MARK = "SYSTEST_STEP"
"""The environment variable that a step's processes carry."""
_LOOK_S = 0.1
_ORDER_S = 60.0
_TERM_S = 15.0
_LEFT_S = 15.0
_CHILDREN_S = 2.0
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class Stop:
    """Ctrl-C, SIGTERM, a closed terminal, as something to look at: a step is ended in order, wherever the night stands.

    Once more means at once, but for a terminal: of its end its shell tells, and then the kernel.
    """

    def __init__(self) -> None:
        self.signals: list[int] = []

    def __enter__(self) -> Stop:
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # else nohup wants the night to go on
            numbers.append(signal.SIGHUP)
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        if number != signal.SIGHUP or not self.signals:
            self.signals.append(number)


def run_step(
    command: Sequence[str], log: Path, limit_s: float, stop: Stop, show: Callable[[str], None]
) -> Ended:
    """Runs a command to its end, its limit or the night's.

    Args:
        command: program and arguments.
        log: file that gets its output.
        limit_s: when it is ended.
        stop: of the night.
        show: gets each line of its output.
    """
    began_s = time.monotonic()
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        bufsize=1,
        env={**os.environ, MARK: mark},
        start_new_session=True,
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,
    )
    assert process.stdout is not None
    pump = _Pump(process.stdout, log, show)
    pump.start()
    end, known, next_look_s = End.EXITED, set[psutil.Process](), began_s
    while process.poll() is None:
        if time.monotonic() > next_look_s:
            known |= _children(process.pid)
            next_look_s = time.monotonic() + _CHILDREN_S
        if stop.signals or time.monotonic() - began_s > limit_s:
            end = End.INTERRUPTED if stop.signals else End.LIMIT
            _end(process, stop)
            break
        time.sleep(_LOOK_S)
    left_behind = _end_left(mark, known)
    pump.join(_LEFT_S)
    exit_status = process.poll()
    return Ended(
        end,
        -signal.SIGKILL if exit_status is None else exit_status,
        time.monotonic() - began_s,
        limit_s,
        pump.last_line,
        left_behind,
    )


class _Pump(threading.Thread):
    """Output to the log and the terminal, as it comes; ends with the last process that can write any."""

    def __init__(self, output: IO[str], log: Path, show: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        self._output, self._log, self._show = output, log, show
        self.last_line = ""

    def run(self) -> None:
        with self._output, self._log.open("w", encoding="utf-8", buffering=1) as log:
            for line in self._output:
                log.write(line)
                self._show(line.rstrip("\n"))
                self.last_line = line.strip() or self.last_line


def _children(pid: int) -> set[psutil.Process]:
    try:
        return set(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return set()


def _end(process: subprocess.Popen[str], stop: Stop) -> None:
    """Ends a step in order if it lets itself be ended so; once more Ctrl-C meanwhile, and it goes at once."""
    signals_before = len(stop.signals)
    for number, patience_s in (
        (signal.SIGINT, _ORDER_S),
        (signal.SIGTERM, _TERM_S),
        (signal.SIGKILL, _TERM_S),
    ):
        is_urgent = len(stop.signals) > signals_before
        if is_urgent and number != signal.SIGKILL:
            continue
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        deadline_s = time.monotonic() + patience_s
        while time.monotonic() < deadline_s and (is_urgent or len(stop.signals) == signals_before):
            if process.poll() is not None:
                return
            time.sleep(_LOOK_S)


def _end_left(mark: str, known: set[psutil.Process]) -> tuple[str, ...]:
    """Waits for those that clean up after a step, and kills who then is still there; their command lines."""
    deadline_s = time.monotonic() + _LEFT_S
    while (left := _left(mark, known)) and time.monotonic() < deadline_s:
        time.sleep(_LOOK_S)
    lines: set[str] = set()
    deadline_s = time.monotonic() + _TERM_S
    while left and time.monotonic() < deadline_s:
        lines |= {" ".join(words(process)) or str(process.pid) for process in left}
        for process in left:
            kill(process)
        time.sleep(_LOOK_S)
        left = _left(mark, known)
    return tuple(sorted(lines))


def _left(mark: str, known: set[psutil.Process]) -> set[psutil.Process]:
    return {process for process in {*marked(MARK, mark), *known} if lives(process)}


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
