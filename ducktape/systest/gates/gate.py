"""A gate, and the file in which a person writes gates.

    async-throughput:
      reason: a service that moves from the synchronous producer must not need another machine
      strategy: async
      figure: throughput.records_per_s
      at_least: 0.8
      times: sync

Each entry is a gate by its name: a bound on one figure of one strategy, `at_least` or `at_most`. With `times` it is on
the ratio to another strategy in the same round; without, on the figure itself. `workload` says of which workload,
`saturate` where it is left out, and `records` of records of which shape, `plain` where it is. `transport` says on which
transport the strategy's producer must have run, where a bound is one transport's own. `reason` is for whoever reads a
verdict: why this bound and no other.

A file that can't be understood as a whole gives no gates: one that nobody judges would be taken for one that holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from systest import strategies
from systest.choices import unknown
from systest.metrics import METRICS, Better, Metric
from systest.metrics.verdict import Bound
from systest.workloads.shapes import PLAIN, shape_named
from systest.workloads.workload import workload_named
from systest.yaml_file import NotYaml, read_yaml

_METRICS: Mapping[str, Metric] = {metric.path: metric for metric in METRICS}
_BOUNDS = ("at_least", "at_most")
_NEEDED = ("reason", "strategy", "figure")
_KEYS = (*_NEEDED, *_BOUNDS, "times", "workload", "records", "transport")
_WORKLOAD = "saturate"


class GatesError(ValueError):
    """A file of gates can't be used; one sentence that names the gate, what is wrong, and what would be right."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One.

    Args:
        name: what a person and a CI server call it.
        strategy: whose figure.
        figure: where it is in `RoundFigures`.
        bound: on the ratio, or on the figure where `times` is None.
        times: the strategy that the ratio is to.
        workload: of which it is said.
        reason: why this bound.
        transport: of the strategy's producer; None for whichever it runs on.
        records: shape of the records.

    Raises:
        ValueError: one sentence saying what is wrong and what would be right.
    """

    name: str
    strategy: str
    figure: str
    bound: Bound
    times: str | None
    workload: str
    reason: str
    transport: str | None = None
    records: str = PLAIN

    def __post_init__(self) -> None:
        if self.figure not in _METRICS:
            raise ValueError(unknown("figure", self.figure, _METRICS))
        work, shape = workload_named(self.workload), shape_named(self.records)
        for strategy in self.strategies:
            if strategy not in strategies.NAMES:
                raise ValueError(unknown("strategy", strategy, strategies.NAMES))
            if refusal := strategies.refusal(strategy, work, shape):
                raise ValueError(
                    f"{strategy} can't run {self.workload} with {self.records} records: {refusal}; no run could ever "
                    "be judged by it"
                )
        if self.transport is not None and self.transport not in strategies.TRANSPORTS:
            raise ValueError(unknown("transport", self.transport, strategies.TRANSPORTS))
        if self.transport is not None and self.strategy not in strategies.OURS:
            raise ValueError(f"{self.strategy} has no transport to choose; leave out transport")
        if self.times == self.strategy:
            raise ValueError(f"{self.strategy} is compared with itself; name another strategy in times")
        if not math.isfinite(self.bound.limit):
            raise ValueError(f"{self.bound.limit} is no bound; write a number")
        if self.times is not None and self.bound.limit <= 0:
            raise ValueError(f"{self.bound.limit:g} is no bound on a ratio; write one above 0")
        if self.times is not None and self.metric.may_be_zero:
            raise ValueError(
                f"{self.figure} may well be 0, to which there is no ratio; leave out times, and bound the figure"
            )
        better = self.metric.better
        if better is not Better.NEITHER and self.bound.at_least is not (better is Better.HIGHER):
            right = "at_least" if better is Better.HIGHER else "at_most"
            raise ValueError(f"the {better.value} {self.figure} is, the better, and so it needs {right}")
        if self.metric.only_open and work.rate_per_s is None:
            raise ValueError(f"{self.figure} says something in an open loop only; add workload: open:RATE")

    @property
    def metric(self) -> Metric:
        return _METRICS[self.figure]

    @property
    def strategies(self) -> tuple[str, ...]:
        """Those that must have run."""
        return (self.strategy,) if self.times is None else (self.strategy, self.times)


def load_gates(path: Path) -> tuple[Gate, ...]:
    """The gates in a file.

    Raises:
        GatesError: it can't be read, or not all of it can be understood.
    """
    try:
        content = read_yaml(path, _Loader)
    except NotYaml as error:
        raise GatesError(f"the file of gates {error}") from error
    if not isinstance(content, dict) or not content:
        raise GatesError(f"the gates {path} name none; write `name: {{{', '.join(_NEEDED)}, at_least}}`")
    gates = []
    for name, entry in content.items():
        try:
            gates.append(_gate(str(name), entry))
        except ValueError as error:
            raise GatesError(f"the gates {path}, {name}: {error}") from error
    return tuple(gates)


def _gate(name: str, entry: Any) -> Gate:
    match entry:
        case dict():
            pass
        case _:
            raise ValueError(f"{entry!r} is no gate; write {', '.join(_KEYS)} below its name")
    for key in entry:
        if key not in _KEYS:
            raise ValueError(unknown("key", key, _KEYS))
    for key in _NEEDED:
        if key not in entry:
            raise ValueError(f"it has no {key}; a gate has {', '.join(_NEEDED)}, and at_least or at_most")
    bounds = [key for key in _BOUNDS if key in entry]
    if len(bounds) != 1:
        raise ValueError(
            "it has both at_least and at_most; write a gate for each"
            if bounds
            else "it has no bound; add at_least or at_most"
        )
    [bound] = bounds
    return Gate(
        name=name,
        strategy=_text(entry, "strategy"),
        figure=_text(entry, "figure"),
        bound=Bound(_number(entry, bound), at_least=bound == "at_least"),
        times=_text(entry, "times") if "times" in entry else None,
        workload=_text(entry, "workload") if "workload" in entry else _WORKLOAD,
        reason=_text(entry, "reason"),
        transport=_text(entry, "transport") if "transport" in entry else None,
        records=_text(entry, "records") if "records" in entry else PLAIN,
    )


def _text(entry: Mapping[str, Any], key: str) -> str:
    match entry[key]:
        case str() as text if text.strip():
            return text.strip()
        case other:
            raise ValueError(f"{key} is {other!r}; write some text")


def _number(entry: Mapping[str, Any], key: str) -> float:
    match entry[key]:
        case bool():
            pass
        case int() | float() as number:
            return float(number)
    raise ValueError(f"{key} is {entry[key]!r}; write a number")


class _Loader(yaml.SafeLoader):
    """Refuses a name that is there twice: YAML's own would take the last and drop a gate without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)
