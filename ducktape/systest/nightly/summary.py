"""A night's summary: for a terminal, in Markdown for a CI server's page, and in JSON. Pure."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict

from systest.nightly.night import Night
from systest.nightly.outcome import Outcome, StepVerdict
from systest.reports.words import in_table

VERSION = 1
_INDENT = " " * 6


def terminal(night: Night, width: int) -> str:
    """A line for each step, and below it what failed and where to look."""
    names = max((len(each.step) for each in night.outcomes), default=0)
    lines = [headline(night), ""]
    for each in night.outcomes:
        verdict = (
            each.verdict.value
            if each.is_failure or each.verdict is StepVerdict.PASSED
            else f"{each.verdict.value}, no failure"
        )
        lines.append(f"  {each.step:{names}}  {_time(each.took_s):>8}  {verdict:7}  {_tests(each)}".rstrip())
        for text in _details(each):
            lines += textwrap.wrap(text, width, initial_indent=_INDENT, subsequent_indent=_INDENT + "  ")
        if each.is_failure and each.results:
            lines.append(f"{_INDENT}{each.results}")
    return "\n".join(lines) + "\n"


def markdown(night: Night) -> str:
    """The same as a table."""
    lines = [
        f"# {headline(night)}",
        "",
        "| step | verdict | time | tests | what is to be known |",
        "| --- | --- | ---: | --- | --- |",
    ]
    for each in night.outcomes:
        mark = "**" if each.is_failure else ""
        details = "<br>".join(in_table(text) for text in _details(each))
        lines.append(
            f"| `{each.step}` | {mark}{each.verdict.value}{mark} | {_time(each.took_s)} | {_tests(each)} | {details} |"
        )
    lines += ["", "Each step by hand:", "", "```"]
    lines += [each.command for each in night.outcomes]
    return "\n".join([*lines, "```"]) + "\n"


def to_json(night: Night) -> str:
    """For other programs."""
    outcomes = [{**asdict(each), "verdict": each.verdict.value} for each in night.outcomes]
    document = {"version": VERSION, "exit_status": night.exit_status, **asdict(night), "outcomes": outcomes}
    return json.dumps(document, indent=1)


def headline(night: Night) -> str:
    """When, how long, and how it went."""
    failed = [each.step for each in night.outcomes if each.is_failure]
    if night.signal is not None:
        how = f"ended early by signal {night.signal}"
    elif failed:
        how = f"{len(failed)} of {len(night.outcomes)} steps failed: {', '.join(failed)}"
    else:
        how = f"none of {len(night.outcomes)} steps failed"
    return f"Night of {night.started}, {_time(night.took_s)}: {how}"


def _details(outcome: Outcome) -> list[str]:
    undecided = [f"undecided gates: {', '.join(outcome.undecided)}"] if outcome.undecided else []
    return [*([outcome.why] if outcome.why else []), *outcome.failures, *undecided]


def _tests(outcome: Outcome) -> str:
    parts = [f"{outcome.tests_passed} passed"] if outcome.tests_passed else []
    if outcome.failures:
        parts.append(f"{len(outcome.failures)} failed")
    return ", ".join(parts)


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
