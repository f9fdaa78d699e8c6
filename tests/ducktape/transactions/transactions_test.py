"""Read, transform, write: each record of the input once in the output, whatever happens to the transactions."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from ducktape.mark import matrix
from ducktape.mark.resource import cluster

from systest.services.broker import Broker
from systest.services.worker import WorkerFailed, WorkerRun
from systest.testing import SystemTest
from systest.transactions import READ_UNCOMMITTED, Transformation, TransformPlan
from systest.worker.protocol import TransactionState
from systest.worker.transform import DUPLICATE, LOST_COMMIT

KILLS = 4
GROUP_KILLS = 2
SOON_GIVEN_UP = {"transaction.timeout.ms": 20_000}
HOLD_S = 0.3
LONG_HOLD_S = 20.0
"""Far longer than a twin needs to start and to take over."""
SLEEP_S = 7.0
"""Longer than a group waits for a member."""
TAKEN_OVER = 100
"""Transactions within which a member has read on in every partition that it was given."""
STOP_S = 8.0
"""Longer than a broker needs to stop."""
STEP_LIMIT_S = 60.0


class TransactionsTest(SystemTest):
    """Exactly once: killed workers, a twin, transformations that fail, a broker that restarts."""

    @contextmanager
    def transformation(
        self, plan: TransformPlan, broker: Broker | None = None, workers: int = 1
    ) -> Iterator[Transformation]:
        work = Transformation(self.test_context, broker or self.start_broker(1), plan, workers)
        with work.on_topics():
            yield work

    @cluster(num_nodes=4)
    @matrix(brokers=[1, 3])
    def test_worker__killed_amid_transactions__every_record_once(self, brokers: int) -> None:
        seed = random.SystemRandom().randrange(1 << 32)
        self.logger.info("kills come at times from seed %d", seed)
        chance = random.Random(seed)
        plan = TransformPlan(hold_s=HOLD_S, records_max=1_000)
        with self.transformation(plan, self.start_broker(brokers)) as work:
            for _ in range(KILLS):
                run = work.start()
                run.await_transactions(2, TransactionState.WRITTEN, STEP_LIMIT_S)
                time.sleep(chance.uniform(0, HOLD_S))  # in the transaction, in its commit, or just behind it
                run.process.kill()
            work.finish(work.start())
            work.read_back().assert_exactly_once()

    @cluster(num_nodes=3)
    def test_member_of_a_group__killed_and_started_anew_amid_transactions__every_record_once(self) -> None:
        """The group takes its partitions away, and gives it some again, while the other member is amid transactions."""
        plan = TransformPlan(shared=True, hold_s=HOLD_S, records_max=200)
        with self.transformation(plan, workers=2) as work:
            first, other = work.start(0), work.start(1)
            for _ in range(GROUP_KILLS):
                for run in (other, first):
                    run.await_transactions(2, TransactionState.WRITTEN, STEP_LIMIT_S)
                first.process.kill()
                first = work.start(0)
            for run in (first, other):
                work.finish(run)
                assert run.transactions, f"{run.title} was given no partition, so nothing was shared"
            work.read_back().assert_exactly_once()

    @cluster(num_nodes=3)
    def test_member_of_a_group__sleeps_past_its_session__every_record_once(self) -> None:
        """It wakes in the belief that its partitions are still its own, while the other member has read on in them."""
        plan = TransformPlan(records=100_000, shared=True, hold_s=0.0, records_max=100, client=SOON_GIVEN_UP)
        with self.transformation(plan, workers=2) as work:
            sleeper, other = work.start(0), work.start(1)
            for run in (other, sleeper):
                run.await_transactions(2, TransactionState.COMMITTED, STEP_LIMIT_S)
            sleeper.pause()
            time.sleep(SLEEP_S)
            other.await_transactions(TAKEN_OVER, TransactionState.COMMITTED, STEP_LIMIT_S)
            sleeper.resume()
            errors = self.finish_supervised(work, sleeper)
            work.finish(other)
            work.read_back().assert_exactly_once()
            refused = [told for told in sleeper.transactions if told.state is TransactionState.ABORTED]
            assert refused or errors, "it slept between two transactions, so nobody had to keep it out"

    @cluster(num_nodes=3)
    def test_twin__starts_while_the_first_works__the_first_is_fenced(self) -> None:
        with self.transformation(TransformPlan(records=10_000, hold_s=HOLD_S), workers=2) as work:
            first = work.start(0, hold_s=LONG_HOLD_S)
            first.await_transactions(1, TransactionState.WRITTEN, STEP_LIMIT_S)
            twin = work.start(1)
            twin.await_transactions(1, TransactionState.COMMITTED, LONG_HOLD_S)
            self.await_fenced(work, first)
            work.finish(twin)
            work.read_back(fenced=first).assert_exactly_once()

    @cluster(num_nodes=3)
    def test_twin__took_over_while_the_first_slept__nothing_of_the_sleepers_is_seen(self) -> None:
        with self.transformation(TransformPlan(records=10_000, hold_s=HOLD_S), workers=2) as work:
            first = work.start(0)
            first.await_transactions(2, TransactionState.WRITTEN, STEP_LIMIT_S)
            first.pause()
            twin = work.start(1)
            twin.await_transactions(2, TransactionState.COMMITTED, STEP_LIMIT_S)
            first.resume()
            self.await_fenced(work, first)
            work.finish(twin)
            work.read_back(fenced=first).assert_exactly_once()

    def await_fenced(self, work: Transformation, first: WorkerRun) -> None:
        """Waits until the first worker has ended as it must."""
        try:
            work.finish(first)
        except WorkerFailed as failure:
            assert "ProducerFencedError: Another producer" in str(failure), failure
        else:
            raise AssertionError("the first worker went on as if it had no twin")

    @cluster(num_nodes=2)
    def test_transformation__fails_for_some_batches_at_first__every_record_once(self) -> None:
        with self.transformation(TransformPlan(fail_every=3, hold_s=0.0)) as work:
            run = work.start()
            work.finish(run)
            work.read_back().assert_exactly_once()
            again = work.start()
            work.finish(again)
            assert again.transactions == [], "the offsets were not committed with the records"

    @cluster(num_nodes=4)
    @matrix(clean=[True, False])
    def test_broker__restarts_amid_transactions__every_record_once(self, clean: bool) -> None:
        broker = self.start_broker(3)
        plan = TransformPlan(records=40_000, fail_every=5, hold_s=HOLD_S, client=SOON_GIVEN_UP)
        with self.transformation(plan, broker) as work:
            run = work.start()
            run.await_transactions(2, TransactionState.COMMITTED, STEP_LIMIT_S)
            for node in broker.nodes[:2]:
                broker.restart_node(node, clean=clean)
            assert run.process.is_alive(), "the work was done before the brokers had restarted"
            self.finish_supervised(work, run)
            work.read_back().assert_exactly_once()

    @cluster(num_nodes=4)
    def test_group_coordinator__goes_away_for_good__every_record_once(self) -> None:
        """It goes between two commits of offsets: librdkafka may hang in the second, and the worker start anew."""
        broker = self.start_broker(3)
        plan = TransformPlan(records_max=5_000, fail_every=2, hold_s=HOLD_S, client=SOON_GIVEN_UP)
        with self.transformation(plan, broker) as work:
            run = work.start(hold_s=STOP_S)
            run.await_transactions(2, TransactionState.WRITTEN, STEP_LIMIT_S)
            broker.stop_node(broker.nodes[work.group_coordinator() - 1])
            self.finish_supervised(work, run)
            work.read_back().assert_exactly_once()

    def finish_supervised(self, work: Transformation, run: WorkerRun) -> list[str]:
        errors = work.finish_supervised(run)
        for error in errors:
            self.logger.info("the worker was started anew after: %s", error)
        return errors


class TransactionMutantTest(SystemTest):
    """Each defect, planted in the transformer or the reader, is caught under its own name alone."""

    @cluster(num_nodes=4)
    def test_mutant__each__is_caught_under_its_own_name_alone(self) -> None:
        broker = self.start_broker(1)
        few = TransformPlan(records=4_000)
        plans = {
            "dirty-read": replace(few, fail_every=2, isolation=READ_UNCOMMITTED),
            LOST_COMMIT: replace(few, mutant=LOST_COMMIT, hold_s=HOLD_S),
            DUPLICATE: replace(few, mutant=DUPLICATE, hold_s=HOLD_S),
        }
        kills = {LOST_COMMIT: TransactionState.WRITTEN, DUPLICATE: TransactionState.COMMITTED}
        found = {}
        for mutant, plan in plans.items():
            work = Transformation(self.test_context, broker, plan)
            with work.on_topics():
                if mutant in kills:
                    run = work.start()
                    run.await_transactions(1, kills[mutant], STEP_LIMIT_S)
                    run.process.kill()
                work.finish(work.start())
                found[mutant] = [anomaly.kind.value for anomaly in work.read_back().judgement.anomalies]
        assert found == {mutant: [mutant] for mutant in plans}, found
