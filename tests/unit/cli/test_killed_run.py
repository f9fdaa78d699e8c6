"""A run that is killed leaves nothing: no process, no directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from systest.processes import lives, marked, words

ROOT = Path(__file__).parents[3]
STARTED_LIMIT_S = 60.0
GONE_LIMIT_S = 15.0


# How scripts start what they put in the background.
IGNORING_SIGINT = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")


@pytest.fixture
def run(popen: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """A comparison on the embedded broker that would take a minute, in a directory for temporary files of its own.

    A test may give it a command that becomes it.
    """
    before = getattr(request, "param", ())
    arguments = [
        *("--nodes", "3", "--broker", "embedded", "--strategies", "sync", "--duration", "20"),
        "--results-root",
    ]
    return popen(
        [*before, sys.executable, "-m", "systest", "run", *arguments, str(tmp_path / "results")],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_run__killed_at_work__leaves_no_process_and_no_directory(
    run: subprocess.Popen[str], tmp_path: Path
) -> None:
    await_worker(tmp_path)
    run.kill()
    assert_nothing_left(run, tmp_path)


def test_run__ctrl_c_before_the_first_test__ends_in_a_sentence(popen: Any, tmp_path: Path) -> None:
    """In the middle of what comes before: a cluster class of the user's that takes its time."""
    (tmp_path / "slow.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(60)\n")
    run = popen(
        [sys.executable, "-m", "systest", "run", "--cluster", "slow.Cluster"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{tmp_path}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stdout.readline() == "loading\n"
    run.send_signal(signal.SIGINT)
    assert run.wait(GONE_LIMIT_S) == 128 + signal.SIGINT
    assert words_of(run) == ["run_ducktape: ended by Ctrl-C"]


def test_run__ctrl_c_at_work__leaves_no_process_and_no_directory(
    run: subprocess.Popen[str], tmp_path: Path
) -> None:
    await_worker(tmp_path)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal sends it: to all of them
    assert_nothing_left(run, tmp_path)


@pytest.mark.parametrize("run", [(), IGNORING_SIGINT], ids=["foreground", "background"], indirect=True)
def test_run__terminated_at_work__ends_soon_in_order_and_leaves_nothing(
    run: subprocess.Popen[str], tmp_path: Path
) -> None:
    await_worker(tmp_path)
    run.terminate()
    assert_nothing_left(run, tmp_path)
    assert run.returncode == 128 + signal.SIGTERM
    assert words_of(run) == ["run_ducktape: ended by SIGTERM"]
    assert list(tmp_path.glob("results/2*/report.json")), "the test could not end by itself"


def test_run__terminated_with_a_test_that_does_not_end__ends_soon_and_leaves_nothing(
    run: subprocess.Popen[str], tmp_path: Path
) -> None:
    await_worker(tmp_path)
    process_of_the_test(run).suspend()
    run.terminate()
    assert_nothing_left(run, tmp_path)
    assert run.returncode == 128 + signal.SIGTERM


def test_run__whose_test_process_is_killed__ends_soon_with_the_reason_and_leaves_nothing(
    run: subprocess.Popen[str], tmp_path: Path
) -> None:
    await_worker(tmp_path)
    process_of_the_test(run).kill()
    assert_nothing_left(run, tmp_path)
    (sentence,) = words_of(run)
    assert "died (SIGKILL)" in sentence


def process_of_the_test(run: subprocess.Popen[str]) -> psutil.Process:
    """The fork of the runner in which ducktape runs the test."""
    runner = psutil.Process(run.pid)
    command = runner.cmdline()
    (fork,) = (child for child in runner.children() if words(child) == command)
    return fork


def words_of(run: subprocess.Popen[str]) -> list[str]:
    """What it said on stderr beside its progress."""
    assert run.stderr is not None
    return [line for line in run.stderr.read().splitlines() if not line.startswith(("broker: ", "["))]


def assert_nothing_left(run: subprocess.Popen[str], directory: Path) -> None:
    run.wait(GONE_LIMIT_S)
    assert run.returncode != 0
    deadline_s = time.monotonic() + GONE_LIMIT_S
    while (left := leftovers(directory)) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert not left


def await_worker(directory: Path) -> None:
    """Returns once a producer is at work."""
    deadline_s = time.monotonic() + STARTED_LIMIT_S
    while not any("systest.worker" in line for line in processes_in(directory)):
        assert time.monotonic() < deadline_s, "the run has not come to its first round"
        time.sleep(0.1)


def leftovers(directory: Path) -> list[str]:
    return [*processes_in(directory), *(str(path) for path in directory.iterdir() if path.name != "results")]


def processes_in(directory: Path) -> list[str]:
    """Command lines of all processes whose temporary directory this is."""
    return [" ".join(words(each)) for each in marked("TMPDIR", str(directory)) if lives(each)]
