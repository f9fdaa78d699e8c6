"""The main job as a user runs it, on the embedded broker: progress, the table, the files, the exit status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from systest.reports import RunResult

ROOT = Path(__file__).parents[3]
LIMIT_S = 120.0


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "systest", "run", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


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


def test_main_job__every_check_held__exit_status_0(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr


def test_main_job__shows_progress_and_then_the_table(done: subprocess.CompletedProcess[str]) -> None:
    assert "[2/2]" in done.stderr
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
    assert report.name in done.stdout
    result = RunResult.from_json(report.read_text("utf-8"))
    assert result.is_verified
    assert [each.name for each in result.strategies] == ["async", "sync"]
    assert report.with_suffix(".md").read_text("utf-8").startswith("# Comparison of producers")


def test_run__no_such_test__shows_no_earlier_table(
    done: subprocess.CompletedProcess[str], results: Path
) -> None:
    assert done.returncode == 0
    failed = run("tests/nowhere", "--results-root", str(results))
    assert failed.returncode != 0
    assert "send rate" not in failed.stdout
