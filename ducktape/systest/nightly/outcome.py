"""From how a step ended and what it left to its verdict. Pure.

Passed is what ended with exit status 0 and shows tests that passed: a step that ran nothing proves nothing. A command
whose nodes this machine can't provide ends with an exit status for that and one sentence, before anything starts; where
a machine may lack what the step needs, that is no failure. A full disk or a wrong option has another exit status, and
is. So is what the budget did not leave time for: a night that drops its last steps without a word is how tests rot.
"""

from __future__ import annotations

import ast
import enum
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from systest.metrics.verdict import Verdict
from systest.nightly.steps import Step
from systest.not_run import reason_of
from systest.reports import RunResult

_SOME_FAILED = 1
_SPEAKER = "run_ducktape: "
_MESSAGE_MAX = 500
_EXCEPTION = re.compile(r"[\w.]+\((.*)\)", re.DOTALL)


class End(enum.Enum):
    """Why a step's process is gone."""

    EXITED = "exited"
    LIMIT = "limit"
    BUDGET = "budget"
    INTERRUPTED = "interrupted"


class StepVerdict(enum.Enum):
    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a step's process ended.

    Args:
        end: why.
        exit_status: of the process; negative for a signal, also for one that it does not heed.
        took_s: from its start until nothing of it was left.
        limit_s: what it was given.
        last_line: of its output, "" if it had none.
        left_behind: command lines of processes that outlived it and had to be killed, if they could.
    """

    end: End
    exit_status: int
    took_s: float
    limit_s: float
    last_line: str
    left_behind: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Left:
    """What a step left in its results.

    Args:
        tests: of each of ducktape's reports, test by test.
        comparisons: the results of its comparisons.
        unreadable: of each report that is there and can't be read, in a sentence.
    """

    tests: tuple[Mapping[str, Any], ...] = ()
    comparisons: tuple[RunResult, ...] = ()
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """One step of a night.

    Args:
        step: its name.
        command: that was run.
        verdict: on it.
        is_failure: whether the night fails by it.
        took_s: its time.
        results: its directory, "" if it was not begun.
        tests_passed: how many did.
        why: in a sentence or some, "" where the verdict or `failures` say it all.
        failures: each failed test with its reason, and so each failed gate with its figures.
        undecided: gates that the noise left open.
    """

    step: str
    command: str
    verdict: StepVerdict
    is_failure: bool
    took_s: float
    results: str
    tests_passed: int
    why: str
    failures: tuple[str, ...]
    undecided: tuple[str, ...]


def not_begun(step: Step, budget_min: float) -> Outcome:
    """Of a step for which the budget left no time."""
    why = f"the budget of {budget_min:g} minutes left it no time"
    return Outcome(step.name, step.command, StepVerdict.NOT_RUN, True, 0.0, "", 0, why, (), ())


def outcome_of(
    step: Step, command: str, results: str, ended: Ended, left: Left, *, is_required: bool
) -> Outcome:
    """The verdict on a step that was begun.

    Args:
        step: that one.
        command: as it was run.
        results: its directory.
        ended: how its process ended.
        left: what it left.
        is_required: whether it must run on this machine, whatever that may lack.
    """
    passed = sum(test["test_status"] == "PASS" and not reason_of(test.get("data")) for test in left.tests)
    failures = tuple(_failure(test) for test in left.tests if test["test_status"] == "FAIL")
    verdict, reasons = _judged(ended, passed, failures)
    may_lack = verdict is StepVerdict.NOT_RUN and step.may_lack and not is_required
    return Outcome(
        step=step.name,
        command=command,
        verdict=verdict,
        is_failure=verdict is not StepVerdict.PASSED and not may_lack,
        took_s=ended.took_s,
        results=results,
        tests_passed=passed,
        why="; ".join([*reasons, *left.unreadable]),
        failures=failures,
        undecided=tuple(
            each.gate.name
            for result in left.comparisons
            for each in result.verdicts()
            if each.verdict is Verdict.UNDECIDED
        ),
    )


def _judged(ended: Ended, passed: int, failures: Sequence[str]) -> tuple[StepVerdict, list[str]]:
    """The verdict, with sentences that say what the failures do not."""
    has_begun = passed or failures or ended.left_behind
    if ended.end is End.EXITED and ended.exit_status == os.EX_UNAVAILABLE and not has_begun:
        return StepVerdict.NOT_RUN, [ended.last_line.removeprefix(_SPEAKER)]
    reasons = []
    if why := _why_ended_badly(ended, passed, failures):
        reasons.append(why)
    if ended.left_behind:
        reasons.append(f"it left processes behind: {', '.join(ended.left_behind)}")
    if ended.end is End.INTERRUPTED:
        return StepVerdict.INTERRUPTED, reasons
    return StepVerdict.FAILED if reasons or failures else StepVerdict.PASSED, reasons


def _why_ended_badly(ended: Ended, passed: int, failures: Sequence[str]) -> str:
    minutes = f"{ended.limit_s / 60:.3g} minutes"
    match ended.end:
        case End.INTERRUPTED:
            return ""
        case End.LIMIT:
            return f"it was ended after {minutes}, its limit"
        case End.BUDGET:
            return f"the night's budget ended it after {minutes}"
    if failures and ended.exit_status == _SOME_FAILED:
        return ""
    if ended.exit_status:
        return f"exit status {ended.exit_status}: {ended.last_line}"
    if failures:
        return "its exit status is 0 all the same"
    return "" if passed else "its exit status is 0, and it shows no test that passed"


def _failure(test: Mapping[str, Any]) -> str:
    """A failed test's name and the reason that it gave."""
    name = f"{test['cls_name']}.{test['function_name']}"
    if given := test["injected_args"]:
        name += f" ({', '.join(f'{key}={value}' for key, value in given.items())})"
    first, _, _ = str(test["summary"]).partition("\n")
    return f"{name}: {_message(first)}"


def _message(text: str) -> str:
    """An exception's own words, where ducktape shows it as Python does."""
    match = _EXCEPTION.fullmatch(text)
    if match is not None:
        try:
            words = ast.literal_eval(match[1])
        except (ValueError, SyntaxError):
            words = None
        if isinstance(words, str):
            text = words
    text = " ".join(text.split())
    return text if len(text) <= _MESSAGE_MAX else f"{text[:_MESSAGE_MAX]}..."
