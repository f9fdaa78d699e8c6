"""One result, three reports: each shows what it must, and JSON gives the result back."""

from __future__ import annotations

import dataclasses
import json
from typing import Any
from xml.etree import ElementTree

import pytest

from systest.gates import Gate
from systest.metrics import METRICS
from systest.metrics.verdict import Bound
from systest.reports import RoundResult, RunResult, StrategyResult, gate_failures, junit, markdown, terminal
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
    gates=(),
    strategies=(strategy("sync", 1.0), strategy("async", 2.0)),
)
P50 = "latency.p50_ms"
JUDGED = dataclasses.replace(
    RESULT,
    gates=(
        Gate("slower", "async", P50, Bound(3), "sync", "saturate", "twice is what it costs"),
        Gate("as-fast", "async", P50, Bound(1), "sync", "saturate", "it would be & must be"),
        Gate("short", "async", P50, Bound(1.5), None, "saturate", "a millisecond and a half"),
        Gate("no-loop", "sync", "loop_lag.p99_ms", Bound(1), None, "saturate", "it has none"),
        Gate("over-java", "async", P50, Bound(2), "java", "saturate", "it did not run"),
        Gate("at-ease", "async", P50, Bound(2), "sync", "open:100", "another workload"),
        Gate("at-ease-too", "sync", P50, Bound(2), None, "open:100", "another workload"),
    ),
)
FAILED = dataclasses.replace(RESULT, strategies=(strategy("sync", 1.0), strategy("async", 2.0, "fail")))


def test_report__producer_with_a_transport__names_the_one_that_ran() -> None:
    ran = dataclasses.replace(strategy("async", 2.0), transport="compiled")
    told = dataclasses.replace(RESULT, strategies=(strategy("sync", 1.0), ran))
    for text in (terminal(told, 1_000), markdown(told)):
        assert "async 1.0, compiled transport; one call a record" in text
        assert "sync 1.0; one call a record" in text
    assert RunResult.from_json(told.to_json()) == told


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


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 99, "run": {}}', '{"version": 2, "run": {}}'])
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


FAILURES = [
    "gate as-fast failed: 2x [2 to 2] of sync, at most 1x wanted (async, p50, ms)",
    "gate short failed: 2 [2 to 2], at most 1.5 wanted (async, p50, ms)",
    "gate no-loop failed: sync has no loop lag p99, ms: it has no event loop (sync, loop lag p99, ms)",
]


def test_gates__that_fail__are_told_by_name_and_figures() -> None:
    assert gate_failures(JUDGED) == FAILURES


@pytest.mark.parametrize("width", [70, 160])
def test_terminal__every_gate__has_a_line_and_a_reason_if_it_fails(width: int) -> None:
    text = terminal(JUDGED, width)
    gates = text[text.index("\ngates:") :]
    assert max(map(len, gates.splitlines())) <= width
    words = " ".join(gates.split())
    assert "slower met async, p50, ms 2x [2 to 2] of sync, at most 3x wanted" in words
    assert (
        "as-fast not met async, p50, ms 2x [2 to 2] of sync, at most 1x wanted why it must hold: it would be"
        in words
    )
    assert (
        "no-loop not judged sync, loop lag p99, ms sync has no loop lag p99, ms: it has no event loop why"
        in words
    )
    assert "not judged: over-java: java did not run" in words
    assert "not judged: at-ease, at-ease-too: the gate is for open:100, and this run was saturate" in words
    assert "twice is what it costs" not in words
    assert "\ngates:" not in terminal(RESULT, width)


def test_markdown__every_gate__has_its_reason() -> None:
    text = markdown(JUDGED)
    assert (
        "| slower | met | async, p50, ms | 2x [2 to 2] of sync, at most 3x wanted | twice is what it costs |"
        in text
    )
    assert "- not judged: over-java: java did not run" in text


def test_markdown__a_reason_with_markup_in_it__is_one_cell() -> None:
    gate = dataclasses.replace(JUDGED.gates[0], name="a|b", reason="p50 | p99\nof <b>")
    text = markdown(dataclasses.replace(RESULT, gates=(gate,)))
    assert text.count("| a\\|b | met | ") == 1
    assert " | p50 \\| p99 of &lt;b> |" in text


def test_junit__every_gate__is_a_test_case_that_passed_failed_or_was_skipped() -> None:
    suite = ElementTree.fromstring(junit(JUDGED))
    assert {key: suite.get(key) for key in ("name", "tests", "failures", "errors", "skipped")} == {
        "name": "gates",
        "tests": "7",
        "failures": "3",
        "errors": "0",
        "skipped": "3",
    }
    assert [case.get("name") for case in suite] == [gate.name for gate in JUDGED.gates]
    assert [failure.get("message") for failure in suite.iter("failure")] == FAILURES
    assert next(suite.iter("failure")).text == "it would be & must be"
    assert [skipped.get("message", "").partition(":")[0] for skipped in suite.iter("skipped")] == [
        "not judged"
    ] * 3


def test_json__holds_the_verdicts_for_other_programs() -> None:
    assert RunResult.from_json(JUDGED.to_json()) == JUDGED
    slower, as_fast, *_ = json.loads(JUDGED.to_json())["gates"]
    assert (slower["gate"]["name"], slower["verdict"], slower["is_failure"]) == ("slower", "met", False)
    assert (as_fast["verdict"], as_fast["value"], as_fast["low"], as_fast["is_failure"]) == (
        "not met",
        2,
        2,
        True,
    )
