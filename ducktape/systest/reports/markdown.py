"""The report in Markdown, for a pull request or a wiki: as the terminal's, with each figure's range."""

from __future__ import annotations

from itertools import groupby

from systest.metrics import Row
from systest.reports import words
from systest.reports.result import Part, RunResult


def markdown(result: RunResult) -> str:
    """The whole report."""
    head = [*words.verdict(result), *words.conditions(result)]
    lines = ["# Comparison of producers", "", *(f"- {line}" for line in head), ""]
    for part in result.parts:
        lines += _part(result, part)
    lines += [
        f"{words.legend(result)} In brackets the least and the most of the rounds.",
        "",
        *_gates(result),
    ]
    lines += ["## Producers", ""]
    lines += [f"- `{name}`: {words.producer(each)}" for name, each in result.strategies.items()]
    lines += ["", "## Read back and checked", ""]
    for part in result.parts:
        for each in part.strategies:
            lines.append(f"- `{each.name}`, {part.records} records: {words.verification(each)}")
            lines += [f"    - {problem}" for problem in words.problems(each)]
    return "\n".join(lines) + "\n"


def _part(result: RunResult, part: Part) -> list[str]:
    rows, names = result.rows(part), [each.name for each in part.strategies]
    lines = [f"## Records: {part.title}", "", words.table_line(["", *names])]
    lines.append(words.table_line(["---", *(["---:"] * len(names))]))
    for group, members in groupby(rows, key=lambda row: row.metric.group):
        lines.append(words.table_line([f"**{group}**", *([""] * len(names))]))
        for row in members:
            cells = [_cell(row, name, result.yardstick) for name in names]
            lines.append(words.table_line([row.metric.label, *cells]))
    return [*lines, "", *(f"- {line}" for line in words.missing(part, rows)), ""]


def _gates(result: RunResult) -> list[str]:
    if not result.gates:
        return []
    lines = [
        "## Gates",
        "",
        words.table_line(["gate", "verdict", "figure", "judged", "why it must hold"]),
        words.table_line(["---"] * 5),
    ]
    for each in words.gates_of_this_run(result):
        cells = [words.judged_figure(each), words.judged(each), each.gate.reason]
        lines.append(
            words.table_line(
                [words.in_table(each.gate.name), each.verdict.value, *map(words.in_table, cells)]
            )
        )
    lines += ["", *(f"- {line}" for line in words.gates_of_other_runs(result))]
    return [*lines, "", words.gates_legend(), ""]


def _cell(row: Row, strategy: str, yardstick: str) -> str:
    cell = row.cells[strategy]
    if cell.median is None or cell.low is None or cell.high is None:
        return "n/a"
    words_of_it = [words.number(cell.median), words.ratio(row, strategy, yardstick)]
    if cell.low != cell.high:
        words_of_it.append(f"({words.number(cell.low)} to {words.number(cell.high)})")
    return " ".join(filter(None, words_of_it)) + words.mark(row, strategy).replace("*", "\\*")
