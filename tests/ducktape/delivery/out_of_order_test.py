"""Reports that arrive out of order reach the futures and callbacks that they belong to."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ducktape.mark import matrix
from ducktape.mark.resource import cluster

from systest import strategies
from systest.rounds import RoundPlan
from systest.services.worker import WorkerRun
from systest.testing import SystemTest
from systest.workloads.stream import Placement, Shape
from systest.workloads.workload import Workload

BROKERS = 3
PAUSE_S = 1.0
WORK = Workload("window:10000", in_flight=10_000, duration_s=3.0, warmup_s=0.2, records_max=200_000)


class OutOfOrderTest(SystemTest):
    """One of three leaders stands still for a second while the others acknowledge."""

    @cluster(num_nodes=BROKERS + 2)
    @matrix(strategy=list(strategies.NAMES))
    def test_reports__one_leader_paused__each_caller_gets_its_own(self, strategy: str) -> None:
        broker = self.start_broker(BROKERS)
        player = self.rounds_on(broker)

        def pause_one(runs: Sequence[WorkerRun]) -> None:
            del runs
            node = broker.nodes[0]
            broker.pause_node(node)
            try:
                time.sleep(PAUSE_S)
            finally:
                broker.resume_node(node)

        shape = Shape(placement=Placement.PARTITION)
        plan = RoundPlan(strategy, WORK, partitions=12, shape=shape, identify_reports=True)
        outcome = player.play(plan, during=pause_one)
        outcome.assert_held()
        # Else nothing was proven: the fault did not bring reports out of order.
        assert outcome.judgement.report_inversions > 0
