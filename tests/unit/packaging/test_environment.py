"""`ducktape/environment.sh` finds room for caches and temporary files where the usual places have none."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from systest.distribution.cache import cache_root

SCRIPT = Path(__file__).parents[3] / "ducktape/environment.sh"
LIMIT_S = 60.0
TOLD = 'echo "${XDG_CACHE_HOME:-} ${PIP_CACHE_DIR:-} ${TMPDIR:-}"'


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with a home, a checkout, a `small` folder and a `df` that knows how small it is."""
    for name in ("home", "checkout", "small", "tools"):
        (tmp_path / name).mkdir()
    df = tmp_path / "tools/df"
    df.write_text(
        '#!/bin/sh\ncase "$2" in *small) free=200000 ;; *) free=9000000 ;; esac\n'
        'echo "Filesystem 1024-blocks Used Available Capacity Mounted on"; echo "disk 1 1 $free 1% /"\n'
    )
    df.chmod(0o755)
    return tmp_path


def find_room(machine: Path, **environment: str) -> tuple[str, list[str]]:
    """What the script has set then, and what it says."""
    done = subprocess.run(
        ["sh", "-euc", f'. "$0"; find_room; {TOLD}', SCRIPT],
        cwd=machine / "checkout",
        env={"PATH": f"{machine}/tools:/usr/bin:/bin", "HOME": str(machine / "home"), **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    return done.stdout.rstrip("\n"), done.stderr.splitlines()


def test_room__where_it_usually_is__is_left_there_without_a_word(machine: Path) -> None:
    assert find_room(machine, TMPDIR=str(machine)) == (f"  {machine}", [])
    assert not (machine / "checkout/.scratch").exists()


def test_caches__whose_home_can_not_be_written__go_to_the_checkout(machine: Path) -> None:
    (machine / "file").touch()
    home = str(machine / "file")  # in which not even root can make a folder
    scratch = f"{machine}/checkout/.scratch"
    told, said = find_room(machine, HOME=home, TMPDIR=str(machine))
    assert told == f"{scratch}/cache {scratch}/cache/pip {machine}"
    assert said == [f"{home}/.cache can't be written, so caches go to {scratch}/cache."]


def test_caches__that_the_user_placed__stay_there(machine: Path) -> None:
    placed = str(machine / "placed")
    assert find_room(machine, HOME="/dev/null", XDG_CACHE_HOME=placed, TMPDIR=str(machine)) == (
        f"{placed}  {machine}",
        [],
    )


def test_temporary_files__without_room__go_to_the_checkout(machine: Path) -> None:
    small, elsewhere = f"{machine}/small", f"{machine}/checkout/.scratch/tmp"
    assert find_room(machine, TMPDIR=small) == (
        f"  {elsewhere}",
        [f"{small} has no 2 GiB free, so temporary files go to {elsewhere}."],
    )
    assert Path(elsewhere).is_dir()


def test_temporary_files__with_no_more_room_in_the_checkout__stay(machine: Path) -> None:
    """The run says then how much it needs."""
    df = machine / "tools/df"
    df.write_text(df.read_text().replace("9000000", "100000"))
    assert find_room(machine, TMPDIR=str(machine / "small")) == (f"  {machine}/small", [])


@pytest.mark.parametrize(
    ("variables", "root"),
    [
        ({}, "/home/somebody/.cache/kafka-systest"),
        ({"XDG_CACHE_HOME": "/caches"}, "/caches/kafka-systest"),
        ({"XDG_CACHE_HOME": "not/absolute"}, "/home/somebody/.cache/kafka-systest"),
        ({"XDG_CACHE_HOME": "/caches", "SYSTEST_CACHE": "/chosen"}, "/chosen"),
    ],
)
def test_cache__of_the_harness__is_where_caches_go(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], root: str
) -> None:
    for name in ("XDG_CACHE_HOME", "SYSTEST_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_root() == Path(root)
