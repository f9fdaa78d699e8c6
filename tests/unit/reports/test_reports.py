"""One result, three reports: each shows what it must, and JSON gives the result back."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from systest.gates import Gate
from systest.metrics import METRICS
from systest.metrics.verdict import Bound
from systest.origin import Origin
from systest.reports import (
    Part,
    RoundResult,
    RunResult,
    StrategyResult,
    brief,
    gate_failures,
    junit,
    markdown,
    terminal,
)
from systest.workloads.workload import Workload, workload_named
from tests.unit.metrics.test_figures import figures_of, history


def strategy(name: str, latency_ms: float, verdict: str = "pass") -> StrategyResult:
    problems = () if verdict == "pass" else ("lost-write (1): record 7 of producer 0 is not in the log",)
    figures = figures_of(history([latency_ms] * 50))
    rounds = [RoundResult(n, verdict, problems, 50, 0, 0, 50, 0, figures) for n in (1, 2, 3)]
    return StrategyResult(name, f"{name} 1.0", "one call a record", tuple(rounds))


def parts_of(*strategies: StrategyResult) -> tuple[Part, ...]:
    """A run of plain records alone."""
    return (Part("plain", "values of 100 bytes", strategies, {}),)


RESULT = RunResult(
    started="2026-11-24T00:00:00+00:00",
    took_s=60.0,
    origin=Origin("./run_ducktape.sh --rounds 3", "0123456789abcdef", is_clean=True),
    broker="Apache Kafka 4.3.0, 1 broker",
    machine="2 cores",
    notes=("Kafka can't be had.",),
    workload=Workload("saturate", 10_000),
    topic="6 partitions, 1 replica",
    client={"acks": "all", "enable.idempotence": True},
    seed=7,
    yardstick="sync",
    gates=(),
    parts=parts_of(strategy("sync", 1.0), strategy("async", 2.0)),
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
FAILED = dataclasses.replace(RESULT, parts=parts_of(strategy("sync", 1.0), strategy("async", 2.0, "fail")))


def test_report__producer_with_a_transport__names_the_one_that_ran() -> None:
    ran = dataclasses.replace(strategy("async", 2.0), transport="compiled")
    told = dataclasses.replace(RESULT, parts=parts_of(strategy("sync", 1.0), ran))
    for text in (terminal(told, 1_000), markdown(told)):
        assert "transport: async compiled\n" in text
    assert "async 1.0, compiled transport; one call a record" in markdown(told)
    assert "sync 1.0; one call a record" in markdown(told)
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


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 99, "run": {}}', '{"version": 4, "run": {}}'])
def test_json__that_is_no_result__is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="result"):
        RunResult.from_json(text)


def at_speed(name: str, records_per_s: float, p50_ms: float, peak_mib: float) -> StrategyResult:
    """Three rounds with figures as wide as real ones are."""
    played = strategy(name, p50_ms).rounds[0]
    base = played.figures
    figures = dataclasses.replace(
        base,
        throughput=dataclasses.replace(
            base.throughput, sent=round(2 * records_per_s), records_per_s=records_per_s
        ),
        code_path=dataclasses.replace(base.code_path, poll_calls=10_374, records_per_poll=2_713.4),
        memory=dataclasses.replace(base.memory, growth_mib=0.86, peak_mib=peak_mib),
    )
    return StrategyResult(
        name, f"{name} 1.0", "one call a record", (dataclasses.replace(played, figures=figures),) * 3
    )


ALL_SIX = dataclasses.replace(
    JUDGED,
    parts=parts_of(
        at_speed("sync", 584_676.4, 1.51, 69.4),
        at_speed("async", 930_797.2, 4.3, 72.1),
        at_speed("async-pure", 477_668.9, 3.48, 71.8),
        at_speed("confluent-aio", 226_481.1, 8.01, 72.2),
        at_speed("aiokafka", 160_000.0, 39.1, 74.4),
        at_speed("java", 2_347_110.5, 2.04, 507.0),
    ),
)


SIX = ALL_SIX.parts[0].strategies
BOTH = dataclasses.replace(
    ALL_SIX,
    parts=(
        *ALL_SIX.parts,
        Part(
            "service",
            "JSON text of 200 bytes, str keys",
            tuple(each for each in SIX if each.name != "confluent-aio"),
            {"confluent-aio": "it can't"},
        ),
    ),
    gates=(
        *JUDGED.gates,
        dataclasses.replace(JUDGED.gates[0], name="slower-service", records="service"),
    ),
)


def table_of(text: str) -> list[str]:
    """The lines of the terminal's table, its head first."""
    return text.split("\n\n")[1].splitlines()


def test_terminal__tells_the_broker_and_then_the_verdict_before_any_figure() -> None:
    assert terminal(JUDGED, 160).splitlines()[:4] == [
        "broker: Apache Kafka 4.3.0, 1 broker",
        "note: Kafka can't be had.",
        "verified: 300 records acknowledged, all found in the log, no anomaly",
        "gates: 3 FAILED, 1 met, 3 not judged",
    ]
    assert (
        "async, plain records: NOT VERIFIED in 3 of 3 rounds (position 1, 2, 3)"
        in terminal(FAILED, 160).splitlines()[2]
    )


def test_terminal__six_strategies_in_100_columns__are_one_table_with_figures_and_ratios() -> None:
    text = terminal(ALL_SIX, 100)
    assert max(map(len, text.splitlines())) <= 100
    head, *lines = table_of(text)
    assert head.split() == [each.name for each in SIX]
    assert len(lines) == 1 + len({metric.group for metric in METRICS}) + len(ALL_SIX.rows(ALL_SIX.parts[0]))
    [rate] = [line for line in lines if line.startswith(" send rate, records/s")]
    assert rate.split()[3:] == [
        *("585k", "931k", "1.59x", "478k", "0.82x", "226k", "0.39x", "160k", "0.27x", "2.35M", "4.01x*")
    ]


def test_terminal__six_strategies_in_80_columns__are_one_table_with_ratios_alone() -> None:
    text = terminal(ALL_SIX, 80)
    assert max(map(len, text.splitlines())) <= 80
    [rate] = [line for line in table_of(text) if line.startswith(" send rate, records/s")]
    assert rate.split()[3:] == ["585k", "1.59x", "0.82x", "0.39x", "0.27x", "4.01x*"]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_terminal__any_width__is_kept_and_shows_every_figure_of_each_strategy(width: int) -> None:
    text = terminal(ALL_SIX, width)
    assert max(map(len, text.splitlines())) <= width
    for row in ALL_SIX.rows(ALL_SIX.parts[0]):
        assert f"\n {row.metric.label}" in text
    assert {each.name for each in SIX} <= set(text.split())


def test_mark__stands_at_the_best_and_at_none_where_all_are_level() -> None:
    lines = table_of(terminal(ALL_SIX, 100))
    marked = {line[:22].strip(): line.count("*") for line in lines}
    assert (marked["p50, ms"], marked["success, %"], marked["poll() calls"]) == (1, 0, 0)
    cells = [line for line in markdown(ALL_SIX).splitlines() if line.startswith("| p50, ms |")]
    assert cells == ["| p50, ms | 1.51\\* | 4.30 2.85x | 3.48 2.30x | 8.01 5.30x | 39.1 25.9x | 2.04 1.35x |"]


def test_mark__stands_right_behind_the_figure_or_its_ratio() -> None:
    java = dataclasses.replace(SIX[-1].rounds[0].figures.code_path, produce_us=0.31)
    faster = dataclasses.replace(
        SIX[-1],
        rounds=tuple(
            dataclasses.replace(each, figures=dataclasses.replace(each.figures, code_path=java))
            for each in SIX[-1].rounds
        ),
    )
    text = terminal(dataclasses.replace(ALL_SIX, parts=parts_of(*SIX[:-1], faster)), 100)
    assert re.search(r"^ send rate, records/s .* 2\.35M 4\.01x\*$", text, re.MULTILINE)
    assert re.search(r"^ produce\(\), us/record .* 0\.31\*$", text, re.MULTILINE)


def test_mark__several_rounds_overlap_with_the_best__stands_at_each_of_them() -> None:
    level = dataclasses.replace(ALL_SIX, parts=parts_of(*SIX[:2], at_speed("java", 930_797.2, 2.04, 507.0)))
    for text, mark in ((terminal(level, 100), "x*"), (markdown(level), "x\\*")):
        [rate] = [line for line in text.splitlines() if "send rate, records/s" in line]
        assert rate.count(mark) == 2


def test_terminal__two_shapes_of_records__the_first_with_all_figures_and_the_other_with_few() -> None:
    head, *lines = table_of(terminal(BOTH, 100))
    assert max(map(len, lines)) <= 100
    first, second = (
        lines.index(title)
        for title in ("plain: values of 100 bytes", "service: JSON text of 200 bytes, str keys")
    )
    assert (first, len(lines) - second) == (0, 6)
    assert lines[second - 1 :: -1][:1] == [table_of(terminal(ALL_SIX, 100))[-1]]
    rate = lines[second + 1].split()
    assert rate[:3] == ["send", "rate,", "records/s"]
    assert rate[7:10] == ["0.82x", "-", "160k"]
    assert len(head.split()) == 6


def test_brief__two_shapes_of_records__has_the_same_figures_of_each() -> None:
    _, *lines = table_of(brief(BOTH, 100))
    assert len(lines) == 12
    assert [line.split(",")[0] for line in lines[1:6]] == [line.split(",")[0] for line in lines[7:]]


def test_report__of_two_shapes__tells_who_sends_none_and_names_the_records_of_a_gate() -> None:
    text = markdown(BOTH)
    assert "## Records: service: JSON text of 200 bytes, str keys" in text
    assert "- confluent-aio sends no service records: it can't" in text
    assert "| slower-service | met | async, p50, ms, service records | " in text
    assert RunResult.from_json(BOTH.to_json()) == BOTH
    table = json.loads(BOTH.to_json())["table"]
    assert {row["records"] for row in table} == {"plain", "service"}
    case = next(each for each in ElementTree.fromstring(junit(BOTH)) if each.get("name") == "slower-service")
    assert "service records" in "".join(case.itertext())


def test_report__of_a_failure__tells_with_which_records() -> None:
    lossy = dataclasses.replace(BOTH.parts[1], strategies=(strategy("sync", 1.0, "fail"),))
    text = terminal(dataclasses.replace(BOTH, parts=(BOTH.parts[0], lossy)), 160)
    assert "sync, service records: NOT VERIFIED in 3 of 3 rounds (position 1, 2, 3)" in text
    assert "  service records, position 1: lost-write (1): record 7" in text


def test_brief__is_the_verdict_few_figures_and_where_they_come_from() -> None:
    text = brief(ALL_SIX, 100)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert len(table_of(text)) <= 12
    assert "measured: 2026-11-24 at commit 0123456789ab, a clean tree; 2 cores" in lines
    assert "command: ./run_ducktape.sh --rounds 3" in lines
    assert "why it must hold" not in text


def test_report__of_a_machine_that_others_used__says_how_much_they_took() -> None:
    busy = dataclasses.replace(
        RESULT,
        parts=parts_of(
            *(
                dataclasses.replace(
                    each, rounds=tuple(dataclasses.replace(one, others_percent=41.6) for one in each.rounds)
                )
                for each in RESULT.parts[0].strategies
            )
        ),
    )
    for report in (terminal(busy, 160), markdown(busy), brief(busy, 160)):
        assert "; others took 42 % of the machine" in report
    assert "others took" not in terminal(RESULT, 160)


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (
            Origin("ducktape", "0123456789abcdef", is_clean=False),
            "at commit 0123456789ab, a tree with changes of its own;",
        ),
        (Origin("ducktape", None, is_clean=False), "outside of a checkout;"),
    ],
)
def test_report__of_what_nobody_else_has__says_so(origin: Origin, words: str) -> None:
    told = dataclasses.replace(RESULT, origin=origin)
    assert words in terminal(told, 160)
    assert words in markdown(told)


@pytest.mark.parametrize("report", [markdown(FAILED), terminal(FAILED, 160)])
def test_report__tells_notes_and_failures(report: str) -> None:
    for words in ("Kafka can't be had.", "NOT VERIFIED in 3 of 3", "record 7 of producer 0"):
        assert words in report


def test_markdown__a_figure_that_nobody_has__says_why() -> None:
    assert "sync has no loop lag p99, ms; own work in it, ms; loop lag max, ms: it has no event loop" in (
        markdown(RESULT)
    )


def test_markdown__every_row_has_every_column() -> None:
    table = [line for line in markdown(RESULT).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {4}
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
def test_terminal__gates__those_that_fail_have_their_reason_and_the_others_are_named(width: int) -> None:
    words = " ".join(terminal(JUDGED, width).split())
    as_fast = "not met: as-fast (async, p50, ms): 2x [2 to 2] of sync, at most 1x wanted"
    assert f"{as_fast}; why it must hold: it would be & must be" in words
    no_loop = "sync has no loop lag p99, ms: it has no event loop; why it must hold: it has none"
    assert f"not judged: no-loop (sync, loop lag p99, ms): {no_loop}" in words
    assert "met: slower not judged: over-java; java did not run" in words
    assert "not judged: at-ease, at-ease-too; the gate is for open:100, and this run was saturate" in words
    assert "twice is what it costs" not in words
    assert "gates: " not in terminal(RESULT, width)


def test_terminal__gate_that_the_noise_leaves_open__has_its_figures() -> None:
    sync, slow, fast = (
        at_speed(*each, 1.0, 70.0) for each in (("sync", 1e5), ("async", 9e4), ("async", 2e5))
    )
    mixed = dataclasses.replace(slow, rounds=(slow.rounds[0], fast.rounds[0], fast.rounds[0]))
    gate = Gate("fast", "async", "throughput.records_per_s", Bound(1, True), "sync", "saturate", "it is")
    text = terminal(dataclasses.replace(RESULT, parts=parts_of(sync, mixed), gates=(gate,)), 160)
    assert "gates: 1 undecided" in text
    assert "undecided: fast (async, send rate, records/s): 2x [" in text


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
