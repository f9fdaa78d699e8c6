"""What every Python strategy promises of a round: all of it said, all of it written down, all of it true."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from producer.transports import choose_transport
from systest.embedded.mock_cluster import MockCluster
from systest.history.columns import Outcome
from systest.history.load import load_send
from systest.strategies.base import BURST_MAX
from systest.worker.loops import Loop, new_loop
from systest.worker.protocol import VERSION, CodePath, Measure, Progress, Ready
from systest.worker.spec import ProduceSpec
from systest.workloads.stream import Placement

STRATEGIES = ["sync", "async", "async-pure", "confluent-aio", "aiokafka"]
WORKLOADS = ["saturate", "window:500", "one-at-a-time"]
UNMEASURED = {
    "confluent-aio": {"poll_s", "polled_reports"},
    "aiokafka": {"poll_calls", "poll_s", "polled_reports"},
}
NOBODY = "127.0.0.1:1"

SpecOf = Callable[..., ProduceSpec]


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_round__any_strategy_and_workload__every_record_is_acked_once_where_nothing_else_is(
    workers: Any, spec_of: SpecOf, strategy: str, workload: str
) -> None:
    spec = spec_of(strategy, workload)
    ended = workers.run(spec)
    assert (ended.status, ended.kinds) == (0, ["ready", "measure", "summary"]), ended.stderr
    summary = ended.summary
    history = load_send(Path(spec.directory), spec.stream)
    assert history.rows == summary.records > 0
    assert np.all(history.outcome == Outcome.ACKED)
    assert np.all(history.reports == 1)
    assert np.all(history.settled_ns >= history.called_ns)
    assert np.all(np.diff(history.called_ns) >= 0)
    places = np.stack([history.partition, history.offset])
    assert np.unique(places, axis=1).shape[1] == history.rows
    assert 0 <= summary.first_measured < summary.records
    measured = history.called_ns[summary.first_measured :]
    assert measured[0] >= summary.measured_from_ns
    # A burst that was begun before the end may be called just after it.
    assert np.count_nonzero(measured > summary.measured_to_ns) <= BURST_MAX
    assert _most_at_once(history.called_ns, history.settled_ns) <= spec.workload.in_flight


def _most_at_once(called_ns: np.ndarray[Any, Any], settled_ns: np.ndarray[Any, Any]) -> int:
    """The most records between their call and their acknowledgement at any time."""
    times = np.concatenate([called_ns, settled_ns])
    steps = np.repeat([1, -1], len(called_ns))
    order = np.lexsort((steps, times))  # at the same time, an end comes before a begin
    return int(np.max(np.cumsum(steps[order])))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_round__any_strategy__tells_what_it_cost(workers: Any, spec_of: SpecOf, strategy: str) -> None:
    ended = workers.run(spec_of(strategy, "saturate", work={"duration_s": 1.3, "records_max": 2_000_000}))
    ready, summary = ended.ready, ended.summary
    assert ready.protocol == VERSION
    assert ready.client
    assert ready.idiom
    [progress, *_] = [event for event in ended.events if isinstance(event, Progress)]
    assert 0 < progress.done <= summary.records
    assert progress.failed == 0
    path = summary.code_path
    assert path is not None
    assert path.produce_calls == summary.records - summary.first_measured
    assert path.produce_s is not None
    assert 0 < path.produce_s < 2 * 1.3  # an estimate: what others ran in a sampled call counts 16 times
    assert path.flush_s is not None
    unmeasured = {name for name in CodePath.__dataclass_fields__ if getattr(path, name) is None}
    assert set(path.why_not) == unmeasured
    assert unmeasured == UNMEASURED.get(strategy, set())
    resources = summary.resources
    assert resources.cpu_s > 0
    assert 0 < resources.rss_start_bytes <= resources.rss_peak_bytes
    assert resources.rss_end_bytes <= resources.rss_peak_bytes
    if strategy == "sync":
        assert summary.lag_ns is None
    else:
        assert summary.lag_ns
        assert summary.lag_work_ns is not None
        pairs = zip(summary.lag_work_ns, summary.lag_ns, strict=True)
        assert all(0 <= work_ns <= lag_ns for work_ns, lag_ns in pairs)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_process__any_strategy__never_imports_numpy(workers: Any, spec_of: SpecOf, strategy: str) -> None:
    ended = workers.run(spec_of(strategy), python_options=["-X", "importtime"])
    imported = {line.split("|")[-1].strip() for line in ended.stderr.splitlines()}
    assert "systest.worker.recorder" in imported
    assert not {name for name in imported if name.partition(".")[0] == "numpy"}


def test_summary__names_the_transport_that_the_producer_says_it_uses(workers: Any, spec_of: SpecOf) -> None:
    assert workers.run(spec_of("async")).summary.transport == choose_transport(None)
    assert workers.run(spec_of("async-pure")).summary.transport == "pure"
    assert workers.run(spec_of("sync")).summary.transport is None


@pytest.mark.parametrize("strategy", ["sync", "async", "async-pure"])
def test_reports__asked_to_identify__name_their_own_record(
    workers: Any, spec_of: SpecOf, strategy: str
) -> None:
    spec = spec_of(strategy)
    workers.run(spec)
    history = load_send(Path(spec.directory), spec.stream)
    assert np.array_equal(history.reported, np.arange(history.rows))


def test_reports__not_asked_to_identify__columns_say_so(workers: Any, spec_of: SpecOf) -> None:
    spec = spec_of("sync", identify_reports=False)
    workers.run(spec)
    history = load_send(Path(spec.directory), spec.stream)
    assert np.all(history.reported == -1)
    assert np.all(history.timestamp_ms == -1)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_records__requested_by_partition__are_acked_there(
    workers: Any, spec_of: SpecOf, strategy: str
) -> None:
    spec = spec_of(strategy, stream={"placement": Placement.PARTITION})
    workers.run(spec)
    history = load_send(Path(spec.directory), spec.stream)
    assert history.rows
    assert np.array_equal(history.partition, np.arange(history.rows) % spec.stream.partitions)


@pytest.mark.parametrize(
    ("stream", "field"), [({"headers": True}, "headers"), ({"timestamp_base_ms": 1}, "timestamps")]
)
def test_records__with_a_field_that_confluent_aio_lacks__are_refused(
    workers: Any, spec_of: SpecOf, stream: dict[str, Any], field: str
) -> None:
    ended = workers.run(spec_of("confluent-aio", stream=stream))
    assert ended.status == 1
    assert f"can't send records with {field} of their own" in ended.error


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_records__too_large__failed_for_certain_and_the_round_goes_on(
    workers: Any, spec_of: SpecOf, strategy: str
) -> None:
    spec = spec_of(
        strategy,
        client={"message.max.bytes": 2_000},
        stream={"value_bytes": 4_000},
        work={"records_max": 300},
    )
    ended = workers.run(spec)
    assert ended.status == 0, ended.stderr
    history = load_send(Path(spec.directory), spec.stream)
    assert history.rows == 300
    assert np.all(history.outcome == Outcome.FAILED)
    assert np.all(history.reports == 1)


@pytest.mark.parametrize("strategy", ["sync", "async"])
def test_records__unanswered_past_the_drain__are_given_up_as_unknown(
    workers: Any, spec_of: SpecOf, strategy: str
) -> None:
    with MockCluster(1) as broker:
        spec = spec_of(
            strategy,
            client={"bootstrap.servers": broker.bootstrap_servers},
            work={"duration_s": 0.5, "warmup_s": 0.3},  # by the end of the warm-up it is connected
            drain_s=0.5,
        )
        started = workers.start(spec)
        assert isinstance(started.event(), Ready)
        assert isinstance(started.event(), Measure)
        broker.delay(1, 60_000)
        ended = started.end()
    assert ended.status == 0, ended.stderr
    history = load_send(Path(spec.directory), spec.stream)
    unanswered = history.outcome[history.outcome != Outcome.ACKED]
    assert Outcome.UNKNOWN in unanswered
    assert set(unanswered) <= {Outcome.UNKNOWN, Outcome.FAILED}
    assert np.all(history.reports == 1)


def test_broker__nobody_there__is_one_sentence_from_every_strategy(workers: Any, spec_of: SpecOf) -> None:
    specs = [spec_of(strategy, client={"bootstrap.servers": NOBODY}) for strategy in STRATEGIES]
    for started in [workers.start(spec) for spec in specs]:
        ended = started.end()
        assert (ended.status, ended.kinds) == (1, ["ready", "error"])
        assert NOBODY in ended.error
        assert "\n" not in ended.error


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_sigterm__at_work__ends_in_an_error_soon(workers: Any, spec_of: SpecOf, strategy: str) -> None:
    started = workers.start(spec_of(strategy, work={"duration_s": 60.0, "records_max": 3_000_000}))
    assert isinstance(started.event(), Ready)
    assert isinstance(started.event(), Measure)
    asked_s = time.monotonic()
    started.process.send_signal(signal.SIGTERM)
    ended = started.end()
    assert time.monotonic() - asked_s < 20.0  # a third of what it had left to do
    assert ended.status == 1
    assert "SIGTERM" in ended.error


def test_sigterm__no_broker_answers__ends_in_an_error(workers: Any, spec_of: SpecOf) -> None:
    started = workers.start(spec_of("sync", client={"bootstrap.servers": NOBODY}))
    assert isinstance(started.event(), Ready)
    started.process.send_signal(signal.SIGTERM)
    assert "SIGTERM" in started.end().error


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "Expecting property name"),
        ('{"kind": "dance"}', "unknown kind 'dance'"),
        ('{"kind": "produce"}', "wrong fields"),
    ],
)
def test_spec__unusable__is_one_error(workers: Any, text: str, complaint: str) -> None:
    ended = workers.run(text)
    assert (ended.status, ended.kinds) == (1, ["error"])
    assert complaint in ended.error


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"mutant": "sleepy"}, "unknown mutant 'sleepy'; choose from lost-write, phantom"),
        ({"client": {"linger.seconds": 1}}, "linger.seconds"),
    ],
)
def test_spec__names_what_there_is_not__is_one_error(
    workers: Any, spec_of: SpecOf, changes: dict[str, Any], complaint: str
) -> None:
    ended = workers.run(spec_of("sync", **changes))
    assert ended.status == 1
    assert complaint in ended.error


def test_spec__unknown_strategy__is_one_error_that_lists_them(workers: Any, spec_of: SpecOf) -> None:
    raw = spec_of("sync").to_json() | {"strategy": "carrier-pigeon"}
    ended = workers.run(json.dumps(raw))
    assert ended.status == 1
    assert "carrier-pigeon" in ended.error
    assert "sync, async, async-pure, confluent-aio, aiokafka" in ended.error


@pytest.mark.parametrize("loop", list(Loop))
def test_round__any_loop__runs_on_it_and_every_record_is_acked(
    workers: Any, spec_of: SpecOf, loop: Loop
) -> None:
    spec = spec_of("async", loop=loop)
    ended = workers.run(spec, ["-X", "importtime"])
    assert ended.kinds == ["ready", "measure", "summary"], ended.error
    history = load_send(Path(spec.directory), spec.stream)
    assert np.all(history.outcome == Outcome.ACKED)
    assert ended.summary.lag_ns
    assert ("uvloop.loop" in ended.stderr) == (loop is Loop.UVLOOP)


def test_new_loop__each_kind__is_what_it_is_called() -> None:
    for kind in Loop:
        with contextlib.closing(new_loop(kind)) as loop:
            assert loop.get_debug() == (kind is Loop.ASYNCIO_DEBUG)
            assert type(loop).__module__.startswith("uvloop" if kind is Loop.UVLOOP else "asyncio")


def test_round__strategy_without_a_loop__refuses_to_run_on_another(workers: Any, spec_of: SpecOf) -> None:
    ended = workers.run(spec_of("sync", loop=Loop.UVLOOP))
    assert (ended.status, ended.error) == (1, "sync has no event loop, so it can't run on uvloop")


def test_round__acks_0__every_record_is_acked_whatever_offset_the_client_makes_up(
    workers: Any, spec_of: SpecOf
) -> None:
    spec = spec_of("async", client={"acks": 0})
    ended = workers.run(spec)
    assert ended.kinds == ["ready", "measure", "summary"], ended.error
    history = load_send(Path(spec.directory), spec.stream)
    assert history.rows
    assert np.all(history.outcome == Outcome.ACKED)
    assert np.any(history.offset == -1)
