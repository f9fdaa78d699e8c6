"""Figures in the README and in docs/ say when and of which commit they are, and the README's first screen is one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from systest.cli.docs import KNOWN, ends

ROOT = Path(__file__).parents[3]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
FENCED = re.compile(r"^```\n(.*?)^```", re.MULTILINE | re.DOTALL)
MEASURED = re.compile(r"20\d\d-\d\d-\d\d\s+at\s+commit\s+[0-9a-f]{7,40}\b")
FIGURE = re.compile(r"\b\d[\d,]*\.\d+")
FIRST_SCREEN = 60


def lines_of_figures(text: str) -> int:
    """How many lines of fenced blocks and tables have two figures or more."""
    rows = [line for block in FENCED.findall(text) for line in block.splitlines()]
    rows += [line for line in text.splitlines() if line.startswith("| ")]
    return sum(len(FIGURE.findall(line)) >= 2 for line in rows)


def sections(page: Path) -> Iterator[str]:
    """The parts of a page that begin with a heading."""
    return iter(re.split(r"^(?=##? )", page.read_text("utf-8"), flags=re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_figures__of_each_section__tell_their_date_and_commit(page: Path) -> None:
    for section in sections(page):
        if lines_of_figures(section) >= 2:
            assert MEASURED.search(section), f"{section.splitlines()[0]}: of when are these figures?"


@pytest.mark.parametrize("name", KNOWN)
def test_figures__that_a_command_writes__tell_their_date_and_commit(name: str) -> None:
    begin, end = ends(name)
    block = (ROOT / KNOWN[name].page).read_text("utf-8").partition(begin)[2].partition(end)[0]
    assert lines_of_figures(block) >= 2
    assert MEASURED.search(block)


def test_figures__without_a_date__would_be_found() -> None:
    table = "## Speed\n\n```\nsync  1.51  2.12\nasync  4.30  4.52\n```\n"
    assert lines_of_figures(table) == 2
    assert not MEASURED.search(table)
    assert MEASURED.search(f"{table}\nmeasured: 2026-11-28 at commit 8042603856cd, a clean tree")


def test_readme__before_its_second_heading__is_one_screen_of_100_columns() -> None:
    screen = next(part for part in sections(ROOT / "README.md") if part.startswith("# ")).splitlines()
    assert max(map(len, screen)) <= 100
    assert len(screen) <= FIRST_SCREEN
