"""A run's result as a file: JSON that has the result itself, and beside it views of it for whoever only reads."""

from __future__ import annotations

import json
from typing import Any, Protocol, TypeVar

from cattrs.preconf.json import make_converter

from systest.origin import Origin

VERSION = 4
"""Of every kind of result."""

_converter = make_converter(forbid_extra_keys=True)


class Result(Protocol):
    """What all kinds of result tell."""

    @property
    def started(self) -> str: ...
    @property
    def broker(self) -> str: ...
    @property
    def machine(self) -> str: ...
    @property
    def origin(self) -> Origin: ...
    @property
    def is_verified(self) -> bool: ...


_R = TypeVar("_R", bound=Result)


def plain(value: object) -> Any:
    """In JSON's types."""
    return _converter.unstructure(value)


def to_json(result: Result, **views: object) -> str:
    """The file's text; each view is in JSON's types."""
    document = {"version": VERSION, "verified": result.is_verified, **views, "run": plain(result)}
    return json.dumps(document, indent=1)


def from_json(kind: type[_R], text: str) -> _R:
    """The result in a file.

    Raises:
        ValueError: it is none, or of another version; one sentence.
    """
    try:
        document: Any = json.loads(text)
        version, run = document["version"], document["run"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"not a result of this harness: {error!r}") from error
    if version != VERSION:
        raise ValueError(f"the result is of version {version}; this harness reads version {VERSION}")
    try:
        return _converter.structure(run, kind)
    except Exception as error:
        raise ValueError(f"the result has wrong fields: {error!r}") from error
