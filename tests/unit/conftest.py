"""What all unit tests share: processes that end with their test, a Ctrl-C they hear, quick looks for garbage."""

from __future__ import annotations

import contextlib
import gc
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

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
