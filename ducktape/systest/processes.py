"""Looks at processes that may end meanwhile, or become somebody else's, and ends them."""

from __future__ import annotations

import os
import time

import psutil

_YOUNG_S = 60.0
_WAITS_S = (0.001, 0.01, 0.1, 0.0)


def words(process: psutil.Process) -> list[str]:
    """Its command line; none if it has ended, or is nobody's business here."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def marked(variable: str, value: str) -> set[psutil.Process]:
    """Every process that has this in its environment, but for this one.

    In the middle of an exec a process shows none, and a moment later it does, if it has one: so those are asked again.
    """
    found: set[psutil.Process] = set()
    unread = [process for process in psutil.process_iter() if process.pid != os.getpid()]
    for wait_s in _WAITS_S:
        silent = []
        for process in unread:
            try:
                environment = process.environ()
                if environment.get(variable) == value:
                    found.add(process)
                elif not environment and _may_exec(process):
                    silent.append(process)
            except (psutil.Error, OSError):
                continue  # gone meanwhile, or somebody else's
        if not silent:
            break
        unread = silent
        time.sleep(wait_s)
    return found


def _may_exec(process: psutil.Process) -> bool:
    """Not one that has ended, nor of the kernel's own, which are old."""
    return lives(process) and time.time() - process.create_time() < _YOUNG_S


def lives(process: psutil.Process) -> bool:
    """Whether it is there and at work; one that ended and was not waited for is not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it went between the two questions
        return False
    except psutil.AccessDenied:  # it is another user's by now
        return True


def pid_lives(pid: int) -> bool:
    """Whether the process that now has this number is there and at work."""
    try:
        return lives(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def kill(process: psutil.Process) -> bool:
    """Kills it; whether it was still there to kill, were it only that nobody here may."""
    if process.pid == os.getpid() or not lives(process):
        return False
    try:
        process.kill()  # psutil makes sure that the pid is still this process's
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        pass
    return True
