"""What a user chose for a run: which broker, which strategies, what work. One frozen value, checked once.

`systest run` makes it from its arguments and hands it to ducktape as the global `systest`; tests take it from
their context. Plain `ducktape --globals '{"systest": {"broker": "embedded"}}'` is the same, by hand.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from systest import strategies
from systest.services.broker import BrokerKind
from systest.workloads.shapes import PLAIN, SERVICE, SHAPES, shape_named
from systest.workloads.workload import Workload, workload_named

GLOBAL = "systest"
ROUNDS_MAX = 1_000
BROKERS_MAX = 9
DURATION_S_MAX = 600.0


def _any_seed() -> int:
    return random.SystemRandom().randrange(2**32)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Args:
        broker: where the broker comes from.
        notes: sentences that belong in the result, such as why the broker is not the one a user would expect.
        brokers: how many, where this run starts them.
        bootstrap_server: address of an external broker.
        client_config: file of client properties for an external broker.
        strategies: names of the producers to compare.
        workload: as a user writes it, see `systest.workloads.workload`.
        records: shapes of the records to compare with, one after the other, see `systest.workloads.shapes`.
        duration_s: measured time of a round.
        rounds: how often each strategy is measured.
        gates: file of the gates that a comparison is judged by.
        seed: decides the order of strategies within each round.
        command: what the user typed, for the result.

    Raises:
        ValueError: one sentence saying what is wrong and what would be right.
    """

    broker: BrokerKind = BrokerKind.KAFKA
    notes: tuple[str, ...] = ()
    brokers: int = 1
    bootstrap_server: str = ""
    client_config: str = ""
    strategies: tuple[str, ...] = strategies.NAMES
    workload: str = "saturate"
    records: tuple[str, ...] = (PLAIN, SERVICE)
    duration_s: float = 1.2
    rounds: int = 3
    gates: str = "tests/ducktape/gates.yml"
    seed: int = field(default_factory=_any_seed)
    command: str = "ducktape"

    def __post_init__(self) -> None:
        for name in self.strategies:
            strategies.check(name)
        if not self.strategies:
            raise ValueError(f"no strategy to run; choose from {', '.join(strategies.NAMES)}")
        if len(set(self.strategies)) < len(self.strategies):
            raise ValueError(f"a strategy is named twice in {', '.join(self.strategies)}; name each once")
        if not 1 <= self.rounds <= ROUNDS_MAX:
            raise ValueError(f"{self.rounds} rounds can't be run; choose 1 to {ROUNDS_MAX}")
        if not 0.1 <= self.duration_s <= DURATION_S_MAX:
            raise ValueError(
                f"a duration of {self.duration_s} s can't be run; choose 0.1 to {DURATION_S_MAX:.0f}"
            )
        for name in self.records:
            shape_named(name)
        if not self.records:
            raise ValueError(f"no records to send; choose from {', '.join(SHAPES)}")
        if len(set(self.records)) < len(self.records):
            raise ValueError(f"records are named twice in {', '.join(self.records)}; name each once")
        work = self.work()
        for name in self.strategies:
            if reason := strategies.refusal(name, work):
                raise ValueError(
                    f"{name} can't run {self.workload}: {reason}; choose --strategies from "
                    f"{', '.join(each for each in strategies.NAMES if not strategies.refusal(each, work))}"
                )
        for records in self.records:
            reasons = {name: self.refused(name, records) for name in self.strategies}
            if all(reasons.values()):
                raise ValueError(
                    f"no strategy can send {records} records: "
                    f"{'; '.join(f'{name}: {reason}' for name, reason in reasons.items())}; add one to --strategies"
                )
        if not 1 <= self.brokers <= BROKERS_MAX:
            raise ValueError(f"{self.brokers} brokers can't be started; choose 1 to {BROKERS_MAX}")
        external = self.broker is BrokerKind.EXTERNAL
        if external and not self.bootstrap_server:
            raise ValueError("an external broker needs its address; add --bootstrap-server host:port")
        if not external and (self.bootstrap_server or self.client_config):
            raise ValueError(
                "--bootstrap-server and --client-config are for a cluster that is there already; "
                "add --broker external"
            )

    def work(self) -> Workload:
        """The workload, with this run's measured time."""
        return workload_named(self.workload, duration_s=self.duration_s)

    def refused(self, strategy: str, records: str) -> str | None:
        """Why a strategy can't play its part with records of this shape, None if it can."""
        return strategies.refusal(strategy, self.work(), SHAPES[records])

    def to_globals(self) -> dict[str, Any]:
        """What `from_globals` understands, in JSON's types."""
        return {
            GLOBAL: {
                **asdict(self),
                "broker": self.broker.value,
                "strategies": list(self.strategies),
                "records": list(self.records),
                "notes": list(self.notes),
            }
        }

    @classmethod
    def from_globals(cls, user_globals: Mapping[str, Any]) -> RunOptions:
        """The options in ducktape's globals; the defaults where they say nothing.

        Raises ValueError as the class does, and for a name that is none of its fields.
        """
        given = dict(user_globals.get(GLOBAL, {}))
        known = {each.name for each in fields(cls)}
        if unknown := sorted(set(given) - known):
            raise ValueError(
                f"there is no option {unknown[0]!r} in the global {GLOBAL!r}; there are {', '.join(sorted(known))}"
            )
        if "broker" in given:
            given["broker"] = broker_kind(given["broker"])
        for name in ("strategies", "records", "notes"):
            if name in given:
                given[name] = tuple(given[name])
        return cls(**given)


def broker_kind(name: str) -> BrokerKind:
    """The kind with this name. ValueError that lists them if there is none."""
    try:
        return BrokerKind(name)
    except ValueError:
        names = ", ".join(kind.value for kind in BrokerKind)
        raise ValueError(f"unknown broker {name!r}; choose {names}") from None
