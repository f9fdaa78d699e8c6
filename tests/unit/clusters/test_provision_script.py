"""`ducktape/provision.sh` says in its last line what is wrong, and changes nothing then."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "ducktape/provision.sh"
LIMIT_S = 60.0
TOOLS = ("sh", "mkdir", "rm", "id", "tr", "cut", "basename", "flock", "cat")


def run(home: Path, path: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(SCRIPT), *arguments],
        env={"HOME": str(home), "PATH": path},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.fixture
def without_python(tmp_path: Path) -> str:
    """A PATH with all but a Python that is new enough, and apt-get."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(Path("/usr/bin", tool))
    (tools / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tools / "python3").chmod(0o755)
    return str(tools)


@pytest.mark.parametrize("arguments", [(), ("harness",), ("system", "now"), ("everything",)])
def test_arguments__that_it_does_not_know__are_answered_with_its_usage(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = run(tmp_path, "/usr/bin:/bin", *arguments)
    assert done.returncode == 1
    assert done.stderr == "usage: provision.sh system | compiler | harness PACKAGE | can-compile PYTHON\n"


def test_wheel__that_is_not_there__is_named(tmp_path: Path) -> None:
    done = run(tmp_path, "/usr/bin:/bin", "harness", "none.whl")
    assert (done.returncode, done.stderr) == (1, "There is no package none.whl.\n")
    assert list(tmp_path.iterdir()) == []


def test_python__that_is_too_old__is_told_with_what_to_do(tmp_path: Path, without_python: str) -> None:
    wheel = tmp_path / "harness.whl"
    wheel.touch()
    home = tmp_path / "home"
    ready = home / ".systest/ready"
    ready.parent.mkdir(parents=True)
    ready.touch()
    done = run(home, without_python, "harness", str(wheel))
    assert done.returncode == 1
    assert (
        "Python 3.10 or newer with its venv module was not found; run first: provision.sh system"
        in done.stderr
    )
    assert not (home / ".systest/venv").exists()
    assert not ready.exists(), "a node where it failed is not ready, whatever it was before"


def test_system__without_what_it_needs_and_no_way_to_install__names_the_packages(
    tmp_path: Path, without_python: str
) -> None:
    done = run(tmp_path, without_python, "system")
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert "python3 python3-venv procps" in sentence


def test_environment__that_is_a_link_to_another__is_not_installed_into(tmp_path: Path) -> None:
    """A node of a test has its driver's, which would change under all other tests."""
    wheel, drivers = tmp_path / "harness.whl", tmp_path / "drivers"
    wheel.touch()
    drivers.mkdir()
    (tmp_path / ".systest").mkdir()
    (tmp_path / ".systest/venv").symlink_to(drivers)
    done = run(tmp_path, "/usr/bin:/bin", "harness", str(wheel))
    assert done.returncode == 1
    assert done.stderr.endswith("is a link to another environment, which is not for nodes; remove it.\n")
    assert list(drivers.iterdir()) == []
