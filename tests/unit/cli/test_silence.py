"""What ducktape would pass in silence fails, and a test that hangs ends at its limit with the stacks of what hung.

Each is a run as a user starts it, of a test that was written for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from systest.not_run import VARIABLE, notes_in

ROOT = Path(__file__).parents[3]
RUN_LIMIT_S = 120.0
HEAD = """
import ctypes, signal, time
from ducktape.mark import ignore
from ducktape.mark.resource import cluster
from ducktape.services.service import Service
from ducktape.tests.test import Test
from systest import not_run
from systest.cli import runner
from systest.limits import limit
from systest.rounds import RoundPlan
from systest.testing import SystemTest
from systest.workloads.workload import Workload
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a module of tests with this text, which follows some imports."""

    def start(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        package = tmp_path / "written"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "a_test.py").write_text(HEAD + textwrap.dedent(text))
        broker = ("--broker", "embedded", "--strategies", "sync")
        results = ("--results-root", str(tmp_path / "results"))
        return subprocess.run(
            [sys.executable, "-m", "systest", "run", str(package), *broker, *results, *arguments],
            cwd=ROOT,
            env={**os.environ, VARIABLE: str(tmp_path / "not_run")},
            capture_output=True,
            text=True,
            timeout=RUN_LIMIT_S,
            check=False,
        )

    return start


def summary(directory: Path) -> str:
    """What the report says of the only test."""
    [report] = directory.glob("results/2*/report.json")
    [test] = json.loads(report.read_text("utf-8"))["results"]
    assert test["test_status"] == "FAIL"
    return str(test["summary"])


def test_teardown__that_fails__fails_its_test(run: Run, tmp_path: Path) -> None:
    text = """
    class A(Test):
        @cluster(num_nodes=0)
        def test_it(self): pass
        def teardown(self): raise RuntimeError("something is left")
    """
    assert run(text).returncode == 1
    assert "teardown failed: RuntimeError('something is left')" in summary(tmp_path)


@pytest.mark.parametrize("step", ["stop_node", "clean_node"])
def test_service__that_can_not_be_stopped_or_cleaned__fails_its_test(
    run: Run, tmp_path: Path, step: str
) -> None:
    text = f"""
    class Sticky(Service):
        def {step}(self, node, **kwargs): raise RuntimeError("it does not let go")

    class A(Test):
        @cluster(num_nodes=1)
        def test_it(self): Sticky(self.test_context, 1)
    """
    assert run(text).returncode == 1
    told = summary(tmp_path)
    assert f"{'stopping' if step == 'stop_node' else 'cleaning'} Sticky-0" in told
    assert "it does not let go" in told


def test_service__that_noted_an_error__fails_its_test(run: Run, tmp_path: Path) -> None:
    text = """
    class Noting(Service):
        error = "a thread of mine died"

    class A(Test):
        @cluster(num_nodes=1)
        def test_it(self): Noting(self.test_context, 1)
    """
    assert run(text).returncode == 1
    assert "a thread of mine died" in summary(tmp_path)


def test_test__that_passes_at_a_later_try__is_a_failure_by_name(run: Run, tmp_path: Path) -> None:
    text = f"""
    from pathlib import Path
    class A(Test):
        @cluster(num_nodes=0)
        def test_it(self):
            first = not Path("{tmp_path}/tried").exists()
            Path("{tmp_path}/tried").touch()
            assert not first
    """
    done = run(text, "--deflake", "2")
    assert done.returncode == 1
    assert "only at a later try passed written.a_test.A.test_it; that is a failure" in done.stderr


def test_tests__after_an_early_end__are_named(run: Run) -> None:
    text = """
    class A(Test):
        @cluster(num_nodes=0)
        def test_a(self): assert False
        @cluster(num_nodes=0)
        def test_b(self): pass
    """
    done = run(text, "--exit-first")
    assert done.returncode == 1
    assert "the run ended early; 1 of its tests were not run:\n  written.a_test.A.test_b\n" in done.stderr


def test_test__ignored_beside_one_that_passes__is_told_by_name_and_no_failure(
    run: Run, tmp_path: Path
) -> None:
    text = """
    class A(Test):
        @ignore
        @cluster(num_nodes=0)
        def test_a(self): pass
        @cluster(num_nodes=0)
        def test_b(self): pass
    """
    done = run(text)
    assert done.returncode == 0, done.stderr
    assert "not run here: 1 test: its mark says @ignore (written.a_test.A.test_a)" in done.stderr
    assert [each.test for each in notes_in(tmp_path / "not_run")] == ["written.a_test.A.test_a"]


@pytest.mark.parametrize(
    ("body", "mark", "status"),
    [("return not_run.data('it needs a moon')", "", os.EX_UNAVAILABLE), ("pass", "@ignore", 1)],
    ids=["impossible", "ignored"],
)
def test_run__of_nothing_that_could_be_run__is_no_success(
    run: Run, body: str, mark: str, status: int
) -> None:
    done = run(f"class A(Test):\n    {mark}\n    @cluster(num_nodes=0)\n    def test_it(self): {body}\n")
    assert done.returncode == status, done.stderr
    assert "run_ducktape: no test was run" in done.stderr.splitlines()[-1]
    if not mark:
        assert "not run here: 1 test: it needs a moon (written.a_test.A.test_it)" in done.stderr


@pytest.mark.parametrize(
    "hang",
    [
        "time.sleep(1_000)",
        "ctypes.CDLL(None).pause()",
        "import threading; threading.Lock().acquire() and threading.Event().wait()",
    ],
    ids=["python", "C", "lock"],
)
def test_test__that_hangs__ends_at_its_limit_with_its_stacks_and_the_next_runs(
    run: Run, tmp_path: Path, hang: str
) -> None:
    text = f"""
    class A(Test):
        @limit(seconds=1)
        @cluster(num_nodes=0)
        def test_a(self): {hang}
        @cluster(num_nodes=0)
        def test_b(self): pass
    """
    done = run(text)
    assert done.returncode == 1
    [report] = tmp_path.glob("results/2*/report.json")
    first, second = json.loads(report.read_text("utf-8"))["results"]
    assert (first["test_status"], second["test_status"]) == ("FAIL", "PASS")
    assert "test_a was at work after 1 s, its limit; the stacks are in stacks.txt" in first["summary"]
    assert "in test_a" in Path(first["results_dir"], "stacks.txt").read_text("utf-8")


def test_teardown__that_hangs__ends_at_its_own_limit(run: Run, tmp_path: Path) -> None:
    text = """
    from systest.cli import client
    client.TEARDOWN_S = 1.0
    class A(Test):
        @cluster(num_nodes=0)
        def test_it(self): pass
        def teardown(self): time.sleep(1_000)
    """
    assert run(text).returncode == 1
    assert "teardown of written.a_test.A.test_it was at work after 1 s, its limit" in summary(tmp_path)


def test_test__that_can_not_be_interrupted__is_killed_by_name_with_its_stacks(
    run: Run, tmp_path: Path
) -> None:
    """It holds the interpreter's lock in C code, with every signal blocked: neither thread nor signal gets through."""
    text = """
    from systest.cli import watchdog
    watchdog.LOCKED_S, runner._GRACE_S = 1.0, 4.0
    class A(Test):
        @limit(seconds=1)
        @cluster(num_nodes=0)
        def test_it(self):
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            ctypes.PyDLL(None).sleep(1_000)
    """
    done = run(text)
    assert done.returncode == 1
    assert (
        "written.a_test.A.test_it hung and could not end itself at its limit, so it was killed" in done.stderr
    )
    assert "hung and could not end itself" in summary(tmp_path)
    [stacks] = tmp_path.glob("results/2*/**/stacks.locked")
    assert "in test_it" in stacks.read_text("utf-8")


def test_test__whose_worker_does_not_end__ends_at_its_limit_with_the_workers_stacks(
    run: Run, tmp_path: Path
) -> None:
    text = """
    class A(SystemTest):
        @limit(seconds=10)
        @cluster(num_nodes=3)
        def test_it(self):
            work = Workload("window:10", in_flight=10, duration_s=500.0, records_max=10**9)
            self.rounds_on(self.start_broker(1)).play(RoundPlan("sync", work))
    """
    assert run(text).returncode == 1
    assert "its limit; the stacks are in stacks.txt of its results, the logs of WorkerService-" in summary(
        tmp_path
    )
    logs = [file.read_text("utf-8") for file in tmp_path.glob("results/2*/**/WorkerService-*/**/*.stderr")]
    assert any("most recent call first" in text and "systest/worker/produce.py" in text for text in logs), (
        logs
    )
