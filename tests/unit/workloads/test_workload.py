"""A workload's one word, and the records of a stream of several topics."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from systest.workloads.stream import Placement, RecordStream
from systest.workloads.workload import (
    BULK_RECORDS,
    SATURATE_IN_FLIGHT,
    SERVICE_PAUSE_S,
    Workload,
    workload_named,
)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("saturate", {"in_flight": SATURATE_IN_FLIGHT}),
        ("one-at-a-time", {"in_flight": 1}),
        ("window:7", {"in_flight": 7}),
        ("open:50000", {"rate_per_s": 50_000}),
        ("tasks:100000", {"in_flight": 100_000, "tasks": True}),
        ("service:2000", {"in_flight": 2_000, "tasks": True, "pause_s": SERVICE_PAUSE_S}),
        ("bulk", {"in_flight": SATURATE_IN_FLIGHT, "batch": BULK_RECORDS}),
        ("bulk:20000", {"in_flight": 20_000, "batch": 20_000}),
    ],
)
def test_named__each_form__is_what_it_says(name: str, fields: dict[str, Any]) -> None:
    work = workload_named(name, duration_s=1.5)
    assert (work.name, work.duration_s) == (name, 1.5)
    single = {"rate_per_s": None, "tasks": False, "pause_s": 0.0, "batch": None, "in_flight": work.in_flight}
    assert {field: getattr(work, field) for field in single} == single | fields


@pytest.mark.parametrize(
    "name",
    [
        "",
        "sprint",
        "window",
        "window:0",
        "window:-1",
        "open",
        "open:0",
        "open:1e3",
        "tasks:x",
        "bulk:0",
        "saturate:1",
    ],
)
def test_named__no_such_workload__lists_all_forms(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"choose saturate, one-at-a-time, window:N .* open:RATE .* tasks:N .* bulk:N"
    ):
        workload_named(name)


def test_workload__two_shapes_at_once__is_refused() -> None:
    with pytest.raises(ValueError, match="one of an open loop, a loop of tasks, and one of batches"):
        Workload("both", 10, tasks=True, rate_per_s=5)


@pytest.mark.parametrize(
    ("name", "records"), [("open:100", 250), ("open:1000000", 1_000), ("tasks:5", 1_000), ("saturate", 1_000)]
)
def test_records_due__are_the_timetables_within_the_limit(name: str, records: int) -> None:
    assert workload_named(name, duration_s=2.0, warmup_s=0.5, records_max=1_000).records_due == records


def test_topics__records_take_turns_in_them_and_in_each_ones_partitions() -> None:
    stream = RecordStream(
        run=1, producer=0, topic="orders", partitions=2, topics=4, placement=Placement.PARTITION
    )
    names = stream.topic_names
    places = [(names[n % 4], stream.partition(n)) for n in range(80)]
    assert Counter(places) == {(f"orders-{topic}", p): 10 for topic in range(4) for p in range(2)}
    assert stream.first_partitions == {"orders-0": 0, "orders-1": 2, "orders-2": 4, "orders-3": 6}


def test_topics__a_single_one__has_its_own_name() -> None:
    stream = RecordStream(run=1, producer=0, topic="orders", partitions=2)
    assert (stream.topic_names, stream.first_partitions) == (("orders",), {"orders": 0})


def test_topics__none__is_refused() -> None:
    with pytest.raises(ValueError, match="topics is 0"):
        RecordStream(run=1, producer=0, topic="orders", partitions=2, topics=0)
