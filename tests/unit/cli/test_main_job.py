"""The main job as a user runs it, on the embedded broker: progress, the table, the files, the exit status."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from systest.comparison import orders
from systest.options import RunOptions
from systest.reports import RunResult

ROOT = Path(__file__).parents[3]
LIMIT_S = 120.0


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "systest", "run", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def gates_of(done: subprocess.CompletedProcess[str]) -> str:
    """What is said from the verdict on, however a terminal breaks its lines."""
    return " ".join(done.stdout[done.stdout.index("\ngates:") :].split())


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def done(results: Path) -> subprocess.CompletedProcess[str]:
    options = [
        "--broker",
        "embedded",
        "--strategies",
        "async,sync,java",
        "--rounds",
        "1",
        "--duration",
        "0.3",
    ]
    return run(*options, "--seed", "7", "--results-root", str(results))


def test_orders__of_each_round__keep_what_is_divided_by_each_other_together_and_follow_from_the_seed() -> (
    None
):
    options = RunOptions(rounds=20, records=("plain", "service"), seed=7)
    plays = [(records, name) for records in options.records for name in ("sync", "async", "java")]
    rounds = [*orders(options, plays)]
    assert rounds == [*orders(options, plays)]
    assert all(sorted(each) == sorted(plays) for each in rounds)
    halves = {
        tuple(tuple({records for records, _ in half}) for half in (each[:3], each[3:])) for each in rounds
    }
    assert halves == {(("plain",), ("service",)), (("service",), ("plain",))}
    assert len({tuple(each) for each in rounds}) > 10


def test_main_job__every_check_held__exit_status_0(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr


def test_main_job__shows_progress_and_then_the_table(done: subprocess.CompletedProcess[str]) -> None:
    assert "[4/4]" in done.stderr
    assert done.stdout.startswith("broker: embedded broker")
    assert "send rate, records/s" in done.stdout
    assert "all found in the log, no anomaly" in done.stdout


def test_main_job__strategy_that_the_broker_cannot_serve__is_left_out_aloud(
    done: subprocess.CompletedProcess[str],
) -> None:
    assert "The strategy java is left out" in done.stderr
    assert "The strategy java is left out" in done.stdout


def test_main_job__names_files_that_hold_the_result(
    done: subprocess.CompletedProcess[str], results: Path
) -> None:
    (report,) = results.resolve().glob("2*/**/comparison.json")
    assert f"{report.stem}.{{json,md,xml}}" in done.stdout
    result = RunResult.from_json(report.read_text("utf-8"))
    assert result.is_verified
    assert [part.records for part in result.parts] == ["plain", "service"]
    assert all([each.name for each in part.strategies] == ["async", "sync"] for part in result.parts)
    assert result.origin.command.endswith(f"--seed 7 --results-root {shlex.quote(str(results))}")
    others = [one.others_percent for part in result.parts for each in part.strategies for one in each.rounds]
    assert all(percent is not None and 0 <= percent <= 100 for percent in others)
    assert report.with_suffix(".md").read_text("utf-8").startswith("# Comparison of producers")


def test_main_job__judges_the_gates_and_says_what_can_not_be_judged(
    done: subprocess.CompletedProcess[str], results: Path
) -> None:
    table = gates_of(done)
    assert re.match(r"gates: \d+ undecided, \d+ not judged ", table)
    assert re.search(r"undecided: .*async(-pure)?-throughput.*; 3 rounds or more show the noise", table)
    assert "aiokafka did not run" in table
    (xml,) = results.resolve().glob("2*/**/comparison.xml")
    suite = ElementTree.parse(xml).getroot()
    assert (suite.get("failures"), suite.get("skipped")) == ("0", suite.get("tests"))


def test_main_job__gate_that_can_not_be_met__fails_by_name_and_figures_everywhere(tmp_path: Path) -> None:
    gates = tmp_path / "gates.yml"
    gates.write_text(
        "a-thousand-times: {reason: nobody is, strategy: async, times: sync, "
        "figure: throughput.records_per_s, at_least: 1000}"
    )
    options = ["--broker", "embedded", "--strategies", "async,sync", "--rounds", "3", "--duration", "1"]
    failed = run(*options, "--gates", str(gates), "--results-root", str(tmp_path))
    assert failed.returncode == 1, failed.stderr
    line = (
        r"gates: 1 FAILED .*not met: a-thousand-times .*, at least 1000x wanted.* why it must hold: nobody is"
    )
    assert re.search(line, gates_of(failed))
    sentence = r"gate a-thousand-times failed: [0-9.]+x \[[0-9.]+ to [0-9.]+\] of sync, at least 1000x wanted"
    (session,) = tmp_path.glob("2*")
    for file in (session / "report.xml", *session.glob("**/comparison.xml")):
        (failure,) = ElementTree.parse(file).getroot().iter("failure")
        assert re.search(sentence, failure.get("message", ""))
    assert "| a-thousand-times | not met |" in next(session.glob("**/comparison.md")).read_text("utf-8")


def test_run__no_such_test__shows_no_earlier_table(
    done: subprocess.CompletedProcess[str], results: Path
) -> None:
    assert done.returncode == 0
    failed = run("tests/nowhere", "--results-root", str(results))
    assert failed.returncode != 0
    assert "send rate" not in failed.stdout


@pytest.mark.parametrize(
    ("before", "after", "status", "words"),
    [
        (
            "import annotations\n",
            "import annotations\nimport no_such_library\n",
            2,
            "No module named 'no_such_library'",
        ),
        (
            "        options = self.options\n",
            "        raise LookupError('before any round')\n",
            1,
            "before any round",
        ),
        (
            "    # No @cluster",
            "    def setup(self) -> None:\n        raise LookupError('in its set-up')\n    # No @cluster",
            1,
            "in its set-up",
        ),
    ],
    ids=["import", "begin", "setup"],
)
def test_main_job__that_can_not_begin__shows_the_error(
    tmp_path: Path, before: str, after: str, status: int, words: str
) -> None:
    shutil.copytree(ROOT / "tests/ducktape", tmp_path / "tests/ducktape")
    shutil.copytree(ROOT / ".ducktape", tmp_path / ".ducktape")
    file = tmp_path / "tests/ducktape/performance/comparison_test.py"
    text = file.read_text("utf-8")
    assert before in text
    file.write_text(text.replace(before, after, 1))
    failed = run("--broker", "embedded", "--strategies", "sync", cwd=tmp_path)
    assert failed.returncode == status
    assert words in failed.stdout + failed.stderr
