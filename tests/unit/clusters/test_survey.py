"""All nodes are looked at before anything runs on them: each that can't be used is named with its reason."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from systest.cli import provision
from systest.cli.main import main
from systest.cli.provision import table
from systest.clusters import clock, docker, ssh
from systest.clusters import survey as survey_module
from systest.clusters.harness import harness_id
from systest.clusters.place import SshAccounts
from systest.clusters.ssh import SshAccount
from systest.clusters.survey import NotUsable, notes_on, survey

SOON_S = 12.0  # less than a node that is silent is waited for
TASKS = Path("/proc/self/task")


@pytest.fixture
def two(sshd: Any, sshd_program: str, tmp_path: Path) -> Iterator[list[Any]]:
    """Two nodes that are up."""
    other = type(sshd)(sshd_program, tmp_path / "other", "other")
    other.start()
    yield [sshd, other]
    other.stop()


def cluster_file(directory: Path, nodes: list[Any]) -> Path:
    file = directory / "cluster.json"
    file.write_text(json.dumps({"nodes": [node.entry() for node in nodes]}))
    return file


def mark_ready(node: Any) -> None:
    (node.home / ".systest/ready").write_text(f"{harness_id()}\n")


def restart(node: Any, **environment: str) -> None:
    node.stop()
    node.start(**environment)


def test_survey__of_nodes_that_can_be_used__tells_what_they_are_and_leaves_nothing(two: list[Any]) -> None:
    found = survey([node.account() for node in two])
    assert [each.name for each in found] == ["node", "other"]
    for each in found:
        assert each.hello.harness == harness_id()
        assert each.distribution.kafka.version.startswith("4.")
        assert abs(each.skew.ahead_s) <= each.skew.error_s + 0.005, "it is the same clock"
    [note] = notes_on(found)
    assert "other machines than the one that is named here: 2 of" in note


def test_run__on_containers_of_this_machine__is_not_said_to_be_on_other_machines(
    sshd: Any, tmp_path: Path
) -> None:
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps({**docker.cluster_file([]), "nodes": [sshd.entry()]}))
    with SshAccounts(file).opened(print) as opened:
        [note] = opened.notes
    assert note == (
        "Brokers and producers ran in containers of the machine that is named here, which share its cores."
    )


def test_survey__leaves_no_thread_that_a_fork_could_take_a_lock_from(two: list[Any]) -> None:
    before = {path.name for path in TASKS.iterdir()}
    survey([node.account() for node in two])
    assert {path.name for path in TASKS.iterdir()} <= before


def test_survey__interrupted__waits_for_no_node(sshd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    account = sshd.account()
    interrupted_s: list[float] = []
    monkeypatch.setattr(
        survey_module, "distribution_on", lambda account: account.ssh("touch there; sleep 1000")
    )

    def interrupt() -> None:
        while not list(sshd.temporary.glob("*/there")):
            time.sleep(0.02)
        interrupted_s.append(time.monotonic())
        main_thread = threading.main_thread().ident
        assert main_thread is not None
        signal.pthread_kill(main_thread, signal.SIGINT)

    ctrl_c = threading.Thread(target=interrupt)
    ctrl_c.start()
    with pytest.raises(KeyboardInterrupt):
        survey([account])
    assert time.monotonic() - interrupted_s[0] < SOON_S
    ctrl_c.join()
    deadline_s = time.monotonic() + SOON_S
    while sshd.homes():
        assert time.monotonic() < deadline_s, "what it began is still there"
        time.sleep(0.02)


def test_survey__of_clocks_that_are_apart__is_a_note_in_the_results(
    sshd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = sshd.account()
    asked = account.clock_ns

    def an_hour_ahead() -> tuple[int, int, int]:
        before_ns, there_ns, after_ns = asked()
        return before_ns, there_ns + 3_600_500 * 10**6, after_ns

    monkeypatch.setattr(account, "clock_ns", an_hour_ahead)
    _, note = notes_on(survey([account]))
    assert note.startswith("The clock of node is +3,600,")


def test_survey__of_nodes_that_can_not_be_used__names_each_with_its_reason(two: list[Any]) -> None:
    node, other = two
    node.stop()
    restart(other, KAFKA_HOME="/nowhere")
    with pytest.raises(NotUsable) as failure:
        survey([each.account() for each in two])
    unreachable, without_kafka = failure.value.reasons
    assert unreachable.endswith(f"node: it can't be reached at 127.0.0.1:{node.port} (Connection refused)")
    assert without_kafka.startswith("other: KAFKA_HOME is /nowhere, but")


def test_run__on_nodes_that_can_not_be_used__ends_in_a_sentence_before_anything_starts(
    two: list[Any], tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "harness_id", lambda: "another")
    assert main(["run", "--cluster", str(cluster_file(tmp_path, two))]) == os.EX_UNAVAILABLE
    out, err = capfd.readouterr()
    assert out == ""
    looking, sentence = err.splitlines()
    assert looking == "looking at 2 nodes ..."
    assert "node: its harness is another one" in sentence
    assert "other: its harness is another one" in sentence
    assert "run `systest provision`" in sentence


def test_provision__of_nodes_that_are_ready__takes_a_moment_and_installs_nothing(
    two: list[Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for node in two:
        mark_ready(node)
    assert main(["provision", str(cluster_file(tmp_path, two))]) == 0
    out, err = capfd.readouterr()
    assert err == "looking at 2 nodes ...\n"
    head, first, second, end = out.splitlines()
    assert head.split()[:5] == ["node", "machine", "Python", "Java", "Kafka"]
    assert (first.split()[0], second.split()[0]) == ("node", "other")
    assert end.startswith(f"2 nodes are ready, with harness {harness_id()}")


def test_provision__of_a_node_with_an_old_python__says_what_is_needed_and_installs_nothing(
    sshd: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (sshd.home / ".systest/venv").unlink()
    tools = tmp_path / "tools"
    tools.mkdir()
    # All that a node has but a Python that is new enough, and apt-get.
    for tool in ("sh", "mkdir", "rm", "rmdir", "find", "timeout", "env", "id", "tr", "cut"):
        (tools / tool).symlink_to(Path("/usr/bin", tool))
    (tools / "python3").write_text("#!/bin/sh\necho Python 3.9.2\nexit 1\n")
    (tools / "python3").chmod(0o755)
    restart(sshd, PATH=str(tools))
    assert main(["provision", str(cluster_file(tmp_path, [sshd]))]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert "systest provision: node: " in (last := err.splitlines()[-1])
    assert "python3 python3-venv" in last
    assert list(sshd.home.iterdir()) == []


def test_provision__of_a_node_that_is_away__says_so(
    two: list[Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for node in two:
        mark_ready(node)
    two[1].stop()
    assert main(["provision", str(cluster_file(tmp_path, two))]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert "other: it can't be reached at" in err.splitlines()[-1]


def test_provision__half_done__is_not_taken_for_done(
    sshd: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The harness is there, and what comes after it may not be."""
    monkeypatch.chdir(tmp_path)  # where there is nothing to provision from, so that it ends there
    assert main(["provision", str(cluster_file(tmp_path, [sshd]))]) == 1
    assert "run this in the repository's root directory" in capfd.readouterr().err


def test_provision__interrupted_while_it_connects__begins_nothing_after_that(sshd: Any) -> None:
    node = provision._Node(sshd.account())
    node.disconnect()  # as Ctrl-C does, while the node's own thread waits for its connection
    with pytest.raises(provision.NotDone, match="it was interrupted"):
        node.install_system()
    assert not list(sshd.home.glob(".systest/incoming-*"))


@pytest.mark.parametrize("left", ["", "setsid sleep 20 & "])
def test_provision__of_a_node_where_a_step_takes_too_long__says_that(
    sshd: Any, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    """Even where something that the node can't kill holds its output open, as what root runs there."""
    monkeypatch.setattr(provision, "_STEP_LIMIT_S", 1.0)
    monkeypatch.setattr(provision, "_GRACE_S", 4.0)
    node = provision._Node(sshd.account())
    node._client = node._account.connection()
    began_s = time.monotonic()
    with pytest.raises(provision.NotDone, match=r"had not ended after 1 s after it said: Installing sshd"):
        node._execute(f"echo Installing sshd >&2; {left}exec sleep 1000")
    assert time.monotonic() - began_s < SOON_S
    node.disconnect()


def test_allocation__passes_over_a_node_that_is_away_and_says_so(
    two: list[Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster = ssh.SshCluster(str(cluster_file(tmp_path, two)))
    try:
        two[0].stop()
        spec = type(cluster.all()).simple_linux(1)
        [node] = cluster.alloc(spec)
        assert isinstance(node.account, SshAccount)
        assert node.account.hostname == "other"
        assert "node: it can't be reached" in capfd.readouterr().err
        assert len(cluster.all()) == 1
    finally:
        cluster.close()


def test_skew__in_the_table__is_marked(sshd: Any) -> None:
    [found] = survey([sshd.account()])
    apart = type(found)(found.name, found.hello, found.distribution, clock.Skew(-2.0, 0.001))
    assert "APART" not in table([found])
    assert table([apart]).endswith("-2,000.0 ms (give or take 1.0)  APART")
