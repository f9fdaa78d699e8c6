"""What a file of gates may say, and what is said to whoever writes it wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest

from systest.gates import Gate, GatesError, load_gates
from systest.metrics.verdict import Bound
from systest.options import RunOptions

ROOT = Path(__file__).parents[3]
GOOD = """\
fast:
  reason: it must be
  strategy: async
  figure: throughput.records_per_s
  at_least: 0.8
  times: sync
"""


def written(path: Path, text: str) -> Path:
    file = path / "gates.yml"
    file.write_text(text, "utf-8")
    return file


def test_file__of_this_repository__is_understood_and_is_the_default() -> None:
    gates = load_gates(ROOT / RunOptions().gates)
    assert {(gate.strategy, gate.transport) for gate in gates} == {
        ("async", "compiled"),
        ("async", None),
        ("async-pure", None),
    }
    assert {gate.times for gate in gates} == {"sync", "confluent-aio", "aiokafka", None}
    assert all(len(gate.reason) > 20 for gate in gates)


def test_file__ratio_and_figure_and_workload__are_gates(tmp_path: Path) -> None:
    more = (
        GOOD
        + "quiet: {reason: r, strategy: async, figure: loop_lag.max_ms, at_most: 15, workload: 'tasks:10'}\n"
    )
    assert load_gates(written(tmp_path, more)) == (
        Gate("fast", "async", "throughput.records_per_s", Bound(0.8, True), "sync", "saturate", "it must be"),
        Gate("quiet", "async", "loop_lag.max_ms", Bound(15), None, "tasks:10", "r"),
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "at_least: 0.8",
            "at_lest: 0.8",
            "fast: unknown key 'at_lest', did you mean 'at_least'? Choose from",
        ),
        ("throughput.records_per_s", "throughput.record_per_s", "did you mean 'throughput.records_per_s'?"),
        ("throughput.records_per_s", "speed", "unknown figure 'speed'; choose from throughput.sent, "),
        ("strategy: async", "strategy: asnyc", "unknown strategy 'asnyc', did you mean 'async'?"),
        ("times: sync", "times: snyc", "unknown strategy 'snyc', did you mean 'sync'?"),
        ("times: sync", "transport: compild", "unknown transport 'compild', did you mean 'compiled'?"),
        ("strategy: async", "strategy: java\n  transport: pure", "java has no transport to choose"),
        ("times: sync", "times: async", "async is compared with itself"),
        ("times: sync", "workload: sprint", "unknown workload 'sprint'; choose saturate"),
        ("times: sync", "records: servce", "unknown shape of records 'servce', did you mean 'service'?"),
        (
            "times: sync",
            "times: confluent-aio\n  records: service",
            "confluent-aio can't run saturate with service records: its produce() sends no headers",
        ),
        ("times: sync", "{times: sync, workload: 'tasks:9'}", "is not YAML"),
        (
            "  times: sync",
            "  times: sync\n  workload: tasks:9",
            "sync can't run tasks:9 with plain records: it has no event loop",
        ),
        ("  reason: it must be\n", "", "it has no reason"),
        ("it must be", "''", "reason is ''; write some text"),
        ("strategy: async", "strategy: [async]", "strategy is ['async']; write some text"),
        ("at_least: 0.8", "", "it has no bound; add at_least or at_most"),
        ("at_least: 0.8", "at_least: 0.8\n  at_most: 2", "it has both at_least and at_most"),
        ("at_least: 0.8", "at_most: 0.8", "the higher throughput.records_per_s is, the better"),
        ("at_least: 0.8", "at_least: fast", "at_least is 'fast'; write a number"),
        ("at_least: 0.8", "at_least: true", "at_least is True; write a number"),
        ("at_least: 0.8", "at_least: .nan", "nan is no bound"),
        ("at_least: 0.8", "at_least: .inf", "inf is no bound"),
        ("at_least: 0.8", "at_least: 0", "0 is no bound on a ratio"),
        ("throughput.records_per_s\n  at_least", "service.p99_ms\n  at_most", "in an open loop only"),
        ("fast:\n", "fast: 1\nslow:\n", "fast: 1 is no gate; write reason, strategy"),
        (GOOD, GOOD + GOOD, "'fast' is there twice"),
        ("  times: sync", "  times: sync\n  times: aiokafka", "in line 7: 'times' is there twice"),
        ("throughput.records_per_s\n  at_least", "outcomes.error_percent\n  at_most", "may well be 0"),
        ("throughput.records_per_s\n  at_least", "memory.growth_mib\n  at_most", "leave out times"),
        ("throughput.records_per_s\n  at_least", "loop_lag.work_p99_ms\n  at_most", "may well be 0"),
        ("it must be", "2026-02-30", "holds what is no value: day"),
        ("fast:", "? [a, b]\n:", "holds what is no value: "),
        (GOOD, "", "name none"),
        (GOOD, "- fast", "name none"),
        ("fast:", "fast: [", "is not YAML in line"),
    ],
)
def test_file__that_cannot_be_judged_by__is_refused_as_a_whole_in_one_sentence(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    assert old in GOOD
    file = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(GatesError) as refused:
        load_gates(file)
    sentence = str(refused.value)
    assert words in sentence
    assert str(file) in sentence
    assert "\n" not in sentence


def test_file__that_is_not_there__is_named(tmp_path: Path) -> None:
    with pytest.raises(GatesError, match=r"none\.yml can't be read"):
        load_gates(tmp_path / "none.yml")
