"""What `docker/` holds is valid, by the word of the tools that know."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKER = ROOT / "docker"
LIMIT_S = 60.0


def tool(name: str) -> str:
    """A tool of the development environment; some platforms have no package of it."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"there is no {name} for this platform among the packages; run it on Linux, x86_64")
    return found


def verdict_on(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def test_dockerfile__has_nothing_that_its_linter_warns_of() -> None:
    done = verdict_on(tool("hadolint"), "--failure-threshold", "warning", DOCKER / "Dockerfile")
    assert done.returncode == 0, done.stdout


def test_dockerfile__with_a_mistake__is_seen_through(tmp_path: Path) -> None:
    wrong = tmp_path / "Dockerfile"
    wrong.write_text(
        (DOCKER / "Dockerfile").read_text().replace("USER systest\nWORKDIR", "USER root\nWORKDIR")
    )
    assert verdict_on(tool("hadolint"), "--failure-threshold", "warning", wrong).returncode != 0


def test_compose_file__is_one() -> None:
    done = verdict_on(tool("docker-compose"), "--file", DOCKER / "compose.yaml", "config", "--quiet")
    assert done.returncode == 0, done.stderr


def test_compose_file__with_a_mistake__is_seen_through(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((DOCKER / "compose.yaml").read_text().replace("healthcheck:", "healthchecks:"))
    assert verdict_on(tool("docker-compose"), "--file", wrong, "config", "--quiet").returncode != 0


def test_published_port__is_on_loopback_only() -> None:
    done = verdict_on(tool("docker-compose"), "--file", DOCKER / "compose.yaml", "config")
    assert "host_ip: 127.0.0.1" in done.stdout


@pytest.mark.parametrize("script", ["node.sh"])
def test_script__can_be_read_by_the_shell(script: str) -> None:
    assert verdict_on("sh", "-n", DOCKER / script).returncode == 0


def test_copied_file__each__is_let_through_to_the_engine() -> None:
    """The ignore file lets through what it names alone; a forgotten name would show only in a build."""
    let_through = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = [
        source
        for line in (DOCKER / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
        if not source.startswith("--")
    ]
    assert copied
    for source in copied:
        assert Path(source).parts[0] in let_through, source
        assert (ROOT / source).exists(), source
