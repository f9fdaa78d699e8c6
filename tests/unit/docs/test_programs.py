"""Every program in the README and in docs/ runs, on the embedded broker, as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from producer.transports import TRANSPORT_VARIABLE, transports
from systest.embedded.mock_cluster import MockCluster

ROOT = Path(__file__).parents[3]
ADDRESS_IN_TEXT = "localhost:9092"
PROGRAM = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LIMIT_S = 60


def programs() -> list[ParameterSet]:
    """Each fenced Python block of a page, named by the page and its line."""
    found: list[ParameterSet] = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = page.read_text("utf-8")
        for block in PROGRAM.finditer(text):
            line = text.count("\n", 0, block.start()) + 1
            found.append(pytest.param(block[1], id=f"{page.name}:{line}"))
    return found


@pytest.fixture
def address() -> Iterator[str]:
    cluster = MockCluster(1)
    yield cluster.bootstrap_servers
    cluster.close()


@pytest.mark.parametrize("text", programs())
def test_program__as_it_stands_in_the_docs__runs(text: str, address: str, tmp_path: Path) -> None:
    assert ADDRESS_IN_TEXT in text, f"a program names its broker as {ADDRESS_IN_TEXT}"
    program = tmp_path / "program.py"
    program.write_text(text.replace(ADDRESS_IN_TEXT, address), "utf-8")
    # With its transport chosen, or without the compiled one it would say why it has none.
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
        TRANSPORT_VARIABLE: transports()[0],
    }
    if "FastAPI(" in text:
        serve(program, environment)
        return
    ended = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=LIMIT_S, env=environment
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout, "a program says what it did"


def test_programs__as_they_stand__pass_a_users_strict_type_check(tmp_path: Path) -> None:
    texts = [parameter.values[0] for parameter in programs()]
    for number, text in enumerate(texts):
        (tmp_path / f"program_{number}.py").write_text(str(text), "utf-8")
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = True\n", "utf-8")
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), "."]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=3 * LIMIT_S, cwd=tmp_path, env=environment
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"no issues found in {len(texts)} source files" in ended.stdout


def serve(program: Path, environment: dict[str, str]) -> None:
    """Serve the program's `app` and place an order, as a client on the network does."""
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "program:app",
        "--port",
        "0",
        "--app-dir",
        str(program.parent),
    ]
    # Not as errors: uvicorn's own dependencies warn.
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**environment, "PYTHONWARNINGS": "default"}
    ) as server:
        try:
            port = port_of(server)
            url = f"http://127.0.0.1:{port}/orders/customer-7"
            with urllib.request.urlopen(url, data=b"3 apples", timeout=LIMIT_S) as answer:
                assert answer.read() in (b'{"partition":%d,"offset":0}' % number for number in range(4))
        finally:
            server.terminate()
            _, said = server.communicate(timeout=LIMIT_S)
    assert "Application shutdown complete" in said, said


def port_of(server: subprocess.Popen[str]) -> str:
    """The port that uvicorn says it listens on."""
    assert server.stderr is not None
    deadline_s = time.monotonic() + LIMIT_S
    said = ""
    while time.monotonic() < deadline_s and (line := server.stderr.readline()):
        said += line
        if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
            return found[1]
    raise AssertionError(f"the service did not start:\n{said}")
