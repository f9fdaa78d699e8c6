"""The speed table for a terminal and in Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby

from systest.metrics.verdict import Bound
from systest.reports.words import number, setting
from systest.speed.result import Line, SpeedResult
from systest.speed.rows import PEERS, SUBJECTS
from systest.strategies import CONTROL, YARDSTICK

_GAP = 2
_TITLES = {
    "saturation": "at saturation, 10,000 in flight",
    "one-at-a-time": "one record at a time, linger 0",
    "open": "open loop, latency from when each record was due",
    "tasks": f"tasks that each await their record; {CONTROL}: asyncio with no Kafka",
    "topics": "many topics of one partition, 10,000 in flight",
}


def terminal(result: SpeedResult, width: int) -> str:
    """The whole report, `width` columns wide; the peers go below the table where they don't fit beside it."""
    lines = [*_wrapped(_headline(result), width), ""]
    for subject in SUBJECTS:
        rows = [_cells(result, subject, line) for line in result.lines(subject)]
        heads = _heads(subject)
        own = len(heads) - len(PEERS)
        widths = [max(len(row[at]) for row in [heads, *rows]) for at in range(len(heads))]
        fits = sum(widths) + _GAP * len(widths) + 2 <= width
        blocks = [range(len(heads))] if fits else [range(own), (0, *range(own, len(heads)))]
        for columns in blocks:
            lines += [*_block(result, subject, heads, rows, [(at, widths[at]) for at in columns]), ""]
    lines += _wrapped(_footnotes(result), width)
    return "\n".join(lines) + "\n"


def markdown(result: SpeedResult) -> str:
    """The whole report, for a pull request or a wiki."""
    text = ["# Speed of the producer", "", *(f"- {line}" for line in _headline(result)), ""]
    for subject in SUBJECTS:
        heads = _heads(subject)
        text += [_line(heads), _line(["---", *["---:"] * (len(heads) - 1)])]
        for group, members in groupby(result.lines(subject), key=lambda line: line.row.group):
            text.append(_line([f"**{_TITLES[group]}**", *[""] * (len(heads) - 1)]))
            text += [_line(_cells(result, subject, line)) for line in members]
        text.append("")
    return "\n".join([*text, *(f"- {line}" for line in _footnotes(result))]) + "\n"


def _headline(result: SpeedResult) -> list[str]:
    settings = ", ".join(f"{name}={setting(value)}" for name, value in result.client.items())
    return [
        f"broker: {result.broker}",
        f"client: {settings}; linger.ms=0 for one record at a time; values of 30 bytes, 6 partitions",
        f"rounds: {result.rounds} of {number(result.duration_s)} s each ({result.peer_rounds} for the peers), a fresh "
        f"process each; interleaved, order from seed {result.seed}; took {result.took_s / 60:.0f} min",
        f"machine: {result.machine}; {_punctuality(result)}",
        *(f"note: {note}" for note in result.notes),
    ]


def _punctuality(result: SpeedResult) -> str:
    lag, p99 = result.machine_ms("loop_lag.p99_ms"), result.machine_ms("latency.p99_ms")
    if lag is None or p99 is None:
        return "how punctual it is was not measured"
    return (
        f"an event loop with nothing to do runs up to {number(lag)} ms late at p99 and sends what is due "
        f"{number(p99)} ms late at p99"
    )


def _heads(subject: str) -> list[str]:
    return [
        "",
        "base",
        f"{subject} ({SUBJECTS[subject]})",
        "ratio",
        "95 % interval",
        "goal",
        "verdict",
        *PEERS,
    ]


def _cells(result: SpeedResult, subject: str, line: Line) -> list[str]:
    is_ratio = line.row.over is not None or line.row.is_flatness
    x = "x" if is_ratio else ""
    base = "" if line.base is None or line.row.over is None else number(line.base)
    interval = "too few rounds" if line.ratio is not None else ""
    if line.low is not None and line.high is not None:
        interval = f"{number(line.low)} to {number(line.high)}"
    return [
        line.row.label,
        base,
        "" if line.value is None else number(line.value),
        f"{number(line.ratio)}x" if is_ratio and line.ratio is not None else "",
        interval,
        _goal(line.goal, x),
        "" if line.verdict is None else line.verdict.value,
        *("" if ratio is None else f"{number(ratio)}{x}" for ratio in line.peers.values()),
    ]


def _goal(goal: Bound | None, x: str) -> str:
    return "" if goal is None else f"{'>=' if goal.at_least else '<='} {goal.limit:g}{x}"


def _block(
    result: SpeedResult,
    subject: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    columns: Sequence[tuple[int, int]],
) -> list[str]:
    def text(row: Sequence[str]) -> str:
        [(first, label), *others] = columns
        cells = "".join(row[at].rjust(size + _GAP) for at, size in others)
        return f"  {row[first]:{label}}{cells}".rstrip()

    lines = [text(heads)]
    numbered = zip(result.lines(subject), rows, strict=True)
    for group, members in groupby(numbered, key=lambda pair: pair[0].row.group):
        lines += [_TITLES[group], *(text(row) for _, row in members)]
    return lines


def _footnotes(result: SpeedResult) -> list[str]:
    acked = sum(each.acked for each in result.played)
    bad = result.unverified
    return [
        f"Figures are medians over the rounds; base is {YARDSTICK}'s, with tasks {CONTROL}'s; ratios are to the base "
        "in the same round, their interval is of their median. A goal is met if it holds all through the interval, not "
        "met if nowhere in it. The peers' columns are their ratios, or their figure where there is no ratio.",
        *(f"{name}: {text}" for name, text in result.producers.items()),
        f"{acked:,} records acknowledged"
        + (", all found in the log, no anomaly" if not bad else f"; {len(bad)} plays do not count:"),
        *(f"round {each.round}, {each.strategy}, {each.case}: {'; '.join(each.problems)}" for each in bad),
    ]


def _wrapped(paragraphs: Sequence[str], width: int) -> list[str]:
    return [line for text in paragraphs for line in textwrap.wrap(text, width, subsequent_indent="  ")]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
