"""What a comparison found, as a value and as JSON. All that any report shows is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cattrs.preconf.json import make_converter

from systest.gates import Gate, GateVerdict, judge
from systest.metrics import RoundFigures, Row, compare
from systest.strategies import ASYNC, ASYNC_PURE, PURE
from systest.worker.spec import Setting
from systest.workloads.workload import Workload

VERSION = 2

_converter = make_converter(forbid_extra_keys=True)


@dataclass(frozen=True, slots=True)
class RoundResult:
    """One strategy once.

    Args:
        position: of the round in the run, from 1: strategies take turns.
        verdict: of the checks: `pass`, `fail` or `unknown`.
        problems: the anomalies found and what could not be shown, a sentence each.
        acked, failed, unknown: records by what their caller was told, warm-up included.
        in_log: records read back.
        report_inversions: acknowledgements that came ahead of an earlier record's.
        figures: what was measured.
        others_percent: CPU of the machine that was in use right before the round, and so by others; None if not
            measured, as where the nodes are not the driver's machine.
    """

    position: int
    verdict: str
    problems: tuple[str, ...]
    acked: int
    failed: int
    unknown: int
    in_log: int
    report_inversions: int
    figures: RoundFigures
    others_percent: float | None = None


@dataclass(frozen=True, slots=True)
class StrategyResult:
    """All rounds of one strategy; `client` is library and version, `idiom` how it was used.

    `transport` is which of its transports the producer itself said that it used, None for a library with but one way.
    """

    name: str
    client: str
    idiom: str
    rounds: tuple[RoundResult, ...]
    transport: str | None = None

    @property
    def passed(self) -> int:
        """Rounds in which every check held."""
        return sum(each.verdict == "pass" for each in self.rounds)


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run.

    Args:
        started: when, ISO 8601 in UTC.
        took_s: from the first topic to the last judgement.
        broker: which one, with version and shape; the first thing that a report tells.
        machine: what the run had: cores, Python, platform.
        notes: sentences that a reader must know, such as why it is not the broker that one would expect.
        workload: what was asked of each strategy.
        topic: partitions, replicas and record size, in words.
        client: the client settings that all strategies got, by librdkafka's names.
        seed: of the order of strategies within the rounds.
        yardstick: the strategy that ratios are to.
        gates: what the figures are judged by.
        strategies: in the order of the table.
    """

    started: str
    took_s: float
    broker: str
    machine: str
    notes: tuple[str, ...]
    workload: Workload
    topic: str
    client: Mapping[str, Setting]
    seed: int
    yardstick: str
    gates: tuple[Gate, ...]
    strategies: tuple[StrategyResult, ...]

    @property
    def is_verified(self) -> bool:
        """Whether every check held in every round."""
        return all(each.passed == len(each.rounds) for each in self.strategies)

    def verdicts(self) -> tuple[GateVerdict, ...]:
        """What became of each gate. Those of `async-pure` are judged by `async` where that was the same."""
        rounds = {each.name: each.rounds for each in self.strategies}
        transports = {each.name: each.transport for each in self.strategies}
        if ASYNC_PURE not in rounds and transports.get(ASYNC) == PURE:
            gates = [
                replace(each, strategy=ASYNC) if each.strategy == ASYNC_PURE else each for each in self.gates
            ]
        else:
            gates = list(self.gates)
        return tuple(judge(gate, self.workload.name, rounds, transports) for gate in gates)

    def rows(self) -> tuple[Row, ...]:
        """The table."""
        rounds = {each.name: [one.figures for one in each.rounds] for each in self.strategies}
        return compare(rounds, self.yardstick, is_open=self.workload.rate_per_s is not None)

    def to_json(self) -> str:
        """The verdicts and the table for whoever only reads, then everything that it was made of."""
        table = [
            {
                "figure": row.metric.path,
                "label": row.metric.label,
                "better": row.metric.better.value,
                "best": list(row.best),
                "strategies": _converter.unstructure(row.cells),
            }
            for row in self.rows()
        ]
        document = {
            "version": VERSION,
            "verified": self.is_verified,
            "gates": _converter.unstructure(self.verdicts()),
            "table": table,
            "run": _converter.unstructure(self),
        }
        return json.dumps(document, indent=1)

    @classmethod
    def from_json(cls, text: str) -> RunResult:
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
            return _converter.structure(run, cls)
        except Exception as error:
            raise ValueError(f"the result has wrong fields: {error!r}") from error
