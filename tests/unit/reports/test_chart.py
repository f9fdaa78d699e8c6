"""Lines on logarithmic axes: where they are drawn, and that their names never touch."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systest.reports.chart import Chart, Line, Panel, Point, spread, svg

SVG = "{http://www.w3.org/2000/svg}"
TICKS = ((1.0, "1"), (10.0, "10"), (100.0, "100"))


def line(name: str, *costs: float, style: int = 0) -> Line:
    points = [Point(10.0**at, cost, cost, cost) for at, cost in enumerate(costs)]
    return Line(name, tuple(points), style)


def drawn(*lines: Line) -> ElementTree.Element:
    panel = Panel("a panel", "us/record", TICKS, lines)
    root = ElementTree.fromstring(svg(Chart("a chart", ("a caption",), (panel,))))
    group = root.find(f"{SVG}g")
    assert group is not None
    return group


def places(group: ElementTree.Element) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in (each.split(",") for each in drawn.get("points", "").split())]
        for drawn in group.findall(f"{SVG}polyline")
    ]


def test_line__ten_times_the_cost_and_ten_times_the_number__is_straight() -> None:
    [[first, second, third]] = places(drawn(line("a", 1.0, 10.0, 100.0)))
    assert second[0] - first[0] == pytest.approx(third[0] - second[0], abs=0.1)
    assert second[1] - first[1] == pytest.approx(third[1] - second[1], abs=0.1)
    assert third[1] < first[1], "dearer is higher"


def test_line__without_some_values__ends_where_it_has_none() -> None:
    short, long = places(drawn(line("a", 1.0, 2.0), line("b", 1.0, 2.0, 3.0, style=1)))
    assert short[-1] == pytest.approx(long[1], abs=0.1)


def test_line__of_one_cost_everywhere__is_drawn() -> None:
    [points] = places(drawn(line("a", 2.0, 2.0, 2.0)))
    assert len({y for _, y in points}) == 1


def test_band__goes_from_the_least_to_the_most() -> None:
    wide = Line("a", (Point(1.0, 2.0, 1.0, 4.0), Point(100.0, 2.0, 1.0, 4.0)), 0)
    [band] = drawn(wide).findall(f"{SVG}polygon")
    heights = {each.split(",")[1] for each in band.get("points", "").split()}
    [[(_, middle), _]] = places(drawn(wide))
    low, high = sorted(float(each) for each in heights)
    assert low < middle < high


def test_names__of_lines_that_end_together__are_apart_and_all_there() -> None:
    lines = [line(f"strategy-{n}", 1.0, 1.0, 1.0 + n / 1_000, style=n) for n in range(7)]
    names = [each for each in drawn(*lines).findall(f"{SVG}text") if (each.text or "").startswith("strategy")]
    assert len(names) == 7
    heights = sorted(float(each.get("y", "")) for each in names)
    assert all(upper - lower >= 12.9 for lower, upper in pairwise(heights))


@given(st.lists(st.floats(0, 200), min_size=1, max_size=8))
def test_spread__any_places__are_apart_in_order_within_their_bounds(wanted: list[float]) -> None:
    found = spread(wanted, 13.0, 0.0, 210.0)
    in_order = [found[at] for at in sorted(range(len(wanted)), key=wanted.__getitem__)]
    assert all(upper - lower >= 13.0 - 1e-6 for lower, upper in pairwise(in_order))
    assert in_order[0] >= -1e-6
    assert in_order[-1] <= 210.0 + 1e-6


def test_spread__places_that_do_not_touch__stay() -> None:
    assert spread([100.0, 10.0, 50.0], 13.0, 0.0, 210.0) == [100.0, 10.0, 50.0]
