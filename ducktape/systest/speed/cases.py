"""What can be played, and what came of it: the words that the speed table and the scaling curves share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from systest.metrics import RoundFigures
from systest.rounds import RoundPlan
from systest.strategies import CONTROL
from systest.worker.spec import Setting
from systest.workloads.stream import VALUE_BYTES, Placement
from systest.workloads.workload import Workload, workload_named

RECORDS_MAX = 3_000_000


@dataclass(frozen=True, slots=True)
class Case:
    """A workload on some topics.

    Args:
        workload: as a user names it.
        topics, partitions: how many, and of each how many.
        warmup_s: see `Workload`.
        least_s: measured time at the least, where one is not enough to outweigh what is in flight at its ends.
        peers: whether the peers play it, too.
        value_bytes: of a record.
        keys: how many keys there are, which decide the partitions; 0 leaves them to the client.
        bytes_max: of all records together that go to a broker.
        client: see `RoundPlan`.
    """

    workload: str
    topics: int = 1
    partitions: int = 6
    warmup_s: float = 0.5
    least_s: float = 0.0
    peers: bool = True
    value_bytes: int = VALUE_BYTES
    keys: int = 0
    bytes_max: int = RECORDS_MAX * VALUE_BYTES
    client: Mapping[str, Setting] | None = None

    def work(self, duration_s: float) -> Workload:
        return workload_named(
            self.workload,
            duration_s=max(duration_s, self.least_s),
            warmup_s=self.warmup_s,
            records_max=RECORDS_MAX,
        )

    def plan(self, strategy: str, duration_s: float) -> RoundPlan:
        work = self.work(duration_s)
        if strategy != CONTROL:
            work = replace(work, records_max=min(RECORDS_MAX, self.bytes_max // self.value_bytes))
        return RoundPlan(
            strategy,
            work,
            self.partitions,
            topics=self.topics,
            value_bytes=self.value_bytes,
            placement=Placement.KEY if self.keys else Placement.ANY,
            keys=self.keys,
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
