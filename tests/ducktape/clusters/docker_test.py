"""Runs on nodes in Docker's containers, as a user starts them: to their end, and ended at any moment.

Where there is no engine, the one promise is that the run says why in a sentence, and that is held to. The first run on
a machine builds the nodes' image, which takes minutes.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from ducktape.mark import matrix
from ducktape.mark.resource import cluster
from ducktape.tests.test import Test

from systest.clusters import engine
from systest.clusters.docker_objects import Owner

ROOT = Path(__file__).parents[3]
BUILD_LIMIT_S = 1_200.0
END_LIMIT_S = 60.0
GONE_LIMIT_S = 30.0
MOMENTS = {"build": "building the node image", "start": "starting 3 nodes", "test": "broker: "}


class DockerTest(Test):  # type: ignore[misc]  # ducktape has no types
    @cluster(num_nodes=0)
    def test_comparison__as_on_this_machine__leaves_results_of_the_user_and_nothing_else(self) -> None:
        with Run("--rounds", "1", "--duration", "1") as run:
            if not run.is_possible():
                return
            run.end(BUILD_LIMIT_S)
            assert run.status == 0, run.said()
            [result] = run.results.glob("2*/**/comparison.json")
            assert result.stat().st_uid == os.getuid(), f"{result} is of user {result.stat().st_uid}"
            assert f"{result.relative_to(run.results.parent)}" in run.said(), run.said()
            assert "sync: " in run.said(), run.said()
            run.assert_nothing_left()

    @cluster(num_nodes=0)
    def test_run__whose_test_fails__has_its_status(self) -> None:
        with Run("tests/ducktape/no_such_test.py") as run:
            if not run.is_possible():
                return
            run.end(BUILD_LIMIT_S)
            assert "No tests to run" in run.said(), run.said()
            assert run.status == 1, f"status {run.status}"
            run.assert_nothing_left()

    @cluster(num_nodes=0)
    @matrix(how=["SIGINT", "SIGTERM", "SIGKILL", "SIGINT, again and again"], moment=list(MOMENTS))
    def test_run__ended__leaves_no_container_network_volume_or_key(self, how: str, moment: str) -> None:
        with Run("--rounds", "20", "--duration", "5") as run:
            if not run.is_possible():
                return
            run.await_words(MOMENTS[moment])
            number = signal.Signals[how.partition(",")[0]]
            if number is signal.SIGINT:
                os.killpg(run.process.pid, number)  # as a terminal sends it: to all of them
            else:
                run.process.send_signal(number)
            while "again" in how and run.process.poll() is None:
                time.sleep(0.2)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(run.process.pid, number)
            run.end(END_LIMIT_S)
            assert run.status != 0, run.said()
            run.assert_nothing_left()


class Run:
    """`systest run --cluster docker` in a session of its own, with a directory for all that it writes."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments

    def __enter__(self) -> Run:
        self._stack = contextlib.ExitStack()
        directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.results, self._temporary = directory / "results", directory / "tmp"
        self._temporary.mkdir()
        self._output = directory / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "systest", "run", "--cluster", "docker", "--nodes", "3"),
                    *("--strategies", "sync", "--results-root", str(self.results), *self._arguments),
                ],
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(self._temporary)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._owner = Owner.of(self.process.pid)
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(GONE_LIMIT_S)
            self.process.kill()
            self.process.wait()
        self._stack.close()

    def is_possible(self) -> bool:
        """Whether there is an engine; where there is none, the run must have said so in one sentence."""
        try:
            engine.version()
        except engine.EngineUnavailable as reason:
            self.end(END_LIMIT_S)
            assert self.said() == f"run_ducktape: {reason}\n", self.said()
            assert self.status == 2, f"status {self.status}"
            return False
        return True

    @property
    def status(self) -> int | None:
        return self.process.returncode

    def said(self) -> str:
        return self._output.read_text("utf-8", errors="replace")

    def end(self, limit_s: float) -> None:
        """Waits for it."""
        self.process.wait(limit_s)

    def await_words(self, words: str) -> None:
        """Returns once it has said them."""
        deadline_s = time.monotonic() + BUILD_LIMIT_S
        while words not in self.said():
            assert self.process.poll() is None, f"it ended: {self.said()}"
            assert time.monotonic() < deadline_s, self.said()
            time.sleep(0.05)

    def assert_nothing_left(self) -> None:
        deadline_s = time.monotonic() + GONE_LIMIT_S
        while left := self._leftovers():
            assert time.monotonic() < deadline_s, left
            time.sleep(0.1)

    def _leftovers(self) -> list[str]:
        mine = ("--filter", f"label=systest.owner={self._owner.label()}")
        found = [str(path) for path in self._temporary.iterdir()]
        for kind in (("ps", "--all"), ("network", "ls"), ("volume", "ls")):
            done = subprocess.run(
                ["docker", *kind, "--quiet", *mine],
                capture_output=True,
                text=True,
                check=True,
                timeout=END_LIMIT_S,
            )
            found += [f"docker {kind[0]} {identity}" for identity in done.stdout.split()]
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if (
                    process.environ().get("TMPDIR") == str(self._temporary)
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(json.dumps(process.cmdline()))
        return found
