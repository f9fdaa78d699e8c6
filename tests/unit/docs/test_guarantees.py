"""Every section of the producer's guide names tests that hold it, and they are there."""

from __future__ import annotations

import ast
import fnmatch
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "producer.md"
HOME = "tests/unit/producer"
"""Where a file is that is named without a directory."""
SECTION = re.compile(r"^## (.+)\n((?:(?!## ).*\n)*)", re.MULTILINE)
HELD = re.compile(r"\n\nHeld by: ((?:.+\n)+)\Z")


def sections() -> dict[str, str]:
    """The guide's sections by their headings."""
    found = {match[1]: match[2].rstrip("\n") + "\n" for match in SECTION.finditer(GUIDE.read_text("utf-8"))}
    assert len(found) > 10
    return found


def names(text: str) -> list[str]:
    """The tests that a section names in its last paragraph, as `file` or `file::test`."""
    held = HELD.search(text)
    return re.findall(r"`([^`]+)`", held[1]) if held else []


def functions(path: Path) -> Iterator[str]:
    """The names of a file's tests, which may be methods."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
            yield node.name


def is_there(name: str) -> bool:
    """Whether there is such a test, or any by such a pattern."""
    file, _, test = name.partition("::")
    path = ROOT / (file if "/" in file else f"{HOME}/{file}")
    return path.is_file() and bool(fnmatch.filter(functions(path), test or "*"))


@pytest.mark.parametrize(("heading", "text"), sections().items(), ids=lambda given: given.splitlines()[0])
def test_section__of_the_guide__names_tests_that_are_there(heading: str, text: str) -> None:
    named = names(text)
    assert named, f"{heading}: which tests would fail if it were not true? End it in 'Held by: ...'."
    assert [name for name in named if not is_there(name)] == []


@pytest.mark.parametrize(
    "name", ["test_none.py", "test_order.py::test_none__*", "tests/unit/docs/test_order.py", "conftest.py"]
)
def test_names__of_what_is_not_there__would_be_found(name: str) -> None:
    text = f"As promised.\n\nHeld by: `test_order.py`,\n`{name}`.\n"
    assert [not is_there(named) for named in names(text)] == [False, True]


def test_names__of_a_section_that_goes_on_behind_them__are_none() -> None:
    assert names("As promised.\n\nHeld by: `test_order.py`.\n\nAnd more.\n") == []
