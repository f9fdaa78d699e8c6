"""`./run_ducktape.sh nightly` as a person and a CI server meet it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from systest.cli import nightly
from systest.cli.main import main
from systest.nightly import STEPS, Step

ROOT = Path(__file__).parents[3]
LIMIT_S = 90.0
BRIEF = "./run_ducktape.sh --broker embedded --strategies sync,async --rounds 1 --duration 0.3"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--only", "comparsion"],
            "unknown step 'comparsion', did you mean 'comparison'? Choose from comparison,",
        ),
        (["--require", "podman"], "unknown step 'podman'; choose from comparison,"),
        (["--only", ","], "--only , names no step; see --list"),
        (["--budget", "0"], "a budget of 0 minutes can't be kept"),
        (["--budget", "0.5"], "a budget of 0.5 minutes can't be kept; choose more than 1"),
        (["--results-root", "setup.cfg"], "the results can't be written: "),
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
    nobody = tmp_path / "cluster.json"
    config = {"host": "gone", "hostname": "127.0.0.1", "port": 1, "user": "nobody"}
    nobody.write_text(json.dumps({"nodes": [{"externally_routable_ip": "127.0.0.1", "ssh_config": config}]}))
    steps = (
        Step("brief", BRIEF, 5),
        Step("elsewhere", f"./run_ducktape.sh --cluster {shlex.quote(str(nobody))}", 5, may_lack=True),
        Step("wrong", "./run_ducktape.sh --cluster nowhere", 5, may_lack=True),
    )
    monkeypatch.setattr(nightly, "STEPS", steps)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "page.md"))
    assert main(["nightly", "--results-root", str(tmp_path)]) == 1
    out, _ = capfd.readouterr()
    assert "[4/4] " in out, "what a step says is shown"
    (directory,) = (tmp_path / "nightly").iterdir()
    summary = out[out.index("\nNight of ") :]
    assert "1 of 3 steps failed: wrong" in summary
    assert str(directory / "summary.md") in summary
    page = (tmp_path / "page.md").read_text("utf-8")
    assert page == (directory / "summary.md").read_text("utf-8")
    assert "| `elsewhere` | not run |" in page
    assert "it can't be reached at 127.0.0.1:1" in page
    assert "exit status 2: run_ducktape: unknown cluster 'nowhere'" in page
    brief, elsewhere, wrong = json.loads((directory / "summary.json").read_text("utf-8"))["outcomes"]
    assert (brief["verdict"], brief["tests_passed"]) == ("passed", 1)
    # On the pure transport or the compiled one, whichever this machine has.
    assert any(name.endswith("-throughput") for name in brief["undecided"])
    assert (elsewhere["is_failure"], wrong["is_failure"]) == (False, True)
    assert list((directory / "brief").glob("2*/**/comparison.md"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_night__whose_reader_is_gone__lets_the_step_clean_up_and_leaves_its_summary(
    popen: Any, tmp_path: Path, number: signal.Signals
) -> None:
    """As by Ctrl-C under `| tee`, or by closing the terminal."""
    script = (
        "trap 'for n in 1 2 3; do echo cleaning up $n; sleep 0.2; done; exit 3' INT; "
        "echo at work; while :; do sleep 0.1; done"
    )
    program = (
        "import sys; from systest.cli import nightly; from systest.cli.main import main\n"
        f"nightly.STEPS = (nightly.STEPS[0].__class__('first', {f'sh -c {shlex.quote(script)}'!r}, 5),)\n"
        f"sys.exit(main(['nightly', '--results-root', {str(tmp_path)!r}]))"
    )
    night = popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "ducktape")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert any(line == "at work\n" for line in night.stdout)
    night.stdout.close()
    night.send_signal(number)
    if number == signal.SIGHUP:
        time.sleep(0.5)
        night.send_signal(number)  # by the kernel, after the shell
    complaints = night.stderr.read()
    assert night.wait(LIMIT_S) == 128 + number, complaints
    assert complaints == ""
    (directory,) = (tmp_path / "nightly").iterdir()
    (outcome,) = json.loads((directory / "summary.json").read_text("utf-8"))["outcomes"]
    assert outcome["verdict"] == "interrupted"
    assert "cleaning up 3" in (directory / "first/output.log").read_text("utf-8")
