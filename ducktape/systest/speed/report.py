"""The speed table for a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from systest.metrics.verdict import Bound
from systest.reports.words import measured, number, settings, side_by_side, table_line, wrapped
from systest.speed.result import Line, SpeedResult
from systest.speed.rows import Row
from systest.strategies import CONTROL, PEERS, YARDSTICK
from systest.workloads.shapes import PLAIN, SHAPES, words_of

_GAP = 2
_INDENT = 2
_TITLES = {
    "saturation": "at saturation, 10,000 in flight",
    "one-at-a-time": "one record at a time, linger 0",
    "open": "open loop, latency from when each record was due",
    "tasks": f"tasks that each await their record; {CONTROL}: asyncio with no Kafka",
    "shapes": "records of other shapes at saturation, both sides with the same arguments",
    "topics": "many topics of one partition, 10,000 in flight",
}


def terminal(result: SpeedResult, width: int) -> str:
    """The whole report, `width` columns wide; strategies that don't fit beside the others go to a further table."""
    lines = [*wrapped(_headline(result), width), ""]
    table = _table(result)
    for parts in _fitting(table, width):
        lines += [*_block(result, table[0], parts), ""]
    lines += wrapped(_footnotes(result), width)
    return "\n".join(lines) + "\n"


def markdown(result: SpeedResult) -> str:
    """The whole report, for a pull request or a wiki."""
    table = _table(result)
    heads, *rows = ([cell for part in table for cell in part[at]] for at in range(len(table[0])))
    text = ["# Speed of the producer", "", *(f"- {line}" for line in _headline(result)), ""]
    text += [table_line(heads), table_line(["---", *["---:"] * (len(heads) - 1)])]
    numbered = zip(_rows(result), rows, strict=True)
    for group, members in groupby(numbered, key=lambda pair: pair[0].group):
        text.append(table_line([f"**{_TITLES[group]}**", *[""] * (len(heads) - 1)]))
        text += [table_line(cells) for _, cells in members]
    return "\n".join([*text, "", *(f"- {line}" for line in _footnotes(result))]) + "\n"


def _headline(result: SpeedResult) -> list[str]:
    return [
        f"broker: {result.broker}",
        f"client: {settings(result.client)}; linger.ms=0 for one record at a time; values of "
        "30 bytes and 6 partitions where nothing else is said",
        f"rounds: {result.rounds} of {number(result.duration_s)} s each ({result.peer_rounds} for the peers), a fresh "
        f"process each; interleaved, order from seed {result.seed}; took {result.took_s / 60:.0f} min",
        *measured(result),
        _punctuality(result),
        *(f"note: {note}" for note in result.notes),
    ]


def _punctuality(result: SpeedResult) -> str:
    lag, p99 = result.machine_ms("loop_lag.p99_ms"), result.machine_ms("latency.p99_ms")
    if lag is None or p99 is None:
        return "punctuality: not measured"
    return (
        f"punctuality: an event loop with nothing to do runs up to {number(lag)} ms late at p99 and sends what is due "
        f"{number(p99)} ms late at p99"
    )


_Part = list[list[str]]
"""Columns of the table that stay together: for each line, the heads first, as many cells as it has columns."""


def _rows(result: SpeedResult) -> list[Row]:
    return [line.row for line in result.lines(next(iter(result.transports)))]


def _table(result: SpeedResult) -> list[_Part]:
    """The labels, a part for each strategy under test, and one for the peers."""
    subjects = {name: result.lines(name) for name in result.transports}
    first = next(iter(subjects.values()))
    labels = [["", "base"], *([line.row.label, _base(line)] for line in first)]
    own = [
        [
            [f"{name} ({result.transports[name]})", "ratio", "95 % interval", "goal", "verdict"],
            *(_cells(line) for line in lines),
        ]
        for name, lines in subjects.items()
    ]
    peers = [list(PEERS), *(_peer_cells(line) for line in first)]
    return [labels, *own, peers]


def _x(line: Line) -> str:
    return "x" if line.row.over is not None or line.row.is_flatness else ""


def _base(line: Line) -> str:
    return "" if line.base is None or line.row.over is None else number(line.base)


def _cells(line: Line) -> list[str]:
    x = _x(line)
    interval = "too few rounds" if line.ratio is not None else ""
    if line.low is not None and line.high is not None:
        interval = f"{number(line.low)} to {number(line.high)}"
    return [
        "" if line.value is None else number(line.value),
        f"{number(line.ratio)}x" if x and line.ratio is not None else "",
        interval,
        _goal(line.goal, x),
        "" if line.verdict is None else line.verdict.value,
    ]


def _peer_cells(line: Line) -> list[str]:
    return ["" if ratio is None else f"{number(ratio)}{_x(line)}" for ratio in line.peers.values()]


def _goal(goal: Bound | None, x: str) -> str:
    return "" if goal is None else f"{'>=' if goal.at_least else '<='} {goal.limit:g}{x}"


def _fitting(table: Sequence[_Part], width: int) -> Iterator[list[_Part]]:
    """The parts behind the labels, as many side by side as fit."""
    labels, *others = table
    for places in side_by_side([_width(part) for part in others], width - _INDENT - _width(labels)):
        yield [others[at] for at in places]


def _widths(part: _Part) -> list[int]:
    return [max(map(len, column)) for column in zip(*part, strict=True)]


def _width(part: _Part) -> int:
    return sum(_widths(part)) + _GAP * len(part[0])


def _block(result: SpeedResult, labels: _Part, parts: Sequence[_Part]) -> list[str]:
    first, *sizes = [size for part in (labels, *parts) for size in _widths(part)]

    def text(at: int) -> str:
        label, *cells = [cell for part in (labels, *parts) for cell in part[at]]
        columns = zip(cells, sizes, strict=True)
        row = "".join(cell.rjust(size + _GAP) for cell, size in columns)
        return f"{' ' * _INDENT}{label:{first}}{row}".rstrip()

    lines = [text(0)]
    for group, members in groupby(enumerate(_rows(result), 1), key=lambda item: item[1].group):
        lines += [_TITLES[group], *(text(at) for at, _ in members)]
    return lines


def _shapes() -> str:
    return f"shapes: {'; '.join(f'{name}: {words_of(shape)}' for name, shape in SHAPES.items() if name != PLAIN)}"


def _footnotes(result: SpeedResult) -> list[str]:
    acked = sum(each.acked for each in result.played)
    bad = result.unverified
    return [
        f"Figures are medians over the rounds; base is {YARDSTICK}'s, with tasks {CONTROL}'s; ratios are to the base "
        "in the same round, their interval is of their median. A goal is met if it holds all through the interval, not "
        "met if nowhere in it. The peers' columns are their ratios, or their figure where there is no ratio.",
        *([_shapes()] if "shapes" in result.groups else []),
        *(f"{name}: {text}" for name, text in result.producers.items()),
        f"{acked:,} records acknowledged"
        + (", all found in the log, no anomaly" if not bad else f"; {len(bad)} plays do not count:"),
        *(f"round {each.round}, {each.strategy}, {each.case}: {'; '.join(each.problems)}" for each in bad),
    ]
