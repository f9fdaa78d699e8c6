"""`systest kafka up` on a port that it can't have: one sentence, before anything starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from systest.ports import ADDRESS, first_of_free_ports

LIMIT_S = 30.0


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which another program listens, behind one that is free."""
    port = first_of_free_ports(2) + 1
    with socket.socket() as listener:
        listener.bind((ADDRESS, port))
        listener.listen()
        yield port


def kafka_up(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, with `directory` for temporary files and for what it would fetch or make to run Java."""
    return subprocess.run(
        [sys.executable, "-m", "systest", "kafka", "up", *arguments],
        env={**os.environ, "TMPDIR": str(directory), "SYSTEST_CACHE": str(directory / "cache")},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.mark.parametrize("before", [0, 1])
def test_port__in_use_by_another_program__is_named_and_nothing_starts(
    tmp_path: Path, taken: int, before: int
) -> None:
    done = kafka_up(tmp_path, "--brokers", "2", "--port", str(taken - before))
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = done.stderr.splitlines()
    assert f"port {taken} of 127.0.0.1 can't be used (Address already in use)" in sentence
    assert list(tmp_path.iterdir()) == []


def test_port__that_leaves_none_for_the_second_broker__is_named(tmp_path: Path) -> None:
    done = kafka_up(tmp_path, "--brokers", "2", "--port", "65535")
    assert done.returncode == 1
    assert "port 65536 of 127.0.0.1 can't be used (the last one is 65535)" in done.stderr


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http"])
def test_port__that_is_none__is_told_what_would_be(tmp_path: Path, port: str) -> None:
    done = kafka_up(tmp_path, "--port", port)
    assert done.returncode == 2
    assert f"must be a number from 1 to 65535, not '{port}'" in done.stderr
