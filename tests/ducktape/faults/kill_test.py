"""What dies in the middle of a run is noticed within seconds, with the reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from ducktape.mark.resource import cluster

from systest.rounds import RoundPlan
from systest.services.broker import BrokerDied
from systest.services.worker import WorkerFailed, WorkerRun
from systest.testing import SystemTest
from systest.workloads.workload import Workload

NOTICED_S = 5.0
LONG = Workload("saturate", in_flight=10_000, duration_s=60.0)


class KillTest(SystemTest):
    """SIGKILL to a part of the run; the harness must tell which, soon."""

    @cluster(num_nodes=3)
    def test_worker__killed_at_work__fails_the_round_at_once(self) -> None:
        player = self.rounds_on(self.start_broker())
        failure = self.failure_of(player.play, lambda runs: runs[0].process.kill(), WorkerFailed)
        assert "died" in str(failure), failure

    @cluster(num_nodes=3)
    def test_worker__stands_still__fails_the_round_with_its_stacks(self) -> None:
        player = self.rounds_on(self.start_broker())
        failure = self.failure_of(
            player.play, lambda runs: runs[0].process.signal("STOP"), WorkerFailed, noticed_s=30.0
        )
        assert "said nothing" in str(failure), failure

    @cluster(num_nodes=3)
    def test_broker__killed_at_work__fails_the_round_at_once(self) -> None:
        broker = self.start_broker(1)
        player = self.rounds_on(broker)
        pid = broker.broker_pid(broker.nodes[0])
        account = broker.nodes[0].account
        failure = self.failure_of(player.play, lambda runs: account.ssh(f"kill -KILL {pid}"), BrokerDied)
        assert "has died" in str(failure), failure

    def failure_of(
        self,
        play: Callable[..., Any],
        kill: Callable[[Sequence[WorkerRun]], Any],
        expected: type[Exception],
        noticed_s: float = NOTICED_S,
    ) -> Exception:
        killed_s = 0.0

        def strike(runs: Sequence[WorkerRun]) -> None:
            nonlocal killed_s
            time.sleep(1.0)
            killed_s = time.monotonic()
            kill(runs)

        try:
            play(RoundPlan("async", LONG), during=strike)
        except expected as failure:
            took_s = time.monotonic() - killed_s
            assert took_s < noticed_s, f"noticed only after {took_s:.1f} s: {failure}"
            return failure
        raise AssertionError("the round ended as if nothing had happened")
