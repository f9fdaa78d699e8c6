"""A service whose only broker is restarted under it: its clients wait, and lose nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ducktape.mark.resource import cluster

from systest.rounds import RoundPlan
from systest.services.worker import WorkerRun
from systest.testing import SystemTest
from systest.workloads.workload import workload_named

RESTARTS = 2
BETWEEN_S = 12.0
RECOVERY_S = 5.0
"""How soon latencies must be back to normal, once a broker is back."""


class ServiceTest(SystemTest):
    """2,000 tasks that each produce and await one record at random times, for a minute."""

    @cluster(num_nodes=3)
    def test_service__broker_restarted_twice__no_record_lost_no_task_hung_and_soon_as_quick_as_before(
        self,
    ) -> None:
        broker = self.start_broker(1)
        player = self.rounds_on(broker)
        down_s: list[float] = []

        def restart(runs: Sequence[WorkerRun]) -> None:
            del runs
            for _ in range(RESTARTS):
                time.sleep(BETWEEN_S)
                began_s = time.monotonic()
                broker.restart_node(broker.nodes[0])
                down_s.append(time.monotonic() - began_s)

        plan = RoundPlan(
            "async",
            workload_named("service:2000", duration_s=60.0, warmup_s=0.5),
            # librdkafka's default lets it wait 10 s before it tries a broker again that was away for a while.
            client={"reconnect.backoff.max.ms": 1000},
            identify_reports=True,
        )
        outcome = player.play(plan, during=restart)
        outcome.assert_held()
        [figures] = outcome.figures
        latency = figures.latency
        assert latency is not None
        self.logger.info(
            "%d records, p50 %.2f ms, p99 %.1f ms, max %.0f ms; down %s s; %s",
            *(outcome.judgement.acked, latency.p50_ms, latency.p99_ms, latency.max_ms),
            *([round(each, 1) for each in down_s], figures.stalls),
        )
        assert (outcome.judgement.failed, outcome.judgement.unknown_outcomes) == (0, 0)
        # Else the restarts were not felt, and nothing was proven.
        assert len(figures.stalls) == RESTARTS, figures.stalls
        for stall, away_s in zip(figures.stalls, down_s, strict=True):
            assert stall.length_s < away_s + RECOVERY_S, stall
            assert stall.back_to_normal_s is not None, stall
            assert stall.back_to_normal_s <= RECOVERY_S, stall
