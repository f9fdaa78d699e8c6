"""Runs on nodes in Docker's containers, as a user starts them: to their end, side by side, and ended at any moment.

Where there is no engine, the one promise is that the run says why in a sentence, and that is held to. The first run on
a machine builds the nodes' image, which takes minutes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

from ducktape.mark import matrix
from ducktape.mark.resource import cluster
from ducktape.tests.test import Test

from clusters.started import END_LIMIT_S, ONE_NODE, THREE_NODES, LeftOut, Run, rounds
from systest.clusters import engine
from systest.clusters.owner import Owner
from systest.limits import limit

BUILD_LIMIT_S = 1_200.0
MOMENTS = {"build": "building the node image", "start": "starting 3 nodes", "test": "broker: "}
COMPARISON = ("--nodes", "3", "--strategies", "sync")


@limit(seconds=2 * BUILD_LIMIT_S)
class DockerTest(Test):  # type: ignore[misc]  # ducktape has no types
    @cluster(num_nodes=0)
    def test_comparison__as_on_this_machine__leaves_results_of_the_user_and_nothing_else(self) -> LeftOut:
        with DockerRun(*COMPARISON, "--rounds", "1", "--duration", "1") as run:
            if (left_out := run.left_out()) is not None:
                return left_out
            said = run.end()
            assert run.status == 0, said
            [result] = run.results.glob("2*/**/comparison.json")
            assert result.stat().st_uid == os.getuid(), f"{result} is of user {result.stat().st_uid}"
            assert f"{result.relative_to(run.directory)}" in said, said
            assert "sync: " in said, said
            run.assert_nothing_left()
            return None

    @cluster(num_nodes=0)
    def test_run__whose_test_fails__has_its_status(self) -> LeftOut:
        with DockerRun("--nodes", "3", *rounds(1, strategy="nobody")) as run:
            if (left_out := run.left_out()) is not None:
                return left_out
            said = run.end()
            assert "unknown strategy 'nobody'" in said, said
            assert run.status == 1, f"status {run.status}"
            run.assert_nothing_left()
            return None

    @cluster(num_nodes=0)
    def test_run__two_tests_at_once_on_five_nodes__share_none_of_them_and_pass(self) -> LeftOut:
        with DockerRun("--nodes", "5", "--max-parallel", "2", THREE_NODES, ONE_NODE) as run:
            if (left_out := run.left_out()) is not None:
                return left_out
            run.assert_two_at_once_on_nodes_of_their_own()
            run.assert_nothing_left()
            return None

    @cluster(num_nodes=0)
    def test_run__too_few_nodes__says_how_many_it_wants(self) -> LeftOut:
        with DockerRun("--nodes", "2", *rounds(1)) as run:
            if (left_out := run.left_out()) is not None:
                return left_out
            run.assert_said_that_it_wants_three_nodes_and_has_two()
            run.assert_nothing_left()
            return None

    @cluster(num_nodes=0)
    @matrix(how=["SIGINT", "SIGTERM", "SIGKILL", "SIGINT, again and again"], moment=list(MOMENTS))
    def test_run__ended__leaves_no_container_network_volume_or_key(self, how: str, moment: str) -> LeftOut:
        with DockerRun(*COMPARISON, "--rounds", "20", "--duration", "5") as run:
            if (left_out := run.left_out()) is not None:
                return left_out
            run.awaited(lambda: MOMENTS[moment] in run.said() or None)
            number = signal.Signals[how.partition(",")[0]]
            run.send(number)
            while "again" in how and run.process.poll() is None:
                time.sleep(0.2)
                with contextlib.suppress(ProcessLookupError):
                    run.send(number)
            said = run.end()
            assert run.status != 0, said
            run.assert_nothing_left()
            return None


class DockerRun(Run):
    CLUSTER = "docker"
    STARTED_LIMIT_S = BUILD_LIMIT_S

    def __enter__(self) -> DockerRun:
        self._volumes = _listed("volume", "ls") if self.why_not() is None else set()
        super().__enter__()
        self._owner = Owner.of(self.process.pid)
        return self

    def why_not(self) -> str | None:
        try:
            engine.version()
        except engine.EngineUnavailable as reason:
            return str(reason)
        return None

    def end(self, limit_s: float = BUILD_LIMIT_S) -> str:
        return super().end(limit_s)

    def leftovers(self) -> list[str]:
        mine = ("--filter", f"label=systest.owner={self._owner.label()}")
        return [
            *super().leftovers(),
            *(f"container {identity}" for identity in _listed("ps", "--all", *mine)),
            *(f"network {identity}" for identity in _listed("network", "ls", *mine)),
            # An image's volumes carry no label.
            *(f"volume {identity}" for identity in _listed("volume", "ls") - self._volumes),
        ]


def _listed(*kind: str) -> set[str]:
    """What Docker's engine has of a kind."""
    command = ["docker", *kind, "--quiet"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=END_LIMIT_S)
    return set(listed.stdout.split())
