"""Which harness this is: driver and nodes must run the same, and its version number alone does not tell.

`python -m systest.clusters.harness` prints it, for `ducktape/provision.sh`.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from pathlib import Path

_PACKAGES = ("producer", "systest")
_KINDS = (".py", ".java", ".lock")


@functools.cache
def harness_id() -> str:
    """A short name for all that is installed of the harness and the producer; changes with any line of it."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)  # not imported, which would take a node half a second
        assert spec is not None
        assert spec.submodule_search_locations is not None
        [root] = map(Path, spec.submodule_search_locations)
        for file in sorted(path for path in root.rglob("*") if path.suffix in _KINDS):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{root.name}/{file.relative_to(root).as_posix()} {content}\n".encode())
    return digest.hexdigest()[:12]


if __name__ == "__main__":
    print(harness_id())
