"""ducktape's runner, which waits for no test that is gone or over its limit, and ends within seconds of SIGTERM.

ducktape's own learns of a test's end by a message alone, and waits 30 minutes for that of a process that was
killed; on SIGTERM it kills them all, and then waits. Here SIGTERM ends the tests as Ctrl-C does, so that they
clean up after themselves on whatever cluster they run, and kills those that have not ended in time.

A test ends itself at its limit (`systest.cli.client`). One that can't, as its process stands still, is killed some time
later, and the run ends with it: what the test left on its nodes is nothing for another test to start from.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ducktape.tests import runner as ducktape_runner
from ducktape.tests.runner import Receiver, TestRunner

from systest import disk
from systest.cli import pruning
from systest.cli.client import run_client
from systest.limits import TEARDOWN_S, limit_s
from systest.progress import say

_LOOK_MS = 200
_TIDY_UP_S = 6.0
_GRACE_S = TEARDOWN_S + 60.0
"""After a test's limit: time for stacks and for tidying up."""


class TestProcessDied(Exception):
    """A test's process ended without a word, or had to be killed, so nobody knows what came of the test."""


class ResultsDiskFull(Exception):
    """There is no room for what tests write into their results; what else failed follows from that."""


class Runner(TestRunner):  # type: ignore[misc]  # ducktape has no types
    """Takes the place of ducktape's."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        # A server that forks, which is Python 3.14's default, would outlive a run that is killed, and its forks know
        # nothing of this process: neither its handlers nor what it has imported.
        if multiprocessing.get_start_method() == "forkserver":
            multiprocessing.set_start_method("fork", force=True)
        super().__init__(*arguments, **named)
        ducktape_runner.run_client = run_client  # which a runner takes from its module
        self._results = Path(self.session_context.results_dir)
        self._mark = pruning.mark(self._results)
        self._end_s: dict[Any, float] = {}  # when a test's process is killed
        self.receiver: Receiver = _Receiver(self.receiver, self._look)
        # A script's background jobs ignore it, and so would the tests, which end by it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._kill_s: float | None = None  # when those that still run are killed; set by SIGTERM

    def run_all_tests(self) -> Any:
        """As ducktape's; after a SIGTERM it raises SystemExit with the status that shells give such an end."""
        try:
            results = super().run_all_tests()
        finally:
            if (
                not self.receiver.socket.closed
            ):  # its report may have found no room; zmq would wait for it at the exit
                self.receiver.close()
        if self._kill_s is not None:
            say("run_ducktape: ended by SIGTERM")
            raise SystemExit(128 + signal.SIGTERM)
        if left := self.scheduler.drain_remaining_tests():
            names = "".join(f"\n  {test.test_id}" for test in left)
            say(f"run_ducktape: the run ended early; {len(left)} of its tests were not run:{names}")
        return results

    def _run_single_test(self, test_context: Any) -> None:
        """As ducktape's, with the latest moment at which the test has ended."""
        key = ducktape_runner.TestKey(test_context.test_id, self.test_counter)
        limit = max(1, self.deflake_num) * (limit_s(test_context) + _GRACE_S)
        self._end_s[key] = time.monotonic() + limit
        super()._run_single_test(test_context)

    def _report_unschedulable(self, unschedulable: Any, err_msg: str | None = None) -> None:
        """As ducktape's, which tells the log alone."""
        super()._report_unschedulable(unschedulable, err_msg)
        for test in unschedulable:
            there = len(self.cluster.all())
            say(
                f"run_ducktape: {test.test_id} needs {test.expected_num_nodes} nodes, and {there} can be used"
            )

    def _propagate_sigterm(self, signum: int, frame: object) -> None:
        """ducktape's handler of SIGTERM; its forked test processes have it too, until they set their own."""
        if os.getpid() != self.main_process_pid or self._kill_s is not None:
            return
        self.stop_testing = True
        self._kill_s = time.monotonic() + _TIDY_UP_S
        self._signal_tests(signal.SIGINT)

    def _look(self) -> None:
        """Called again and again while no test says anything. Raises TestProcessDied or ResultsDiskFull."""
        if self._kill_s is not None and time.monotonic() > self._kill_s:
            self._signal_tests(signal.SIGKILL)
        if self._kill_s is None and (reason := disk.full(self._results)) is not None:
            say(f"run_ducktape: {reason}; the run ends here")
            raise ResultsDiskFull(reason)
        for key in self.active_tests:
            process = self._client_procs[key]
            hung = time.monotonic() > self._end_s[key]
            if hung and process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
                process.join(_TIDY_UP_S)
            if hung or not process.is_alive():
                died = TestProcessDied(
                    f"{key.test_id} hung and could not end itself at its limit, so it was killed"
                    if hung
                    else f"the process of {key.test_id} died ({_end_of(process)})"
                )
                if self._kill_s is None:
                    say(f"run_ducktape: {died}; the run ends here")
                raise died

    def _signal_tests(self, number: signal.Signals) -> None:
        for process in self._client_procs.values():
            if process.is_alive():
                os.kill(process.pid, number)


class _Receiver(Receiver):  # type: ignore[misc]
    """As ducktape's, looking around while it waits."""

    def __init__(self, unused: Receiver, look: Callable[[], None]) -> None:
        unused.close()
        super().__init__(unused.min_port, unused.max_port)
        self._look = look

    def recv(self, timeout: int | None = None) -> Any:
        """The next message of a test, however long it takes: tests have limits of their own, and may be silent."""
        del timeout
        while not self.socket.poll(_LOOK_MS):
            self._look()
        return super().recv(timeout=1)


def _end_of(process: multiprocessing.Process) -> str:
    code = process.exitcode
    return signal.Signals(-code).name if code is not None and code < 0 else f"exit status {code}"
