"""A night with real processes: steps that pass, hang, hide, or are interrupted, and what is left of them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from systest.nightly import Night, Step, play_night
from systest.nightly import night as night_module
from systest.nightly import process as step_process
from systest.nightly.outcome import StepVerdict
from systest.processes import kill, lives, words

ROOT = Path(__file__).parents[3]
LIMIT_S = 90.0
# A process in a session of its own, whose parent is gone, that ends by no signal but SIGKILL; "$0" is its mark.
HIDDEN = 'setsid sh -c \'trap "" INT TERM; while :; do sleep 0.1; done\' "$0" & '
TESTS = json.dumps(
    {
        "results": [
            {
                "cls_name": "T",
                "function_name": "t",
                "injected_args": None,
                "test_status": "PASS",
                "summary": "",
            }
        ]
    }
)
# Leaves a report as ducktape does, in the directory after --results-root, which is "$2".
PASSES = f"""mkdir "$2/2026" && echo '{TESTS}' > "$2/2026/report.json"; echo done"""


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    """A word on the command lines of a test's processes; none of them may be left."""
    word = f"mark-of-{tmp_path.name}"
    yield word
    left = processes(word)
    for process in left:
        process.kill()
    assert left == []


def processes(word: str) -> list[psutil.Process]:
    """Those that live with this word on their command lines."""
    return [each for each in psutil.process_iter() if word in " ".join(words(each)) and lives(each)]


def shell(name: str, script: str, mark: str = "sh", limit_min: float = 1.0) -> Step:
    return Step(name, f"sh -c {shlex.quote(script)} {mark}", limit_min)


def played(steps: list[Step], tmp_path: Path, budget_min: float = 5.0) -> tuple[Night, list[str]]:
    said: list[str] = []
    return play_night(steps, tmp_path / "night", budget_min, (), said.append), said


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_process, "_ORDER_S", 1.0)
    monkeypatch.setattr(step_process, "_TERM_S", 1.0)
    monkeypatch.setattr(step_process, "_LEFT_S", 1.0)


def test_night__a_step_after_another__shows_and_keeps_what_they_say(tmp_path: Path) -> None:
    night, said = played([shell("one", PASSES), shell("two", "echo out; echo err >&2; exit 3")], tmp_path)
    assert [each.verdict for each in night.outcomes] == [StepVerdict.PASSED, StepVerdict.FAILED]
    assert night.outcomes[1].why == "exit status 3: err"
    assert {"out", "err", "done"} <= set(said)
    assert "== [2/2] two, at most 1 min: " in "\n".join(said)
    assert (tmp_path / "night/two/output.log").read_text() == "out\nerr\n"
    assert night.exit_status == 1


def test_step__whose_reports_are_cut_short__is_judged_without_them(tmp_path: Path) -> None:
    cut = (
        """mkdir "$2/2026"; for file in report comparison; do printf '{' > "$2/2026/$file.json"; done; """
        "echo full; exit 1"
    )
    night, _ = played([shell("cut", cut)], tmp_path)
    assert night.outcomes[0].why.startswith(
        "exit status 1: full; its comparison.json can't be read (ValueError("
    )
    assert "; its report.json can't be read (JSONDecodeError(" in night.outcomes[0].why


@pytest.mark.parametrize(
    "report", ['{"result": []}', "[]", '{"results": 7}', '{"results": [{"cls_name": "T"}]}']
)
def test_step__whose_report_is_of_another_shape__says_so_and_the_night_goes_on(
    tmp_path: Path, report: str
) -> None:
    step = shell("odd", f"""mkdir "$2/2026"; echo '{report}' > "$2/2026/report.json"; echo done""")
    night, _ = played([step, shell("next", PASSES)], tmp_path)
    odd, following = night.outcomes
    assert (odd.verdict, following.verdict) == (StepVerdict.FAILED, StepVerdict.PASSED)
    assert "its report.json can't be read (" in odd.why


def test_step__that_hangs__is_ended_at_its_limit_with_all_that_it_started(tmp_path: Path, mark: str) -> None:
    hangs = shell("hangs", f'trap "" INT TERM; {HIDDEN} sleep 1000', mark, limit_min=0.02)
    night, _ = played([hangs, shell("next", PASSES)], tmp_path)
    assert [each.verdict for each in night.outcomes] == [StepVerdict.FAILED, StepVerdict.PASSED]
    why, left_behind = night.outcomes[0].why.split("; ", 1)
    assert why == "it was ended after 0.02 minutes, its limit"
    assert left_behind.startswith("it left processes behind: ")


@pytest.mark.parametrize("error", [psutil.NoSuchProcess, psutil.AccessDenied])
def test_process__that_can_not_be_looked_at__is_gone_or_another_users(
    monkeypatch: pytest.MonkeyPatch, error: type[psutil.Error]
) -> None:
    def refuse(process: psutil.Process) -> str:
        raise error(process.pid)

    monkeypatch.setattr(psutil.Process, "status", refuse)
    monkeypatch.setattr(psutil.Process, "kill", refuse)
    process = psutil.Process(os.getppid())
    assert lives(process) is (error is psutil.AccessDenied)
    assert kill(process) is (error is psutil.AccessDenied)


def test_step__with_a_process_that_can_not_be_killed__is_failed_by_it_and_the_night_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    monkeypatch.setattr(step_process, "kill", lambda process: True)
    night, _ = played([shell("leaves", f"{PASSES}; {HIDDEN}", mark), shell("next", PASSES)], tmp_path)
    left = processes(mark)
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=LIMIT_S)
    assert left
    assert [each.verdict for each in night.outcomes] == [StepVerdict.FAILED, StepVerdict.PASSED]
    assert night.outcomes[0].why.startswith("it left processes behind: ")


def test_step__that_leaves_a_process_behind__is_failed_by_its_command_line(tmp_path: Path, mark: str) -> None:
    night, _ = played([shell("leaves", f"{PASSES}; {HIDDEN}", mark)], tmp_path)
    assert night.outcomes[0].verdict is StepVerdict.FAILED
    assert night.outcomes[0].why.startswith("it left processes behind: ")
    assert mark in night.outcomes[0].why


def test_budget__used_up__ends_the_step_that_runs_and_begins_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(night_module, "_BEGIN_S", 0.5)
    night, _ = played([shell("long", "sleep 1000"), shell("late", PASSES)], tmp_path, budget_min=0.02)
    long, late = night.outcomes
    assert (long.verdict, late.verdict) == (StepVerdict.FAILED, StepVerdict.NOT_RUN)
    assert long.why == "the night's budget ended it after 0.02 minutes"
    assert late.why == "the budget of 0.02 minutes left it no time"
    assert night.exit_status == 1


def test_budget__with_less_than_a_minute_left__begins_no_step(tmp_path: Path) -> None:
    night, said = played([shell("late", PASSES)], tmp_path, budget_min=0.9)
    assert (night.outcomes[0].verdict, night.exit_status, said) == (StepVerdict.NOT_RUN, 1, [])


@pytest.fixture
def command(popen: Any, tmp_path: Path, request: pytest.FixtureRequest, mark: str) -> Any:
    """A night as a process, in its first step."""
    program = (
        "import sys; from pathlib import Path; from systest.nightly import Step, play_night, process, terminal\n"
        "process._LEFT_S = 1.0\n"
        f"steps = [Step('first', {shell('first', request.param, mark).command!r}, 5), Step('second', 'true', 5)]\n"
        f"night = play_night(steps, Path({str(tmp_path / 'night')!r}), 5, (), lambda line: print(line, flush=True))\n"
        "print(terminal(night, 100)); sys.exit(night.exit_status)"
    )
    process = popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "ducktape")},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stdout:
        if line.strip() == "at work":
            break
    return process


@pytest.mark.parametrize("command", [f"{HIDDEN} echo at work; sleep 1000"], ids=["hidden"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_night__interrupted__ends_the_step_says_what_there_is_and_leaves_nothing(
    command: subprocess.Popen[str], number: signal.Signals
) -> None:
    os.killpg(command.pid, number)
    out, _ = command.communicate(timeout=LIMIT_S)
    assert command.returncode == 128 + number
    assert "first" in out
    assert "interrupted" in out
    assert f"ended early by signal {int(number)}" in out
    assert "second" not in out.replace("[1/2]", "")


def test_stop__under_nohup__does_not_heed_a_closed_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with step_process.Stop() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.signals == []
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    "command",
    ['trap "" INT TERM; echo at work; while :; do sleep 0.1; done'],
    ids=["stubborn"],
    indirect=True,
)
def test_night__interrupted_twice__waits_for_no_order(command: subprocess.Popen[str]) -> None:
    began_s = time.monotonic()
    os.kill(command.pid, signal.SIGINT)
    time.sleep(1.0)
    os.kill(command.pid, signal.SIGINT)
    command.communicate(timeout=LIMIT_S)
    assert command.returncode == 128 + signal.SIGINT
    assert time.monotonic() - began_s < 40


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's end")
@pytest.mark.parametrize(
    "command",
    ["trap 'exit 0' TERM; echo at work; while :; do sleep 0.1; done"],
    ids=["orderly"],
    indirect=True,
)
def test_night__killed__takes_its_step_along(command: subprocess.Popen[str], mark: str) -> None:
    command.kill()
    command.wait(LIMIT_S)
    deadline_s = time.monotonic() + LIMIT_S
    while processes(mark) and time.monotonic() < deadline_s:
        time.sleep(0.1)
