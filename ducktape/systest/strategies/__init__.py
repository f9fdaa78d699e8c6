"""Strategies: the producers under test, by name.

A strategy is a program that takes the path of a `ProduceSpec` and speaks the worker protocol. Those in Python
share one program and differ in a class; a class is imported only in the worker that runs it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from systest.workloads.stream import Shape
from systest.workloads.workload import Workload

if TYPE_CHECKING:
    from systest.strategies.base import Strategy

ASYNC, ASYNC_PURE = "async", "async-pure"
OURS = (ASYNC, ASYNC_PURE)
"""This project's producer: as a user gets it, on the compiled transport where that can be had, and on the pure one."""
COMPILED, PURE = TRANSPORTS = ("compiled", "pure")
JAVA = "java"
CONFLUENT_AIO = "confluent-aio"
CONTROL = "control"
"""No producer but asyncio alone, to compare with; its records are in no log (`systest.strategies.control`)."""

_CLASSES: Mapping[str, tuple[str, str]] = {
    "sync": ("systest.strategies.sync", "SyncStrategy"),
    ASYNC: ("systest.strategies.aio", "AsyncStrategy"),
    ASYNC_PURE: ("systest.strategies.aio", "AsyncPureStrategy"),
    CONFLUENT_AIO: ("systest.strategies.confluent_aio", "ConfluentAioStrategy"),
    "aiokafka": ("systest.strategies.aiokafka", "AiokafkaStrategy"),
    CONTROL: ("systest.strategies.control", "ControlStrategy"),
}

NAMES = (*(name for name in _CLASSES if name != CONTROL), JAVA)
YARDSTICK = "sync"
"""The strategy that the others are compared with."""
PEERS = tuple(name for name in NAMES if name != YARDSTICK and name not in OURS)


def check(name: str) -> None:
    """Raises ValueError that lists the strategies if there is none of this name."""
    if name not in NAMES:
        raise ValueError(f"unknown strategy {name!r}; choose from {', '.join(NAMES)}")


def refusal(name: str, workload: Workload, shape: Shape | None = None) -> str | None:
    """Why a strategy can't run a workload, of records of this shape if one is given, in a few words; None if it can."""
    if workload.tasks and name in (YARDSTICK, JAVA):
        return "it has no event loop, and so no tasks"
    if workload.batch is not None and name not in OURS:
        return "it has no call that gives many records one outcome"
    if shape is not None and name == CONFLUENT_AIO:
        lacks = (
            (shape.headers, "headers"),
            (shape.timestamp_base_ms is not None, "timestamps"),
            (shape.callback_every > 0, "callbacks"),
        )
        if missing := [what for is_wanted, what in lacks if is_wanted]:
            return f"its produce() sends no {' and no '.join(missing)}"
    return None


def command(name: str, python: str, spec_path: str) -> list[str]:
    """The command line that runs a strategy on a node.

    Args:
        name: of the strategy.
        python: the node's Python that has this package.
        spec_path: the spec's file on the node.
    """
    if name != CONTROL:
        check(name)
    if name == JAVA:
        from systest.strategies import java

        return java.command(python, spec_path)
    return [python, "-m", "systest.worker", spec_path]


def create(name: str) -> Strategy:
    """The strategy itself, in the worker that runs it. ValueError if it is none that runs in Python."""
    if name not in _CLASSES:
        raise ValueError(f"{name!r} is no strategy in Python; those are {', '.join(_CLASSES)}")
    module, class_name = _CLASSES[name]
    strategy: Strategy = getattr(importlib.import_module(module), class_name)()
    return strategy
