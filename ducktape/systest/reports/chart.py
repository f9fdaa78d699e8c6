"""Small multiples of lines on logarithmic axes, as one static SVG that stands in any page. Pure.

Drawn here and by no library: the text of it is some 200 lines, and what draws charts for Python is 40 MiB on every
machine that runs the tests, or a script in every page.

Each line has a colour of its own (Okabe and Ito's, which colour-blind readers can tell apart), a marker of its own for
readers of grey prints, and its name at its end instead of a legend.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

_COLOURS = ("#000000", "#d55e00", "#e69f00", "#0072b2", "#009e73", "#cc79a7", "#777777")
_FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', Arial, sans-serif"
_INK, _GRID, _SOFT = "#222222", "#e3e3e3", "#666666"
_COLUMNS = 2
_PLOT_WIDTH, _PLOT_HEIGHT = 290.0, 210.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 134.0, 46.0, 34.0
_HEAD, _CAPTION, _FOOT = 30.0, 14.0, 8.0
_LABEL_GAP = 13.0
_MARKER = 3.2


@dataclass(frozen=True, slots=True)
class Point:
    """`low` and `high` are the ends of the band there."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Line:
    """At least one point, by ascending x. `style` numbers its colour and marker, the same in every panel."""

    name: str
    points: tuple[Point, ...]
    style: int
    is_dashed: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """`x_ticks` are the numbers that the x axis has, with their words."""

    title: str
    y_label: str
    x_ticks: tuple[tuple[float, str], ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """`caption` is the lines below the title."""

    title: str
    caption: tuple[str, ...]
    panels: tuple[Panel, ...]


def svg(chart: Chart) -> str:
    """The whole file."""
    columns = min(_COLUMNS, len(chart.panels))
    cell_width, cell_height = _LEFT + _PLOT_WIDTH + _RIGHT, _TOP + _PLOT_HEIGHT + _BOTTOM
    width = columns * cell_width
    head = _HEAD + len(chart.caption) * _CAPTION
    height = head + math.ceil(len(chart.panels) / columns) * cell_height + _FOOT
    root = Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_at(width)} {_at(height)}",
        width=_at(width),
        height=_at(height),
        role="img",
    )
    root.set("font-family", _FONT)
    root.set("font-size", "11")
    SubElement(root, "title").text = chart.title
    SubElement(root, "desc").text = " ".join(chart.caption)
    SubElement(root, "rect", width="100%", height="100%", fill="#ffffff")
    _text(root, 12, 20, chart.title, size=15, weight="bold")
    for number, words in enumerate(chart.caption, 1):
        _text(root, 12, 22 + number * _CAPTION, words, fill=_SOFT)
    for number, panel in enumerate(chart.panels):
        row, column = divmod(number, columns)
        x, y = column * cell_width + _LEFT, head + row * cell_height + _TOP
        _draw(SubElement(root, "g", transform=f"translate({_at(x)} {_at(y)})"), panel)
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="unicode") + "\n"


@dataclass(frozen=True, slots=True)
class _Scale:
    """From a number on a logarithmic axis to its place: `low` is at `begin`, `high` at `end`."""

    low: float
    high: float
    begin: float
    end: float

    def place(self, value: float) -> float:
        span = math.log(self.high / self.low)
        part = math.log(value / self.low) / span if span else 0.5
        return self.begin + part * (self.end - self.begin)


def _draw(group: Element, panel: Panel) -> None:
    points = [point for line in panel.lines for point in line.points]
    values = [tick for tick, _ in panel.x_ticks]
    across = _Scale(min(values), max(values), 8.0, _PLOT_WIDTH - 8.0)
    low, high = min(point.low for point in points), max(point.high for point in points)
    up = _Scale(low / 1.15, high * 1.15, _PLOT_HEIGHT, 0.0)
    _text(group, -_LEFT + 12, -26, panel.title, size=13, weight="bold")
    _text(group, -_LEFT + 12, -11, panel.y_label, fill=_SOFT)
    for value in _y_ticks(up.low, up.high):
        y = up.place(value)
        _rule(group, (0, y), (_PLOT_WIDTH, y), _GRID)
        _text(group, -6, y + 4, f"{value:,g}", anchor="end", fill=_SOFT)
    for value, words in panel.x_ticks:
        x = across.place(value)
        _rule(group, (x, _PLOT_HEIGHT), (x, _PLOT_HEIGHT + 4), _SOFT)
        _text(group, x, _PLOT_HEIGHT + 17, words, anchor="middle", fill=_SOFT)
    _rule(group, (0, _PLOT_HEIGHT), (_PLOT_WIDTH, _PLOT_HEIGHT), _SOFT)
    for line in panel.lines:
        _draw_line(group, line, across, up)
    _draw_names(group, panel.lines, across, up)


def _y_ticks(low: float, high: float) -> Iterator[float]:
    """1, 2 and 5 times the powers of ten; of more than two and a half decades the powers alone."""
    steps = (1, 2, 5) if math.log10(high / low) <= 2.5 else (1,)
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for step in steps:
            value = step * 10.0**power
            if low <= value <= high:
                yield value


def _draw_line(group: Element, line: Line, across: _Scale, up: _Scale) -> None:
    colour = _COLOURS[line.style % len(_COLOURS)]
    xs = [across.place(point.x) for point in line.points]
    upper = [(x, up.place(point.high)) for x, point in zip(xs, line.points, strict=True)]
    lower = [(x, up.place(point.low)) for x, point in zip(xs, line.points, strict=True)]
    middle = [(x, up.place(point.y)) for x, point in zip(xs, line.points, strict=True)]
    band = SubElement(group, "polygon", points=_path([*upper, *reversed(lower)]), fill=colour)
    band.set("fill-opacity", "0.15")
    drawn = SubElement(group, "polyline", points=_path(middle), fill="none", stroke=colour)
    drawn.set("stroke-width", "1.6")
    if line.is_dashed:
        drawn.set("stroke-dasharray", "4 3")
    for (x, y), point in zip(middle, line.points, strict=True):
        marker = SubElement(group, "path", d=_marker(line.style, x, y), fill=colour)
        SubElement(
            marker, "title"
        ).text = f"{line.name}, {point.x:g}: {point.y:.3g} ({point.low:.3g} to {point.high:.3g})"


def _marker(style: int, x: float, y: float) -> str:
    """A circle, a square, a diamond, and triangles that point up, down, left and right."""
    r = _MARKER
    if style % 7 == 0:
        return f"M{_at(x - r)} {_at(y)}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z"
    corners = {
        1: [(-r, -r), (r, -r), (r, r), (-r, r)],
        2: [(0, -r * 1.4), (r * 1.4, 0), (0, r * 1.4), (-r * 1.4, 0)],
        3: [(0, -r * 1.3), (r * 1.2, r), (-r * 1.2, r)],
        4: [(0, r * 1.3), (r * 1.2, -r), (-r * 1.2, -r)],
        5: [(-r * 1.3, 0), (r, -r * 1.2), (r, r * 1.2)],
        6: [(r * 1.3, 0), (-r, -r * 1.2), (-r, r * 1.2)],
    }[style % 7]
    return "M" + "L".join(f"{_at(x + dx)} {_at(y + dy)}" for dx, dy in corners) + "z"


def _draw_names(group: Element, lines: Sequence[Line], across: _Scale, up: _Scale) -> None:
    """Each line's name right of the plot, at the height of its end or as near as its neighbours leave it."""
    ends = [(across.place(line.points[-1].x), up.place(line.points[-1].y)) for line in lines]
    heights = spread([y for _, y in ends], _LABEL_GAP, 0.0, _PLOT_HEIGHT - 6)
    for line, (x, y), height in zip(lines, ends, heights, strict=True):
        colour = _COLOURS[line.style % len(_COLOURS)]
        leader = _rule(group, (x + 5, y), (_PLOT_WIDTH + 9, height), colour)
        leader.set("stroke-width", "0.7")
        leader.set("stroke-opacity", "0.6")
        leader.set("stroke-dasharray", "1 2")
        SubElement(group, "path", d=_marker(line.style, _PLOT_WIDTH + 14, height), fill=colour)
        _text(group, _PLOT_WIDTH + 21, height + 4, line.name, fill=_INK)


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places at least `gap` apart and in the same order, each as near to its own as that allows, within low and high.

    Those that would touch form a group around the mean of what they want; a group that touches the next joins it.
    """
    order = sorted(range(len(places)), key=places.__getitem__)
    groups: list[list[int]] = []
    for index in order:
        groups.append([index])
        while len(groups) > 1 and _first(groups[-1], places, gap, low, high) < gap + _last(
            groups[-2], places, gap, low, high
        ):
            groups[-2:] = [groups[-2] + groups[-1]]
    found = [0.0] * len(places)
    for group in groups:
        first = _first(group, places, gap, low, high)
        for at, index in enumerate(group):
            found[index] = first + at * gap
    return found


def _first(group: Sequence[int], places: Sequence[float], gap: float, low: float, high: float) -> float:
    extent = (len(group) - 1) * gap
    mean = sum(places[index] for index in group) / len(group)
    return max(low, min(mean - extent / 2, high - extent))


def _last(group: Sequence[int], places: Sequence[float], gap: float, low: float, high: float) -> float:
    return _first(group, places, gap, low, high) + (len(group) - 1) * gap


def _text(
    parent: Element,
    x: float,
    y: float,
    words: str,
    *,
    size: int | None = None,
    weight: str = "",
    anchor: str = "",
    fill: str = _INK,
) -> None:
    element = SubElement(parent, "text", x=_at(x), y=_at(y), fill=fill)
    for name, value in (
        ("font-size", "" if size is None else str(size)),
        ("font-weight", weight),
        ("text-anchor", anchor),
    ):
        if value:
            element.set(name, value)
    element.text = words


def _rule(parent: Element, begin: tuple[float, float], end: tuple[float, float], colour: str) -> Element:
    return SubElement(
        parent,
        "line",
        x1=_at(begin[0]),
        y1=_at(begin[1]),
        x2=_at(end[0]),
        y2=_at(end[1]),
        stroke=colour,
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{_at(x)},{_at(y)}" for x, y in points)


def _at(place: float) -> str:
    return f"{place:.1f}".removesuffix(".0")
