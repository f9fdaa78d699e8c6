"""The scaling curves for a terminal, in Markdown, and as a chart."""

from __future__ import annotations

from collections.abc import Sequence

from systest import strategies
from systest.reports.chart import Chart, Line, Panel, Point, svg
from systest.reports.words import measured, number, settings, side_by_side, table_line, wrapped
from systest.scaling.axes import KIB, Axis, View
from systest.scaling.result import Curve, CurvePoint, ScalingResult
from systest.strategies import CONTROL, PEERS

_GAP = 2
_INDENT = 2


def terminal(result: ScalingResult, width: int) -> str:
    """The whole report, `width` columns wide; strategies that don't fit beside the others go to a further table."""
    lines = [*wrapped(_headline(result), width), ""]
    for view in result.views:
        lines += [*wrapped([_title(view)], width)]
        heads, *rows = _table(result, view)
        first, *sizes = _sizes([heads, *rows])
        for places in side_by_side([size + _GAP for size in sizes], width - _INDENT - first):
            lines += [*_block([heads, *rows], [at + 1 for at in places]), ""]
    return "\n".join([*lines, *wrapped(_footnotes(result), width)]) + "\n"


def markdown(result: ScalingResult) -> str:
    """The whole report, beside its chart."""
    return f"# How the cost of a record scales\n\n{body(result, 'scaling.svg')}"


def body(result: ScalingResult, chart_file: str) -> str:
    """All of the report but its heading."""
    text = [f"![CPU time a record, along each axis]({chart_file})", ""]
    text += [*(f"- {line}" for line in _headline(result)), ""]
    for view in result.views:
        heads, *rows = _table(result, view)
        text += [
            f"**{_title(view)}**",
            "",
            table_line(heads),
            table_line(["---", *["---:"] * (len(heads) - 1)]),
        ]
        text += [*(table_line(row) for row in rows), ""]
    return "\n".join([*text, *(f"- {line}" for line in _footnotes(result))]) + "\n"


def chart(result: ScalingResult) -> str:
    """The curves as SVG, a panel a view."""
    panels = tuple(
        Panel(
            title=_capital(view.axis.title),
            y_label=view.label,
            x_ticks=tuple((value, _tick(view.axis, value)) for value in _values(view, result.curves(view))),
            lines=tuple(_drawn(result, curve) for curve in result.curves(view)),
        )
        for view in result.views
    )
    rounds = "one round" if result.rounds == 1 else f"{result.rounds} rounds"
    return svg(
        Chart(
            title="CPU time that a record costs the client",
            caption=(
                f"Medians of {rounds}, the bands from the least to the most; logarithmic axes; less is better.",
                f"{result.broker}; {result.machine.partition(',')[0]} for all; {result.started[:10]}",
            ),
            panels=panels,
        )
    )


def _headline(result: ScalingResult) -> list[str]:
    return [
        f"broker: {result.broker}",
        f"client: {settings(result.client)}; values of 30 bytes, 6 partitions where nothing else is said",
        f"rounds: {result.rounds} of {number(result.duration_s)} s each, a fresh process each; interleaved, order from "
        f"seed {result.seed}; took {result.took_s / 60:.0f} min",
        *measured(result),
        *(f"note: {note}" for note in result.notes),
    ]


def _title(view: View) -> str:
    note = f" ({view.axis.note})" if view.axis.note and not view.per_kib else ""
    return f"{_capital(view.axis.title)}: {view.label}{note}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _table(result: ScalingResult, view: View) -> list[list[str]]:
    """The heads, then a line for each value of the axis."""
    curves = result.curves(view)
    return [
        [view.axis.unit, *(_name(result, curve.strategy) for curve in curves)],
        *(
            [_tick(view.axis, value), *(_cell(curve.at(value)) for curve in curves)]
            for value in _values(view, curves)
        ),
    ]


def _values(view: View, curves: Sequence[Curve]) -> list[int]:
    """Those of the axis that were measured."""
    return [value for value in view.axis.cases if any(curve.at(value) for curve in curves)]


def _name(result: ScalingResult, strategy: str) -> str:
    if strategy == CONTROL:
        return "asyncio alone"
    transport = result.transports.get(strategy)
    return strategy if transport is None else f"{strategy} ({transport})"


def _cell(point: CurvePoint | None) -> str:
    if point is None:
        return ""
    spread = f" ({number(point.low)} to {number(point.high)})" if point.rounds > 1 else ""
    return f"{number(point.median)}{spread}"


def _tick(axis: Axis, value: int) -> str:
    if axis.unit == "bytes":
        return f"{value} B" if value < KIB else f"{value // KIB} KiB"
    return f"{value // 1000}k" if value >= 1000 else str(value)


def _drawn(result: ScalingResult, curve: Curve) -> Line:
    points = tuple(Point(each.value, each.median, each.low, each.high) for each in curve.points)
    names = (*strategies.NAMES, CONTROL)
    return Line(_name(result, curve.strategy), points, names.index(curve.strategy), curve.strategy == CONTROL)


def _footnotes(result: ScalingResult) -> list[str]:
    acked = sum(each.acked for each in result.played)
    bad = result.unverified
    loopless = [name for name in result.strategies if name in (strategies.YARDSTICK, strategies.JAVA)]
    return [
        "Medians over the rounds, in brackets the least and the most of them. Loop CPU is that of the event loop's "
        "thread, client CPU that of the whole process; asyncio alone is the same loop with no producer and no Kafka.",
        *(
            [f"{' and '.join(loopless)} have no event loop, and so no tasks"]
            if loopless and "tasks" in result.axes
            else []
        ),
        *(f"{name}: {text}" for name, text in result.producers.items()),
        f"{acked:,} records acknowledged"
        + (", all found in the log, no anomaly" if not bad else f"; {len(bad)} plays do not count:"),
        *(
            f"round {each.round}, {each.strategy}{' (a peer)' if each.strategy in PEERS else ''}, {each.case}: "
            f"{'; '.join(each.problems)}"
            for each in bad
        ),
    ]


def _sizes(table: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*table, strict=True)]


def _block(table: Sequence[Sequence[str]], columns: Sequence[int]) -> list[str]:
    sizes = _sizes(table)
    return [
        (
            f"{' ' * _INDENT}{row[0]:>{sizes[0]}}"
            + "".join(row[at].rjust(sizes[at] + _GAP) for at in columns)
        ).rstrip()
        for row in table
    ]
