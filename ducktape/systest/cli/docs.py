"""`systest docs`: brings the figures of runs into the README and docs/, each between two comments in its page.

Only what can be made again gets there: a verified result of a commit. All else that stands in a page stays.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from systest import comparison, reports, scaling, speed
from systest.reports.document import Result

_LATEST = Path("results/latest")
_WIDTH, _WIDTH_OF_SPEED = 100, 160
_R = TypeVar("_R", bound=Result)


@dataclass(frozen=True, slots=True)
class Figures(Generic[_R]):
    """What becomes of one kind of result.

    Args:
        page: that shows it, from the repository's root.
        read: the result from its file's text; ValueError if it is none.
        shown: what the page shows, in Markdown.
        chart: a file beside the page, and what is in it.
    """

    page: str
    read: Callable[[str], _R]
    shown: Callable[[_R], str]
    chart: tuple[str, Callable[[_R], str]] | None = None

    def files(self, text: str) -> Iterator[tuple[str, str]]:
        """Each file's path and what of this result belongs in it; the page's part first."""
        result = self.read(text)
        if not result.is_verified:
            raise ValueError("some check did not hold, so it shows nothing; run it again")
        if result.origin.commit is None:
            raise ValueError(
                "it does not say of which commit it is; run it in a git checkout, where git is installed"
            )
        if not result.origin.is_clean:
            raise ValueError(
                "it is of a tree with changes of its own, which nobody else has; commit them, and run it again"
            )
        yield self.page, self.shown(result)
        if self.chart is not None:
            name, drawn = self.chart
            yield str(Path(self.page).parent / name), drawn(result)


def _fenced(text: str) -> str:
    return f"```\n{text}```\n"


CHART = "scaling.svg"
KNOWN: Mapping[str, Figures[reports.RunResult] | Figures[speed.SpeedResult] | Figures[scaling.ScalingResult]]
KNOWN = {
    comparison.REPORT: Figures(
        "README.md", reports.RunResult.from_json, lambda result: _fenced(reports.brief(result, _WIDTH))
    ),
    speed.REPORT: Figures(
        "docs/performance.md",
        speed.SpeedResult.from_json,
        lambda result: _fenced(speed.terminal(result, _WIDTH_OF_SPEED)),
    ),
    scaling.REPORT: Figures(
        "docs/performance.md",
        scaling.ScalingResult.from_json,
        lambda result: scaling.body(result, CHART),
        (CHART, scaling.chart),
    ),
}
"""By the name of the file in which a run leaves it."""


def ends(report: str) -> tuple[str, str]:
    """The two comments between which a page has the figures of such a file."""
    name = Path(report).stem
    return f"<!-- {name}: begin, written by `systest docs` -->", f"<!-- {name}: end -->"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "results",
        nargs="*",
        type=Path,
        metavar="FILE",
        help=f"a run's {', '.join(KNOWN)}; default: those below {_LATEST}",
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(),
        metavar="DIRECTORY",
        help="the checkout whose README.md and docs/ are written (default: this directory)",
    )


def main(args: argparse.Namespace) -> int:
    """Exit status: 0, or 2 with one sentence if some result or page won't do; then nothing is written."""
    written: dict[Path, str] = {}
    try:
        results = args.results or _latest()
        for file in results:
            _add(written, file, args.root)
    except (OSError, ValueError) as error:
        print(f"systest docs: {error}", file=sys.stderr)
        return 2
    for path, text in written.items():
        path.write_text(text, "utf-8")
        print(f"wrote {os.path.relpath(path)}")
    return 0


def _latest() -> list[Path]:
    found = [file for name in KNOWN for file in sorted(_LATEST.resolve().glob(f"**/{name}"))]
    if not found:
        raise ValueError(
            f"the latest run, {_LATEST}, left none of {', '.join(KNOWN)}; name a file, or make one with "
            "./run_ducktape.sh"
        )
    return found


def _add(written: dict[Path, str], file: Path, root: Path) -> None:
    """Adds what this result changes to what is to be written."""
    if file.name not in KNOWN:
        raise ValueError(f"{file} is none of {', '.join(KNOWN)}")
    try:
        (page, shown), *others = KNOWN[file.name].files(file.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    path = root / page
    old = written[path] if path in written else path.read_text("utf-8")
    written[path] = _with(old, path, ends(file.name), shown)
    written.update({root / name: text for name, text in others})


def _with(old: str, page: Path, between: tuple[str, str], text: str) -> str:
    """The page's text with this between its two comments."""
    begin, end = between
    if old.count(begin) != 1 or old.count(end) != 1 or old.index(begin) > old.index(end):
        raise ValueError(
            f"{page} does not say where the figures go; write {begin} and {end} there, once each"
        )
    before, rest = old.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n\n{text}\n{end}{after}"
