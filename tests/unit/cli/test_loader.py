"""What ducktape passes over when it looks for tests is told, all at once, before anything starts."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from systest.cli.loader import NoSuchTests, assert_loadable

ROOT = Path(__file__).parents[3]
HEAD = "from ducktape.mark import matrix, parametrize\nfrom ducktape.tests.test import Test\n"
GOOD = f"{HEAD}class Good(Test):\n    def test_it(self): pass\n"
numbers = itertools.count()

Written = Callable[..., Path]


@pytest.fixture
def package(tmp_path: Path) -> Written:
    """Writes a package of test modules, of a name that no other has: what was imported stays in this process."""

    def write(**modules: str) -> Path:
        directory = tmp_path / f"package_{os.getpid()}_{next(numbers)}"
        directory.mkdir()
        (directory / "__init__.py").touch()
        for name, text in modules.items():
            (directory / f"{name}.py").write_text(text)
        return directory

    return write


def problems(*symbols: object, excluded: tuple[object, ...] = ()) -> list[str]:
    try:
        assert_loadable([str(each) for each in symbols], [str(each) for each in excluded])
    except NoSuchTests as error:
        return str(error).splitlines()
    return []


def test_tests__that_are_there__are_no_problem(package: Written) -> None:
    there = package(good_test=GOOD, helper="x = 1")
    file = there / "good_test.py"
    assert problems(there, file, f"{file}::Good", f"{file}::Good.test_it", there / "go*_test.py") == []


def test_repository__all_its_tests_and_suites__are_no_problem() -> None:
    suites = [file for file in (ROOT / "tests/ducktape").glob("*.yml") if file.name != "gates.yml"]
    assert suites
    assert problems(ROOT / "tests/ducktape", *suites) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "x = 1\nimport no_such_library\n",
            "can't be imported: ModuleNotFoundError in line 2: No module named",
        ),
        ("from os import no_such_name\n", "can't be imported: ImportError in line 1: cannot import name"),
        ("def broken(:\n", "can't be imported: SyntaxError in line 1 of"),
        ("import sys\nsys.exit(0)\n", "can't be loaded: SystemExit in line 2: 0"),
        ("x = 1\n", "holds no test"),
        (f"{GOOD}def test_alone(): pass\n", "test_alone would not be run: it is a function"),
        (
            f"{GOOD}class Plain:\n    def test_it(self): pass\n",
            "Plain.test_it would not be run: its class is no subclass",
        ),
        (
            f"{GOOD}class Base(Test):\n    def test_base(self): pass\nclass Leaf(Base):\n    test_base = None\n",
            "Base.test_base would not be run: ducktape runs only classes without subclasses",
        ),
        (
            f"{GOOD}class None_(Test):\n    @matrix(x=[])\n    def test_it(self, x): pass\n",
            "None_.test_it has no arguments to run with",
        ),
        (
            f'{HEAD}class Two(Test):\n    @parametrize(x="a/b")\n    @parametrize(x="a:b")\n'
            "    def test_it(self, x): pass\n",
            "has 2 tests that ducktape can't tell apart",
        ),
    ],
)
def test_module__with_what_would_not_be_run__is_named_beside_a_good_one(
    package: Written, text: str, words: str
) -> None:
    there = package(good_test=GOOD, other_test=text)
    [problem] = problems(there)
    assert "other_test.py" in problem or "None_" in problem
    assert words in problem


def test_class__whose_tests_its_subclasses_inherit__is_no_problem(package: Written) -> None:
    base = f"{HEAD}class Base(Test):\n    def test_base(self): pass\nclass Leaf(Base): pass\n"
    mixin = f"{HEAD}class Mixin:\n    def test_mixed(self): pass\nclass Mixed(Mixin, Test): pass\n"
    assert problems(package(base_test=base, mixin_test=mixin)) == []


def test_module__of_a_name_that_another_file_has__is_refused(
    package: Written, tmp_path_factory: pytest.TempPathFactory
) -> None:
    one = package(good_test=GOOD)
    assert problems(one) == []
    other = tmp_path_factory.mktemp("elsewhere") / one.name
    other.mkdir()
    (other / "__init__.py").touch()
    (other / "good_test.py").write_text(GOOD)
    [problem] = problems(other)
    assert f"{one}/good_test.py has its name" in problem


def test_directory__below_that_is_no_package__is_named_with_the_way_out(package: Written) -> None:
    there = package(good_test=GOOD)
    (there / "below").mkdir()
    (there / "below" / "hidden_test.py").write_text(GOOD)
    [problem] = problems(there)
    assert "below/hidden_test.py would not be run: its directory has no __init__.py" in problem


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("none_test.py", "there is nothing at"),
        ("none_*.py", "there is nothing at"),
        ("good_test.py::Goof", "unknown test class 'Goof', did you mean 'Good'?"),
        ("good_test.py::Good.test_if", "unknown test 'test_if', did you mean 'test_it'?"),
        ('good_test.py::Good.test_it@{"x": 1}', "test_it does not run with {'x': 1}"),
        ("good_test.py::Good.test_it@{x", "cannot parse params"),
        ("notes.txt", "its name does not end with .py"),
    ],
)
@pytest.mark.parametrize("how", ["symbol", "suite", "excluded by suite", "excluded"])
def test_entry__that_matches_nothing__is_named(package: Written, entry: str, words: str, how: str) -> None:
    there = package(good_test=GOOD)
    (there / "notes.txt").touch()
    suite = there / "suite.yml"
    included, excluded = ([entry], []) if how == "suite" else ([], [entry])
    suite.write_text(f"all: {{included: {['good_test.py', *included]}, excluded: {excluded}}}\n")
    match how:
        case "symbol":
            found = problems(there, there / entry)
        case "excluded":
            found = problems(there, excluded=(there / entry,))
        case _:
            found = problems(suite)
    [problem] = found
    assert entry in problem
    assert words in problem


def test_problems__of_several_kinds__are_told_at_once(package: Written) -> None:
    there = package(good_test=GOOD, broken_test="import no_such_library\n", empty_test="x = 1\n")
    told = problems(there, there / "none_test.py", f"{there}/good_test.py::Goof")
    assert len(told) == 4, told


def test_tests__all_excluded__are_a_problem(package: Written) -> None:
    there = package(good_test=GOOD)
    assert problems(there, excluded=(there,)) == ["there is no test to run: all are excluded"]
