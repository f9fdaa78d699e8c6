"""Lock files: exactly which jars a set consists of, by coordinate, size and SHA-256.

One line a jar, sorted by file name, `#` starts a comment:

    <sha256> <size in bytes> <group>:<artifact>:<version>

A set is fetched jar by jar from its lock file and nothing is resolved, so that no dependency management can
put another version in, and what runs here is what was committed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(
    r"(?P<sha256>[0-9a-f]{64}) (?P<size>\d+) (?P<group>[\w.-]+):(?P<artifact>[\w.-]+):(?P<version>[\w.-]+)"
)
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class LockedJar:
    """One jar as it must be."""

    group: str
    artifact: str
    version: str
    size_bytes: int
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def parse(text: str) -> tuple[LockedJar, ...]:
    """The jars of a lock file. Raises ValueError naming the line that is wrong or comes twice."""
    jars: dict[str, LockedJar] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number} is not '<sha256> <size> <group>:<artifact>:<version>': {line!r}")
        jar = LockedJar(
            match["group"], match["artifact"], match["version"], int(match["size"]), match["sha256"]
        )
        if jar.file_name in jars:
            raise ValueError(f"line {number}: {jar.file_name} comes twice")
        jars[jar.file_name] = jar
    return tuple(jars.values())


def render(jars: Iterable[LockedJar], comment: str) -> str:
    """The text of a lock file, sorted by file name."""
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    lines += [
        f"{jar.sha256} {jar.size_bytes} {jar.coordinate}" for jar in sorted(jars, key=lambda j: j.file_name)
    ]
    return "\n".join(lines) + "\n"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal. Raises OSError if it can't be read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def differs_in_content(jar: LockedJar, directory: Path) -> str | None:
    """Why the file in `directory` is not this jar, every byte of it read; None if it is."""
    reason = differs_in_size(jar, directory)
    if reason is None and (found := sha256_of(directory / jar.file_name)) != jar.sha256:
        return f"{jar.file_name} has SHA-256 {found}, the lock file says {jar.sha256}"
    return reason


def differs_in_size(jar: LockedJar, directory: Path) -> str | None:
    """The cheap look: why the file can't be this jar, by name and size alone; None if it may be."""
    try:
        size_bytes = (directory / jar.file_name).stat().st_size
    except OSError:
        return f"{jar.file_name} is missing"
    if size_bytes != jar.size_bytes:
        return f"{jar.file_name} has {size_bytes} bytes, the lock file says {jar.size_bytes}"
    return None
