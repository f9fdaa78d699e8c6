"""What all unit tests share: processes that end with their test, a Ctrl-C they hear, quick looks for garbage.

And what they leave out is noted, for `./run_tests.sh` to tell at its end.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from systest import not_run

PRIVILEGE_SEPARATION = Path("/run/sshd")
"""An sshd of root's insists on it, and where no init system runs nothing has made it."""

Popen = Callable[..., "subprocess.Popen[Any]"]


@pytest.fixture
def popen() -> Iterator[Popen]:
    """Starts processes as subprocess.Popen does; what is left of them at the end of the test is killed."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: Any, **options: Any) -> subprocess.Popen[Any]:
            process = stack.enter_context(subprocess.Popen(*arguments, **options))
            stack.callback(process.kill)
            return process

        yield start


@pytest.fixture(autouse=True, scope="session")
def heard_ctrl_c() -> Iterator[None]:
    """What a script puts in the background ignores SIGINT, and with it every process that a test starts."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="session")
def frozen_beginnings() -> Iterator[None]:
    """All that was collected and imported is nobody's garbage: tests that look for some are spared to look there."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return  # what follows is for the one process that hears of every test and ends after all others
    config.pluginmanager.register(_NotesOfSkips())
    if os.geteuid() == 0 and not PRIVILEGE_SEPARATION.exists():
        PRIVILEGE_SEPARATION.mkdir(mode=0o755)
        config.add_cleanup(PRIVILEGE_SEPARATION.rmdir)


class _NotesOfSkips:
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and isinstance(report.longrepr, tuple):
            not_run.note(report.nodeid, report.longrepr[2].removeprefix("Skipped: "))
