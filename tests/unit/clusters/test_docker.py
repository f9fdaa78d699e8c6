"""Nodes in containers, as far as no engine is needed: what is asked of it, and what is said when there is none."""

from __future__ import annotations

import ipaddress
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from systest.cli.run import _without_place
from systest.clusters import docker, docker_objects
from systest.clusters.engine import CommandFailed, Engine
from systest.clusters.owner import Owner
from systest.clusters.place import PlaceUnavailable

ROOT = Path(__file__).parents[3]
LIMIT_S = 60.0
REMOVAL_LIMIT_S = 30.0
RANGE = ipaddress.IPv4Network("198.19.0.0/16")
needs_client = pytest.mark.skipif(
    shutil.which("docker") is None, reason="there is no docker command here; install Docker's client"
)


# Choices


def test_nodes__unless_told__are_five_in_the_range_for_benchmarks() -> None:
    assert docker.nodes_wanted(None, {}) == docker.DockerNodes(5, RANGE, "")


def test_nodes__by_the_environment__have_its_range_and_base() -> None:
    environ = {docker.SUBNET_VARIABLE: "198.18.4.0/27", docker.BASE_VARIABLE: "ubuntu:24.04"}
    wanted = docker.nodes_wanted(3, environ)
    assert wanted == docker.DockerNodes(3, ipaddress.IPv4Network("198.18.4.0/27"), "ubuntu:24.04")


@pytest.mark.parametrize(
    ("nodes", "subnet", "words"),
    [
        (0, "", "can't have 0 nodes; choose --nodes from 1 to 250"),
        (251, "", "can't have 251 nodes"),
        (5, "here", "no range of addresses"),
        (5, "198.18.4.1/24", "has host bits set"),
        (5, "198.18.4.0/29", "too few addresses for 5 nodes"),
    ],
)
def test_choice__that_cannot_be__is_named(nodes: int, subnet: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        docker.nodes_wanted(nodes, {docker.SUBNET_VARIABLE: subnet})


def test_networks__of_a_wide_range__are_different_parts_of_it() -> None:
    networks = list(docker.candidates(RANGE))
    assert len(networks) == len(set(networks)) > 1
    assert all(network.subnet_of(RANGE) and network.prefixlen == 24 for network in networks)


def test_networks__of_two_runs__hardly_ever_are_the_same_first() -> None:
    assert len({next(docker.candidates(RANGE)) for _ in range(40)}) > 20


def test_networks__of_a_narrow_range__are_the_range() -> None:
    narrow = ipaddress.IPv4Network("198.18.4.0/28")
    assert list(docker.candidates(narrow)) == [narrow]


# What the engine is asked for


def test_node__has_no_privilege_and_one_key() -> None:
    place = ("--name", "n")
    command = docker.node_command(place, ("--label", "a=b"), "198.19.7.2", "ssh-ed25519 AAAA", "image")
    assert command == [
        *("run", "--detach", "--init", "--name", "n", "--label", "a=b", "--ip", "198.19.7.2"),
        *("--env", "SYSTEST_PUBLIC_KEY=ssh-ed25519 AAAA", "--cap-drop", "ALL"),
        *("--security-opt", "no-new-privileges", "--no-healthcheck", "image"),
    ]


def test_cluster_file__names_each_node_with_its_address_and_the_key() -> None:
    first, second = docker.cluster_file(["198.19.7.2", "198.19.7.3"])["nodes"]
    assert first == {
        "externally_routable_ip": "198.19.7.2",
        "ssh_config": {
            "host": "node1",
            "hostname": "198.19.7.2",
            "identityfile": "/run/systest/key",
            "port": 2222,
            "user": "systest",
        },
    }
    assert second["ssh_config"]["hostname"] == "198.19.7.3"


def test_driver__sees_the_checkout_and_what_lies_outside_at_its_own_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    files = docker.Files(
        written=(ROOT / "results", Path("/elsewhere/results")),
        read=(ROOT / "client.properties", Path("/elsewhere/client.properties")),
    )
    assert docker.mount_arguments(tmp_path, files) == [
        *("--workdir", str(ROOT)),
        *("--mount", f"type=bind,source={tmp_path},target=/run/systest,readonly"),
        *("--mount", f"type=bind,source={ROOT},target={ROOT}"),
        *("--mount", "type=bind,source=/elsewhere/results,target=/elsewhere/results"),
        *(
            "--mount",
            "type=bind,source=/elsewhere/client.properties,target=/elsewhere/client.properties,readonly",
        ),
    ]


def test_driver__sees_what_is_named_by_a_symbolic_link_under_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout, elsewhere = tmp_path / "checkout", tmp_path / "elsewhere"
    for directory in (checkout, elsewhere):
        directory.mkdir()
    (tmp_path / "link").symlink_to(elsewhere)  # as macOS has /tmp
    (tmp_path / "same").symlink_to(checkout)
    (checkout / "results").symlink_to(elsewhere)
    monkeypatch.chdir(checkout)
    files = docker.Files(
        written=(tmp_path / "link/results", tmp_path / "same/new", Path("results"), Path("new")),
        read=(Path("../link/gates.yml"), Path("gates.yml")),
    )
    assert docker.mount_arguments(tmp_path, files)[7::2] == [
        f"type=bind,source={elsewhere}/results,target={tmp_path}/link/results",
        f"type=bind,source={checkout}/new,target={tmp_path}/same/new",
        f"type=bind,source={elsewhere},target={checkout}/results",
        f"type=bind,source={elsewhere}/gates.yml,target={tmp_path}/link/gates.yml,readonly",
    ]


@pytest.mark.parametrize(
    "place", [["--cluster", "docker", "--nodes", "5"], ["--cluster=docker", "--nodes=5"]]
)
def test_driver__gets_the_users_arguments_without_the_place(place: list[str]) -> None:
    given = ["--strategies", "sync", *place, "tests/ducktape/delivery", "--max-parallel", "2"]
    assert _without_place(given) == [
        *("--strategies", "sync", "tests/ducktape/delivery", "--max-parallel", "2"),
    ]


# Tidying up


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a script Docker's client: engines that get stuck, or hold on to things, can't be had to order."""

    def is_script(script: str) -> None:
        file = tmp_path / "docker"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return is_script


@pytest.mark.parametrize("rm", ["exit 1", "exec sleep 60"], ids=["is refused", "hangs"])
def test_removal__that_does_not_come_about__ends_in_time_and_says_what_is_left(
    rm: str, client: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    client(
        f'case "$1" in ps) echo 1f2e; echo 3d4c ;; network) [ "$2" = rm ] || echo 5b6a ;; rm) {rm} ;; esac'
    )
    monkeypatch.setattr(docker_objects, "_LIMIT_S", 1.0)
    began_s = time.monotonic()
    with pytest.raises(PlaceUnavailable) as raised:
        docker_objects.remove(Engine("run"))
    assert time.monotonic() - began_s < REMOVAL_LIMIT_S
    assert "still has container 1f2e, container 3d4c, network 5b6a; see docker ps" in str(raised.value)
    assert str(raised.value).endswith("--filter label=systest.run=run")


def test_removal__of_what_is_there__asks_once_for_each_kind(
    client: Callable[[str], None], tmp_path: Path
) -> None:
    client(
        f'cd {shlex.quote(str(tmp_path))}; echo "$@" >>asked\n'
        'case "$1" in ps) [ -e gone ] || echo 1f2e 3d4c ;; rm) touch gone ;; esac'
    )
    docker_objects.remove(Engine("run"))
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line for line in asked if " rm" in f" {line}"] == ["rm --force --volumes 1f2e 3d4c"]


def test_abandoned__unless_its_owner_is_known_to_be_gone__stays(
    client: Callable[[str], None], tmp_path: Path
) -> None:
    this = Owner.this()
    owners = ("host/pid:[1]:7:1700000000.25", Owner("elsewhere", 7, 8).label(), this.label(), "")
    listed = "; ".join(f"echo alive {owner!r}" for owner in owners)
    gone = replace(this, began=this.began - 10_000).label()
    client(
        f'cd {shlex.quote(str(tmp_path))}; echo "$@" >>asked\n'
        f'case "$*" in *--format*) {listed}; echo dead {gone!r} ;;'
        " ps*) [ -e gone ] || echo 1f2e ;; rm*) touch gone ;; esac"
    )
    docker_objects.remove_abandoned(Engine("run"))
    asked = (tmp_path / "asked").read_text()
    assert "rm --force --volumes 1f2e" in asked
    assert "label=systest.run=dead" in asked
    assert "alive" not in asked


@pytest.mark.parametrize(("nameless", "is_removed"), [("1f2e", True), ("3d4c", False)])
def test_image__that_a_build_replaced__is_removed_unless_it_has_a_name(
    nameless: str, is_removed: bool, client: Callable[[str], None], tmp_path: Path
) -> None:
    client(
        f'echo "$@" >>{shlex.quote(str(tmp_path))}/asked; case "$2" in ls) echo sha256:{nameless} ;; rm) exit 1 ;; esac'
    )
    docker.remove_replaced(Engine("run"), "sha256:1f2e")
    assert ("image rm sha256:1f2e" in (tmp_path / "asked").read_text()) == is_removed


# Without an engine


@pytest.fixture
def deaf_socket(tmp_path: Path) -> Iterator[Path]:
    """An engine's socket that nobody may use."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0)
        yield path


def run(directory: Path, before: tuple[str, ...] = (), **environ: str) -> subprocess.CompletedProcess[str]:
    """`./run_ducktape.sh --cluster docker`, with a directory for temporary files of its own."""
    arguments = ("--cluster", "docker", "--results-root", str(directory / "results"))
    return subprocess.run(
        [*before, sys.executable, "-m", "systest", "run", *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(directory), **environ},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def sentence_of(done: subprocess.CompletedProcess[str], directory: Path) -> str:
    assert (done.returncode, done.stdout) == (os.EX_UNAVAILABLE, "")
    (sentence,) = done.stderr.splitlines()
    assert [path.name for path in directory.iterdir() if path.name.startswith("systest-")] == []
    return sentence


def test_run__without_a_client__says_what_to_install(tmp_path: Path) -> None:
    sentence = sentence_of(run(tmp_path, PATH=str(tmp_path)), tmp_path)
    assert "there is no docker command here; install Docker" in sentence


@needs_client
def test_run__without_an_engine__says_to_start_it(tmp_path: Path) -> None:
    sentence = sentence_of(run(tmp_path, DOCKER_HOST=f"unix://{tmp_path}/none.sock"), tmp_path)
    assert f"Docker's engine at unix://{tmp_path}/none.sock does not answer" in sentence
    assert sentence.endswith("; start it")


@needs_client
def test_run__without_permission__says_how_to_get_it(tmp_path: Path, deaf_socket: Path) -> None:
    # Root may do everything, unless it gives that up.
    rights = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    sentence = sentence_of(run(tmp_path, rights, DOCKER_HOST=f"unix://{deaf_socket}"), tmp_path)
    assert "this user may not use Docker's engine" in sentence
    assert "add the user to the group docker" in sentence


@needs_client
def test_command__refused__is_told_with_the_reason_and_not_the_manual(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    with pytest.raises(CommandFailed) as raised:
        Engine("run").ask("network", "create", "--no-such-option", "name")
    assert "unknown flag: --no-such-option" in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nodes", "0"], "can't have 0 nodes"),
        (["--strategies", "asnyc"], "unknown strategy 'asnyc'"),
        (["--broker", "embedded"], "use --cluster local"),
        (
            ["--broker", "external", "--bootstrap-server", "a:1", "--client-config", "none"],
            "there is no file",
        ),
    ],
)
def test_run__with_input_that_cannot_be__is_told_before_docker_is_asked(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    command = [sys.executable, "-m", "systest", "run", "--cluster", "docker", *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    assert words in sentence
