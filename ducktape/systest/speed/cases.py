"""What can be played, and what came of it: the words that the speed table and the scaling curves share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from systest.metrics import RoundFigures
from systest.origin import Origin
from systest.rounds import RoundPlan
from systest.strategies import CONTROL, PEERS
from systest.worker.spec import Setting
from systest.workloads.stream import VALUE_BYTES, Shape
from systest.workloads.workload import Workload, workload_named

RECORDS_MAX = 3_000_000


@dataclass(frozen=True, slots=True)
class Case:
    """A workload on some topics.

    Args:
        workload: as a user names it.
        topics, partitions: how many, and of each how many.
        warmup_s: see `Workload`; None for the workload's own.
        least_s: measured time at the least, where one is not enough to outweigh what is in flight at its ends.
        peers: whether the peers play it, too.
        shape: what the records consist of.
        bytes_max: of all records together that go to a broker.
        client: see `RoundPlan`.
    """

    workload: str
    topics: int = 1
    partitions: int = 6
    warmup_s: float | None = None
    least_s: float = 0.0
    peers: bool = True
    shape: Shape = field(default_factory=Shape)
    bytes_max: int = RECORDS_MAX * VALUE_BYTES
    client: Mapping[str, Setting] | None = None

    def work(self, duration_s: float) -> Workload:
        return workload_named(
            self.workload,
            duration_s=max(duration_s, self.least_s),
            records_max=RECORDS_MAX,
            **({} if self.warmup_s is None else {"warmup_s": self.warmup_s}),
        )

    def plan(self, strategy: str, duration_s: float) -> RoundPlan:
        work = self.work(duration_s)
        if strategy != CONTROL:
            work = replace(work, records_max=min(RECORDS_MAX, self.bytes_max // self.shape.value_bytes))
        return RoundPlan(
            strategy,
            work,
            self.partitions,
            topics=self.topics,
            shape=self.shape,
            client=self.client,
        )


@dataclass(frozen=True, slots=True)
class Played:
    """One strategy at one case in one round.

    `verdict` is the checks', "" for the control, whose records are in no log; `figures` None if the round could not
    be played to its end, with the reason in `problems`.
    """

    round: int
    strategy: str
    case: str
    verdict: str
    problems: tuple[str, ...]
    acked: int
    figures: RoundFigures | None

    @property
    def counts(self) -> bool:
        """Whether its figures mean something: its records are where they were acknowledged, if they are anywhere."""
        return self.figures is not None and (self.verdict == "pass" or self.strategy == CONTROL)


@dataclass(frozen=True, kw_only=True)
class CaseRun:
    """One run of cases in rounds.

    Args:
        started: when, ISO 8601 in UTC.
        took_s: from the first topic to the last judgement.
        origin: what ran.
        broker: which one; the first thing that a report tells.
        machine: what the run had.
        notes: sentences that a reader must know.
        client: settings that all had, but where a case says otherwise.
        seed: of the order within the rounds.
        rounds: how often each case was played.
        duration_s: measured time of each.
        producers: library and idiom by strategy.
        transports: of this project's strategies, as their producer said.
        played: everything.
    """

    started: str
    took_s: float
    origin: Origin
    broker: str
    machine: str
    notes: tuple[str, ...]
    client: Mapping[str, Setting]
    seed: int
    rounds: int
    duration_s: float
    producers: Mapping[str, str]
    transports: Mapping[str, str]
    played: tuple[Played, ...]

    @property
    def unverified(self) -> tuple[Played, ...]:
        """Plays of which some check did not hold, or that did not end well."""
        return tuple(each for each in self.played if not each.counts)

    @property
    def is_verified(self) -> bool:
        """Whether every check held for all but the peers, whose defects are their own."""
        return all(each.strategy in PEERS for each in self.unverified)
