"""The table for a terminal: plain text, as wide as asked."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby

from systest.metrics import Row
from systest.reports import words
from systest.reports.result import RunResult, StrategyResult

_GAP = 2
_INDENT = " " * 6


def terminal(result: RunResult, width: int) -> str:
    """The whole report.

    Args:
        result: of the run.
        width: columns of the terminal; strategies that don't fit go to a further block.
    """
    rows = result.rows()
    lines = [*words.wrapped(words.headline(result), width), ""]
    for block in _blocks(result, rows, width):
        lines += [*block, ""]
    lines += words.wrapped([words.legend(result), *words.missing(rows)], width)
    lines += ["", "producers:"]
    for each in result.strategies:
        lines += words.wrapped([f"{each.name}: {words.producer(each)}"], width)
    lines += ["", "read back and checked:"]
    for each in result.strategies:
        lines += words.wrapped([f"{each.name}: {words.verification(each)}"], width)
        lines += [f"  {problem}" for problem in words.problems(each)]
    lines += _gates(result, width)
    return "\n".join(lines) + "\n"


def _gates(result: RunResult, width: int) -> list[str]:
    if not result.gates:
        return []
    judged = words.gates_of_this_run(result)
    columns = [(each.gate.name, each.verdict.value, words.judged_figure(each)) for each in judged]
    name, verdict, figure = (max((len(row[at]) for row in columns), default=0) for at in range(3))
    lines = ["", "gates:"]
    for each, row in zip(judged, columns, strict=True):
        line = f"  {row[0]:{name}}  {row[1]:{verdict}}  {row[2]:{figure}}  {words.judged(each)}"
        lines += textwrap.wrap(line, width, subsequent_indent=_INDENT)
        if each.is_failure:
            lines += textwrap.wrap(
                f"{_INDENT}why it must hold: {each.gate.reason}", width, subsequent_indent=_INDENT
            )
    lines += [f"  {line}" for line in words.wrapped(words.gates_of_other_runs(result), width - 2)]
    return [*lines, *words.wrapped([words.gates_legend()], width)]


def _blocks(result: RunResult, rows: tuple[Row, ...], width: int) -> list[list[str]]:
    labels = [f"  {row.metric.label}" for row in rows]
    bests = [words.best(row, len(result.strategies)) for row in rows]
    columns = [_column(each, rows, result.yardstick) for each in result.strategies]
    label_width = max(map(len, labels))
    best_width = max(len("best"), *map(len, bests))
    room = width - label_width - _GAP - best_width
    blocks, taken = [], list[list[str]]()
    for column in columns:
        if taken and sum(_width(each) for each in [*taken, column]) > room:
            blocks.append(taken)
            taken = []
        taken.append(column)
    blocks.append(taken)
    return [_block(rows, labels, block, ["best", *bests], label_width) for block in blocks]


def _column(strategy: StrategyResult, rows: tuple[Row, ...], yardstick: str) -> list[str]:
    return [strategy.name, *(words.cell(row, strategy.name, yardstick) for row in rows)]


def _width(column: Sequence[str]) -> int:
    return max(map(len, column)) + _GAP


def _block(
    rows: tuple[Row, ...], labels: list[str], columns: list[list[str]], bests: list[str], label_width: int
) -> list[str]:
    def line(label: str, at: int) -> str:
        cells = (column[at].rjust(_width(column)) for column in columns)
        return f"{label:{label_width}}{''.join(cells)}{' ' * _GAP}{bests[at]}".rstrip()

    lines = [line("", 0)]
    for group, members in groupby(enumerate(rows, 1), key=lambda item: item[1].metric.group):
        lines.append(group)
        lines += [line(labels[at - 1], at) for at, _ in members]
    return lines
