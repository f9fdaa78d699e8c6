"""Whether all that a run asks for is there: looked at before anything starts, since ducktape passes over what is not.

ducktape logs what it can't find, import or make a test of, and runs the rest with exit status 0. Here each path, suite
entry and excluded test must name something, each test file must be importable and hold a test, and each test that is
written down must be one that ducktape runs. What is wrong is told all at once, a sentence each.
"""

from __future__ import annotations

import glob
import importlib
import inspect
import logging
import os
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ducktape.tests.loader import LoaderException, TestLoader
from ducktape.tests.session import SessionContext
from ducktape.tests.test import Test

from systest.choices import unknown

_TEST = "test_"


class NoSuchTests(ValueError):
    """A run asks for what can't be run; a line for each thing that is wrong."""


def assert_loadable(symbols: Sequence[str], excluded: Sequence[str], parameters: Any = None) -> None:
    """Raises NoSuchTests unless each of them names tests that ducktape would run.

    Args:
        symbols: paths, globs, tests and suites, as ducktape has them.
        excluded: what of those not to run.
        parameters: that all tests get, None for those of their marks.
    """
    quiet = logging.Logger("loader")
    quiet.addHandler(logging.NullHandler())
    session = SessionContext(session_id="", results_dir="")
    problems = _Loader(session, quiet, injected_args=parameters).problems_with(symbols, excluded)
    if problems:
        raise NoSuchTests("\n".join(problems))


class _Loader(TestLoader):  # type: ignore[misc]  # ducktape has no types
    """ducktape's, which keeps what it could not do."""

    def problems_with(self, symbols: Sequence[str], excluded: Sequence[str]) -> list[str]:
        """A sentence for each thing that is not as it was asked for; empty if all is."""
        self._problems: dict[str, None] = {}
        self._modules: dict[Path, ModuleType] = {}
        self._loaded: dict[Path, list[Any]] = {}
        self._without_arguments: set[tuple[type, str]] = set()
        self._asked_whole: set[Path] = set()
        suites = [symbol for symbol in symbols if symbol.endswith(".yml")]
        found: set[str] = set()
        for symbol in symbols:
            if symbol not in suites:
                found |= self._look_up(symbol, symbol, None)
        try:
            read = self._read_test_suite_from_file(suites)
        except LoaderException as error:
            self._note(f"{error.args[0]}")
            read = []
        for suite in read:
            found |= self._look_up_suite(suite)
        left_out: set[str] = set()
        for symbol in excluded:
            left_out |= self._look_up(f"--exclude {symbol}", symbol, None)
        if not self._problems and not found - left_out:
            self._note("there is no test to run: all are excluded" if left_out else "there is no test to run")
        self._note_unrun()
        return list(self._problems)

    def _note(self, sentence: str) -> None:
        self._problems.setdefault(sentence)

    def _look_up_suite(self, suite: dict[str, Any]) -> set[str]:
        found: dict[str, set[str]] = {}
        for part in ("included", "excluded"):
            found[part] = set()
            entries = suite[part] or []
            if not isinstance(entries, list):
                self._note(f"the suite {suite['name']} has no list as {part!r}; write `{part}: [path, ...]`")
                continue
            for entry in entries:
                where = f"the suite {suite['name']}, {entry}"
                found[part] |= self._look_up(where, str(entry), suite["base_dir"])
        if not suite["included"]:
            self._note(f"the suite {suite['name']} includes no tests; write `{suite['name']}: [path, ...]`")
        return found["included"] - found["excluded"]

    def _look_up(self, where: str, symbol: str, base: str | None) -> set[str]:
        """The ids of the tests that a symbol names; what is wrong with it is noted.

        Args:
            where: how to call it in a sentence.
            symbol: that one.
            base: what its path is relative to; None for the working directory.
        """
        try:
            path, cls, method, arguments = self._parse_discovery_symbol(symbol, base)
        except LoaderException as error:
            self._note(f"{where}: {error}")
            return set()
        files = self._files(where, path)
        self._add_top_level_dirs_to_sys_path([str(file) for file in files])
        contexts: list[Any] = []
        for file in files:
            there = self._contexts(file)
            if not cls:
                self._asked_whole.add(file)
                if there == []:
                    self._note(
                        f"{_shown(file)} holds no test: a method test_... of a subclass of ducktape's Test"
                    )
            contexts += there or []
        if cls and files and all(file in self._loaded for file in files):
            contexts = self._chosen(where, contexts, cls, method, arguments)
        return {context.test_id for context in contexts}

    def _chosen(self, where: str, contexts: list[Any], cls: str, method: str, arguments: Any) -> list[Any]:
        """Those of a class, with a name, with arguments; it is noted if there are none."""
        of_class = [each for each in contexts if each.cls_name == cls]
        if not of_class:
            if contexts or not self._problems:
                self._note(
                    f"{where}: {unknown('test class', cls, sorted({each.cls_name for each in contexts}))}"
                )
            return []
        named = [each for each in of_class if method in ("", each.function_name)]
        if not named:
            self._note(
                f"{where}: {unknown('test', method, sorted({each.function_name for each in of_class}))}"
            )
            return []
        wanted = arguments if isinstance(arguments, list) else [arguments]
        if arguments is None:
            return named
        for each in wanted:
            if all(context.injected_args != each for context in named):
                there = "; ".join(str(context.injected_args) for context in named)
                self._note(f"{where}: {method} does not run with {each}; there is {there}")
        return [context for context in named if context.injected_args in wanted]

    def _files(self, where: str, path: str) -> list[Path]:
        """The test files at a path or glob; it is noted if there are none, or some that ducktape passes over."""
        if Path(path).is_file():
            if not path.endswith(".py"):
                self._note(f"{where}: {_shown(Path(path))} is no test file: its name does not end with .py")
                return []
            return [Path(path).resolve()]
        places = [Path(each) for each in glob.glob(path)]  # noqa: PTH207  # as ducktape has it
        if not places:
            self._note(f"{where}: there is nothing at {_shown(Path(path))}")
            return []
        for place in places:
            for file in self._passed_over(place):
                self._note(
                    f"{_shown(file)} would not be run: its directory has no __init__.py, "
                    "so that ducktape passes over it; add one"
                )
        files = [Path(each).resolve() for each in self._find_test_files(path)]
        if not files and not self._problems:
            self._note(
                f"{where}: there is no test file at {_shown(Path(path))}; they are called *_test.py or test_*.py"
            )
        return files

    def _passed_over(self, place: Path) -> Iterator[Path]:
        for directory, _, names in os.walk(place):
            if "__init__.py" not in names:
                yield from (Path(directory, name) for name in sorted(names) if self._is_test_file(name))

    def _contexts(self, file: Path) -> list[Any] | None:
        """All tests of a file; None, which is noted, if it can't be imported."""
        if file not in self._loaded:
            try:
                module = self._import_module(str(file))
                if module is None or not _is_from(module.module, file):
                    self._note(_why_unimportable(file, None if module is None else module.module))
                    return None
                self._modules[file] = module.module
                self._loaded[file] = self._expand_module(module)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001  # a module may also end the process: sys.exit()
                self._note(f"{_shown(file)} can't be loaded: {_said(error, file)}")
                return None
            for test, count in Counter(context.test_id for context in self._loaded[file]).items():
                if count > 1:
                    self._note(f"{_shown(file)} has {count} tests that ducktape can't tell apart: {test}")
        return self._loaded[file]

    def _expand_function(self, t_ctx: Any) -> list[Any]:
        contexts: list[Any] = super()._expand_function(t_ctx)
        if not contexts:
            self._without_arguments.add((t_ctx.cls, t_ctx.function_name))
            self._note(
                f"{t_ctx.cls_name}.{t_ctx.function_name} has no arguments to run with; its mark lists none"
            )
        return contexts

    def _note_unrun(self) -> None:
        """Of files that were asked for as a whole: what looks like a test, and is none that ducktape runs."""
        run = [(context.cls, context.function_name) for tests in self._loaded.values() for context in tests]
        for file in sorted(self._asked_whole & self._loaded.keys()):
            for owner, name in _tests_written_in(self._modules[file]):
                if owner is None:
                    self._note(
                        f"{_shown(file)}: {name} would not be run: it is a function, and no method of a Test"
                    )
                elif (owner, name) not in self._without_arguments and not any(
                    issubclass(cls, owner) and ran == name for cls, ran in run
                ):
                    why = (
                        "ducktape runs only classes without subclasses, and none of these has it"
                        if issubclass(owner, Test)
                        else "its class is no subclass of ducktape's Test"
                    )
                    self._note(f"{_shown(file)}: {owner.__name__}.{name} would not be run: {why}")


def _tests_written_in(module: ModuleType) -> Iterator[tuple[type | None, str]]:
    """Class, None for a function, and name of whatever is called like a test and was written in this module."""
    for name, value in list(vars(module).items()):
        if inspect.isfunction(value) and value.__module__ == module.__name__ and name.startswith(_TEST):
            yield None, name
        elif inspect.isclass(value) and value.__module__ == module.__name__:
            yield from ((value, each) for each, what in vars(value).items() if _is_test(each, what))


def _is_test(name: str, what: object) -> bool:
    return name.startswith(_TEST) and callable(what)


def _is_from(module: object, file: Path) -> bool:
    where = getattr(module, "__file__", None)
    return isinstance(where, str) and Path(where).resolve() == file


def _why_unimportable(file: Path, instead: ModuleType | None) -> str:
    """What Python says of a module, imported by its proper name: from the first directory that is no package."""
    if instead is not None:
        return (
            f"{_shown(file)} can't be imported: {getattr(instead, '__file__', None)} has its name, "
            f"{instead.__name__}; rename one of them"
        )
    names, directory = [file.stem], file.parent
    while (directory / "__init__.py").exists():
        names.insert(0, directory.name)
        directory = directory.parent
    try:
        importlib.import_module(".".join(names))
    except Exception as error:  # noqa: BLE001  # whatever a module raises
        return f"{_shown(file)} can't be imported: {_said(error, file)}"
    return f"{_shown(file)} can't be imported: Python finds no module {'.'.join(names)} there"


def _said(error: BaseException, file: Path) -> str:
    """An error in a line, with where in the file it came about."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{type(error).__name__} in line {error.lineno} of {_shown(Path(error.filename))}: {error.msg}"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve() == file
    ]
    where = f" in line {lines[-1]}" if lines else ""
    return " ".join(f"{type(error).__name__}{where}: {error}".split())


def _shown(path: Path) -> str:
    return os.path.relpath(path)
