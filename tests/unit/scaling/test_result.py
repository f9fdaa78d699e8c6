"""From the figures of the rounds to curves, tables and the chart."""

from __future__ import annotations

import dataclasses
import json
from xml.etree import ElementTree

import pytest

from systest.scaling import ScalingResult, chart, markdown, terminal
from systest.scaling.result import CurvePoint
from tests.unit.scaling.conftest import Make

SVG = "{http://www.w3.org/2000/svg}"


def test_curve__each_point__is_the_median_with_the_least_and_the_most_of_the_rounds(result: Make) -> None:
    costs = {("async", "in-flight:10"): lambda n: {1: 5.0, 2: 3.0, 3: 4.0}[n]}
    run = result(costs, axes=("in-flight",))
    curve = next(each for each in run.curves(run.views[0]) if each.strategy == "async")
    assert curve.at(10) == CurvePoint(10, 4.0, 3.0, 5.0, 3)
    assert curve.at(100) == CurvePoint(100, 1.0, 1.0, 1.0, 3)
    assert curve.at(7) is None


def test_curves__strategies_come_in_the_tables_order_and_asyncio_alone_last(result: Make) -> None:
    run = result(axes=("tasks", "topics"))
    tasks, topics = ([each.strategy for each in run.curves(view)] for view in run.views)
    assert tasks == ["async", "async-pure", "confluent-aio", "aiokafka", "control"]
    assert topics == ["sync", "async", "async-pure", "confluent-aio", "aiokafka", "java"]


def test_curve__plays_that_are_not_verified__are_in_no_point_and_told(result: Make) -> None:
    whole = result({("async", "tasks:10"): lambda n: 9.0 if n == 1 else 2.0}, axes=("tasks",))
    played = [
        dataclasses.replace(each, verdict="fail", problems=("lost-write (1): record 7",))
        if (each.round, each.strategy, each.case) == (1, "async", "tasks:10")
        else each
        for each in whole.played
    ]
    run = dataclasses.replace(whole, played=tuple(played))
    curve = next(each for each in run.curves(run.views[0]) if each.strategy == "async")
    assert curve.at(10) == CurvePoint(10, 2.0, 2.0, 2.0, 2)
    assert (whole.is_verified, run.is_verified) == (True, False)
    for text in (terminal(run, 1_000), markdown(run)):
        assert "1 plays do not count" in text
        assert "round 1, async, tasks:10: lost-write (1): record 7" in text


def test_verified__a_peer_that_hung__is_its_own_affair(result: Make) -> None:
    whole = result(axes=("tasks",))
    played = [
        dataclasses.replace(each, figures=None, verdict="unknown", problems=("it hung",))
        if each.strategy == "aiokafka"
        else each
        for each in whole.played
    ]
    run = dataclasses.replace(whole, played=tuple(played))
    assert run.is_verified
    assert "aiokafka" not in [each.strategy for each in run.curves(run.views[0])]
    assert "aiokafka (a peer), tasks:10: it hung" in terminal(run, 1_000)


def test_json__gives_the_result_back_and_holds_the_curves(result: Make) -> None:
    whole = result(rounds=1)
    assert ScalingResult.from_json(whole.to_json()) == whole
    document = json.loads(whole.to_json())
    assert [each["axis"] for each in document["curves"]] == [view.axis.name for view in whole.views]
    assert document["curves"][0]["curves"][0]["points"][0]["median"] == 1.0


@pytest.mark.parametrize("text", ["", "{}", '{"version": 9, "run": {}}', '{"version": 3, "run": {}}'])
def test_json__that_is_none__is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="result"):
        ScalingResult.from_json(text)


@pytest.mark.parametrize("width", [80, 110, 160])
def test_terminal__keeps_to_its_width_and_shows_every_strategy_and_value(result: Make, width: int) -> None:
    run = result()
    lines = terminal(run, width).splitlines()
    assert max(map(len, lines)) <= width
    words = {word for line in lines for word in line.split()}
    assert {"sync", "async", "async-pure", "aiokafka", "java", "(compiled)", "(pure)"} <= words
    assert {"10", "100k", "900", "KiB", "600"} <= words


def test_markdown__every_table_has_every_column(result: Make) -> None:
    text = markdown(result())
    assert "![CPU time a record, along each axis](scaling.svg)" in text
    for table in text.split("\n\n"):
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in rows}) <= 1


def test_chart__has_a_panel_for_each_view_and_every_curve_by_name(result: Make) -> None:
    run = result()
    root = ElementTree.fromstring(chart(run))
    groups = root.findall(f"{SVG}g")
    assert len(groups) == len(run.views)
    for group, view in zip(groups, run.views, strict=True):
        texts = [each.text for each in group.findall(f"{SVG}text")]
        assert view.label in texts
        curves = run.curves(view)
        assert len(group.findall(f"{SVG}polyline")) == len(group.findall(f"{SVG}polygon")) == len(curves)
        assert {"async (compiled)", "async-pure (pure)"} <= set(texts)


def test_chart__same_result__is_the_same_file(result: Make) -> None:
    assert chart(result()) == chart(result())
