"""The axes are what the curves promise, within bounds of memory, and play what they can and no more."""

from __future__ import annotations

import random
from typing import Any

import pytest

from systest import strategies
from systest.rounds import client_settings
from systest.scaling.axes import AXES, AXIS_NAMES, BYTES_IN_FLIGHT_MAX, BYTES_MAX, CASES, WARM_UP, views_of
from systest.scaling.run import ScalingOptions
from systest.speed.play import order_of
from systest.strategies import CONTROL, PEERS
from systest.workloads.workload import IN_FLIGHT_MAX


def test_axes__go_from_little_to_much() -> None:
    ends = {axis.name: (min(axis.cases), max(axis.cases)) for axis in AXES}
    assert ends == {
        "tasks": (10, 100_000),
        "in-flight": (1, 100_000),
        "sizes": (24, 921_600),
        "topics": (1, 1_000),
        "partitions": (1, 600),
    }
    assert all(list(axis.cases) == sorted(axis.cases) for axis in AXES)


@pytest.mark.parametrize("name", CASES)
def test_case__keeps_memory_within_its_bounds_and_differs_in_its_axis_alone(name: str) -> None:
    case = CASES[name]
    plan = case.plan("async", 1.0)
    work = plan.workload
    assert 1 <= work.in_flight <= IN_FLIGHT_MAX
    assert work.in_flight * case.shape.value_bytes <= BYTES_IN_FLIGHT_MAX
    assert work.records_max * case.shape.value_bytes <= BYTES_MAX
    assert client_settings(plan)["linger.ms"] == (0 if work.in_flight == 1 else 1)
    axis = name.partition(":")[0]
    value = int(name.partition(":")[2])
    told = {
        "tasks": work.in_flight,
        "in-flight": work.in_flight,
        "sizes": plan.shape.value_bytes,
        "topics": plan.topics,
        "partitions": plan.partitions,
    }
    assert told[axis] == value
    assert (plan.topics == 1) is (axis != "topics" or value == 1)


def test_plays__each_strategy_where_it_can__and_asyncio_alone_where_it_says_something() -> None:
    by_axis = {axis.name: axis.plays(strategies.NAMES) for axis in AXES}
    for name, plays in by_axis.items():
        assert len(set(plays)) == len(plays), name
        assert {"async", "async-pure"} <= {strategy for strategy, _ in plays}
    assert ("sync", "tasks:10") not in by_axis["tasks"]
    assert ("java", "tasks:10") not in by_axis["tasks"]
    assert not any((peer, "tasks:100000") in by_axis["tasks"] for peer in PEERS)
    assert (CONTROL, "tasks:100000") in by_axis["tasks"]
    assert not any(strategy == CONTROL for strategy, _ in by_axis["topics"])
    assert by_axis["sizes"][0] in order_of([by_axis["sizes"]], random.Random(1))
    assert WARM_UP in CASES


def test_plays__up_to_a_number__are_those_of_no_greater_one() -> None:
    [tasks] = (axis.plays(("async",), up_to=100) for axis in AXES if axis.name == "tasks")
    assert tasks == [(name, f"tasks:{n}") for name in ("async", CONTROL) for n in (10, 100)]


def test_plan__of_asyncio_alone__is_not_cut_short_by_the_bytes_that_a_broker_would_keep() -> None:
    case = CASES["sizes:921600"]
    assert case.plan(CONTROL, 1.0).workload.records_max > 100 * case.plan("sync", 1.0).workload.records_max


def test_views__of_sizes_there_is_one_by_record_and_one_by_kib() -> None:
    assert [(view.axis.name, view.per_kib) for view in views_of(("sizes", "tasks"))] == [
        ("tasks", False),
        ("sizes", False),
        ("sizes", True),
    ]
    _, by_record, by_kib = views_of(("sizes", "tasks"))
    assert (by_record.cost(2_048, 6.0), by_kib.cost(2_048, 6.0)) == (6.0, 3.0)


def test_options__nothing_said__are_all_axes() -> None:
    assert ScalingOptions.from_globals({}) == ScalingOptions(AXIS_NAMES)


def test_options__axes_and_rounds__are_taken_as_a_user_writes_them() -> None:
    given = {"scaling": {"axes": "topics, tasks", "rounds": 2}}
    assert ScalingOptions.from_globals(given) == ScalingOptions(("topics", "tasks"), 2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"axes": "task"}, "unknown axis 'task', did you mean 'tasks'?"),
        ({"axes": ""}, "no axis to measure along; choose from tasks"),
        ({"rounds": 0}, "0 rounds can't be run"),
        ({"duration_s": 0}, "a duration of 0 s"),
        ({"strategies": "sync"}, "no option 'strategies' in the global 'scaling'; .* --strategies beside it"),
    ],
)
def test_options__that_cannot_be__are_refused_in_a_sentence(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ScalingOptions.from_globals({"scaling": given})
