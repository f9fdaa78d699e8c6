"""What can't be run ends in one sentence, and exit status 2 or, for want of nodes, 69, before anything starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from systest import disk
from systest.cli.main import main

LIMIT_S = 60.0
NOBODY = "127.0.0.1:1"


def sentence_of(
    capfd: pytest.CaptureFixture[str], *arguments: str, command: str = "run", status: int = 2
) -> str:
    """What `systest run`, or another command, says about these arguments; one line, and nothing on stdout."""
    assert main([command, *arguments]) == status
    out, err = capfd.readouterr()
    assert out == ""
    line, newline, rest = err.partition("\n")
    assert (newline, rest) == ("\n", "")
    return line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--strategies", "sync,asnyc"], "unknown strategy 'asnyc'; choose from sync, async"),
        (["--strategies", "sync,sync"], "a strategy is named twice"),
        (["--strategies", ","], "no strategy to run"),
        (
            ["--records", "servce"],
            "unknown shape of records 'servce', did you mean 'service'? Choose from plain",
        ),
        (["--records", "plain,plain"], "records are named twice"),
        (["--records", ","], "no records to send; choose from plain, service"),
        (
            ["--records", "service", "--strategies", "confluent-aio"],
            "no strategy can send service records: confluent-aio: its produce() sends no headers",
        ),
        (["--workload", "sprint"], "unknown workload 'sprint'; choose saturate, one-at-a-time, window:N"),
        (["--workload", "tasks:9"], "sync can't run tasks:9: it has no event loop"),
        (["--workload", "bulk", "--strategies", "async,aiokafka"], "choose --strategies from async"),
        (["--workload", "window:0"], "unknown workload 'window:0'"),
        (["--broker", "rabbit"], "unknown broker 'rabbit'; choose kafka, embedded, external"),
        (["--cluster", "nowhere"], "unknown cluster 'nowhere'"),
        (["--cluster", "no.such.Cluster"], "No module named 'no'"),
        (["--cluster", "accounts.json"], "a JSON file of ssh accounts"),
        (["--cluster", "netsn", "--nodes", "3"], "unknown cluster 'netsn'"),
        (["--nodes", "0"], "a cluster can't have 0 nodes; choose --nodes from 1 to 250"),
        (["--nodes", "251", "--cluster", "netns"], "a cluster can't have 251 nodes"),
        (
            ["--nodes", "3", "--cluster", "systest.clusters.local.LocalCluster"],
            "systest.clusters.local.LocalCluster has nodes of its own; leave out --nodes",
        ),
        (
            ["--cluster", "netns", "--broker", "embedded"],
            "the embedded broker serves the processes of its own machine",
        ),
        (
            ["--cluster", "systest.clusters.ssh.SshCluster", "--broker", "embedded"],
            "the embedded broker serves the processes of its own machine",
        ),
        (
            ["--broker", "embedded", "--strategies", "java"],
            "the strategy java can't run: the embedded broker",
        ),
        (["--gates", "none.yml"], "the file of gates none.yml can't be read"),
        (["--gates", "setup.cfg"], "the file of gates setup.cfg is not YAML in line"),
        (["--parameters", "{"], "--parameters { is not JSON"),
        (["--exclude", "tests/nowhere"], "--exclude tests/nowhere: there is nothing at tests/nowhere"),
        (["--rounds", "0"], "0 rounds can't be run"),
        (["--brokers", "0"], "0 brokers can't be started"),
        (["--duration", "0"], "a duration of 0.0 s can't be run"),
        (["--bootstrap-server", NOBODY], "add --broker external"),
        (["--broker", "external"], "add --bootstrap-server host:port"),
        (["--broker", "external", "--bootstrap-server", NOBODY], NOBODY),
        (
            ["--broker", "external", "--bootstrap-server", NOBODY, "--client-config", "none.properties"],
            "none.properties",
        ),
    ],
)
def test_option__that_cannot_be__is_named_with_what_would_be(
    capfd: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert words in sentence_of(capfd, *arguments)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("quick: [a, b\n", "is not YAML in line 2"),
        ("- a\n- b\n", "names no tests"),
        ("", "names no tests"),
    ],
)
def test_suite__broken__is_named_with_the_line(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, content: str, words: str
) -> None:
    suite = tmp_path / "suite.yml"
    suite.write_text(content)
    sentence = sentence_of(capfd, str(suite))
    assert str(suite) in sentence
    assert words in sentence


def test_suite__called_yaml__is_told_to_be_renamed(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text("all: [a_test.py]\n")
    assert f"rename {suite}" in sentence_of(capfd, str(suite))


def test_suite__that_is_not_there__is_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert "none.yml can't be read" in sentence_of(capfd, "none.yml")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("strategy: async, figure: latency.p9_ms, at_most: 1", "did you mean 'latency.p9"),
        (
            "strategy: asinc, figure: latency.p99_ms, at_most: 1",
            "unknown strategy 'asinc', did you mean 'async'?",
        ),
        (
            "strategy: async, figure: latency.p99_ms, atmost: 1",
            "unknown key 'atmost', did you mean 'at_most'?",
        ),
    ],
)
def test_gate__unknown_figure_strategy_or_key__is_named_with_what_may_be_meant(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, entry: str, words: str
) -> None:
    gates = tmp_path / "gates.yml"
    gates.write_text(f"quick: {{reason: it must be, {entry}}}\n")
    sentence = sentence_of(capfd, "--gates", str(gates))
    assert f"{gates}, quick: " in sentence
    assert words in sentence


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON: Expecting property name enclosed in double quotes in line 1"),
        ("[]", "lists no nodes"),
        ('{"nodes": []}', "lists no nodes"),
        ('{"nodes": [{}]}', "node 1 of"),
        ('{"nodes": [{"ssh_config": {"host": "a"}}]}', "lacks an ssh_config with host and hostname"),
        (
            '{"nodes": [{"ssh_config": {"host": "a", "hostname": "h", "port": "x"}}]}',
            "'x'; choose 1 to 65535",
        ),
        (
            json.dumps({"nodes": [{"ssh_config": {"host": "a", "hostname": "h"}}] * 2}),
            "has two nodes with the host a",
        ),
    ],
)
@pytest.mark.parametrize("command", ["run", "provision"])
def test_cluster_file__that_lists_no_nodes__is_named_with_what_it_lacks(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, command: str, content: str, words: str
) -> None:
    file = tmp_path / "cluster.json"
    file.write_text(content)
    arguments = [str(file)] if command == "provision" else ["--cluster", str(file)]
    sentence = sentence_of(capfd, *arguments, command=command)
    assert str(file) in sentence
    assert words in sentence


def test_cluster_file__that_is_not_there__is_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert "none.json can't be read" in sentence_of(capfd, "none.json", command="provision")


def test_namespaces__that_are_not_allowed__are_told_with_the_way_out() -> None:
    root = os.geteuid() == 0
    denied = ["setpriv", "--bounding-set=-sys_admin"] if root else []
    done = subprocess.run(
        [*denied, sys.executable, "-m", "systest", "run", "--cluster", "netns"],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == os.EX_UNAVAILABLE, done.stderr
    *_, sentence = done.stderr.splitlines()  # before it, on a new machine, that packages are being installed
    assert ("the system allows no new namespaces" if root else "need root") in sentence
    assert "use --cluster local" in sentence


def test_root__that_one_is_not__is_told_for_nodes_in_namespaces(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    sentence = sentence_of(capfd, "--cluster", "netns", status=os.EX_UNAVAILABLE)
    assert "nodes in network namespaces need root" in sentence


def test_disk__without_room__is_told_with_the_way_out(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "WANTED_GIB", 1e9)  # more than any disk has free
    assert "choose a larger disk with TMPDIR" in sentence_of(capfd)


def test_place__other_than_the_repository__is_told(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "run this in the repository's root directory" in sentence_of(capfd)
