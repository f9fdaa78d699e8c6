"""`systest nightly`, behind `./run_ducktape.sh nightly`: all that takes long, unattended, with a summary at its end."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from datetime import datetime
from pathlib import Path

from systest.cli import pruning
from systest.nightly import STEPS, markdown, play_night, steps_named, terminal, to_json

BUDGET_MIN = 240.0
_BUDGET_MIN_LEAST = 1.0
_SCRIPT = "run_ducktape.sh"
_SUMMARY = "summary"
_GITHUB_PAGE = "GITHUB_STEP_SUMMARY"

_EPILOG = """\
A step whose needs this machine lacks, such as Docker, is not run and no failure, unless it is named by --require.
One for which the budget leaves no time is a failure.

examples:
  ./run_ducktape.sh nightly
      all of it
  ./run_ducktape.sh nightly --list
      the steps, as commands to type one by one
  ./run_ducktape.sh nightly --only comparison,latency --budget 30
      two of them, in half an hour at the most
  ./run_ducktape.sh nightly --require clusters,docker,netns
      on a machine that must have both
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `systest nightly`."""
    parser.usage = "./run_ducktape.sh nightly [options]"
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("--list", action="store_true", help="show the steps and end")
    add("--only", metavar="NAME,...", default="", help="run these steps alone")
    add("--require", metavar="NAME,...", default="", help="steps that must run, whatever this machine lacks")
    add(
        "--budget",
        metavar="MINUTES",
        type=float,
        default=BUDGET_MIN,
        help="time for all of it (default: %(default)g)",
    )
    add(
        "--keep-results",
        metavar="GIB",
        type=float,
        default=pruning.KEPT_GIB,
        help="of earlier nights; when there are more, the oldest go (default: %(default)g)",
    )
    add("--results-root", metavar="DIR", default="results", help="where results go (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Exit status: 0 only if nothing failed; 2 for input that can't be run; 128 + n if signal n ended it."""
    try:
        required = [step.name for step in steps_named(_names(args.require))]
        steps = steps_named(_names(args.only)) if args.only else STEPS
        if not steps:
            raise ValueError(f"--only {args.only} names no step; see --list")
        if not args.budget > _BUDGET_MIN_LEAST:
            raise ValueError(
                f"a budget of {args.budget:g} minutes can't be kept; choose more than {_BUDGET_MIN_LEAST:g}"
            )
        if not Path(_SCRIPT).exists():
            raise ValueError(f"there is no {_SCRIPT} here; run this in the repository's root directory")
    except ValueError as error:
        print(f"run_ducktape nightly: {error}", file=sys.stderr)
        return 2
    if args.list:
        for step in steps:
            lacking = ", not everywhere" if step.may_lack else ""
            print(f"{step.name:15} at most {step.limit_min:3g} min{lacking}\n    {step.command}")
        return 0
    results = Path(args.results_root, "nightly", datetime.now().strftime("%Y-%m-%d--%H-%M-%S"))
    try:
        results.mkdir(parents=True)
        at_work = pruning.mark(results)
    except OSError as error:
        print(f"run_ducktape nightly: the results can't be written: {error}", file=sys.stderr)
        return 2
    if (removed := pruning.prune(results.parent, args.keep_results)) is not None:
        _show(removed)
    with at_work:
        night = play_night(steps, results, args.budget, required, _show)
    files = {".json": to_json(night), ".md": markdown(night)}
    for suffix, text in files.items():
        (results / _SUMMARY).with_suffix(suffix).write_text(text, "utf-8")
    if page := os.environ.get(_GITHUB_PAGE):
        with Path(page).open("a", encoding="utf-8") as file:
            file.write(markdown(night))
    _show(f"\n{terminal(night, shutil.get_terminal_size((160, 24)).columns)}\n{results / _SUMMARY}.md")
    return night.exit_status


def _show(text: str) -> None:
    """Prints it, for as long as there is somebody to read: Ctrl-C ends the `tee` behind a night, too."""
    try:
        print(text, flush=True)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # of what comes, and of what Python still holds
        os.close(nowhere)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
