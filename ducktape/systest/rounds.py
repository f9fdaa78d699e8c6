"""A round: one strategy on one workload once, on a topic of its own, read back to its end and judged.

This is where the parts meet: services do the work, checks judge its history, metrics draw figures from what the
checks found in the log. Tests say what is promised of a round's judgement and figures.
"""

from __future__ import annotations

import contextlib
import itertools
import shlex
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from ducktape.services.service import Service
from ducktape.tests.test import TestContext

from systest import disk, evidence
from systest.checks import Expectation, Judgement, Verdict, judge
from systest.history.columns import Outcome
from systest.history.load import load_log, load_send
from systest.metrics import RoundFigures, round_figures
from systest.progress import say
from systest.services.broker import Broker, BrokerError, BrokerKind, Capability
from systest.services.process import node_home, node_python
from systest.services.worker import WorkerRun, WorkerService
from systest.strategies import CONTROL, OURS, YARDSTICK
from systest.transport import WHY_PURE
from systest.worker.loops import Loop
from systest.worker.protocol import Ready, Summary
from systest.worker.spec import ProduceSpec, ReadSpec, Setting, Spec
from systest.workloads.stream import Placement, RecordStream, Shape, run_number
from systest.workloads.workload import Workload

REPLICATION_FACTOR = 3
_WRITE_LIMIT_S = 60.0
_READ_LIMIT_S = 120.0
_FIRST_RECORD_BYTES = 5_000


class DiskFull(Exception):
    """No room is left for a broker's log, a history or results; what else failed there follows from that."""


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """What happens in a round.

    Args:
        strategy: name of the producer under test.
        workload: what it is asked to do.
        partitions: of each of the round's topics.
        mutant: name of the defect to plant, None for the strategy as it is.
        producers: how many workers run the strategy at once, each on a node of its own.
        shape: what the records consist of.
        topics: see `RecordStream`.
        identify_reports: whether each report says whose record it carries; costs the caller time.
        client: client settings on top of `client_settings`.
        isolation: how the log is read back.
        drain_s: time that records in flight at the end may take to settle.
        loop: what a strategy on asyncio runs on.
    """

    strategy: str
    workload: Workload
    partitions: int = 6
    mutant: str | None = None
    producers: int = 1
    shape: Shape = field(default_factory=Shape)
    topics: int = 1
    identify_reports: bool = False
    client: Mapping[str, Setting] | None = None
    isolation: str = "read_uncommitted"
    drain_s: float = 30.0
    loop: Loop = Loop.ASYNCIO


@dataclass(frozen=True, slots=True)
class Round:
    """What happened, and what is to be thought of it; `figures` and `summaries` one a producer.

    `stream` is the first producer's.
    """

    plan: RoundPlan
    stream: RecordStream
    ready: tuple[Ready, ...]
    summaries: tuple[Summary, ...]
    judgement: Judgement
    figures: tuple[RoundFigures, ...]

    @property
    def transport(self) -> str | None:
        """Which of its transports the (first) producer said that it used; None for a library that has but one way."""
        return self.summaries[0].transport

    def problems(self) -> list[str]:
        """The anomalies with counter-examples, and what could not be shown; empty if everything held."""
        return problems_of(self.judgement)

    def assert_held(self) -> None:
        """Raises AssertionError with the anomalies, or with why nothing could be proven."""
        verdict = self.judgement.verdict
        problems = "\n".join(self.problems())
        assert verdict is Verdict.PASS, f"{self.plan.strategy}: {verdict.value}\n{problems}"


def problems_of(judgement: Judgement) -> list[str]:
    """The anomalies with counter-examples, and what could not be shown; empty if everything held."""
    found = [
        f"{anomaly.kind.value} ({anomaly.count}): {' '.join(anomaly.examples)}"
        for anomaly in judgement.anomalies
    ]
    return [*found, *judgement.unknown]


def results_dir(context: TestContext) -> Path:
    """Where the test's results go: ducktape shows and archives this directory."""
    return Path(TestContext.results_dir(context, context.test_index))


def client_settings(plan: RoundPlan) -> dict[str, Setting]:
    """The configuration that every strategy gets, by librdkafka's names.

    Safe delivery as Kafka's own client has it by default since 3.0 (acks=all, idempotence), a cheap codec, and a
    linger that costs a caller who waits for each record nothing.
    """
    return {
        "acks": "all",
        "enable.idempotence": True,
        "compression.type": "lz4",
        "linger.ms": 0 if plan.workload.in_flight == 1 else 1,
        "batch.size": 1_000_000,
        **({"partitioner": "murmur2_random"} if plan.shape.placement is Placement.KEY else {}),
        **(plan.client or {}),
    }


class RoundPlayer:
    """Plays rounds on one broker, one after the other, on nodes that it keeps."""

    def __init__(self, context: TestContext, broker: Broker, producers: int = 1) -> None:
        """
        Args:
            context: of the test.
            broker: a started one.
            producers: the most that any round will want.
        """
        self.run_id = uuid.uuid4().hex[:8]
        self._context = context
        self._broker = broker
        self._producers = WorkerService(context, producers)
        self._readers = WorkerService(context, 1)
        self._numbers = itertools.count(1)
        self.replicas = min(REPLICATION_FACTOR, broker.broker_count)

    def why_pure(self) -> str | None:
        """Why this project's producer runs on its pure transport there if nobody says which; None if it doesn't."""
        account = self.accounts[0]
        command = f"{shlex.quote(node_python(account))} -m systest.transport {WHY_PURE}"
        said: bytes = account.ssh_output(command, combine_stderr=False)
        return said.decode().strip() or None

    @property
    def accounts(self) -> list[Any]:
        """Of the nodes that producers run on."""
        return [node.account for node in self._producers.nodes]

    def play(self, plan: RoundPlan, during: Callable[[Sequence[WorkerRun]], None] | None = None) -> Round:
        """One round, from making its topic to judging its log.

        Args:
            plan: what happens.
            during: called once every producer is at work, in the middle of it; faults go here.

        Raises:
            DiskFull, WorkerFailed, BrokerError: the round could not be played to its end.
        """
        name = f"{next(self._numbers):03d}-{plan.strategy}" + (f"-{plan.mutant}" if plan.mutant else "")
        topic = f"systest-{self.run_id}-{name}"
        specs = self._specs(plan, topic)
        with contextlib.ExitStack() as workers, self._room():
            workers.enter_context(self._topics(specs[0].stream.topic_names, plan.partitions))
            first = self._first_records(name, specs, workers)
            runs = [
                self._launch(self._producers, node, name, spec, workers)
                for node, spec in zip(self._producers.nodes, specs, strict=False)
            ]
            ready = tuple(run.await_ready() for run in runs)
            cpu_before_s = self._broker.broker_cpu_seconds()
            if during is not None:
                during(runs)
            work = plan.workload
            limit_s = work.sending_s_max + plan.drain_s + _WRITE_LIMIT_S
            summaries = tuple(run.await_summary(limit_s, self._watch) for run in runs)
            cpu_after_s = self._broker.broker_cpu_seconds()
            written = [*zip(runs, specs, strict=True), *first]
            reading = self._read(f"{name}-read", [spec for _, spec in written], plan, workers)
            sends = [load_send(self._producers.fetch_history(run), spec.stream) for run, spec in written]
            log = load_log(self._readers.fetch_history(reading))
            judgement = judge(sends, log, _expectation(specs[0]))
            if judgement.verdict is not Verdict.PASS and plan.mutant is None:
                self._keep_evidence(name, [*(run for run, _ in written), reading], judgement)
            broker_cpu_us = None
            good = sum(int(np.count_nonzero(verified)) for verified in judgement.verified[: len(runs)])
            if cpu_before_s is not None and cpu_after_s is not None and good:
                broker_cpu_us = (cpu_after_s - cpu_before_s) / good * 1e6
            figures = tuple(
                round_figures(send, verified, summary, broker_cpu_us)
                for send, verified, summary in zip(sends, judgement.verified, summaries, strict=False)
            )
            return Round(plan, specs[0].stream, ready, summaries, judgement, figures)

    def _first_records(
        self, name: str, specs: Sequence[ProduceSpec], workers: contextlib.ExitStack
    ) -> list[tuple[WorkerRun, ProduceSpec]]:
        """Of several topics: has another producer send each its first records, which are judged with the others.

        A broker waits for the disk at a partition's first record, and again at the first entries of its indexes, after
        4 KiB: some milliseconds each time. Of a hundred topics that is all that a round would measure.
        """
        stream = specs[0].stream
        if stream.topics == 1:
            return []
        # No more in flight than topics, so that the records of one go in batches of their own.
        rounds_of_topics = Workload(
            *(f"window:{stream.topics}", stream.topics, _WRITE_LIMIT_S, 0.0), records_max=3 * stream.topics
        )
        spec = replace(
            specs[0],
            strategy=YARDSTICK,
            mutant=None,
            stream=replace(stream, producer=len(specs), value_bytes=_FIRST_RECORD_BYTES),
            workload=rounds_of_topics,
            drain_s=_WRITE_LIMIT_S,
        )
        run = self._launch(self._producers, self._producers.nodes[0], f"{name}-first", spec, workers)
        run.await_ready()
        run.await_summary(2 * _WRITE_LIMIT_S, self._watch)
        return [(run, spec)]

    def control(self, plan: RoundPlan) -> RoundFigures:
        """What a plan of the control's costs with no producer and no broker (`systest.strategies.control`)."""
        workload = plan.workload
        [spec] = self._specs(plan, CONTROL)
        with contextlib.ExitStack() as workers:
            name = f"{next(self._numbers):03d}-{CONTROL}"
            run = self._launch(self._producers, self._producers.nodes[0], name, spec, workers)
            run.await_ready()
            summary = run.await_summary(workload.sending_s_max + _WRITE_LIMIT_S)
            send = load_send(self._producers.fetch_history(run), spec.stream)
            return round_figures(send, send.outcome == Outcome.ACKED, summary, None)

    @contextlib.contextmanager
    def _topics(self, names: Sequence[str], partitions: int) -> Iterator[None]:
        broker = self._broker
        broker.create_topics(names, partitions, self.replicas)
        try:
            yield
        except BaseException:
            # Our own broker goes as a whole, and may be the very thing that failed.
            if broker.kind is BrokerKind.EXTERNAL:
                with contextlib.suppress(BrokerError):
                    broker.delete_topics(names)
            raise
        if Capability.DELETE_TOPICS not in broker.limits:
            broker.delete_topics(names)

    def _launch(
        self, service: WorkerService, node: Any, name: str, spec: Spec, workers: contextlib.ExitStack
    ) -> WorkerRun:
        run = service.launch(node, name, spec)
        workers.callback(run.discard)
        return run

    def _keep_evidence(self, name: str, runs: Sequence[WorkerRun], judgement: Judgement) -> None:
        """Into the test's results, to be looked into."""
        histories = {run.name: self._readers.fetch_history(run) for run in runs}
        say(evidence.keep(histories, problems_of(judgement), results_dir(self._context) / "evidence" / name))

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        """Tells a full disk as the reason of whatever fails, which may not have had room for its own words."""
        try:
            yield
        except Exception as error:
            try:
                self._assert_room()
            except DiskFull as full:
                raise full from error
            raise

    def _assert_room(self) -> None:
        brokers = self._broker.nodes if isinstance(self._broker, Service) else []
        for node in (*brokers, *self._producers.nodes, *self._readers.nodes):
            if (free := node.account.free_bytes()) < disk.FULL_BYTES:
                raise DiskFull(
                    f"the disk of {node_home(node.account)} on {node.account.hostname} is full, {free / 2**20:.1f} MiB "
                    "are free; free some, or choose a larger disk with TMPDIR"
                )
        if (reason := disk.full(results_dir(self._context))) is not None:
            raise DiskFull(reason)

    def _watch(self) -> None:
        self._assert_room()
        # Asking somebody else's cluster would cost it more than it tells: its clients notice.
        if self._broker.kind is not BrokerKind.EXTERNAL:
            self._broker.assert_alive()

    def _specs(self, plan: RoundPlan, topic: str) -> list[ProduceSpec]:
        return [
            ProduceSpec(
                run_id=self.run_id,
                strategy=plan.strategy,
                mutant=plan.mutant,
                stream=RecordStream(
                    run=run_number(self.run_id),
                    producer=number,
                    topic=topic,
                    partitions=plan.partitions,
                    topics=plan.topics,
                    **asdict(plan.shape),
                ),
                workload=plan.workload,
                client={**self._connection(), **client_settings(plan)},
                identify_reports=plan.identify_reports,
                drain_s=plan.drain_s,
                directory="",
                loop=plan.loop,
            )
            for number in range(plan.producers)
        ]

    def _connection(self) -> dict[str, Setting]:
        return {**self._broker.client_properties(), "bootstrap.servers": self._broker.bootstrap_servers()}

    def _read(
        self, name: str, specs: Sequence[ProduceSpec], plan: RoundPlan, workers: contextlib.ExitStack
    ) -> WorkerRun:
        spec = ReadSpec(
            run_id=self.run_id,
            topic=specs[0].stream.topic,
            streams=tuple(spec.stream for spec in specs),
            client=self._connection(),
            isolation=plan.isolation,
            timeout_s=_READ_LIMIT_S,
            directory="",
        )
        run = self._launch(self._readers, self._readers.nodes[0], name, spec, workers)
        run.await_ready()
        run.await_summary(_READ_LIMIT_S + _WRITE_LIMIT_S, self._watch)
        return run


def _expectation(spec: ProduceSpec) -> Expectation:
    return Expectation(
        idempotent=bool(spec.client.get("enable.idempotence")),
        murmur2_keys=spec.client.get("partitioner") == "murmur2_random",
        # Each task is a caller of its own, with one record at a time. This project's producer promises more.
        ordered=not spec.workload.tasks or spec.strategy in OURS,
        positions=str(spec.client.get("acks")) != "0",
    )
