"""From what a process held at even steps to whether it leaks. Pure.

Each figure is judged by its growth over the second half of the samples, when every cache and pool has its size: the
median of the slopes between all pairs of samples (Theil and Sen), which a few samples that are off do not move. A
figure may grow by its allowance per million records, and by a floor in all, which is what it varies by on its own.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from producer.transports import COMPILED

SAMPLES_MIN = 8
"""Fewer in the second half show no trend."""
_NAMED_MAX = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process held when all its producers were gone.

    Args:
        records: that it had sent by then.
        producers: that it had made by then.
        at_s: seconds since its first sample.
        rss_mib: its resident memory; None where it says nothing, as under a sanitizer, which keeps back what is freed.
        heap_mib: what it had of C's allocator; None where that does not tell.
        blocks: what it had of Python's allocator; None where Python uses C's.
        objects: those that Python's garbage collector knows.
        objects_but_errors: those of them that are not confluent-kafka's KafkaError.
        own_objects: those of them that are of the producer's types, or are such types.
        none_references: to None; it never moves where Python does not count them.
        threads: of the operating system.
        descriptors: open ones.
        types: how many `objects` there were of each type; only of the first and the last sample that are judged, since
            they take room themselves.
    """

    records: int
    producers: int
    at_s: float
    rss_mib: float | None
    heap_mib: float | None
    blocks: int | None
    objects: int
    objects_but_errors: int
    own_objects: int
    none_references: int
    threads: int
    descriptors: int
    types: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Bound:
    """How much one figure may grow.

    Args:
        figure: the name of a Sample's field.
        label: in words.
        allowed: per million records.
        floor: in all, whatever the number of records.
        may_shrink: whether it may become less. References that are given back once too often end in a crash.
    """

    figure: str
    label: str
    allowed: float
    floor: float
    may_shrink: bool = True


BOUNDS = (
    Bound("rss_mib", "resident MiB", 0.25, 8.0),
    Bound("heap_mib", "C heap MiB", 0.02, 0.1),
    Bound("blocks", "Python blocks", 100, 1000),
    Bound("objects", "objects", 20, 100),
    Bound("own_objects", "producer's objects", 5, 10),
    Bound("none_references", "references to None", 1000, 4000, may_shrink=False),
    Bound("threads", "threads", 0.2, 2),
    Bound("descriptors", "descriptors", 0.2, 2),
)
"""Over the compiled transport. References to None may become fewer by the 4096 that Python's cache of methods gives
back as it fills.
"""
_KEPT_BY_CONFLUENT = ("rss_mib", "heap_mib", "blocks", "objects")
"""What grows over the pure transport whatever the producer does: confluent-kafka keeps the error of each record that
its produce() refuses (2.16), and how many those are is left to chance.
"""


def bounds_of(transport: str) -> tuple[Bound, ...]:
    """Those for a soak over this transport."""
    if transport == COMPILED:
        return BOUNDS
    others = tuple(each for each in BOUNDS if each.figure not in _KEPT_BY_CONFLUENT)
    return (Bound("objects_but_errors", "objects but errors", 20, 100), *others)


@dataclass(frozen=True, slots=True)
class Finding:
    """Of one figure.

    Args:
        bound: by which it was judged.
        first: at the first of the samples that were judged.
        last: at the last of them.
        growth: per million records; None if it could not be measured.
        is_flat: whether it changed no more than it may; what was not measured is not judged.
        grown: the types whose number grew most, with by how many; for objects that are not flat.
    """

    bound: Bound
    first: float | None
    last: float | None
    growth: float | None
    is_flat: bool
    grown: tuple[tuple[str, int], ...] = ()


def first_judged(count: int) -> int:
    """The index of the first of so many samples that is judged."""
    return count // 2


def judge(samples: Sequence[Sample], bounds: Sequence[Bound] = BOUNDS) -> tuple[Finding, ...]:
    """A finding for each bound.

    Raises:
        ValueError: there are too few samples to tell.
    """
    judged = samples[first_judged(len(samples)) :]
    if len(judged) < SAMPLES_MIN:
        raise ValueError(
            f"{len(samples)} samples are too few to tell a leak by; take {2 * SAMPLES_MIN} or more"
        )
    return tuple(_finding(bound, judged) for bound in bounds)


def _finding(bound: Bound, samples: Sequence[Sample]) -> Finding:
    figures = [getattr(sample, bound.figure) for sample in samples]
    if None in figures:
        return Finding(bound, None, None, None, True)
    millions = [sample.records / 1e6 for sample in samples]
    growth = slope(millions, figures)
    change = growth if bound.may_shrink else abs(growth)
    is_flat = change <= bound.allowed or change * (millions[-1] - millions[0]) <= bound.floor
    grown = (
        _grown(samples[0].types, samples[-1].types)
        if bound.figure.startswith("objects") and not is_flat
        else ()
    )
    return Finding(bound, figures[0], figures[-1], growth, is_flat, grown)


def slope(places: Sequence[float], figures: Sequence[float]) -> float:
    """The median slope between all pairs; places ascend.

    Args:
        places: where each was measured.
        figures: what was measured there.
    """
    pairs = combinations(zip(places, figures, strict=True), 2)
    return statistics.median((b - a) / (to - at) for (at, a), (to, b) in pairs)


def _grown(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    growth = Counter(after)
    growth.subtract(before)
    return tuple((name, more) for name, more in growth.most_common(_NAMED_MAX) if more > 0)
