"""What a comparison found, as a value and as JSON. All that any report shows is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from systest.gates import Gate, GateVerdict, judge
from systest.metrics import RoundFigures, Row, compare
from systest.origin import Origin
from systest.reports import document
from systest.strategies import ASYNC, ASYNC_PURE, PURE
from systest.worker.spec import Setting
from systest.workloads.workload import Workload


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
    def is_verified(self) -> bool:
        """Whether every check held in every round."""
        return all(each.verdict == "pass" for each in self.rounds)


@dataclass(frozen=True, slots=True)
class Part:
    """All rounds with records of one shape.

    Args:
        records: the shape's name.
        shape: what that is, in words.
        strategies: in the order of the table.
        left_out: strategies that can't send such records, and why.
    """

    records: str
    shape: str
    strategies: tuple[StrategyResult, ...]
    left_out: Mapping[str, str]

    @property
    def title(self) -> str:
        """What stands above its figures."""
        return f"{self.records}: {self.shape}"


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run.

    Args:
        started: when, ISO 8601 in UTC.
        took_s: from the first topic to the last judgement.
        origin: what ran.
        broker: which one, with version and shape; the first thing that a report tells.
        machine: what the run had: cores, Python, platform.
        notes: sentences that a reader must know, such as why it is not the broker that one would expect.
        workload: what was asked of each strategy.
        topic: partitions and replicas, in words.
        client: the client settings that all strategies got, by librdkafka's names.
        seed: of the order of strategies within the rounds.
        yardstick: the strategy that ratios are to.
        gates: what the figures are judged by.
        parts: by the shape of their records.
    """

    started: str
    took_s: float
    origin: Origin
    broker: str
    machine: str
    notes: tuple[str, ...]
    workload: Workload
    topic: str
    client: Mapping[str, Setting]
    seed: int
    yardstick: str
    gates: tuple[Gate, ...]
    parts: tuple[Part, ...]

    @property
    def is_verified(self) -> bool:
        """Whether every check held in every round."""
        return all(each.is_verified for part in self.parts for each in part.strategies)

    @property
    def strategies(self) -> Mapping[str, StrategyResult]:
        """Who played, each as it was in the first part that it had."""
        found: dict[str, StrategyResult] = {}
        for part in self.parts:
            for each in part.strategies:
                found.setdefault(each.name, each)
        return found

    def verdicts(self) -> tuple[GateVerdict, ...]:
        """What became of each gate. Those of `async-pure` are judged by `async` where that was the same."""
        played = {part.records: {each.name: each.rounds for each in part.strategies} for part in self.parts}
        transports = {name: each.transport for name, each in self.strategies.items()}
        if ASYNC_PURE not in transports and transports.get(ASYNC) == PURE:
            gates = [
                replace(each, strategy=ASYNC) if each.strategy == ASYNC_PURE else each for each in self.gates
            ]
        else:
            gates = list(self.gates)
        return tuple(judge(gate, self.workload.name, played, transports) for gate in gates)

    def rows(self, part: Part) -> tuple[Row, ...]:
        """A part's table."""
        rounds = {each.name: [one.figures for one in each.rounds] for each in part.strategies}
        return compare(rounds, self.yardstick, is_open=self.workload.rate_per_s is not None)

    def to_json(self) -> str:
        """The verdicts and the table for whoever only reads, then everything that it was made of."""
        table = [
            {
                "records": part.records,
                "figure": row.metric.path,
                "label": row.metric.label,
                "better": row.metric.better.value,
                "best": list(row.best),
                "strategies": document.plain(row.cells),
            }
            for part in self.parts
            for row in self.rows(part)
        ]
        return document.to_json(self, gates=document.plain(self.verdicts()), table=table)

    @classmethod
    def from_json(cls, text: str) -> RunResult:
        """The result in a file. Raises ValueError, one sentence, if it is none."""
        return document.from_json(cls, text)
