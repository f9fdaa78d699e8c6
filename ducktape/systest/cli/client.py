"""ducktape's client, which runs one test in a process of its own, with nothing passed over in silence.

ducktape only logs what goes wrong while a test's services are stopped and cleaned, and passes a test of whose services
one noted an error; here such a test fails. Set-up, test and teardown end at the test's limit, see `systest.limits`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ducktape.tests.result import FAIL, PASS
from ducktape.tests.runner_client import RunnerClient
from ducktape.tests.test_context import TestContext

from systest.cli.watchdog import limited
from systest.limits import TEARDOWN_S, limit_s


def run_client(*arguments: Any, **named: Any) -> None:
    """Takes the place of ducktape's."""
    client = Client(*arguments, **named)
    client.ready()
    client.run()


class Client(RunnerClient):  # type: ignore[misc]  # ducktape has no types
    """As ducktape's, but that what it does "safely" must succeed."""

    def _do_run(self, num_runs: int) -> tuple[Any, list[str], Any]:
        self._faults: list[str] = []
        self._limited = limited(
            limit_s(self.test_context), self.test_id, self._results(), self._ask_for_stacks
        )
        self._limited.__enter__()
        status, summary, data = super()._do_run(num_runs)
        if status == PASS and (self._faults or summary):
            # A summary of a test that passed is what its services noted as their errors.
            status, data = FAIL, None
            summary = [
                *(["its services noted errors:"] if summary else []),
                *(line for line in summary if line),
            ]
        return status, [*summary, *self._faults], data

    def teardown_test(self, teardown_services: bool = True, test_status: Any = None) -> None:
        """As ducktape's, in its order, with every step tried; what fails is noted, and fails the test."""
        self._limited.__exit__(None, None, None)
        if not self.test:
            super().teardown_test(teardown_services, test_status)
            return
        self.log(logging.INFO, "Tearing down...")
        services = list(self.test_context.services)
        steps: list[tuple[str, Callable[[], Any]]] = []
        if teardown_services:
            steps.append(("teardown", self.test.teardown))
            steps += [(f"stopping {each.who_am_i()}", each.stop) for each in reversed(services)]
        # Before services are cleaned, which removes their logs.
        steps.append(("copying logs", lambda: self.test.copy_service_logs(test_status)))
        if teardown_services:
            steps += [(f"cleaning {each.who_am_i()}", each.clean) for each in services]
        for name, step in steps:
            try:
                with limited(TEARDOWN_S, f"{name} of {self.test_id}", self._results(), list):
                    step()
            except BaseException as error:  # noqa: BLE001  # whatever it is, the next step must be tried
                self.log(logging.WARNING, f"{name} failed: {self._exc_msg(error)}")
                self._faults.append(f"{name} failed: {self._exc_msg(error)}")

    def _results(self) -> Path:
        return Path(TestContext.results_dir(self.test_context, self.test_index))

    def _ask_for_stacks(self) -> list[str]:
        return sorted(set(self._asked()))

    def _asked(self) -> Iterator[str]:
        for service in self.test_context.services:
            if (ask := getattr(service, "ask_for_stacks", None)) is not None and ask():
                yield f"the logs of {service.who_am_i()}"
