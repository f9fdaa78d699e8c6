"""Which harness this is: driver and nodes must run the same, and its version number alone does not tell.

It is what was installed of it, line by line, and what that required: a node with an older client measures another one.

`python -m systest.clusters.harness` prints it, for `ducktape/provision.sh`.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path

_PACKAGES = ("producer", "systest")
_PROJECT = "kafka-producer-systest"
_PART_OF_REQUIREMENT = re.compile(r"[<>=!~]*\s*[^\s<>=!~,;()]+")
_KINDS = (".py", ".pyx", ".h", ".java", ".lock")


@functools.cache
def harness_id() -> str:
    """A short name for all that is installed of the harness and the producer; changes with any line of it."""
    digest = hashlib.sha256()
    try:
        requirements = importlib.metadata.requires(_PROJECT) or []
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
        requirements = []
    digest.update(requirements_text(requirements).encode())
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)  # not imported, which would take a node half a second
        assert spec is not None
        assert spec.submodule_search_locations is not None
        [root] = map(Path, spec.submodule_search_locations)
        for file in sorted(path for path in root.rglob("*") if path.suffix in _KINDS):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{root.name}/{file.relative_to(root).as_posix()} {content}\n".encode())
    return digest.hexdigest()[:12]


def requirements_text(requirements: Iterable[str]) -> str:
    """The same text for the same requirements: build tools differ in blanks, quotes, brackets and order."""

    def parts(requirement: str) -> list[str]:
        found = _PART_OF_REQUIREMENT.findall(requirement.replace("'", "").replace('"', ""))
        return sorted(part.replace(" ", "") for part in found)

    return "\n".join(sorted(" ".join(parts(requirement)) for requirement in requirements))


if __name__ == "__main__":
    print(harness_id())
