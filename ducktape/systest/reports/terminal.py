"""The report for a terminal, as wide as asked: the verdict, and one table. `comparison.md` has what this leaves out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from itertools import groupby

from systest.metrics import Row
from systest.metrics.verdict import Verdict
from systest.reports import words
from systest.reports.result import Part, RunResult

_BRIEF = (
    "throughput.records_per_s",
    "latency.p50_ms",
    "latency.p99_ms",
    "cpu.client_us",
    "loop_lag.p99_ms",
)
"""What a reader of one minute wants to know."""
_LEFT_OUT = "-: has no such figure. Why not, ranges, and how each producer was used: comparison.md"


def terminal(result: RunResult, width: int) -> str:
    """The whole report: every figure with records of the first shape, with others those that matter most."""
    first, *others = result.parts
    tables = [_grouped(result.rows(first)), *(_few(result, part) for part in others)]
    return _report(result, [*zip(result.parts, tables, strict=True)], _gates(result), width)


def brief(result: RunResult, width: int) -> str:
    """The same with the figures that matter most alone, and without the gates' own lines."""
    return _report(result, [(part, _few(result, part)) for part in result.parts], [], width)


_Groups = list[tuple[str, list[Row]]]
"""Rows of a part below their heading, "" for none."""


def _grouped(rows: Sequence[Row]) -> _Groups:
    return [(group, [*members]) for group, members in groupby(rows, key=lambda row: row.metric.group)]


def _few(result: RunResult, part: Part) -> _Groups:
    return [("", [row for row in result.rows(part) if row.metric.path in _BRIEF])]


def _report(result: RunResult, tables: Sequence[tuple[Part, _Groups]], gates: list[str], width: int) -> str:
    problems = [
        f"  {part.records} records, {problem}"
        for part in result.parts
        for each in part.strategies
        for problem in words.problems(each)
    ]
    legend = [words.legend(result), _LEFT_OUT]
    parts = (gates, words.conditions(result))
    lines = [*words.wrapped([*words.verdict(result), *problems], width), "", *_table(result, tables, width)]
    lines += words.wrapped(legend, width)
    for part in filter(None, parts):
        lines += ["", *words.wrapped(part, width)]
    return "\n".join(lines) + "\n"


def _table(result: RunResult, tables: Sequence[tuple[Part, _Groups]], width: int) -> list[str]:
    """With figures and ratios if there is room, else with ratios alone where there are any.

    Strategies that still have no room go below the others.
    """
    rows = [row for _, groups in tables for _, members in groups for row in members]
    labels = ["", *(f" {row.metric.label}" for row in rows)]
    size = max(map(len, labels))
    columns: list[list[str]] = []
    for with_both in (True, False):
        columns = [_column(result, rows, name, with_both) for name in result.strategies]
        if size + sum(len(column[0]) for column in columns) <= width:
            break
    lines: list[str] = []
    for places in words.side_by_side([len(column[0]) for column in columns], width - size):
        head, *texts = (
            f"{label:{size}}{''.join(columns[place][at] for place in places)}".rstrip()
            for at, label in enumerate(labels)
        )
        lines.append(head)
        below = iter(texts)
        for part, groups in tables:
            lines += words.wrapped([part.title], width)
            for group, members in groups:
                lines += [*filter(None, [group]), *itertools.islice(below, len(members))]
        lines.append("")
    return lines


def _column(result: RunResult, rows: Sequence[Row], name: str, with_both: bool) -> list[str]:
    """The head and a cell for each row, all of one width; the last place is a mark's."""
    medians = [row.cells[name].median if name in row.cells else None for row in rows]
    values = ["-" if median is None else words.short(median) for median in medians]
    ratios = [words.ratio(row, name, result.yardstick) for row in rows]
    marks = [words.mark(row, name) for row in rows]
    if not with_both:
        values = [ratio or value for value, ratio in zip(values, ratios, strict=True)]
        ratios = [""] * len(rows)
    size = max(map(len, ratios))
    behind = size + 2 if size else 1
    cells = [
        f"{value} {ratio:>{size}}{mark:1}" if ratio else f"{value}{mark:{behind}}"
        for value, ratio, mark in zip(values, ratios, marks, strict=True)
    ]
    whole = [f"{name} ", *cells]
    return [f" {cell:>{max(map(len, whole))}}" for cell in whole]


def _gates(result: RunResult) -> list[str]:
    """Alone: each that the run fails by, then each that its interval leaves open. All others of a kind together."""
    alone: list[str] = []
    together: dict[tuple[str, str], list[str]] = {}
    for each in sorted(result.verdicts(), key=lambda each: not each.is_failure):
        name, verdict = each.gate.name, each.verdict.value
        if each.is_failure or (each.verdict is Verdict.UNDECIDED and each.low is not None):
            reason = f"; why it must hold: {each.gate.reason}" if each.is_failure else ""
            alone.append(f"{verdict}: {name} ({words.judged_figure(each)}): {words.judged(each)}{reason}")
        else:
            together.setdefault((verdict, each.why), []).append(name)
    return alone + [
        f"{verdict}: {', '.join(names)}{f'; {why}' if why else ''}"
        for (verdict, why), names in together.items()
    ]
