"""What is left out of a run of the tests is noted, told with its reason, and a failure where it is not allowed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from systest import not_run
from systest.not_run import NotRun

ROOT = Path(__file__).parents[3]
LIMIT_S = 60.0

SKIPPING = """
import pytest

def test_one() -> None:
    pytest.skip("there is no\\nlathe here; buy one")

@pytest.mark.skipif(True, reason="there is no lathe here; buy one")
@pytest.mark.parametrize("number", [1, 2])
def test_two(number: int) -> None: ...

def test_three() -> None: ...
"""
LATHE = "there is no lathe here; buy one"


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "notes"
    monkeypatch.setenv(not_run.VARIABLE, str(file))
    file.touch()
    return file


def test_note__without_anybody_who_wants_it__goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(not_run.VARIABLE, raising=False)
    not_run.note("test", "reason")


@pytest.mark.parametrize("processes", ["0", "2"])
def test_skips__in_one_process_or_several__are_noted_once_each(
    processes: str, notes: Path, tmp_path: Path
) -> None:
    (tmp_path / "test_skipping.py").write_text(SKIPPING)
    (tmp_path / "conftest.py").write_text((ROOT / "tests/unit/conftest.py").read_text("utf-8"))
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--numprocesses", processes, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "ducktape")},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert "1 passed, 3 skipped" in done.stdout, done.stdout
    tests = [each.test.partition("::")[2] for each in not_run.notes_in(notes) if each.reason == LATHE]
    assert sorted(tests) == ["test_one", "test_two[1]", "test_two[2]"]


def test_told__many_tests_of_few_reasons__is_a_line_for_each_reason_the_commonest_first() -> None:
    many = [NotRun(f"test_{number}", LATHE) for number in range(3)]
    assert not_run.told([NotRun("test_root", "run as root"), *many]) == [
        f"3 tests: {LATHE}, such as test_0",
        "1 test: run as root (test_root)",
    ]


@pytest.mark.parametrize(
    ("allowed", "status"),
    [
        (None, 0),
        ("", 1),
        ("# a comment\n\nthere is no lathe here; .*\n", 0),
        ("there is no lathe\n", 1),  # not the whole reason
        ("run as root\n", 1),
    ],
)
def test_main__by_what_is_allowed__fails_or_not(
    allowed: str | None, status: int, notes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    not_run.note("test_one", LATHE)
    options = []
    if allowed is not None:
        (tmp_path / "allowed").write_text(allowed)
        options = ["--allowed", str(tmp_path / "allowed")]
    assert not_run.main([str(notes), *options]) == status
    said = capsys.readouterr()
    assert said.out == f"1 test: {LATHE} (test_one)\n"
    assert ("not allowed to be left out here" in said.err) is bool(status)


def test_main__nothing_left_out__says_so(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not_run.main([str(notes)]) == 0
    assert capsys.readouterr().out == "nothing: every test was run\n"
