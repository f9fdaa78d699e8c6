"""The harness's sources as one file, for nodes that have no checkout.

Sources and not a wheel: a node builds the compiled transport for its own Python and its own processor.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

_NAME = "kafka-producer-systest"
_PACKAGES = ("producer", "ducktape/systest")
_FILES = ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE")
_NOT_SOURCES = ("__pycache__", "_not_built.txt", "_librdkafka.c")


class NoSources(Exception):
    """The sources are not all there; one sentence."""


def pack_sources(checkout: Path, into: Path) -> Path:
    """Packs what an install needs, and nothing that one in the checkout has left. Raises NoSources."""
    names = (*_PACKAGES, *_FILES)
    if lacking := [name for name in names if not (checkout / name).exists()]:
        raise NoSources(
            f"there is no {lacking[0]} in {checkout.resolve()}; run this in the repository's root directory"
        )

    def source(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        path = Path(entry.name)
        return None if path.name in _NOT_SOURCES or path.suffix == ".so" else entry

    packed = into / f"{_NAME}.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        for name in names:
            archive.add(checkout / name, f"{_NAME}/{name}", filter=source)
    return packed
