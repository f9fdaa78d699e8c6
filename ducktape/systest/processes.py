"""Looks at processes that may end meanwhile, or become somebody else's, and ends them."""

from __future__ import annotations

import os
import time

import psutil

_YOUNG_S = 60.0
_WAITS_S = (0.001, 0.01, 0.1)


def words(process: psutil.Process) -> list[str]:
    """Its command line; none if it has ended, or is nobody's business here."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def marked(variable: str, value: str) -> set[psutil.Process]:
    """Every process that has this in its environment, but for this one."""
    found = set()
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and _environment(process).get(variable) == value:
                found.add(process)
        except (psutil.Error, OSError):
            continue  # gone meanwhile, or somebody else's
    return found


def _environment(process: psutil.Process) -> dict[str, str]:
    """In the middle of an exec a process shows none; a moment later it does, if it has one. Raises psutil.Error."""
    for wait_s in _WAITS_S:
        environment = process.environ()
        if environment or time.time() - process.create_time() > _YOUNG_S:
            return environment
        time.sleep(wait_s)
    return process.environ()


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
