"""A run of the tests on a cluster of its own, started as a user starts it: what came of it, and what it left behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

from systest import not_run

ROOT = Path(__file__).parents[3]
ROUNDS = "tests/ducktape/delivery/delivery_test.py::DeliveryTest.test_strategy__round_after_round__raises_no_anomaly"
_BROKERS = "tests/ducktape/services/kafka_service_test.py::KafkaServiceTest."
THREE_NODES = f'{_BROKERS}test_lose_a_leader__any_way__others_take_over_and_nothing_is_lost@{{"how": "kill"}}'
ONE_NODE = f"{_BROKERS}test_assert_alive__broker_dies_on_its_own__error_has_its_last_lines"
END_LIMIT_S = 180.0
GONE_LIMIT_S = 30.0

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Seen:
    """A process of a run as it was when it was looked at; it may have ended since.

    Attributes:
        process: the process.
        words: its command line.
        temporary: its place for temporary files, "" if it was told none.
    """

    process: psutil.Process
    words: Sequence[str]
    temporary: str


_Run = TypeVar("_Run", bound="Run")


LeftOut = Mapping[str, str] | None
"""What a test returns: that it could not be run here, and why."""


def rounds(count: int, strategy: str = "sync") -> list[str]:
    """Arguments for a test on three nodes that takes a second or two for each round."""
    return [ROUNDS, "--parameters", json.dumps({"strategy": strategy, "rounds": count})]


class Run:
    """`systest run --cluster <one>` in a session of its own, with a directory for all that it writes.

    Attributes:
        CLUSTER: where it runs.
        STARTED_LIMIT_S: seconds until its nodes are there and tests begin.
    """

    CLUSTER: str
    STARTED_LIMIT_S: float

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments

    def __enter__(self: _Run) -> _Run:
        self._stack = contextlib.ExitStack()
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.results, self.temporary = self.directory / "results", self.directory / "tmp"
        self.temporary.mkdir()
        self._output = self.directory / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "systest", "run", "--cluster", self.CLUSTER, *self._arguments),
                    *("--results-root", str(self.results)),
                ],
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(self.temporary)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(GONE_LIMIT_S)
            self.process.kill()
            self.process.wait()
        self._stack.close()

    def why_not(self) -> str | None:
        """Why its cluster can't be had here; None if it can."""
        raise NotImplementedError

    def leftovers(self) -> list[str]:
        """What of it is still there."""
        return [
            *(json.dumps(each.words) for each in self.processes()),
            *(str(path) for path in self.temporary.iterdir()),
        ]

    def left_out(self) -> LeftOut:
        """None if its cluster can be had here; if not, the run must have said so, and the test returns why."""
        reason = self.why_not()
        if reason is None:
            return None
        said = self.end()
        assert said.splitlines()[-1] == f"run_ducktape: {reason}", said
        assert self.status == os.EX_UNAVAILABLE, f"status {self.status}"
        return not_run.data(reason)

    @property
    def status(self) -> int | None:
        return self.process.returncode

    def said(self) -> str:
        return self._output.read_text("utf-8", errors="replace")

    def end(self, limit_s: float = END_LIMIT_S) -> str:
        """Waits for it; returns all that it said."""
        self.process.wait(limit_s)
        return self.said()

    def send(self, number: signal.Signals) -> None:
        """As it would come: Ctrl-C goes to all of a terminal's processes, other signals to one."""
        if number is signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def awaited(self, found: Callable[[], _Found | None]) -> _Found:
        """What is found at last, while it runs."""
        deadline_s = time.monotonic() + self.STARTED_LIMIT_S
        while (result := found()) is None:
            assert self.process.poll() is None, f"it ended: {self.said()}"
            assert time.monotonic() < deadline_s, self.said()
            time.sleep(0.05)
        return result

    def assert_nothing_left(self) -> None:
        deadline_s = time.monotonic() + GONE_LIMIT_S
        while left := self.leftovers():
            assert time.monotonic() < deadline_s, left
            time.sleep(0.1)

    def processes(self) -> Iterator[Seen]:
        """All of it on this machine."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                seen = Seen(process, process.cmdline(), process.environ().get("TMPDIR", ""))
                if any(str(self.temporary) in word for word in (seen.temporary, *seen.words)):
                    yield seen

    def outcomes(self) -> list[dict[str, Any]]:
        """Of its tests, in the order in which they began."""
        [report] = self.results.glob("2*/report.json")
        return sorted(json.loads(report.read_text())["results"], key=lambda each: float(each["start_time"]))

    def assert_two_at_once_on_nodes_of_their_own(self) -> None:
        said = self.end()
        assert [each["test_status"] for each in self.outcomes()] == ["PASS", "PASS"], said
        one, other = self.outcomes()
        assert other["start_time"] < one["stop_time"], "they ran one after the other, so nothing was shown"
        nodes, others = (self._nodes_of(each) for each in (one, other))
        assert nodes, one
        assert others, other
        assert nodes.isdisjoint(others), (nodes, others)

    def assert_said_that_it_wants_three_nodes_and_has_two(self) -> None:
        said = self.end()
        assert re.search("round_after_round.* needs 3 nodes, and 2 can be used", said), said
        assert self.status == 1, f"status {self.status}"

    def _nodes_of(self, outcome: dict[str, Any]) -> set[str]:
        """The nodes whose logs were collected for a test."""
        return {path.name for path in Path(outcome["results_dir"]).glob("*Service*/*") if path.is_dir()}
