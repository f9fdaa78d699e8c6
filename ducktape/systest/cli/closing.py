"""How a run ends: from ducktape's report to what a user must hear, and the exit status. Pure.

ducktape's exit status is 0 unless a test failed or was not begun. Here a test that failed and then passed (--deflake)
is a failure: what is promised holds at the first try. What was left out, by a test's mark or since it can't be had on
this machine, is told by name; a run that was left nothing is no success.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from systest.not_run import NotRun, left_out_of, reason_of, told

_NAMED = 10


@dataclass(frozen=True, slots=True)
class Closing:
    """What is told at the end.

    Args:
        status: of the run.
        sentences: beside ducktape's own words.
        not_run: tests that were left out, or ran in part.
        failures: each failed test with its error, as Python shows it.
    """

    status: int
    sentences: tuple[str, ...]
    not_run: tuple[NotRun, ...]
    failures: tuple[str, ...]


def closing(tests: Iterable[Mapping[str, Any]], status: int) -> Closing:
    """Of a run.

    Args:
        tests: of ducktape's report.
        status: ducktape's exit status.
    """
    by_status: dict[str, list[Mapping[str, Any]]] = {}
    for test in tests:
        by_status.setdefault(test["test_status"], []).append(test)
    passed, failed = by_status.get("PASS", []), by_status.get("FAIL", [])
    flaky, ignored = by_status.get("FLAKY", []), by_status.get("IGNORE", [])
    impossible = [NotRun(test["test_id"], reason) for test in passed if (reason := reason_of(test["data"]))]
    in_part = [NotRun(test["test_id"], reason) for test in passed if (reason := left_out_of(test["data"]))]
    not_run = [*impossible, *in_part, *(NotRun(test["test_id"], "its mark says @ignore") for test in ignored)]
    sentences = [f"not run here: {line}" for line in told(not_run)]
    if flaky:
        sentences.append(f"only at a later try passed {_names(flaky)}; that is a failure")
    if not flaky and not failed and len(passed) == len(impossible):
        sentences.append("no test was run" + (f": {impossible[0].reason}" if impossible else ""))
        if status == 0:
            status = os.EX_UNAVAILABLE if impossible and not ignored else 1
    return Closing(
        status=status or int(bool(flaky)),
        sentences=tuple(sentences),
        not_run=tuple(not_run),
        failures=tuple(f"{test['test_id']}: {test['summary']}" for test in failed),
    )


def _names(tests: list[Mapping[str, Any]]) -> str:
    names = [str(test["test_id"]) for test in tests]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
