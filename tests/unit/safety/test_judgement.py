"""When a soak's samples count as flat: pairs of a leak and its nearest clean twin."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from systest.safety.judgement import BOUNDS, Finding, Sample, bounds_of, judge, slope

RECORDS_A_ROUND = 1_250_000
FLAT: dict[str, Any] = {
    "rss_mib": 60.0,
    "heap_mib": 5.0,
    "blocks": 100_000,
    "objects": 25_000,
    "objects_but_errors": 24_000,
    "own_objects": 58,
    "none_references": 10_000,
    "threads": 3,
    "descriptors": 11,
    "types": {},
}


def samples(
    records_a_round: int = RECORDS_A_ROUND, count: int = 40, **figures: Callable[[int], Any]
) -> list[Sample]:
    """Flat ones, but for the figures that are a function of the round."""
    return [
        Sample(
            records=(number + 1) * records_a_round,
            producers=50 * number,
            at_s=4.0 * number,
            **{**FLAT, **{name: figure(number) for name, figure in figures.items()}},
        )
        for number in range(count)
    ]


def grown(found: tuple[Finding, ...]) -> list[str]:
    return [each.bound.figure for each in found if not each.is_flat]


def test_bounds__name_a_figure_of_a_sample_each() -> None:
    names = [bound.figure for bound in BOUNDS]
    assert len(set(names)) == len(names)
    assert set(names) < {field.name for field in fields(Sample)}


def test_flat__with_a_warm_up_and_noise__is_flat() -> None:
    noise = random.Random(7)
    found = judge(
        samples(
            rss_mib=lambda number: min(60.0, 20.0 + 10 * number) + noise.uniform(-2, 2),
            objects=lambda number: 25_000 + min(number, 15) * 1000 + noise.randint(0, 5),
        )
    )
    assert grown(found) == []


@pytest.mark.parametrize(
    ("figure", "a_record", "is_leak"),
    [
        ("rss_mib", 1 / (1 << 20), True),  # a byte of each record
        ("rss_mib", 0.2 / (1 << 20), False),
        ("heap_mib", 0.1 / (1 << 20), True),
        ("heap_mib", 0.01 / (1 << 20), False),
        ("objects", 1 / 10_000, True),  # an object of each ten thousand records
        ("objects", 1 / 1_000_000, False),
        ("blocks", 1 / 1_000, True),
        ("blocks", 1 / 100_000, False),
        ("own_objects", 1 / 50_000, True),
        ("own_objects", 1 / 1_000_000, False),
        ("none_references", 1 / 500, True),
        ("none_references", -1 / 500, True),  # given back once too often: it ends in a crash
        ("none_references", -1 / 100_000, False),
        ("objects", -1.0, False),
        ("threads", 1 / RECORDS_A_ROUND, True),  # a thread of each round
        ("threads", 0.1 / RECORDS_A_ROUND, False),
        ("descriptors", 1 / RECORDS_A_ROUND, True),
        ("descriptors", 0.1 / RECORDS_A_ROUND, False),
    ],
)
def test_growth__beyond_the_allowance_of_its_figure_alone__is_a_leak(
    figure: str, a_record: float, is_leak: bool
) -> None:
    found = judge(samples(**{figure: lambda number: FLAT[figure] + number * RECORDS_A_ROUND * a_record}))
    assert grown(found) == ([figure] if is_leak else [])


def test_growth__over_the_pure_transport__may_be_the_errors_that_confluent_kafka_keeps_and_no_more() -> None:
    errors_kept = samples(objects=lambda number: 25_000 + 40_000 * number)
    assert grown(judge(errors_kept)) == ["objects"]
    assert grown(judge(errors_kept, bounds_of("pure"))) == []
    others_kept = samples(objects_but_errors=lambda number: 24_000 + 1500 * number)
    assert grown(judge(others_kept, bounds_of("pure"))) == ["objects_but_errors"]
    own_kept = samples(own_objects=lambda number: 58 + 15 * number)
    assert grown(judge(own_kept, bounds_of("pure"))) == ["own_objects"]


def test_growth__in_a_short_soak__is_judged_by_what_a_figure_varies_by_on_its_own() -> None:
    assert grown(judge(samples(10_000, objects=lambda number: 25_000 + number))) == []
    assert grown(judge(samples(10_000, objects=lambda number: 25_000 + 10 * number))) == ["objects"]


def test_growth__a_few_samples_are_off__is_that_of_the_others() -> None:
    off = {25: 9_000, 30: -9_000, 39: 9_000}
    assert grown(judge(samples(objects=lambda number: 25_000 + off.get(number, 0)))) == []
    assert grown(judge(samples(objects=lambda number: 25_000 + 1000 * number + off.get(number, 0)))) == [
        "objects"
    ]


def test_growth__of_objects__names_the_types_that_grew_most() -> None:
    def types(number: int) -> dict[str, int]:
        return {"asyncio.Future": 1000 * number, "builtins.dict": 500, "builtins.list": 9000 - number}

    found = judge(samples(objects=lambda number: 25_000 + 1000 * number, types=types))
    assert next(each for each in found if not each.is_flat).grown == (("asyncio.Future", 19_000),)


def test_figure__that_was_not_measured__is_not_judged() -> None:
    found = judge(samples(rss_mib=lambda number: None if number == 39 else 60.0 * number))
    assert [each.growth for each in found if each.bound.figure == "rss_mib"] == [None]
    assert grown(found) == []


def test_samples__too_few__tell_nothing() -> None:
    with pytest.raises(ValueError, match="14 samples are too few"):
        judge(samples(count=14))


def test_slope__of_a_line__is_that_line_s() -> None:
    assert slope([1, 2, 4], [10, 13, 19]) == 3
