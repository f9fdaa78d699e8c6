"""What a night consists of, as data: each step is a command that a person could type, and how long it may take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from systest.choices import unknown


@dataclass(frozen=True, slots=True)
class Step:
    """One.

    Args:
        name: what `--only`, `--require` and the summary call it.
        command: as it is typed in the repository's root; the runner adds a `--results-root` of the step's own.
        limit_min: minutes after which it is ended: three times and more what it takes on two cores.
        may_lack: whether a machine may lack what it needs, such as Docker; that it can't run there is then no failure.
    """

    name: str
    command: str
    limit_min: float
    may_lack: bool = False


_DELIVERY = "tests/ducktape/delivery/delivery_test.py tests/ducktape/delivery/out_of_order_test.py"
_ON_NODES = f"{_DELIVERY} tests/ducktape/performance/comparison_test.py"

STEPS: tuple[Step, ...] = (
    Step("comparison", "./run_ducktape.sh --rounds 10", 20),
    Step("latency", "./run_ducktape.sh --strategies sync,async --workload open:1000 --rounds 10", 10),
    Step("delivery", f"./run_ducktape.sh {_DELIVERY}", 40),
    Step("faults", "./run_ducktape.sh tests/ducktape/faults", 20),
    Step("transactions", "./run_ducktape.sh tests/ducktape/transactions", 30),
    Step("services", "./run_ducktape.sh tests/ducktape/services tests/ducktape/security", 20),
    Step("configurations", "./run_ducktape.sh tests/ducktape/delivery/configurations_test.py", 30),
    Step("netns", f"./run_ducktape.sh --cluster netns --nodes 5 {_ON_NODES}", 45, may_lack=True),
    Step("docker", f"./run_ducktape.sh --cluster docker --nodes 5 {_ON_NODES}", 45, may_lack=True),
    Step("clusters", "./run_ducktape.sh tests/ducktape/clusters", 60),
    Step("speed", "./run_ducktape.sh tests/ducktape/performance/speed_test.py", 60),
)
"""The most telling first: what a budget cuts off comes last."""


def steps_named(names: Iterable[str], steps: Sequence[Step] = STEPS) -> tuple[Step, ...]:
    """Those steps, in the order of the night.

    Raises:
        ValueError: there is no such step; the message lists those there are.
    """
    wanted = set(names)
    known = [step.name for step in steps]
    for name in sorted(wanted):
        if name not in known:
            raise ValueError(unknown("step", name, known))
    return tuple(step for step in steps if step.name in wanted)
