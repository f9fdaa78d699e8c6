"""What the reports say in words, the same in each of them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from systest.gates import GateVerdict
from systest.metrics import Row
from systest.metrics.interval import ROUNDS_MIN
from systest.metrics.verdict import Verdict
from systest.reports.result import RunResult, StrategyResult
from systest.workloads.workload import Workload


def number(value: float) -> str:
    """Three digits or more of it, and no more than help."""
    size = abs(value)
    if float(value).is_integer() or size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def in_table(text: str) -> str:
    """Words of others for a cell of a Markdown table: neither markup nor a cell's end in them counts."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def wrapped(paragraphs: Sequence[str], width: int) -> list[str]:
    """The lines of paragraphs for a terminal, those behind a paragraph's first indented."""
    return [line for text in paragraphs for line in textwrap.wrap(text, width, subsequent_indent="  ")]


def table_line(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def headline(result: RunResult) -> list[str]:
    """The broker, what it was asked, and what must be known besides."""
    work = result.workload
    rounds = max((len(each.rounds) for each in result.strategies), default=0)
    return [
        f"broker: {result.broker}",
        f"workload: {work.name}, {_shape(work)}; {result.topic}",
        f"client: {settings(result.client)}",
        f"rounds: {rounds} of {number(work.duration_s)} s each, after {number(work.warmup_s)} s to warm up; "
        f"interleaved, order from seed {result.seed}; {result.machine}",
        *(f"note: {note}" for note in result.notes),
    ]


_RATIO_GROUPS = frozenset({"throughput", "latency", "resources"})


def cell(row: Row, strategy: str, yardstick: str) -> str:
    """Median, and how many times the yardstick's it is where that says something."""
    cell = row.cells[strategy]
    with_ratio = strategy != yardstick and row.metric.group in _RATIO_GROUPS
    if cell.median is None:
        return "n/a"
    return number(cell.median) + (f"  {cell.ratio:.2f}x" if with_ratio and cell.ratio is not None else "")


def best(row: Row, strategies: int) -> str:
    """The winner, or who shares the place."""
    if not row.best:
        return ""
    if len(row.best) == 1:
        return row.best[0]
    return "tie" if len(row.best) == strategies else f"tie: {', '.join(row.best)}"


def verification(strategy: StrategyResult) -> str:
    """What the checks found, in a few words."""
    acked = sum(each.acked for each in strategy.rounds)
    if strategy.passed == len(strategy.rounds):
        return f"{acked:,} acknowledged, all found in the log, no anomaly"
    failed = [each.position for each in strategy.rounds if each.verdict != "pass"]
    return f"NOT VERIFIED in {len(failed)} of {len(strategy.rounds)} rounds (position {', '.join(map(str, failed))})"


def producer(strategy: StrategyResult) -> str:
    """The library, its transport if it has a choice, and how it was used."""
    return producer_words(strategy.client, strategy.idiom, strategy.transport)


def producer_words(client: str, idiom: str, transport: str | None) -> str:
    return f"{client}{'' if transport is None else f', {transport} transport'}; {idiom}"


def problems(strategy: StrategyResult) -> list[str]:
    return [f"round {each.position}: {problem}" for each in strategy.rounds for problem in each.problems]


def judged(each: GateVerdict) -> str:
    """The figure that a gate was judged by, its interval, and the bound; why not, of one that was not judged."""
    gate = each.gate
    if each.value is None:
        return each.why
    x, of = ("", "") if gate.times is None else ("x", f" of {gate.times}")
    interval = (
        "" if each.low is None or each.high is None else f" [{number(each.low)} to {number(each.high)}]"
    )
    bound = f"at {'least' if gate.bound.at_least else 'most'} {gate.bound.limit:g}{x} wanted"
    return f"{number(each.value)}{x}{interval}{of}, {bound}" + (f"; {each.why}" if each.why else "")


def judged_figure(each: GateVerdict) -> str:
    """What a gate is about."""
    return f"{each.gate.strategy}, {each.gate.metric.label}"


def gate_failure(each: GateVerdict) -> str:
    """What a CI server shows of it."""
    return f"gate {each.gate.name} failed: {judged(each)} ({judged_figure(each)})"


def gate_failures(result: RunResult) -> list[str]:
    """A sentence for each gate that the run fails by."""
    return [gate_failure(each) for each in result.verdicts() if each.is_failure]


def gates_of_other_runs(result: RunResult) -> list[str]:
    """Why gates are not judged that this run does not fail by, a line for each reason."""
    reasons: dict[str, list[str]] = {}
    for each in result.verdicts():
        if each.verdict is Verdict.NOT_JUDGED and not each.is_failure:
            reasons.setdefault(each.why, []).append(each.gate.name)
    return [f"not judged: {', '.join(names)}: {why}" for why, names in reasons.items()]


def gates_of_this_run(result: RunResult) -> list[GateVerdict]:
    """All others."""
    return [each for each in result.verdicts() if each.verdict is not Verdict.NOT_JUDGED or each.is_failure]


def gates_legend() -> str:
    return (
        "Gates are judged by the median over the rounds and its 95 % interval: met if the bound holds all through it, "
        "not met if nowhere in it, undecided between. Not met fails the run."
    )


def missing(rows: tuple[Row, ...]) -> list[str]:
    """Why a strategy has no such figure, a line for each reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for strategy, cell in row.cells.items():
            if cell.why_not:
                reasons.setdefault((strategy, cell.why_not), []).append(row.metric.label)
    return [
        f"{strategy} has no {'; '.join(labels)}: {why_not}" for (strategy, why_not), labels in reasons.items()
    ]


def legend(result: RunResult) -> str:
    text = f"Medians over the rounds; x is the ratio to {result.yardstick} in the same round."
    if len(result.strategies) > 1:
        text += (
            " Best is whose every round beats every round of all others, else a tie."
            if min(len(each.rounds) for each in result.strategies) >= ROUNDS_MIN
            else f" No best is named with fewer than {ROUNDS_MIN} rounds: they don't show the noise."
        )
    return text


def _shape(work: Workload) -> str:
    if work.rate_per_s is not None:
        return f"{work.rate_per_s:,} records/s whatever happens, latency from when each was due"
    if work.tasks:
        pause = f", with {work.pause_s:g} s between on the average" if work.pause_s else ""
        return f"{work.in_flight:,} tasks that each await their record{pause}"
    batches = "" if work.batch is None else f", handed over by {work.batch:,}"
    return "one record in flight" if work.in_flight == 1 else f"{work.in_flight:,} records in flight{batches}"


def settings(client: Mapping[str, object]) -> str:
    """A client's settings as a user would write them."""
    return ", ".join(f"{name}={setting(value)}" for name, value in client.items())


def setting(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
