"""Runs on nodes in network namespaces, as a user starts them: over real ssh, through faults of nodes, side by side.

They need root. Where nodes can't be had, the one promise is that the run says why in a sentence, and that is held to.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from ducktape.mark import parametrize
from ducktape.mark.resource import cluster
from ducktape.tests.test import Test

from systest.clusters import netns

ROOT = Path(__file__).parents[3]
DELIVERY = "tests/ducktape/delivery/delivery_test.py::DeliveryTest."
ROUNDS = f"{DELIVERY}test_strategy__round_after_round__raises_no_anomaly"
BROKERS = "tests/ducktape/services/kafka_service_test.py::KafkaServiceTest."
THREE_NODES = f'{BROKERS}test_lose_a_leader__any_way__others_take_over_and_nothing_is_lost@{{"how": "kill"}}'
ONE_NODE = f"{BROKERS}test_assert_alive__broker_dies_on_its_own__error_has_its_last_lines"
NOTICED_S = 10.0
STARTED_LIMIT_S = 90.0
END_LIMIT_S = 180.0
INSTALLED_LIMIT_S = 300.0  # where an sshd must be installed first
GONE_LIMIT_S = 15.0


class NetnsTest(Test):  # type: ignore[misc]  # ducktape has no types
    @cluster(num_nodes=0)
    @parametrize(victims="sshd")
    @parametrize(victims="everything")
    def test_run__node_lost_in_the_middle_of_a_test__names_it_soon_and_the_next_test_starts_clean(
        self, victims: str
    ) -> None:
        with Run("--nodes", "4", "--repeat", "2", *rounds(2)) as run:
            if not run.is_possible():
                return
            worker = run.await_worker()
            node = node_of(worker)
            killed_s = time.time()
            for process in run.processes_on(node):
                if victims == "everything" or process.name() == "sshd":
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
            said = run.end()
            first, second = sorted(run.results(), key=lambda result: float(result["start_time"]))
            assert first["test_status"] == "FAIL", said
            assert f"root@{node}: the connection to" in first["summary"], first["summary"]
            took_s = first["stop_time"] - killed_s
            assert took_s < NOTICED_S, f"it took {took_s:.1f} s to end"
            assert second["test_status"] == "PASS", second["summary"]
            assert f"root@{node}: it can't be reached" in said, said
            assert run.status == 1

    @cluster(num_nodes=0)
    def test_run__two_tests_at_once_on_five_nodes__share_none_of_them_and_pass(self) -> None:
        with Run("--nodes", "5", "--max-parallel", "2", THREE_NODES, ONE_NODE) as run:
            if not run.is_possible():
                return
            said = run.end()
            results = run.results()
            assert [result["test_status"] for result in results] == ["PASS", "PASS"], said
            one, other = results
            assert max(one["start_time"], other["start_time"]) < min(one["stop_time"], other["stop_time"]), (
                "they ran one after the other, so nothing was shown"
            )
            nodes, others = (run.nodes_of(result) for result in results)
            assert nodes, one
            assert others, other
            assert nodes.isdisjoint(others), (nodes, others)

    @cluster(num_nodes=0)
    @parametrize(how="SIGKILL")
    @parametrize(how="SIGINT")
    @parametrize(how="SIGTERM")
    def test_run__ended_at_work__leaves_no_node(self, how: str) -> None:
        with Run("--nodes", "3", *rounds(20)) as run:
            if not run.is_possible():
                return
            run.await_worker()
            interface = run.interface()
            assert Path("/sys/class/net", interface).exists(), (
                f"there is no {interface}, so nothing was shown"
            )
            if how == "SIGINT":
                os.killpg(run.process.pid, signal.SIGINT)  # as a terminal sends it: to all of them
            else:
                run.process.send_signal(signal.Signals[how])
            run.end()
            assert run.status != 0
            deadline_s = time.monotonic() + GONE_LIMIT_S
            while left := run.leftovers(interface):
                assert time.monotonic() < deadline_s, left
                time.sleep(0.1)

    @cluster(num_nodes=0)
    def test_run__too_few_nodes__says_how_many_it_wants(self) -> None:
        with Run("--nodes", "2", *rounds(1)) as run:
            if not run.is_possible():
                return
            said = run.end()
            assert re.search("round_after_round.* needs 3 nodes, and 2 can be used", said), said
            assert run.status == 1


def rounds(count: int) -> list[str]:
    """A test on three nodes that takes a second or two for each round."""
    return [ROUNDS, "--parameters", json.dumps({"strategy": "sync", "rounds": count})]


class Run:
    """`systest run --cluster netns` in a session of its own, with a directory for all that it writes."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments

    def __enter__(self) -> Run:
        self._stack = contextlib.ExitStack()
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._results, self._temporary = self.directory / "results", self.directory / "tmp"
        self._temporary.mkdir()
        self._output = self.directory / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "systest", "run", "--cluster", "netns", *self._arguments),
                    *("--results-root", str(self._results)),
                ],
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(self._temporary)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(GONE_LIMIT_S)
            self.process.kill()
            self.process.wait()
        self._stack.close()

    def is_possible(self) -> bool:
        """Whether nodes can be had here; where they can't, the run must have said so in one sentence."""
        deadline_s = time.monotonic() + INSTALLED_LIMIT_S
        while self.process.poll() is None and not self._cluster_files():
            assert time.monotonic() < deadline_s, self.said()
            time.sleep(0.05)
        if self.status != 2:
            return True
        reason = netns.why_not()
        assert reason is not None, self.said()
        assert self.said().splitlines()[-1] == f"run_ducktape: {reason}"
        return False

    def _cluster_files(self) -> list[Path]:
        return list(self._temporary.glob("systest-run-*/cluster.json"))

    @property
    def status(self) -> int | None:
        return self.process.returncode

    def said(self) -> str:
        return self._output.read_text("utf-8", errors="replace")

    def end(self) -> str:
        """Waits for it; returns all that it said."""
        self.process.wait(END_LIMIT_S)
        return self.said()

    def await_worker(self) -> psutil.Process:
        """A producer at work on a node."""
        return self._await(
            lambda: next((each for each in self.processes() if "systest.worker" in each.cmdline()), None)
        )

    def _await(self, found: Callable[[], Any]) -> Any:
        deadline_s = time.monotonic() + STARTED_LIMIT_S
        while (result := found()) is None:
            assert self.process.poll() is None and time.monotonic() < deadline_s, self.said()
            time.sleep(0.1)
        return result

    def processes(self) -> Iterator[psutil.Process]:
        """All of this run: runner, sshds and what they started."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.status() != psutil.STATUS_ZOMBIE and (
                    process.environ().get("TMPDIR", "").startswith(str(self._temporary))
                    or any(str(self._temporary) in word for word in process.cmdline())
                ):
                    yield process

    def processes_on(self, node: str) -> list[psutil.Process]:
        """All of a node's but its first, without which there would be no node."""
        config = f"/{node}/sshd_config"
        [listener] = [each for each in self.processes() if any(config in word for word in each.cmdline())]
        here = namespace_of(listener)
        return [
            each
            for each in psutil.process_iter()
            if namespace_of(each) == here and each.pid != listener.ppid()
        ]

    def interface(self) -> str:
        """The driver's end of its cable to the nodes."""
        [file] = self._cluster_files()
        address = json.loads(file.read_text())["nodes"][0]["ssh_config"]["hostname"]
        _, second, third, _ = address.split(".")
        return f"systest{second}-{third}"

    def leftovers(self, interface: str) -> list[str]:
        return [
            *(" ".join(process.cmdline()) for process in self.processes()),
            *(str(path) for path in self._temporary.iterdir()),
            *([interface] if Path("/sys/class/net", interface).exists() else []),
        ]

    def results(self) -> list[dict[str, Any]]:
        [report] = self._results.glob("2*/report.json")
        return list(json.loads(report.read_text())["results"])

    def nodes_of(self, result: dict[str, Any]) -> set[str]:
        """The nodes whose logs were collected for a test."""
        return {path.name for path in Path(result["results_dir"]).glob("*Service*/netns*")}


def node_of(process: psutil.Process) -> str:
    """The node that a process runs on, by its place for temporary files."""
    [name] = re.findall(r"/(netns\d+)/tmp", process.environ()["TMPDIR"])
    return str(name)


def namespace_of(process: psutil.Process) -> str | None:
    try:
        return str(Path(f"/proc/{process.pid}/ns/pid").readlink())
    except OSError:  # it ended meanwhile
        return None
