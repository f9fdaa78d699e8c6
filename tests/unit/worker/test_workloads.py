"""Open loops, tasks, batches and several topics, on real workers: judged from the log as any round is."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from systest.checks import Expectation, Judgement, Verdict, judge
from systest.embedded.mock_cluster import MockCluster
from systest.history.columns import Outcome
from systest.history.load import SendHistory, load_log, load_send
from systest.metrics import RoundFigures, round_figures
from systest.strategies import OURS, refusal
from systest.worker.protocol import Measure, Ready
from systest.worker.spec import ProduceSpec
from systest.workloads.shapes import SERVICE, SHAPES
from systest.workloads.stream import Placement
from systest.workloads.workload import workload_named

STRATEGIES = ["sync", *OURS, "confluent-aio", "aiokafka"]
WITH_LOOP = [*OURS, "confluent-aio", "aiokafka"]
NOBODY = "127.0.0.1:1"

SpecOf = Callable[..., ProduceSpec]
Judged = Callable[[ProduceSpec], Judgement]


@pytest.fixture
def judged(workers: Any, read_spec_of: Callable[[ProduceSpec], Any]) -> Judged:
    """What the checks say of a round that was played, from its log."""

    def judged(spec: ProduceSpec) -> Judgement:
        reading = read_spec_of(spec)
        ended = workers.run(reading)
        assert ended.status == 0, ended.stderr
        expect = Expectation(idempotent=False, murmur2_keys=True, ordered=spec.strategy in OURS)
        return judge([history_of(spec)], load_log(Path(reading.directory)), expect)

    return judged


def history_of(spec: ProduceSpec) -> SendHistory:
    return load_send(Path(spec.directory), spec.stream)


def figures_of(history: SendHistory, ended: Any) -> RoundFigures:
    return round_figures(history, history.outcome == Outcome.ACKED, ended.summary, None)


@pytest.mark.parametrize(
    ("strategy", "workload", "shape"),
    [
        (strategy, workload, shape)
        for strategy in STRATEGIES
        for workload in ("saturate", "one-at-a-time", "open:5000", "tasks:200", "bulk:500")
        for shape in (SERVICE, "all")
        if refusal(strategy, workload_named(workload), SHAPES[shape]) is None
    ],
)
def test_shape__of_a_service__every_record_is_as_it_was_sent_and_called_back_once(
    workers: Any, spec_of: SpecOf, judged: Judged, strategy: str, workload: str, shape: str
) -> None:
    spec = spec_of(strategy, workload, stream=asdict(SHAPES[shape]), work={"records_max": 50_000})
    ended = workers.run(spec)
    assert ended.status == 0, ended.stderr
    judgement = judged(spec)
    assert judgement.verdict is Verdict.PASS, judgement
    if strategy != "aiokafka" and not workload.startswith("bulk"):
        history = history_of(spec)
        assert np.array_equal(history.reported, np.arange(history.rows))


# Open loop


@pytest.mark.parametrize("rate", [100, 20_000])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_open__any_strategy__sends_the_whole_timetable_and_nothing_ahead_of_it(
    workers: Any, spec_of: SpecOf, judged: Judged, strategy: str, rate: int
) -> None:
    spec = spec_of(strategy, f"open:{rate}", work={"duration_s": 0.4, "warmup_s": 0.1})
    ended = workers.run(spec)
    assert (ended.status, ended.kinds) == (0, ["ready", "measure", "summary"]), ended.stderr
    history = history_of(spec)
    assert history.rows == ended.summary.records == rate // 2
    assert np.array_equal(
        history.intended_ns, history.intended_ns[0] + np.arange(history.rows) * 10**9 // rate
    )
    assert np.all(history.called_ns >= history.intended_ns)
    assert np.all(history.reports == 1)
    judgement = judged(spec)
    assert judgement.verdict is Verdict.PASS, judgement
    assert judgement.acked == history.rows
    assert 0 < ended.summary.first_measured < history.rows


@pytest.mark.parametrize("strategy", ["sync", "async"])
def test_open__caller_held_up__every_record_due_meanwhile_is_sent_and_has_waited_since_it_was_due(
    workers: Any, spec_of: SpecOf, strategy: str
) -> None:
    spec = spec_of(strategy, "open:1000", work={"duration_s": 2.0, "warmup_s": 0.1})
    started = workers.start(spec)
    assert isinstance(started.event(), Ready)
    assert isinstance(started.event(), Measure)
    started.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, started.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    stopped_ns = time.perf_counter_ns()
    time.sleep(0.4)
    let_go_ns = time.perf_counter_ns()
    started.process.send_signal(signal.SIGCONT)
    ended = started.end()
    history = history_of(spec)
    assert history.rows == 2_100
    assert np.all(history.outcome == Outcome.ACKED)
    due_meanwhile = (history.intended_ns > stopped_ns) & (history.intended_ns < let_go_ns)
    assert np.count_nonzero(due_meanwhile) >= 300
    assert np.all(history.settled_ns[due_meanwhile] > let_go_ns)
    figures = figures_of(history, ended)
    assert figures.latency is not None
    assert figures.service is not None
    assert figures.latency.p90_ms > 100  # a seventh of the records had waited for 100 ms and more
    assert figures.service.p50_ms < figures.latency.p90_ms


def test_open__rate_beyond_any_caller__is_one_error(workers: Any, spec_of: SpecOf) -> None:
    spec = spec_of("sync", "open:1000000", work={"records_max": 3_000_000, "duration_s": 2.0}, drain_s=0.1)
    ended = workers.run(spec)
    assert ended.status == 1
    assert "sync fell behind open:1000000: 0.1 s after its end" in ended.error


# Tasks


@pytest.mark.parametrize("tasks", [1, 300])
@pytest.mark.parametrize("strategy", WITH_LOOP)
def test_tasks__any_asyncio_strategy__each_has_one_record_in_flight(
    workers: Any, spec_of: SpecOf, judged: Judged, strategy: str, tasks: int
) -> None:
    spec = spec_of(strategy, f"tasks:{tasks}")
    ended = workers.run(spec)
    assert (ended.status, ended.kinds) == (0, ["ready", "measure", "summary"]), ended.stderr
    history = history_of(spec)
    assert history.rows == ended.summary.records > tasks
    assert np.all(np.diff(history.called_ns) >= 0)
    times = np.concatenate([history.called_ns, history.settled_ns])
    steps = np.repeat([1, -1], history.rows)
    in_flight = np.cumsum(steps[np.lexsort((steps, times))])
    assert in_flight.max() == tasks
    judgement = judged(spec)
    assert judgement.verdict is Verdict.PASS, judgement
    assert judgement.acked == history.rows


def test_tasks__a_records_failure__is_its_own_and_its_task_goes_on(workers: Any, spec_of: SpecOf) -> None:
    spec = spec_of(
        "async",
        "tasks:3",
        client={"message.max.bytes": 2_000},
        stream={"value_bytes": 4_000},
        work={"records_max": 300},
    )
    ended = workers.run(spec)
    assert ended.status == 0, ended.stderr
    history = history_of(spec)
    assert history.rows == 300
    assert np.all(history.outcome == Outcome.FAILED)
    assert np.all(history.reports == 1)


def test_tasks__unanswered_past_the_drain__are_given_up_and_hear_of_it(workers: Any, spec_of: SpecOf) -> None:
    with MockCluster(1) as broker:
        client = {"bootstrap.servers": broker.bootstrap_servers}
        work = {"duration_s": 0.5, "warmup_s": 0.3}
        spec = spec_of("async", "tasks:50", client=client, work=work, drain_s=0.5)
        started = workers.start(spec)
        assert isinstance(started.event(), Ready)
        assert isinstance(started.event(), Measure)
        broker.delay(1, 60_000)
        ended = started.end()
    assert ended.status == 0, ended.stderr
    history = history_of(spec)
    unanswered = history.outcome != Outcome.ACKED
    assert np.count_nonzero(unanswered) == 50
    assert set(history.outcome[unanswered]) <= {Outcome.UNKNOWN, Outcome.FAILED}
    assert np.all(history.reports == 1)


def test_tasks__planted_loss__is_seen_in_the_log(workers: Any, spec_of: SpecOf, judged: Judged) -> None:
    spec = spec_of("async", "tasks:20", mutant="lost-write")
    assert workers.run(spec).status == 0
    assert [found.kind.value for found in judged(spec).anomalies] == ["lost-write"]


@pytest.mark.parametrize(
    ("strategy", "workload", "reason"),
    [
        ("sync", "tasks:10", "sync can't run tasks:10: it has no event loop, and so no tasks"),
        ("sync", "bulk:10", "sync can't run bulk:10: it has no call that gives many records one outcome"),
        ("aiokafka", "bulk", "aiokafka can't run bulk: it has no call"),
    ],
)
def test_workload__that_a_strategy_lacks__is_refused_before_any_record(
    workers: Any, spec_of: SpecOf, strategy: str, workload: str, reason: str
) -> None:
    ended = workers.run(spec_of(strategy, workload, client={"bootstrap.servers": NOBODY}))
    assert (ended.status, ended.kinds) == (1, ["error"])
    assert reason in ended.error


def test_control__nobody_there__its_tasks_run_all_the_same(workers: Any, spec_of: SpecOf) -> None:
    spec = spec_of("control", "tasks:100", client={"bootstrap.servers": NOBODY})
    ended = workers.run(spec)
    assert (ended.status, ended.kinds) == (0, ["ready", "measure", "summary"]), ended.stderr
    assert ended.ready.client.startswith("asyncio alone")
    history = history_of(spec)
    assert history.rows > 100
    assert np.all(history.outcome == Outcome.ACKED)
    resources = ended.summary.resources
    assert 0 < resources.caller_cpu_s <= resources.cpu_s


# Batches


def test_bulk__is_acknowledged_without_a_place_and_is_in_the_log(
    workers: Any, spec_of: SpecOf, judged: Judged
) -> None:
    spec = spec_of("async", "bulk:300", work={"duration_s": 5.0, "records_max": 5_000})
    ended = workers.run(spec)
    assert ended.status == 0, ended.stderr
    history = history_of(spec)
    assert history.rows == 5_000  # the last batch is a short one
    assert np.all(history.outcome == Outcome.ACKED)
    assert np.all(history.offset == -1)
    assert np.all(history.reports == 1)
    assert len(np.unique(history.called_ns)) == -(-5_000 // 300)
    judgement = judged(spec)
    assert (judgement.verdict, judgement.acked) == (Verdict.PASS, 5_000)
    assert np.all(judgement.verified[0])


def test_bulk__records_too_large__fail_each_by_its_index(workers: Any, spec_of: SpecOf) -> None:
    spec = spec_of(
        "async",
        "bulk:50",
        client={"message.max.bytes": 2_000},
        stream={"value_bytes": 4_000},
        work={"records_max": 120},
    )
    assert workers.run(spec).status == 0
    history = history_of(spec)
    assert history.rows == 120
    assert np.all(history.outcome == Outcome.FAILED)
    assert np.all(history.reports == 1)


@pytest.mark.parametrize("changes", [{"mutant": "lost-write"}, {"stream": {"topics": 2}}])
def test_bulk__with_a_mutant_or_topics__is_refused(
    workers: Any, spec_of: SpecOf, changes: dict[str, Any]
) -> None:
    assert "neither a mutant nor several topics" in workers.run(spec_of("async", "bulk", **changes)).error


# Topics


@pytest.mark.parametrize("placement", Placement)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_topics__any_strategy_and_placement__all_are_written_read_back_and_judged(
    workers: Any, spec_of: SpecOf, judged: Judged, cluster: MockCluster, strategy: str, placement: Placement
) -> None:
    keys = 20 if placement is Placement.KEY else 0
    spec = spec_of(
        strategy,
        stream={"topics": 3, "placement": placement, "keys": keys},
        client={"partitioner": "murmur2_random"},
        work={"records_max": 3_000},
    )
    for topic in spec.stream.topic_names:
        cluster.create_topic(topic, spec.stream.partitions)
    ended = workers.run(spec)
    assert ended.status == 0, ended.stderr
    history = history_of(spec)
    assert np.all(history.outcome == Outcome.ACKED)
    assert np.array_equal(history.partition // spec.stream.partitions, np.arange(history.rows) % 3)
    judgement = judged(spec)
    assert (judgement.verdict, judgement.acked) == (Verdict.PASS, history.rows), judgement
    assert judgement.in_log >= history.rows


def test_topics__another_number_of_partitions_than_said__is_not_read_back(
    workers: Any, spec_of: SpecOf, read_spec_of: Callable[[ProduceSpec], Any], cluster: MockCluster
) -> None:
    spec = spec_of("sync", stream={"topics": 2})
    for topic in spec.stream.topic_names:
        cluster.create_topic(topic, spec.stream.partitions + 1)
    ended = workers.run(read_spec_of(spec))
    assert ended.status == 1
    assert f"has {spec.stream.partitions + 1} partitions, not {spec.stream.partitions}" in ended.error


@pytest.mark.parametrize("mutant", ["lost-write", "offset-mismatch", "misplaced", "wrong-future"])
def test_topics__planted_defect__is_seen_under_its_own_name(
    workers: Any, spec_of: SpecOf, judged: Judged, cluster: MockCluster, mutant: str
) -> None:
    spec = spec_of(
        "async",
        mutant=mutant,
        stream={"topics": 3, "placement": Placement.PARTITION},
        work={"records_max": 1_000},
    )
    for topic in spec.stream.topic_names:
        cluster.create_topic(topic, spec.stream.partitions)
    assert workers.run(spec).status == 0
    assert [found.kind.value for found in judged(spec).anomalies] == [mutant]
