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


_RUN = "./run_ducktape.sh --broker kafka"
"""Kafka by name: a run falls back to the embedded broker where Kafka can't be had, and a night must not."""
_DELIVERY = " ".join(
    f"tests/ducktape/delivery/{name}_test.py" for name in ("delivery", "out_of_order", "mixed_shapes")
)
_ON_NODES = f"{_DELIVERY} tests/ducktape/performance/comparison_test.py"
_FEWER_ROUNDS = '{"speed": {"rounds": 6}}'
"""The fewest that get an interval for values of any distribution; ten of every shape would take the night an hour."""

STEPS: tuple[Step, ...] = (
    Step("comparison", f"{_RUN} --rounds 10", 40),
    Step(
        "latency",
        f"{_RUN} --strategies sync,async,async-pure --workload open:1000 --records plain --rounds 30",
        22,
    ),
    Step("delivery", f"{_RUN} {_DELIVERY}", 40),
    Step("faults", f"{_RUN} tests/ducktape/faults", 20),
    Step("transactions", f"{_RUN} tests/ducktape/transactions", 30),
    Step("services", f"{_RUN} tests/ducktape/services tests/ducktape/security", 20),
    Step("configurations", f"{_RUN} tests/ducktape/delivery/configurations_test.py", 30),
    Step("netns", f"{_RUN} --cluster netns --nodes 5 {_ON_NODES}", 45, may_lack=True),
    Step("docker", f"{_RUN} --cluster docker --nodes 5 {_ON_NODES}", 45, may_lack=True),
    Step("soak", "./run_ducktape.sh safety soak", 15),
    Step("sanitizer", "./run_ducktape.sh safety sanitizer", 20),
    Step("allocator", "./run_ducktape.sh safety allocator", 15),
    Step("clusters", f"{_RUN} tests/ducktape/clusters", 60, may_lack=True),
    Step("bare-root", "./run_ducktape.sh bare-root", 240, may_lack=True),
    Step("speed", f"{_RUN} tests/ducktape/performance/speed_test.py --globals '{_FEWER_ROUNDS}'", 90),
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
