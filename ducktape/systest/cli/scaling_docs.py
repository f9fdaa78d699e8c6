"""`systest scaling`: brings the scaling curves of a run into docs/: the chart as a file, the tables into their page.

The page says with two comments where they go, and keeps all else that a person wrote in it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from systest.scaling import REPORT, ScalingResult, body, chart

PAGE, CHART = "performance.md", "scaling.svg"
BEGIN, END = "<!-- scaling: begin, written by `systest scaling` -->", "<!-- scaling: end -->"
_LATEST = Path("results/latest")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "result",
        nargs="?",
        metavar="FILE",
        help=f"a run's {REPORT}; default: the one below {_LATEST}",
    )
    parser.add_argument(
        "--docs",
        metavar="DIRECTORY",
        default="docs",
        help=f"where {PAGE} is, and {CHART} goes (default: %(default)s)",
    )


def main(args: argparse.Namespace) -> int:
    """Exit status: 0, or 2 with one sentence if there is no such result or page."""
    docs = Path(args.docs)
    try:
        file = Path(args.result) if args.result else _latest()
        result = _read(file)
        if not result.is_verified:
            raise ValueError(
                f"some check did not hold in the run of {file}, so it shows nothing; run it again"
            )
        page = _page_with(docs / PAGE, body(result, CHART))
    except (OSError, ValueError) as error:
        print(f"systest scaling: {error}", file=sys.stderr)
        return 2
    (docs / CHART).write_text(chart(result), "utf-8")
    (docs / PAGE).write_text(page, "utf-8")
    print(f"{docs / CHART} and {docs / PAGE} now show {os.path.relpath(file)}")
    return 0


def _latest() -> Path:
    found = sorted(_LATEST.resolve().glob(f"**/{REPORT}"))
    if not found:
        raise ValueError(
            f"the latest run, {_LATEST}, left no {REPORT}; name the file, or make one with "
            "./run_ducktape.sh tests/ducktape/performance/scaling_test.py"
        )
    return found[-1]


def _read(file: Path) -> ScalingResult:
    try:
        return ScalingResult.from_json(file.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _page_with(page: Path, text: str) -> str:
    """The page's text with this between its two comments."""
    old = page.read_text("utf-8")
    if old.count(BEGIN) != 1 or old.count(END) != 1 or old.index(BEGIN) > old.index(END):
        raise ValueError(f"{page} does not say where the curves go; write {BEGIN} and {END} there, once each")
    before, rest = old.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"
