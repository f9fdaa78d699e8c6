"""Which transports this installation has, and which one a producer takes."""

from __future__ import annotations

import importlib
import logging
import os
from functools import cache
from pathlib import Path

from producer.pure_transport import PureTransport
from producer.transport import MakeTransport

PURE, COMPILED = "pure", "compiled"
TRANSPORT_VARIABLE = "PRODUCER_TRANSPORT"

_NOT_BUILT = Path(__file__).with_name("_not_built.txt")
"""Where a build that had to do without the compiled transport says why."""
_logger = logging.getLogger("producer")


def transports() -> tuple[str, ...]:
    """The transports that this installation has, the one taken by default first."""
    return (COMPILED, PURE) if why_not_compiled() is None else (PURE,)


@cache
def why_not_compiled() -> str | None:
    """Why the compiled transport can't be had, as a sentence; None where it can."""
    try:
        importlib.import_module("producer.compiled_transport")
    except ImportError as missing:
        if missing.name == "producer._librdkafka" and _NOT_BUILT.exists():
            return _NOT_BUILT.read_text(encoding="utf-8").strip()
        return f"The compiled transport can't be loaded: {missing}."
    return None


def choose_transport(requested: str | None) -> str:
    """The transport's name from the argument, else the environment, else the best there is.

    Raises ValueError for one that is not to be had. Where nobody asked for one and the best can't be loaded, the log
    tells why, once.
    """
    name = requested if requested is not None else os.environ.get(TRANSPORT_VARIABLE)
    if name is None:
        _tell_why_not()
        return transports()[0]
    if name not in transports():
        source = "transport" if requested is not None else f"the environment variable {TRANSPORT_VARIABLE}"
        why = f" {why_not_compiled()}" if name == COMPILED else ""
        raise ValueError(f"{source} is {name!r}; this installation has: {', '.join(transports())}.{why}")
    return name


def transport_kind(name: str) -> MakeTransport:
    """The transport of this name, which `choose_transport` returned."""
    if name == COMPILED:
        from producer.compiled_transport import CompiledTransport

        return CompiledTransport
    return PureTransport


@cache
def _tell_why_not() -> None:
    reason = why_not_compiled()
    if reason is not None:
        _logger.warning("The pure transport is used. %s", reason)
