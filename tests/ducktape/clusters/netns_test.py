"""Runs on nodes in network namespaces, as a user starts them: over real ssh, through faults of nodes, side by side.

They need root. Where nodes can't be had, the one promise is that the run says why in a sentence, and that is held to.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from pathlib import Path

import psutil
from ducktape.mark import parametrize
from ducktape.mark.resource import cluster
from ducktape.tests.test import Test

from clusters.started import ONE_NODE, THREE_NODES, LeftOut, Run, rounds
from systest.clusters import netns
from systest.limits import limit

NOTICED_S = 10.0


@limit(minutes=15)
class NetnsTest(Test):  # type: ignore[misc]  # ducktape has no types
    @cluster(num_nodes=0)
    @parametrize(victims="sshd")
    @parametrize(victims="everything")
    def test_run__node_lost_in_the_middle_of_a_test__names_it_soon_and_the_next_test_starts_clean(
        self, victims: str
    ) -> LeftOut:
        with NetnsRun("--nodes", "4", "--repeat", "2", *rounds(2)) as run:
            if (left_out := run.left_out()) is not None:
                return left_out
            node = run.await_worker()
            killed_s = time.time()
            for process in run.processes_on(node):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if victims == "everything" or process.name().startswith("sshd"):
                        process.kill()
            said = run.end()
            first, second = run.outcomes()
            assert first["test_status"] == "FAIL", said
            assert f"root@{node}: the connection to" in first["summary"], first["summary"]
            took_s = first["stop_time"] - killed_s
            assert took_s < NOTICED_S, f"it took {took_s:.1f} s to end"
            assert second["test_status"] == "PASS", second["summary"]
            assert f"root@{node}: it can't be reached" in said, said
            assert run.status == 1
            return None

    @cluster(num_nodes=0)
    def test_run__two_tests_at_once_on_five_nodes__share_none_of_them_and_pass(self) -> LeftOut:
        with NetnsRun("--nodes", "5", "--max-parallel", "2", THREE_NODES, ONE_NODE) as run:
            if (left_out := run.left_out()) is not None:
                return left_out
            run.assert_two_at_once_on_nodes_of_their_own()
            return None

    @cluster(num_nodes=0)
    @parametrize(how="SIGKILL")
    @parametrize(how="SIGINT")
    @parametrize(how="SIGTERM")
    def test_run__ended_at_work__leaves_no_node(self, how: str) -> LeftOut:
        with NetnsRun("--nodes", "3", *rounds(20)) as run:
            if (left_out := run.left_out()) is not None:
                return left_out
            run.await_worker()
            interface = run.interface()
            assert Path("/sys/class/net", interface).exists(), (
                f"there is no {interface}, so nothing was shown"
            )
            run.send(signal.Signals[how])
            run.end()
            assert run.status != 0
            run.assert_nothing_left()
            assert not Path("/sys/class/net", interface).exists(), f"{interface} is left"
            return None

    @cluster(num_nodes=0)
    def test_run__too_few_nodes__says_how_many_it_wants(self) -> LeftOut:
        with NetnsRun("--nodes", "2", *rounds(1)) as run:
            if (left_out := run.left_out()) is not None:
                return left_out
            run.assert_said_that_it_wants_three_nodes_and_has_two()
            return None


class NetnsRun(Run):
    CLUSTER = "netns"
    STARTED_LIMIT_S = 300.0  # where an sshd must be installed first

    def why_not(self) -> str | None:
        while self.process.poll() is None and not self._cluster_files():
            time.sleep(0.05)
        return netns.why_not() if self.status == os.EX_UNAVAILABLE else None

    def _cluster_files(self) -> list[Path]:
        return list(self.temporary.glob("systest-run-*/cluster.json"))

    def await_worker(self) -> str:
        """Waits for a producer at work; returns the node that it runs on."""
        worker = self.awaited(
            lambda: next((each for each in self.processes() if "systest.worker" in each.words), None)
        )
        [name] = re.findall(r"/(netns\d+)/tmp", worker.temporary)
        return str(name)

    def processes_on(self, node: str) -> list[psutil.Process]:
        """All of a node's but its first, without which there would be no node."""
        config = f"/{node}/sshd_config"
        [listener] = [each.process for each in self.processes() if any(config in word for word in each.words)]
        here, first = namespace_of(listener), listener.ppid()
        return [each for each in psutil.process_iter() if namespace_of(each) == here and each.pid != first]

    def interface(self) -> str:
        """The driver's end of its cable to the nodes."""
        [file] = self._cluster_files()
        address = json.loads(file.read_text())["nodes"][0]["ssh_config"]["hostname"]
        _, second, third, _ = address.split(".")
        return f"systest{second}-{third}"


def namespace_of(process: psutil.Process) -> str | None:
    try:
        return str(Path(f"/proc/{process.pid}/ns/pid").readlink())
    except OSError:  # it ended meanwhile
        return None
