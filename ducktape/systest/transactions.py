"""Read, transform, write: an input topic that is filled, workers that transform it, and what a reader then sees.

What `systest.rounds` is to producers, this is to transactions: tests start workers, do to them what they like, and
ask for the outcome.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from confluent_kafka.admin import AdminClient
from ducktape.tests.test import TestContext

from systest.checks import Judgement, Verdict
from systest.checks.transactions import Aborted, hidden, judge_transactions
from systest.history.columns import Outcome
from systest.history.load import LogHistory, load_log, load_send
from systest.services.broker import Broker, BrokerError, Capability
from systest.services.worker import Phase, WorkerFailed, WorkerRun, WorkerService
from systest.worker.protocol import TransactionState, TransactionTold
from systest.worker.spec import ProduceSpec, ReadSpec, Setting, Spec, TransformSpec
from systest.workloads.stream import Placement, RecordStream, run_number
from systest.workloads.workload import Workload

READ_COMMITTED, READ_UNCOMMITTED = "read_committed", "read_uncommitted"
_SOURCE, _OUTPUT = 0, 1
_FILL_LIMIT_S = 60.0
_TRANSFORM_LIMIT_S = 180.0
_READ_LIMIT_S = 60.0
_ADMIN_LIMIT_S = 30.0
_RESTARTS_MAX = 5


@dataclass(frozen=True, slots=True)
class TransformPlan:
    """What is transformed, and how.

    Args:
        records: of the input.
        partitions: of input and output.
        shared, records_max, hold_s, fail_every, mutant: see `TransformSpec`. Workers that share the partitions have a
            transactional.id each, others are twins.
        isolation: how the output is read back as what a reader was shown; another than read_committed is a mutant.
        client: settings on top of `bootstrap.servers` and `transactional.id`.
    """

    records: int = 20_000
    partitions: int = 4
    shared: bool = False
    records_max: int = 1_000
    hold_s: float = 0.1
    fail_every: int = 0
    mutant: str | None = None
    isolation: str = READ_COMMITTED
    client: Mapping[str, Setting] | None = None


@dataclass(frozen=True, slots=True)
class Transformed:
    """What a reader was shown of the output, what is to be thought of it, and how many rows it was not shown."""

    shown: LogHistory
    hidden: int
    judgement: Judgement

    def assert_exactly_once(self) -> None:
        """Raises AssertionError with the anomalies, or if no row was ever hidden, so that nothing was proven."""
        problems = [
            f"{anomaly.kind.value} ({anomaly.count}): {' '.join(anomaly.examples)}"
            for anomaly in self.judgement.anomalies
        ]
        lines = "\n".join([*problems, *self.judgement.unknown])
        assert self.judgement.verdict is Verdict.PASS, f"{self.judgement.verdict.value}\n{lines}"
        assert self.hidden > 0, (
            "no aborted row lies in the log, so the situation did not arise and nothing was proven"
        )


class Transformation:
    """One input topic on one broker, and the workers that transform it, each on a node of its own."""

    def __init__(self, context: TestContext, broker: Broker, plan: TransformPlan, workers: int = 1) -> None:
        """
        Args:
            context: of the test.
            broker: a started one.
            plan: what is done.
            workers: the most that run at once.

        Raises:
            Unsupported: the broker shows aborted records to everybody.
        """
        broker.require(Capability.READ_COMMITTED)
        self.plan = plan
        self._broker = broker
        self._run_id = uuid.uuid4().hex[:8]
        self.group = f"systest-{self._run_id}"
        self._workers = WorkerService(context, workers)
        self._started: list[WorkerRun] = []
        self._source = self._stream(_SOURCE, "input")
        self._output = self._stream(_OUTPUT, "output")

    def _stream(self, producer: int, name: str) -> RecordStream:
        return RecordStream(
            run=run_number(self._run_id),
            producer=producer,
            topic=f"systest-{self._run_id}-{name}",
            partitions=self.plan.partitions,
            placement=Placement.PARTITION,
        )

    @contextmanager
    def on_topics(self) -> Iterator[None]:
        """Within, the input topic is there and full, the output topic there and empty; afterwards both are gone."""
        topics = [self._source.topic, self._output.topic]
        replicas = min(3, self._broker.broker_count)
        for topic in topics:
            self._broker.create_topic(topic, self.plan.partitions, replicas)
        self._fill()
        try:
            yield
        finally:
            for run in self._started:
                run.discard()
        for topic in topics:
            self._broker.delete_topic(topic)

    def start(self, worker: int = 0, hold_s: float | None = None) -> WorkerRun:
        """Starts a worker on its node. Its former run there must have ended.

        Args:
            worker: which one.
            hold_s: instead of the plan's.
        """
        plan = self.plan
        spec = TransformSpec(
            run_id=self._run_id,
            source=self._source,
            output=self._output,
            group=self.group,
            client={
                **self._connection(),
                "transactional.id": f"systest-{self._run_id}" + (f"-{worker}" if plan.shared else ""),
                **(plan.client or {}),
            },
            shared=plan.shared,
            records_max=plan.records_max,
            hold_s=plan.hold_s if hold_s is None else hold_s,
            fail_every=plan.fail_every,
            mutant=plan.mutant,
            directory="",
        )
        run = self._launch("transform", spec, worker)
        run.await_ready()
        return run

    def finish(self, run: WorkerRun) -> None:
        """Waits until a worker has transformed all that was left. Raises WorkerFailed, BrokerError."""
        run.await_summary(_TRANSFORM_LIMIT_S, self._broker.assert_alive)

    def finish_supervised(self, run: WorkerRun) -> list[str]:
        """As `finish`, and as a service's supervisor: the first worker, if it ended by an error of its own, is started
        anew. Returns those errors.

        Raises WorkerFailed also for a worker that hung or died, and when there is no end of errors.
        """
        errors: list[str] = []
        while True:
            try:
                self.finish(run)
            except WorkerFailed as failure:
                if run.phase is not Phase.FAILED or len(errors) == _RESTARTS_MAX:
                    raise
                errors.append(str(failure))
                run = self.start()
            else:
                return errors

    def group_coordinator(self) -> int:
        """The id of the broker that keeps the group's offsets."""
        admin = AdminClient(self._connection())
        described = admin.describe_consumer_groups([self.group], request_timeout=_ADMIN_LIMIT_S)
        coordinator: int = described[self.group].result(_ADMIN_LIMIT_S).coordinator.id
        return coordinator

    def read_back(self, fenced: WorkerRun | None = None) -> Transformed:
        """What a reader sees, once every worker has ended.

        Args:
            fenced: a worker that was refused a commit: what it does not tell committed is aborted.
        """
        aborted = [
            Aborted(
                f"transaction {told.number} of {run.name}",
                {int(partition): place for partition, place in told.places.items()},
            )
            for run in self._started
            for told in (_uncommitted(run) if run is fenced else run.transactions)
            if told.state is TransactionState.ABORTED or run is fenced
        ]
        shown = self._read(self.plan.isolation)
        everything = self._read(READ_UNCOMMITTED)
        judgement = judge_transactions(self._output, self.plan.records, aborted, shown)
        return Transformed(shown, hidden(shown, everything), judgement)

    def _fill(self) -> None:
        records = self.plan.records
        spec = ProduceSpec(
            run_id=self._run_id,
            strategy="sync",
            mutant=None,
            stream=self._source,
            workload=Workload(
                "saturate", 10_000, duration_s=_FILL_LIMIT_S, warmup_s=0.0, records_max=records
            ),
            client={**self._connection(), "acks": "all", "enable.idempotence": True},
            identify_reports=False,
            drain_s=_FILL_LIMIT_S,
            directory="",
        )
        run = self._launch("fill", spec, 0)
        run.await_summary(2 * _FILL_LIMIT_S, self._broker.assert_alive)
        outcome = load_send(self._workers.fetch_history(run), self._source).outcome
        acked = int(np.count_nonzero(outcome == Outcome.ACKED))
        if acked != records:
            raise BrokerError(f"only {acked} of the input's {records} records were acknowledged")

    def _read(self, isolation: str) -> LogHistory:
        spec = ReadSpec(
            run_id=self._run_id,
            topic=self._output.topic,
            streams=(self._output,),
            client=self._connection(),
            isolation=isolation,
            timeout_s=_READ_LIMIT_S,
            directory="",
        )
        run = self._launch("read", spec, 0)
        run.await_summary(2 * _READ_LIMIT_S, self._broker.assert_alive)
        return load_log(self._workers.fetch_history(run))

    def _launch(self, name: str, spec: Spec, worker: int) -> WorkerRun:
        run = self._workers.launch(self._workers.nodes[worker], name, spec)
        self._started.append(run)
        return run

    def _connection(self) -> dict[str, Any]:
        return {**self._broker.client_properties(), "bootstrap.servers": self._broker.bootstrap_servers()}


def _uncommitted(run: WorkerRun) -> list[TransactionTold]:
    """What a worker told of transactions that it does not tell committed."""
    committed = {told.number for told in run.transactions if told.state is TransactionState.COMMITTED}
    return [told for told in run.transactions if told.number not in committed]
