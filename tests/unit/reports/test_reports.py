"""One result, three reports: each shows what it must, and JSON gives the result back."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from systest.metrics import METRICS
from systest.reports import RoundResult, RunResult, StrategyResult, markdown, terminal
from systest.workloads.workload import Workload, workload_named
from tests.unit.metrics.test_figures import figures_of, history


def strategy(name: str, latency_ms: float, verdict: str = "pass") -> StrategyResult:
    problems = () if verdict == "pass" else ("lost-write (1): record 7 of producer 0 is not in the log",)
    figures = figures_of(history([latency_ms] * 50))
    rounds = [RoundResult(n, verdict, problems, 50, 0, 0, 50, 0, figures) for n in (1, 2, 3)]
    return StrategyResult(name, f"{name} 1.0", "one call a record", tuple(rounds))


RESULT = RunResult(
    started="2026-11-24T00:00:00+00:00",
    took_s=60.0,
    broker="Apache Kafka 4.3.0, 1 broker",
    machine="2 cores",
    notes=("Kafka can't be had.",),
    workload=Workload("saturate", 10_000),
    topic="values of 100 bytes, 6 partitions, 1 replica",
    client={"acks": "all", "enable.idempotence": True},
    seed=7,
    yardstick="sync",
    strategies=(strategy("sync", 1.0), strategy("async", 2.0)),
)
FAILED = dataclasses.replace(RESULT, strategies=(strategy("sync", 1.0), strategy("async", 2.0, "fail")))


def test_json__gives_the_result_back() -> None:
    assert RunResult.from_json(RESULT.to_json()) == RESULT


def test_json__holds_the_table_for_other_programs() -> None:
    document = json.loads(FAILED.to_json())
    assert document["verified"] is False
    assert [row["figure"] for row in document["table"]] == [
        metric.path for metric in METRICS if not metric.only_open
    ]
    p50 = next(row for row in document["table"] if row["figure"] == "latency.p50_ms")
    assert (p50["best"], p50["strategies"]["async"]["ratio"]) == (["sync"], 2.0)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 99, "run": {}}', '{"version": 1, "run": {}}'])
def test_json__that_is_no_result__is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="result"):
        RunResult.from_json(text)


def test_terminal__first_line_is_the_broker() -> None:
    assert terminal(RESULT, 160).splitlines()[0] == "broker: Apache Kafka 4.3.0, 1 broker"


@pytest.mark.parametrize("width", [60, 80, 160])
def test_terminal__keeps_to_its_width_and_shows_every_figure_of_each_strategy(width: int) -> None:
    lines = terminal(RESULT, width).splitlines()
    assert max(map(len, lines)) <= width
    for metric in (each for each in METRICS if not each.only_open):
        assert any(line.startswith(f"  {metric.label}") for line in lines)
    assert any("async" in line.split() for line in lines)


@pytest.mark.parametrize("report", [markdown(FAILED), terminal(FAILED, 160)])
def test_report__tells_notes_reasons_and_failures(report: str) -> None:
    for words in (
        "Kafka can't be had.",
        "it has no event loop",
        "NOT VERIFIED in 3 of 3",
        "record 7 of producer 0",
    ):
        assert words in report


def test_markdown__every_row_has_every_column() -> None:
    table = [line for line in markdown(RESULT).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {5}
    assert len(table) > len(METRICS)


@pytest.mark.parametrize("report", [markdown, lambda result: terminal(result, 160)])
def test_report__of_an_open_loop__tells_the_rate_and_latency_from_the_call_beside(report: Any) -> None:
    text = report(dataclasses.replace(RESULT, workload=workload_named("open:1000")))
    assert "1,000 records/s whatever happens, latency from when each was due" in text
    assert "p99 from the call, ms" in text
    assert "p99 from the call, ms" not in report(RESULT)
