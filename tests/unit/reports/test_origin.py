"""Where a result comes from: its commit, whether that is all that ran, and the command."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from systest.origin import Origin, command_line, origin_of

WHO = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "commit.gpgsign=false")


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), *WHO, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    if shutil.which("git") is None:
        pytest.skip("there is no git here; install git")
    git(tmp_path, "init")
    (tmp_path / "producer.py").write_text("pass\n", "utf-8")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message", "All there is")
    return tmp_path


def test_origin__of_a_clean_tree__is_its_commit(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    assert origin_of("./run_ducktape.sh", checkout) == Origin("./run_ducktape.sh", commit, is_clean=True)


@pytest.mark.parametrize("file", ["producer.py", "new.py"])
def test_origin__a_file_that_was_changed_or_is_new__is_no_clean_tree(checkout: Path, file: str) -> None:
    (checkout / file).write_text("1\n", "utf-8")
    assert not origin_of("./run_ducktape.sh", checkout).is_clean


def test_origin__installed_into_another_projects_checkout__has_not_that_ones_commit(checkout: Path) -> None:
    inside = checkout / "site-packages"
    inside.mkdir()
    assert origin_of("./run_ducktape.sh", inside).commit is None


def test_origin__no_checkout_or_no_git__has_no_commit(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert origin_of("ducktape", tmp_path_factory.mktemp("bare")) == Origin("ducktape", None, is_clean=False)
    monkeypatch.setenv("PATH", "")
    assert origin_of("ducktape", checkout).commit is None


def test_command__variables_that_change_what_is_measured__stand_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TMPDIR", "/dev/shm")
    monkeypatch.delenv("PRODUCER_TRANSPORT", raising=False)
    words = ["./run_ducktape.sh", "--globals", '{"speed": {"rounds": 6}}']
    assert command_line(words) == 'TMPDIR=/dev/shm ./run_ducktape.sh --globals \'{"speed": {"rounds": 6}}\''
