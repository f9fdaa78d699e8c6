"""`./run_ducktape.sh nightly` as a person and a CI server meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from systest.cli import nightly
from systest.cli.main import main
from systest.nightly import STEPS, Step

BRIEF = "./run_ducktape.sh --broker embedded --strategies sync,async --rounds 1 --duration 0.3"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--only", "comparsion"],
            "unknown step 'comparsion', did you mean 'comparison'? Choose from comparison,",
        ),
        (["--require", "podman"], "unknown step 'podman'; choose from comparison,"),
        (["--budget", "0"], "a budget of 0 minutes can't be kept"),
        (["--budget", "nan"], "a budget of nan minutes can't be kept"),
    ],
)
def test_option__that_cannot_be__is_told_in_a_sentence(
    capfd: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["nightly", *arguments]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err


def test_place__other_than_the_repository__is_told(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["nightly"]) == 2
    assert "run this in the repository's root directory" in capfd.readouterr().err


def test_list__shows_every_step_as_a_command_and_runs_none(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["nightly", "--list"]) == 0
    out, _ = capfd.readouterr()
    assert [line.strip() for line in out.splitlines()[1::2]] == [step.command for step in STEPS]
    assert main(["nightly", "--list", "--only", "speed,faults"]) == 0
    out, _ = capfd.readouterr()
    assert [line.split()[0] for line in out.splitlines()[::2]] == ["faults", "speed"]


def test_night__in_brief__shows_its_summary_and_leaves_it_for_people_and_programs(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = "./run_ducktape.sh --cluster nowhere"
    steps = (Step("brief", BRIEF, 5), Step("elsewhere", lacking, 5, may_lack=True), Step("wrong", lacking, 5))
    monkeypatch.setattr(nightly, "STEPS", steps)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "page.md"))
    assert main(["nightly", "--results-root", str(tmp_path)]) == 1
    out, _ = capfd.readouterr()
    assert "[2/2] " in out, "what a step says is shown"
    (directory,) = (tmp_path / "nightly").iterdir()
    summary = out[out.index("\nNight of ") :]
    assert "1 of 3 steps failed: wrong" in summary
    assert str(directory / "summary.md") in summary
    page = (tmp_path / "page.md").read_text("utf-8")
    assert page == (directory / "summary.md").read_text("utf-8")
    assert "| `elsewhere` | not run |" in page
    assert "unknown cluster 'nowhere'" in page
    brief, elsewhere, wrong = json.loads((directory / "summary.json").read_text("utf-8"))["outcomes"]
    assert (brief["verdict"], brief["tests_passed"]) == ("passed", 1)
    assert "async-throughput" in brief["undecided"]
    assert (elsewhere["is_failure"], wrong["is_failure"]) == (False, True)
    assert list((directory / "brief").glob("2*/**/comparison.md"))
