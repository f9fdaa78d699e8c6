"""What the reports say in words, the same in each of them."""

from __future__ import annotations

import statistics
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from systest.gates import GateVerdict
from systest.metrics import Row
from systest.metrics.interval import ROUNDS_MIN
from systest.metrics.verdict import Verdict
from systest.reports.document import Result
from systest.reports.result import Part, RunResult, StrategyResult
from systest.workloads.shapes import PLAIN
from systest.workloads.workload import Workload

ALL_FOUND = "acknowledged, all found in the log, no anomaly"


def number(value: float) -> str:
    """Three digits or more of it, and no more than help."""
    size = abs(value)
    if float(value).is_integer() or size >= 1000:
        return f"{value:,.0f}"
    return _digits(value)


def short(value: float) -> str:
    """Three digits of it, thousands and millions by their letter."""
    size = abs(value)
    if size < 1e3:
        return number(value)
    return f"{_digits(value / 1e3)}k" if size < 1e6 else f"{_digits(value / 1e6)}M"


def _digits(value: float) -> str:
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def in_table(text: str) -> str:
    """Words of others for a cell of a Markdown table: neither markup nor a cell's end in them counts."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def wrapped(paragraphs: Sequence[str], width: int) -> list[str]:
    """The lines of paragraphs for a terminal, those behind a paragraph's first indented."""
    return [
        line
        for text in paragraphs
        for line in textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False)
    ]


def table_line(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def verdict(result: RunResult) -> list[str]:
    """On which broker, what must be known besides, whether every check held, and how many gates did what."""
    played = [(part, each) for part in result.parts for each in part.strategies]
    acked = sum(one.acked for _, each in played for one in each.rounds)
    failed = [
        f"{each.name}, {part.records} records: {verification(each)}"
        for part, each in played
        if not each.is_verified
    ]
    gates = Counter("FAILED" if each.is_failure else each.verdict.value for each in result.verdicts())
    order = ("FAILED", *(each.value for each in Verdict))
    return [
        f"broker: {result.broker}",
        *(f"note: {note}" for note in result.notes),
        *(failed or [f"verified: {acked:,} records {ALL_FOUND}"]),
        *([f"gates: {', '.join(f'{gates[name]} {name}' for name in order if gates[name])}"] if gates else []),
    ]


def conditions(result: RunResult) -> list[str]:
    """What was asked of whom, and where the figures come from."""
    work = result.workload
    rounds = max(len(each.rounds) for each in result.strategies.values())
    ran = [
        f"{name} {each.transport}" for name, each in result.strategies.items() if each.transport is not None
    ]
    return [
        f"workload: {work.name}, {_shape(work)}; {result.topic}",
        f"client: {settings(result.client)}",
        *([f"transport: {', '.join(ran)}"] if ran else []),
        f"rounds: {rounds} of {number(work.duration_s)} s each, after {number(work.warmup_s)} s to warm up; "
        f"interleaved, order from seed {result.seed}{_others(result)}",
        *measured(result),
    ]


def measured(result: Result) -> list[str]:
    """When, what, on which machine, and by which command."""
    origin = result.origin
    tree = "a clean tree" if origin.is_clean else "a tree with changes of its own"
    at = "outside of a checkout" if origin.commit is None else f"at commit {origin.commit[:12]}, {tree}"
    return [f"measured: {result.started[:10]} {at}; {result.machine}", f"command: {origin.command}"]


_RATIO_GROUPS = frozenset({"throughput", "latency", "resources"})


def ratio(row: Row, strategy: str, yardstick: str) -> str:
    """How many times the yardstick's figure it is, "" where that says nothing."""
    found = row.cells[strategy].ratio if strategy in row.cells else None
    if found is None or strategy == yardstick or row.metric.group not in _RATIO_GROUPS:
        return ""
    return f"{_digits(found)}x"


def mark(row: Row, strategy: str) -> str:
    """Of the best, and of each that is level with it."""
    return "*" if strategy in row.best else ""


def verification(strategy: StrategyResult) -> str:
    """What the checks found, in a few words."""
    acked = sum(each.acked for each in strategy.rounds)
    if strategy.is_verified:
        return f"{acked:,} {ALL_FOUND}"
    failed = [each.position for each in strategy.rounds if each.verdict != "pass"]
    return f"NOT VERIFIED in {len(failed)} of {len(strategy.rounds)} rounds (position {', '.join(map(str, failed))})"


def producer(strategy: StrategyResult) -> str:
    """The library, its transport if it has a choice, and how it was used."""
    return producer_words(strategy.client, strategy.idiom, strategy.transport)


def producer_words(client: str, idiom: str, transport: str | None) -> str:
    return f"{client}{'' if transport is None else f', {transport} transport'}; {idiom}"


def problems(strategy: StrategyResult) -> list[str]:
    return [f"position {each.position}: {problem}" for each in strategy.rounds for problem in each.problems]


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
    records = "" if each.gate.records == PLAIN else f", {each.gate.records} records"
    return f"{each.gate.strategy}, {each.gate.metric.label}{records}"


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


def missing(part: Part, rows: Sequence[Row]) -> list[str]:
    """Why a strategy has no such figure, or none at all, a line for each reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for strategy, cell in row.cells.items():
            if cell.why_not:
                reasons.setdefault((strategy, cell.why_not), []).append(row.metric.label)
    return [
        *(f"{name} sends no {part.records} records: {why_not}" for name, why_not in part.left_out.items()),
        *(
            f"{strategy} has no {'; '.join(labels)}: {why_not}"
            for (strategy, why_not), labels in reasons.items()
        ),
    ]


def legend(result: RunResult) -> str:
    text = f"Medians over the rounds; x: the ratio to {result.yardstick} in the same round"
    if len(result.strategies) > 1:
        text += (
            "; *: the best, and all whose rounds overlap with its."
            if min(len(each.rounds) for each in result.strategies.values()) >= ROUNDS_MIN
            else f"; no *, for the best, with fewer than {ROUNDS_MIN} rounds: they don't show the noise."
        )
    return text


def side_by_side(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """The places of a table's columns, as many together as have room, and at least one."""
    taken: list[int] = []
    for at, width in enumerate(widths):
        if taken and sum(widths[each] for each in taken) + width > room:
            yield taken
            taken = []
        taken.append(at)
    yield taken


def _others(result: RunResult) -> str:
    found = [one.others_percent for part in result.parts for each in part.strategies for one in each.rounds]
    known = [percent for percent in found if percent is not None]
    return f"; others took {statistics.median(known):.0f} % of the machine" if known else ""


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
