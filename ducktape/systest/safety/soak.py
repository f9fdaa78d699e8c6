"""The soak: rounds of producers' lives on several loops at a time, and a sample of what the process holds after each.

A round's loops have threads of their own and end with it, with all their producers, so that whatever a sample finds
then and has not found before was left behind by somebody.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import random
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from systest.embedded import control
from systest.embedded.client import ControlClient
from systest.embedded.mock_cluster import Api
from systest.safety.judgement import SAMPLES_MIN, Sample, first_judged
from systest.safety.life import Plot, live
from systest.safety.meter import Meter
from systest.safety.outcomes import Outcomes
from systest.worker.loops import Loop, new_loop

ROUNDS = 40
ROUNDS_MIN = 2 * SAMPLES_MIN
LOOPS = 3
"""So many at a time."""

_ROUND_S_MAX = 1200.0
"""Far beyond what a round takes: it hangs."""
_REFUSALS = (10, 6, 7) * 10
"""What the broker answers to some requests of every other round: too large, and twice to try again.

Not "not authorized": librdkafka (2.16) then forgets the topic's partitions, and with them the records that another
answer puts back there.
"""
_PLANNED_WARNINGS = (
    "was never awaited",
    "AIOProducer dropped without close()",
    "The producer was closed before all records were acknowledged",
)


class SoakHangs(Exception):
    """A round did not end; the stacks of all threads were printed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to soak.

    Args:
        records: to send, about.
        seconds: after which it ends in any case; None: however long it takes.
        transport: of the producers.
        seed: of everything that is left to chance.
        rounds: so many samples are taken.
    """

    records: int
    seconds: float | None
    transport: str
    seed: int
    rounds: int = ROUNDS

    def __post_init__(self) -> None:
        if self.records < self.rounds:
            raise ValueError(f"{self.records} records are too few to soak with; send {self.rounds} or more")
        if self.rounds < ROUNDS_MIN:
            raise ValueError(f"{self.rounds} rounds are too few to tell a leak by; play {ROUNDS_MIN} or more")
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"a soak can't end after {self.seconds:g} seconds; give it more than 0")


def soak(
    plan: Plan, address: str, broker: ControlClient, show: Callable[[Sample], None]
) -> tuple[list[Sample], Outcomes]:
    """The samples, and what became of the records. In a process that runs nothing else.

    Args:
        plan: how long.
        address: of the broker.
        broker: to make it refuse some records.
        show: gets each sample when it is taken.

    Raises:
        SoakHangs: a round did not end.
    """
    total, samples = Outcomes(), []
    meter = Meter()
    with _watched(total.trouble):
        for number in range(plan.rounds):
            if number % 2 == 1:
                broker.call(control.FailRequests(Api.PRODUCE, _REFUSALS))
            for each in _round(plan, number, address):
                total.add(each)
            sample = meter.sample(total.sent, total.producers)
            show(sample)
            is_compared = number in (first_judged(plan.rounds), plan.rounds - 1)
            samples.append(sample if is_compared else replace(sample, types={}))
    return samples, total


def _round(plan: Plan, number: int, address: str) -> Sequence[Outcomes]:
    records_max = plan.records // plan.rounds
    until_s = None if plan.seconds is None else time.monotonic() + plan.seconds / plan.rounds
    all_outcomes = [Outcomes() for _ in range(LOOPS)]

    def is_over() -> bool:
        if until_s is not None and time.monotonic() > until_s:
            return True
        return sum(each.sent for each in all_outcomes) >= records_max

    def work(place: int) -> None:
        chance = random.Random(f"{plan.seed} {number} {place}")
        plot = Plot(address, plan.transport, chance, all_outcomes[place], is_over)
        while not is_over():
            live(_loop(chance), plot)

    threads = [threading.Thread(target=work, args=(place,), daemon=True) for place in range(LOOPS)]
    for thread in threads:
        thread.start()
    deadline_s = time.monotonic() + _ROUND_S_MAX
    for thread in threads:
        thread.join(max(deadline_s - time.monotonic(), 0))
        if thread.is_alive():
            faulthandler.dump_traceback(all_threads=True)
            raise SoakHangs(f"round {number + 1} did not end within {_ROUND_S_MAX:g} s; see the stacks above")
    return all_outcomes


def _loop(chance: random.Random) -> asyncio.AbstractEventLoop:
    kinds = [Loop.ASYNCIO] if sys.platform == "win32" else [Loop.ASYNCIO, Loop.UVLOOP]
    loop = new_loop(chance.choice(kinds))
    loop.set_debug(sys.flags.dev_mode)
    return loop


@contextlib.contextmanager
def _watched(trouble: Counter[str]) -> Iterator[None]:
    """Whatever Python can only print of, it notes: exceptions in threads and destructors, and warnings, logged ones
    too.
    """
    before = sys.unraisablehook, threading.excepthook
    logger = logging.getLogger("producer")

    def note(words: str) -> Callable[[Any], None]:
        def take(raised: Any) -> None:
            trouble[f"{words} {type(raised.exc_value).__name__}: {raised.exc_value}"] += 1

        return take

    def note_warning(message: Warning | str, *where: Any, **more: Any) -> None:
        if not any(words in str(message) for words in _PLANNED_WARNINGS):
            trouble[f"a warning was given: {message}"] += 1

    def note_logged(record: logging.LogRecord) -> bool:
        note_warning(record.getMessage())
        return False

    sys.unraisablehook = note("what could not be raised:")
    threading.excepthook = note("a thread ended by")
    logger.addFilter(note_logged)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = note_warning
            yield
    finally:
        sys.unraisablehook, threading.excepthook = before
        logger.removeFilter(note_logged)
