"""The table's rows say what the contract says, and a round plays what they need and no more."""

from __future__ import annotations

import pytest

from systest.metrics import figure_at
from systest.metrics.verdict import Bound
from systest.speed.rows import CASES, GROUPS, ROWS, plays_of, rows_of
from systest.strategies import CONTROL, OURS, PEERS, YARDSTICK
from systest.workloads.shapes import PLAIN, SHAPES
from tests.unit.speed.conftest import BOTH, PURE_ALONE, figures


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.group}: {row.label}")
def test_row__each__names_figures_and_cases_that_there_are(row: object) -> None:
    assert row in ROWS
    assert figure_at(figures(2.0), row.metric) is not None  # type: ignore[attr-defined]
    assert set(row.cases) <= set(CASES)  # type: ignore[attr-defined]
    assert row.over is None or row.over[1] in CASES  # type: ignore[attr-defined]


def test_rows__every_goal__is_one_of_either_transport() -> None:
    goals = {(row.label, transport): goal for row in ROWS for transport, goal in row.goals.items()}
    assert {transport for _, transport in goals} == {"compiled", "pure"}
    assert goals["a future per record, records/s", "pure"] == Bound(0.9, at_least=True)
    assert goals["a future per record, records/s", "compiled"] == Bound(1.5, at_least=True)
    assert goals["event-loop lag p99, ms", "pure"] == Bound(10)
    assert not any(goal.at_least for (label, _), goal in goals.items() if "records/s" not in label)


@pytest.mark.parametrize("groups", [("saturation", "sprint"), ("",)])
def test_rows_of__unknown_group__lists_those_there_are(groups: tuple[str, ...]) -> None:
    with pytest.raises(
        ValueError, match="choose from saturation, one-at-a-time, open, tasks, shapes, topics"
    ):
        rows_of(groups)


def test_plays__without_peers__are_those_that_goals_are_judged_by() -> None:
    plays = plays_of(ROWS, PURE_ALONE, with_peers=False)
    assert set(plays) == set(GROUPS)
    assert set(plays["saturation"]) == {(YARDSTICK, "saturate"), ("async", "saturate"), ("async", "bulk")}
    assert {name for pairs in plays.values() for name, _ in pairs} == {YARDSTICK, "async", CONTROL}
    assert {case for pairs in plays.values() for name, case in pairs if name == CONTROL} == {
        "tasks:1000 service"
    }


def test_plays__compiled_beside_pure__are_of_both_and_of_asyncio_alone_that_its_goals_are_over() -> None:
    plays = plays_of(ROWS, BOTH, with_peers=False)
    assert set(plays["saturation"]) == {
        (YARDSTICK, "saturate"),
        *((name, case) for name in OURS for case in ("saturate", "bulk")),
    }
    assert (CONTROL, "tasks:10") in plays["tasks"]


def test_shapes__each__is_against_the_yardstick_with_the_same_records_one_by_one_and_in_batches() -> None:
    rows = rows_of(("shapes",))
    of_shapes = {CASES[case].shape for row in rows for case in row.cases}
    assert of_shapes == {shape for name, shape in SHAPES.items() if name != PLAIN}
    for row in rows:
        assert row.over is None or all(CASES[case].shape == CASES[row.over[1]].shape for case in row.cases)
    plays = plays_of(rows, PURE_ALONE, with_peers=True)["shapes"]
    assert {name for name, _ in plays} == {YARDSTICK, CONTROL, "async"}
    assert {case for name, case in plays if name == YARDSTICK} == {
        f"saturate {name}" for name in SHAPES if name != PLAIN
    }


def test_plays__with_peers__each_plays_once_whatever_it_can() -> None:
    plays = plays_of(ROWS, BOTH, with_peers=True)
    everything = [pair for pairs in plays.values() for pair in pairs]
    assert len(set(everything)) == len(everything)
    assert {name for name, _ in everything} == {YARDSTICK, CONTROL, *OURS, *PEERS}
    assert ("java", "tasks:10") not in everything
    assert ("aiokafka", "bulk") not in everything
    assert ("aiokafka", "tasks:10000") in everything
    assert ("aiokafka", "tasks:100000") not in everything
    assert (CONTROL, "tasks:100000") in everything
