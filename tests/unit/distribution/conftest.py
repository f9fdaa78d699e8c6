"""A cache of its own for every test, and programs that stand where a Java would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

ProgramMaker = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "cache"
    monkeypatch.setenv("SYSTEST_CACHE", str(directory))
    return directory


@pytest.fixture
def program(tmp_path: Path) -> ProgramMaker:
    """program("home/bin/java", script) is an executable shell script below the test's directory."""

    def make(name: str, script: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return make
