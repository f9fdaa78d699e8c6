"""Nodes on this machine: commands end, files come and go, and nothing is left of a cluster that is closed or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ducktape.cluster.remoteaccount import RemoteCommandError

from systest.clusters.local import LocalCluster
from systest.clusters.place import LOCAL_CLUSTER
from systest.clusters.places import place_named
from systest.processes import pid_lives
from systest.services.process import NodeProcess, free_ports, node_address

GONE_LIMIT_S = 10.0
REAPERS_KNOW_S = 1.5
"""After so long they have seen what else the owner started."""


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    made = LocalCluster(num_nodes=2)
    yield made
    made.close()


def accounts(cluster: LocalCluster) -> list[Any]:
    return [node.account for node in cluster.alloc(cluster.all())]


def await_gone(pid: int) -> None:
    deadline_s = time.monotonic() + GONE_LIMIT_S
    while pid_lives(pid):
        assert time.monotonic() < deadline_s, f"process {pid} still runs"
        time.sleep(0.05)


def test_command__runs_in_the_nodes_own_directory(cluster: LocalCluster) -> None:
    first, second = accounts(cluster)
    first.ssh("echo here > file")
    assert first.ssh_output("cat file") == b"here\n"
    assert second.ssh("test -e file", allow_fail=True) != 0


def test_command__that_fails__raises_with_its_status_and_words(cluster: LocalCluster) -> None:
    with pytest.raises(RemoteCommandError, match="no luck") as failure:
        accounts(cluster)[0].ssh("echo no luck >&2; exit 7")
    assert failure.value.exit_status == 7


def test_command__past_its_time__is_ended_with_its_children(cluster: LocalCluster) -> None:
    account = accounts(cluster)[0]
    with pytest.raises(RemoteCommandError):
        account.ssh("sleep 1000 & echo $! > pid; wait", timeout_sec=0.5)
    await_gone(int(account.ssh_output("cat pid")))


def test_files__go_to_a_node_and_come_back(cluster: LocalCluster, tmp_path: Path) -> None:
    account = accounts(cluster)[0]
    account.mkdirs("deep/er")
    account.create_file("deep/er/file", "content")
    account.copy_from("deep/er/file", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_text() == "content"
    assert account.isdir("deep")
    account.remove("deep")
    assert not account.exists("deep")


def test_addresses__of_every_node_of_every_cluster__differ(cluster: LocalCluster) -> None:
    other = LocalCluster(num_nodes=2)
    try:
        addresses = [node_address(account) for account in accounts(cluster) + accounts(other)]
        assert len(set(addresses)) == 4
        assert all(address.startswith("127.") for address in addresses)
    finally:
        other.close()


def test_ports__asked_for_together__differ(cluster: LocalCluster) -> None:
    assert len(set(free_ports(accounts(cluster)[0], 20))) == 20


def test_process__killed__takes_its_children_with_it(cluster: LocalCluster) -> None:
    account = accounts(cluster)[0]
    command = ["sh", "-c", "sleep 1000 & echo $!; wait"]
    process = NodeProcess.start(account, command, name="family", directory=f"{account.home}/logs")
    while not (child := process.tail()):
        time.sleep(0.02)
    assert process.is_alive()
    process.kill()
    assert not process.is_alive()
    await_gone(int(child.split()[-1]))


def test_close__ends_processes_and_removes_the_directory(cluster: LocalCluster) -> None:
    account = accounts(cluster)[0]
    process = NodeProcess.start(account, ["sleep", "1000"], name="left", directory=f"{account.home}/logs")
    cluster.close()
    await_gone(process.pid)
    assert not process.is_alive()
    assert not cluster.directory.exists()
    cluster.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_owner__ended_in_any_way__leaves_nothing(popen: Any, how: signal.Signals) -> None:
    script = (
        "import time\n"
        "from systest.clusters.local import LocalCluster\n"
        "from systest.services.process import NodeProcess\n"
        "cluster = LocalCluster(num_nodes=1)\n"
        "account = next(iter(cluster.alloc(cluster.all()))).account\n"
        "left = NodeProcess.start(account, ['sleep', '1000'], name='left', directory=f'{account.home}/logs')\n"
        "print(cluster.directory, left.pid, sep='\\n', flush=True)\n"
        "time.sleep(1000)\n"
    )
    owner = popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    directory, pid = (owner.stdout.readline().rstrip("\n") for _ in range(2))
    owner.send_signal(how)
    owner.wait(GONE_LIMIT_S)
    await_gone(int(pid))
    deadline_s = time.monotonic() + GONE_LIMIT_S
    while Path(directory).exists():
        assert time.monotonic() < deadline_s, f"{directory} is still there"
        time.sleep(0.05)


def test_forked_child__that_ends__leaves_the_cluster_alone(cluster: LocalCluster) -> None:
    account = accounts(cluster)[0]
    if (pid := os.fork()) == 0:
        cluster.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert account.ssh_output("echo still here") == b"still here\n"


def test_nodes__as_many_as_a_user_asks_for__are_made() -> None:
    with place_named("local", 3).opened(print) as opened:
        _, path, _, file = opened.arguments
        assert path == LOCAL_CLUSTER
        made = LocalCluster(cluster_file=file)
    try:
        assert len(made.all()) == 3
    finally:
        made.close()
    assert not Path(file).exists()


def test_owner__of_two_clusters__ended__leaves_neither(popen: Any, tmp_path: Path) -> None:
    """Each has a reaper of its own, and neither may end the other's. In a place of its own: other runs tidy up too."""
    script = (
        "import time\n"
        "from systest.clusters.local import LocalCluster\n"
        "print(*(LocalCluster(num_nodes=1).directory for _ in range(2)), sep='\\n', flush=True)\n"
        "time.sleep(1000)\n"
    )
    owner = popen(
        [sys.executable, "-c", script],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    directories = [Path(owner.stdout.readline().rstrip("\n")) for _ in range(2)]
    time.sleep(REAPERS_KNOW_S)
    owner.kill()
    owner.wait(GONE_LIMIT_S)
    deadline_s = time.monotonic() + GONE_LIMIT_S
    while left := [directory for directory in directories if directory.exists()]:
        assert time.monotonic() < deadline_s, f"{left} is still there"
        time.sleep(0.05)
