"""Nodes in network namespaces on this machine: real ssh, an address each, a cable each, no container and no image.

A node is a network, mount and process namespace with an sshd of its own and a home of its own; the file system is this
machine's, so the harness, Java and Kafka are what the driver has and nothing is provisioned. Each node's cable ends
at a bridge in one more namespace. The driver stays where it is, with a cable to that bridge: in a namespace of its own
it would see neither an external broker nor a package index.

The addresses are a /24 of 198.18.0.0/17, out of what is reserved for benchmarks; containers have the rest of that. A
run has one to itself by the name of the driver's end of its cable, which the kernel gives once. Namespaces and cables
end with the processes in them, and those end with the run's belongings, also when the runner is killed.

Needs root: an sshd that lets a user in must be able to become that user.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from systest.clusters.belongings import Belongings
from systest.clusters.bounded import TIMED_OUT_STATUS
from systest.clusters.place import SSH_CLUSTER, Opened, Place, PlaceUnavailable, Say
from systest.clusters.reaper import RUN_VARIABLE
from systest.distribution.cache import cache_root

DEFAULT_NODES = 5
_ADDRESSES = IPv4Network("198.18.0.0/17")
_LEASE_ATTEMPTS = 100
_COMMAND_LIMIT_S = 20.0
_UP_LIMIT_S = 20.0
_POLL_S = 0.02
_END_LIMIT_S = 10.0  # of a process that was killed
_JUST_ENDING_S = 1.0
_PROVISION = Path("ducktape/provision.sh")
_PACKAGES_LIMIT_S = 600.0
_TOOLS = ("ip", "unshare", "nsenter", "sshd", "ssh-keygen")
_UNSHARE_NODE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_PASSED_ON = ("PATH", "JAVA_HOME", "KAFKA_HOME")

# The node's first process: it brings its sshd up, and then only sees to it that no dead process stays.
_INIT = """\
set -eu
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/shadow" /etc/shadow
mount -t tmpfs tmpfs /run
mkdir /run/sshd
"$2" -D -e -f "$1/sshd_config" 2>"$1/sshd.log" &
while :; do
    wait
    sleep 1
done
"""

_SSHD_CONFIG = """\
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/authorized_keys
PasswordAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
UseDNS no
MaxSessions 100
PidFile none
Subsystem sftp internal-sftp
SetEnv {environment}
"""


@dataclass(frozen=True, slots=True)
class Node:
    """One node as the driver reaches it."""

    name: str
    address: str
    directory: Path

    @property
    def log(self) -> Path:
        """Of its first process."""
        return self.directory / "init.log"


@dataclass(frozen=True, slots=True)
class NetnsNodes(Place):
    """So many nodes in namespaces."""

    shares_files = True

    nodes: int = DEFAULT_NODES

    def refused(self) -> str | None:
        return refused()

    @contextlib.contextmanager
    def opened(self, say: Say) -> Iterator[Opened]:
        _provide_tools(say)
        if (reason := why_not()) is not None:
            raise PlaceUnavailable(reason)
        with contextlib.ExitStack() as ends:
            belongings = Belongings()
            try:
                try:
                    file = _bring_up(self.nodes, belongings, ends)
                except OSError as error:
                    raise PlaceUnavailable(
                        f"nodes in network namespaces did not come up ({error})"
                    ) from error
                yield Opened(("--cluster", SSH_CLUSTER, "--cluster-file", str(file)))
            finally:
                belongings.close()  # kills them all; what is left to `ends` is to wait for it


def why_not() -> str | None:
    """Why nodes can't be had here, in one sentence that says what to do; None if they can.

    What nothing can be done about comes first: nobody is to install an sshd and then hear that it was for nothing.
    """
    if (reason := refused()) is not None:
        return reason
    if lacking := _lacking():
        return (
            f"nodes in network namespaces need {', '.join(lacking)}; run {_PROVISION} system "
            "(Debian: apt-get install openssh-server iproute2 util-linux)"
        )
    return None


def refused() -> str | None:
    """Why no package would help, as `why_not`."""
    if not sys.platform.startswith("linux"):
        return f"network namespaces are Linux's, and this is {platform.system()}; use --cluster local"
    if os.geteuid() != 0:
        return "nodes in network namespaces need root, since each runs an sshd; run as root, or use --cluster local"
    if _path_of("unshare") is None:
        return None
    tried = _run([*_UNSHARE_NODE, "true"])
    if tried.returncode == 0:
        return None
    return (
        f"the system allows no new namespaces, not even root's ({tried.stderr.strip()}); use --cluster local"
    )


def _lacking() -> list[str]:
    return [tool for tool in _TOOLS if _path_of(tool) is None]


def _path_of(tool: str) -> str | None:
    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _provide_tools(say: Say) -> None:
    """Installs what is lacking, where that starts no service that nobody asked for: where no init system runs."""
    if (
        _lacking()
        and refused() is None
        and shutil.which("apt-get")
        and not Path("/run/systemd/system").exists()
    ):
        say("Installing what nodes in network namespaces need...")
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                ["sh", _PROVISION, "system"], capture_output=True, timeout=_PACKAGES_LIMIT_S, check=False
            )


def _bring_up(count: int, belongings: Belongings, ends: contextlib.ExitStack) -> Path:
    """Makes the nodes; returns the cluster file that lists them."""
    here = belongings.directory
    environment = {**os.environ, RUN_VARIABLE: belongings.run_id}
    hub = _spawn(["unshare", "--net", "sleep", "infinity"], environment, here / "hub.log")
    ends.callback(_await_end, hub)
    _await_namespace("the bridge's namespace", hub, here / "hub.log")
    network = _lease(hub.pid)
    _make_key(here / "key")
    nodes = []
    cables = ["link set lo up", "link add bridge type bridge", "link set bridge up"]
    for number, address in zip(range(1, count + 1), list(network.hosts())[1:], strict=False):
        node = Node(f"netns{number}", str(address), here / f"netns{number}")
        _furnish(node, (here / "key.pub").read_text("utf-8"))
        init = ["sh", "-c", _INIT, "init", str(node.directory), str(_path_of("sshd"))]
        process = _spawn([*_UNSHARE_NODE, *init], environment, node.log)
        ends.callback(_await_end, process)
        _await_namespace(node.name, process, node.log)
        own_cable = [
            "link set lo up",
            f"address add {address}/{network.prefixlen} dev eth0",
            "link set eth0 up",
        ]
        nodes.append((node, process))
        with _told_by_the_dead(nodes):
            _configure(hub.pid, [f"link add name {node.name} type veth peer name eth0 netns {process.pid}"])
            _configure(process.pid, own_cable)
        cables += [f"link set {node.name} master bridge", f"link set {node.name} up"]
    with _told_by_the_dead(nodes):
        _configure(hub.pid, [*cables, "link set driver master bridge", "link set driver up"])
    for node, process in nodes:
        _await_sshd(node, process)
    file = here / "cluster.json"
    file.write_text(json.dumps({"nodes": [_entry(node, here / "key") for node, _ in nodes]}, indent=1))
    return file


def _lease(hub: int) -> IPv4Network:
    """A network that no other run has and that leads nowhere yet; the driver has its first address."""
    for _ in range(_LEASE_ATTEMPTS):
        network = random.choice(list(_ADDRESSES.subnets(new_prefix=24)))
        if any(network.overlaps(taken) for taken in _routes()):
            continue
        _, second, third, _ = str(network.network_address).split(".")
        name = f"systest{second}-{third}"
        made = _run(
            ["ip", "link", "add", "name", name, "type", "veth", "peer", "name", "driver", "netns", str(hub)]
        )
        if made.returncode != 0 and "exists" in made.stderr:
            continue
        _check(made)
        _check(_run(["ip", "address", "add", f"{next(network.hosts())}/{network.prefixlen}", "dev", name]))
        _check(_run(["ip", "link", "set", name, "up"]))
        return network
    raise PlaceUnavailable(
        f"every network of {_ADDRESSES} that was tried is in use on this machine; end other runs"
    )


def _routes() -> list[IPv4Network]:
    """All that has a route of its own, so not what goes by the default route."""
    said = _check(_run(["ip", "-4", "-json", "route", "show", "table", "all"])).stdout
    targets = [route["dst"] for route in json.loads(said or "[]")]
    return [IPv4Network(target, strict=False) for target in targets if target != "default"]


def _furnish(node: Node, public_key: str) -> None:
    """The node's home and what its sshd reads."""
    directory = node.directory
    home, temporary = directory / "home", directory / "tmp"
    for each in (home / ".systest", temporary):
        each.mkdir(parents=True)
    (home / ".systest" / "venv").symlink_to(sys.prefix)
    (directory / "authorized_keys").write_text(public_key)
    _make_key(directory / "host_key")
    environment = {
        **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        "SYSTEST_CACHE": str(cache_root()),
        "TMPDIR": str(temporary),
    }
    quoted = " ".join(f'"{name}={value}"' for name, value in environment.items())
    (directory / "sshd_config").write_text(_SSHD_CONFIG.format(directory=directory, environment=quoted))
    users = Path("/etc/passwd").read_text("utf-8").splitlines()
    others = [line for line in users if not line.startswith("root:")]
    separated = (
        []
        if any(line.startswith("sshd:") for line in others)
        else ["sshd:x:65533:65534::/run/sshd:/bin/false"]
    )
    root = f"root:x:0:0:root:{home}:/bin/sh"
    (directory / "passwd").write_text("\n".join([root, *others, *separated, ""]))
    # A locked account, as some distributions have root's, could not be logged into with a key either.
    (directory / "shadow").write_text("root:*:19000:0:99999:7:::\nsshd:*:19000::::::\n")


def _entry(node: Node, key: Path) -> dict[str, object]:
    """The node as a cluster file has it."""
    config = {
        "host": node.name,
        "hostname": node.address,
        "port": 22,
        "user": "root",
        "identityfile": str(key),
    }
    return {"externally_routable_ip": node.address, "ssh_config": config}


def _make_key(file: Path) -> None:
    _check(_run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(file)]))


def _configure(pid: int, lines: Sequence[str]) -> None:
    """Has `ip` do this in the network namespace of a process."""
    enter = ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-batch", "-"]
    _check(_run(enter, "".join(f"{line}\n" for line in lines)))


def _spawn(command: Sequence[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as complaints:
        return subprocess.Popen(
            list(command),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            start_new_session=True,
        )


def _await_namespace(name: str, process: subprocess.Popen[bytes], log: Path) -> None:
    ours = Path("/proc/self/ns/net").readlink()
    deadline_s = time.monotonic() + _UP_LIMIT_S
    while True:
        _check_alive(name, process, log)
        with contextlib.suppress(FileNotFoundError):  # it is just ending
            if Path(f"/proc/{process.pid}/ns/net").readlink() != ours:
                return
        if time.monotonic() > deadline_s:
            raise PlaceUnavailable(f"{name} is not there after {_UP_LIMIT_S:.0f} s; {_last_words(log)}")
        time.sleep(_POLL_S)


def _await_sshd(node: Node, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + _UP_LIMIT_S
    while True:
        _check_alive(node.name, process, node.log)
        with (
            contextlib.suppress(OSError),
            socket.create_connection((node.address, 22), timeout=1.0) as connection,
        ):
            if connection.recv(4) == b"SSH-":
                return
        if time.monotonic() > deadline_s:
            said = _last_words(node.directory / "sshd.log")
            raise PlaceUnavailable(f"the sshd of {node.name} is not up after {_UP_LIMIT_S:.0f} s; {said}")
        time.sleep(_POLL_S)


@contextlib.contextmanager
def _told_by_the_dead(nodes: Sequence[tuple[Node, subprocess.Popen[bytes]]]) -> Iterator[None]:
    """What fails in the block because a node has ended, is told by that node."""
    try:
        yield
    except PlaceUnavailable:
        for node, process in nodes:
            _await_end(process, _JUST_ENDING_S)  # a process loses its namespaces a moment before it has ended
            _check_alive(node.name, process, node.log)
        raise


def _await_end(process: subprocess.Popen[bytes], limit_s: float = _END_LIMIT_S) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(limit_s)


def _check_alive(name: str, process: subprocess.Popen[bytes], log: Path) -> None:
    if process.poll() is not None:
        raise PlaceUnavailable(f"{name} ended as it came up; {_last_words(log)}")


def _last_words(log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").splitlines() if log.exists() else []
    return f"it said: {lines[-1].strip() if lines else 'nothing'}"


def _run(command: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
    """A command's end; that it did not end in time is one of its failures."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    try:
        return subprocess.run(
            list(command),
            input=text,
            capture_output=True,
            text=True,
            timeout=_COMMAND_LIMIT_S,
            check=False,
            env={**os.environ, "PATH": path},
        )
    except subprocess.TimeoutExpired:
        said = f"it had not ended after {_COMMAND_LIMIT_S:.0f} s"
        return subprocess.CompletedProcess(list(command), TIMED_OUT_STATUS, "", said)


def _check(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    if done.returncode != 0:
        command = " ".join(done.args)
        raise PlaceUnavailable(f"`{command}` failed: {done.stderr.strip() or done.returncode}")
    return done
