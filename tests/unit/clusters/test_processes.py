"""What belongs to a run is found by its environment, at whatever moment it is looked at."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import psutil
import pytest

from systest.processes import marked

VARIABLE = "SYSTEST_TEST_OF_MARKS"


def test_marked__process_in_the_middle_of_an_exec__is_found(
    popen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For that moment Linux shows an empty environment; 5 of 300 processes were looked at just then."""
    process = popen(["sleep", "100"], env={**os.environ, VARIABLE: "this"}, stdout=subprocess.DEVNULL)
    environ, looked = psutil.Process.environ, []

    def of_an_exec(self: psutil.Process) -> dict[str, str]:
        looked.append(self.pid)
        return {} if looked.count(process.pid) == 1 else environ(self)

    monkeypatch.setattr(psutil.Process, "environ", of_an_exec)
    assert [each.pid for each in marked(VARIABLE, "this")] == [process.pid]
    assert looked.count(process.pid) == 2
