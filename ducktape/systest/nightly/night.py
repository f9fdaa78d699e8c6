"""Plays a night: its steps in turn, within its budget, whatever becomes of each."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from systest import comparison
from systest.nightly.outcome import End, Left, Outcome, not_begun, outcome_of
from systest.nightly.process import Stop, run_step
from systest.nightly.steps import Step
from systest.reports import RunResult

LOG = "output.log"
"""The file in a step's results that has all that it said."""

_TEST = ("cls_name", "function_name", "injected_args", "test_status", "summary")
_BEGIN_S = 60.0
"""With less of the budget left no step is begun: it could only fail."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Night:
    """What came of it.

    Args:
        started: when, ISO 8601 in UTC.
        took_s: all of it.
        budget_min: how long it might take.
        signal: by which it was ended early, None if it was not.
        outcomes: of each step that there was to play.
    """

    started: str
    took_s: float
    budget_min: float
    signal: int | None
    outcomes: tuple[Outcome, ...]

    @property
    def exit_status(self) -> int:
        """0 only if nothing failed; that of the signal that ended it."""
        if self.signal is not None:
            return 128 + self.signal
        return int(any(each.is_failure for each in self.outcomes))


def play_night(
    steps: Sequence[Step], results: Path, budget_min: float, required: Collection[str], say: Say
) -> Night:
    """Runs every step.

    Args:
        steps: in their order.
        results: directory of the night.
        budget_min: minutes for all; the step that runs at its end is ended, and those after it are not begun.
        required: names of steps that must run on this machine, whatever it may lack.
        say: gets each line that the steps write, and what is told between them.
    """
    started, began_s = datetime.now(timezone.utc), time.monotonic()
    outcomes: list[Outcome] = []
    with Stop() as stop:
        for number, step in enumerate(steps, 1):
            left_s = 60 * budget_min - (time.monotonic() - began_s)
            if stop.signals:
                break
            if left_s < _BEGIN_S:
                outcomes.append(not_begun(step, budget_min))
                continue
            limit_s = min(60 * step.limit_min, left_s)
            directory = results / step.name
            directory.mkdir(parents=True)
            command = [*shlex.split(step.command), "--results-root", str(directory)]
            say(f"== [{number}/{len(steps)}] {step.name}, at most {limit_s / 60:.3g} min: {step.command}")
            ended = run_step(command, directory / LOG, limit_s, stop, say)
            if ended.end is End.LIMIT and limit_s < 60 * step.limit_min:
                ended = replace(ended, end=End.BUDGET)
            outcome = outcome_of(
                step,
                shlex.join(command),
                str(directory),
                ended,
                left_in(directory),
                is_required=step.name in required,
            )
            outcomes.append(outcome)
            say(f"== {step.name}: {outcome.verdict.value} after {outcome.took_s / 60:.1f} min")
    ended_by = stop.signals[0] if stop.signals else None
    return Night(
        started.isoformat(timespec="seconds"),
        time.monotonic() - began_s,
        budget_min,
        ended_by,
        tuple(outcomes),
    )


def left_in(directory: Path) -> Left:
    """What a step left in its results; a report that can't be read is told of, and counts as none."""
    tests: list[dict[str, Any]] = []
    comparisons: list[RunResult] = []
    unreadable: list[str] = []
    # ducktape's own directories; its link to the latest of them would show all twice.
    sessions = [each for each in directory.iterdir() if each.is_dir() and not each.is_symlink()]
    for session in sorted(sessions):
        for file in sorted([*session.glob("report.json"), *session.glob(f"**/{comparison.REPORT}")]):
            try:
                if file.name == comparison.REPORT:
                    comparisons.append(RunResult.from_json(file.read_text("utf-8")))
                else:
                    tests += _tests_in(file)
            except (OSError, ValueError, KeyError, TypeError) as error:
                unreadable.append(f"its {file.name} can't be read ({error!r})")
    return Left(tuple(tests), tuple(comparisons), tuple(unreadable))


def _tests_in(report: Path) -> list[dict[str, Any]]:
    """Of ducktape's report. Raises what says that it is none: OSError, ValueError, KeyError or TypeError."""
    results = json.loads(report.read_text("utf-8"))["results"]
    return [{**{name: test[name] for name in _TEST}, "data": test.get("data")} for test in results]
