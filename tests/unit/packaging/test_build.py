"""An install has the compiled transport where it can be built, and succeeds and says why where it can't."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from systest.clusters.sources import pack_sources

ROOT = Path(__file__).parents[3]
LIMIT_S = 300.0
NOTE = "producer/_not_built.txt"
NO_COMPILER = "The compiled transport was not built: no C compiler ("
CLOSING = "The pure one will be used."


def environment(**changes: str) -> dict[str, str]:
    """This process's, without what would decide how something is built."""
    deciding = ("CC", "CFLAGS", "LDFLAGS", "PRODUCER_BUILD", "PRODUCER_TRANSPORT", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if name not in deciding} | changes


def pip(*arguments: str | Path, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)],
        env=environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The sources, at a path with a blank in it."""
    (tmp_path / "a checkout").mkdir()
    # Not by Python, whose `filter` for it the first releases of 3.10 and 3.11 don't have, and later ones insist on.
    subprocess.run(
        ["tar", "-xzf", pack_sources(ROOT, tmp_path), "-C", tmp_path / "a checkout"],
        timeout=LIMIT_S,
        check=True,
    )
    [directory] = (tmp_path / "a checkout").iterdir()
    return directory


def build(checkout: Path, **changes: str) -> tuple[Path | None, str]:
    """The wheel that pip makes of it, None if it fails, and what is said meanwhile."""
    into = checkout.parent / "wheels"
    shutil.rmtree(into, ignore_errors=True)
    done = pip("wheel", "-v", "--no-deps", "--no-build-isolation", "--wheel-dir", into, checkout, **changes)
    wheels = list(into.glob("*.whl"))
    assert (done.returncode == 0) is bool(wheels), done.stdout
    return (wheels[0] if wheels else None), done.stdout


def transport_after_install_of(wheel: Path, directory: Path) -> str:
    """What an environment of its own, with nothing but the wheel and what that needs, says of its transport."""
    venv.create(directory, with_pip=False)
    python = directory / "bin/python"
    installed = pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    assert installed.returncode == 0, installed.stdout
    said = subprocess.run(
        [python, "-m", "systest.transport"],
        cwd=directory,
        env=environment(PYTHONPATH=sysconfig.get_path("purelib")),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    return said.stderr.strip()


def modules_in(wheel: Path) -> list[str]:
    return [name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("producer/_librdkafka.cp")]


def compiler() -> str | None:
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    return shutil.which(str(command).split()[0])


@pytest.mark.skipif(
    compiler() is None, reason="there is no C compiler here; install gcc and Python's headers"
)
def test_install__with_a_compiler__has_the_compiled_transport(checkout: Path, tmp_path: Path) -> None:
    wheel, said = build(checkout, PRODUCER_BUILD="compiled")
    assert wheel is not None, said
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert wheel.name.split("-")[2:4] == [python, python]
    assert not wheel.name.endswith("-any.whl")
    [module] = modules_in(wheel)
    assert module.endswith(str(sysconfig.get_config_var("EXT_SUFFIX")))
    assert NOTE not in zipfile.ZipFile(wheel).namelist()
    assert "-O3 -g0" in said
    assert transport_after_install_of(wheel, tmp_path / "venv") == "Transport: compiled"

    # In the same directory, where what that left would be taken for what is built now.
    wheel, said = build(checkout, PRODUCER_BUILD="pure")
    assert wheel is not None, said
    assert wheel.name.endswith("-py3-none-any.whl")
    assert modules_in(wheel) == []


def test_install__without_a_compiler__succeeds_and_says_why_in_one_sentence(
    checkout: Path, tmp_path: Path
) -> None:
    wheel, said = build(checkout, PATH=str(tmp_path / "nothing"))
    assert wheel is not None, said
    assert wheel.name.endswith("-py3-none-any.whl")
    assert modules_in(wheel) == []
    [sentence] = (line.strip() for line in said.splitlines() if "compiled transport" in line)
    assert sentence.startswith(NO_COMPILER)
    assert sentence.endswith(CLOSING)
    assert "Traceback" not in said
    note = zipfile.ZipFile(wheel).read(NOTE).decode()
    assert f"{note.strip()} {CLOSING}" == sentence
    told = transport_after_install_of(wheel, tmp_path / "venv")
    assert told.startswith("Transport: pure; the compiled transport was not built: no C compiler (")


@pytest.mark.skipif(
    not Path(sysconfig.get_path("include"), "Python.h").exists(),
    reason="Python's headers are not here; install python3-dev",
)
def test_install__with_a_compiler_that_fails__says_how_to_see_more(checkout: Path) -> None:
    wheel, said = build(checkout, CC="false")
    assert wheel is not None, said
    note = zipfile.ZipFile(wheel).read(NOTE).decode()
    assert note == (
        "The compiled transport was not built: the C compiler failed; to see why, install again with "
        "PRODUCER_BUILD=compiled.\n"
    )
    assert "Traceback" not in said


def test_install__that_must_be_compiled_and_can_not__fails_with_the_reason(
    checkout: Path, tmp_path: Path
) -> None:
    wheel, said = build(checkout, PATH=str(tmp_path / "nothing"), PRODUCER_BUILD="compiled")
    assert wheel is None
    assert NO_COMPILER in said
    assert "Traceback" not in said


def test_install__asked_for_something_else__names_the_choices(checkout: Path) -> None:
    wheel, said = build(checkout, PRODUCER_BUILD="fast")
    assert wheel is None
    assert "PRODUCER_BUILD is 'fast'; it can be pure or compiled, or unset." in said


def test_sdist__has_the_module_s_sources_and_nothing_built(checkout: Path) -> None:
    for left in ("_not_built.txt", "_librdkafka.c", "_librdkafka.cpython-311-x86_64-linux-gnu.so"):
        (checkout / "producer" / left).touch()
    (checkout / "producer/planted.h").touch()
    command = [sys.executable, "-c", "from setuptools import build_meta; build_meta.build_sdist('dist')"]
    subprocess.run(command, cwd=checkout, env=environment(), capture_output=True, timeout=LIMIT_S, check=True)
    [sdist] = (checkout / "dist").iterdir()
    with tarfile.open(sdist) as archive:
        names = {Path(name).name for name in archive.getnames() if Path(name).parent.name == "producer"}
    assert {"_librdkafka.pyx", "planted.h", "py.typed"} <= names
    assert not [name for name in names if name.endswith((".so", ".c", ".txt"))]


@pytest.mark.parametrize(
    "changed", ["producer/_librdkafka.pyx", "producer/planted.h", "setup.py", "setup.cfg"]
)
def test_environment__after_a_change_of_what_is_built__is_made_anew(checkout: Path, changed: str) -> None:
    for script in ("environment.sh", "provision.sh"):
        shutil.copy(ROOT / "ducktape" / script, checkout / "ducktape")

    def state(**changes: str) -> str:
        command = ["sh", "-c", "set -eu; . ducktape/environment.sh; state >state; cat state"]
        done = subprocess.run(
            command,
            cwd=checkout,
            env=environment(**changes),
            stdout=subprocess.PIPE,
            text=True,
            timeout=LIMIT_S,
            check=True,
        )
        assert done.stdout
        return done.stdout

    before = state()
    assert state() == before
    assert state(PRODUCER_BUILD="pure") != before
    with (checkout / changed).open("a") as file:
        file.write("# changed\n")
    assert state() != before


@pytest.mark.skipif(sys.version_info < (3, 11), reason="cibuildwheel itself runs on Python 3.11 or newer")
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_wheels__are_for_every_python_and_no_musl(machine: str) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "cibuildwheel", "--print-build-identifiers"),
            *("--platform", "linux", "--archs", machine),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    assert done.stdout.split() == [f"cp3{minor}-manylinux_{machine}" for minor in range(10, 15)]
