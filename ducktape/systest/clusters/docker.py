"""Nodes that are containers of Docker's engine, and a run on them: `--cluster docker`.

The driver is a container too, beside the nodes: where the engine runs in a virtual machine, as on macOS, only
containers reach the nodes' addresses. It has the checkout at its own path and runs `systest run` there with the user's
arguments, as the user, on a cluster of ssh accounts; so results land where they always do.

Image, key, addresses: the image is built from this checkout and kept, the key is made for the run. Each run has a
network of its own out of `SUBNET_VARIABLE`, by default of the range that is reserved for benchmarks and so in
nobody's way; the engine gives no two networks one address.

All that a run makes is gone when it ends, in whatever way; see `docker_objects` and `docker_reaper`.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from systest.clusters import engine as docker
from systest.clusters.belongings import Belongings, await_reaper
from systest.clusters.docker_objects import labels, remove, remove_abandoned
from systest.clusters.engine import CommandFailed, Engine
from systest.clusters.owner import Owner
from systest.clusters.place import NODES_MAX, PlaceUnavailable, Say

NODES = 5
BASE_VARIABLE = "SYSTEST_DOCKER_BASE"
SUBNET_VARIABLE = "SYSTEST_DOCKER_SUBNET"

_IMAGE = "systest-node"
_DOCKERFILE = "docker/Dockerfile"
_SUBNET = "198.19.0.0/16"
_RUN_PREFIX = 24
_SUBNET_ATTEMPTS = 50
_OVERLAP = "overlaps"
_NODE_USER = "systest"
_NODE_PORT = 2222
_INSIDE = "/run/systest"  # where the driver finds its key and the cluster file
_LISTENS = "Server listening"
_PULL_LIMIT_S = 600.0
_NODE_LIMIT_S = 60.0
_POLL_S = 0.1
_TIDY_UP_S = 20.0


@dataclass(frozen=True, slots=True)
class Files:
    """What the driver sees of this machine beside the checkout, each at the path by which it was named."""

    written: tuple[Path, ...] = ()
    read: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class DockerNodes:
    """So many nodes, with addresses out of a range.

    Args:
        nodes: how many.
        range: of a run's network, or a larger one out of which each run takes a part.
        base: image that the nodes' is made from; "" for the Dockerfile's own choice.
    """

    nodes: int
    range: ipaddress.IPv4Network
    base: str = ""

    def run(self, arguments: Sequence[str], files: Files, say: Say) -> int:
        """`systest run` with these arguments on these nodes; its exit status.

        Raises PlaceUnavailable; then nothing is left of what was begun. If interrupted: the tests end in order and
        write their results, everything is removed, and the interrupt goes on to the caller.
        """
        found = docker.version()
        with _belongings() as (belongings, engine):
            remove_abandoned(engine)
            former = _image_id(engine, _IMAGE)
            image = self._built(engine, belongings.directory, say)
            made = labels(belongings.run_id, Owner.this())
            name = f"systest-{belongings.run_id[:12]}"
            network = self._network(engine, name, made)
            say(f"starting {self.nodes} nodes on {network}, Docker {found}")
            addresses = [str(network[number]) for number in range(2, 2 + self.nodes)]
            public_key = _write_key(belongings.directory / "key")
            cluster = belongings.directory / "cluster.json"
            cluster.write_text(json.dumps(cluster_file(addresses), indent=2))

            def start(number: int) -> None:
                node = f"{name}-node{number}"
                place = ("--name", node, "--hostname", f"node{number}", "--network", name)
                engine.ask(*node_command(place, made, addresses[number - 1], public_key, image))
                _await_sshd(engine, node)

            with ThreadPoolExecutor(self.nodes, thread_name_prefix="node") as pool:
                list(pool.map(start, range(1, self.nodes + 1)))
            # Not before: a run of another checkout that has just built it again has its nodes by now.
            if former is not None:
                remove_replaced(engine, former)
            driver = f"{name}-driver"
            place = ("--name", driver, "--hostname", "driver", "--network", name)
            mounts = mount_arguments(belongings.directory, files)
            command = ("systest", "run", *arguments, "--cluster", f"{_INSIDE}/{cluster.name}")
            engine.ask("create", *place, *made, *mounts, *_identity(engine), image, *command)
            return _drive(engine, driver)

    def _built(self, engine: Engine, directory: Path, say: Say) -> str:
        """The image's id; made from this checkout, in a moment where nothing has changed."""
        base = self.base or _default_base()
        if _image_id(engine, base) is None:
            say(f"pulling {base}")
            try:
                engine.ask("pull", "--quiet", base, limit_s=_PULL_LIMIT_S, patience_s=0.0)
            except CommandFailed as error:
                raise PlaceUnavailable(
                    f"the base image {base} can't be pulled ({error.said}); set {BASE_VARIABLE} to a Debian or "
                    "Ubuntu image that is there"
                ) from error
        written = directory / "image"
        command = [
            *("build", "--force-rm", "--file", _DOCKERFILE, "--build-arg", f"BASE={base}"),
            *("--tag", _IMAGE, "--iidfile", str(written)),
        ]
        is_there = _image_id(engine, _IMAGE) is not None
        if is_there:
            say("building the node image anew where this checkout has changed")
            command.append("--quiet")
        else:
            say("building the node image; that takes some minutes the first time")
        status = engine.show(*command, ".", complaints_only=is_there)
        if status != 0:
            raise PlaceUnavailable(f"the node image could not be built from {_DOCKERFILE}; see above")
        return written.read_text().strip()

    def _network(self, engine: Engine, name: str, made: Sequence[str]) -> ipaddress.IPv4Network:
        """A new network, of addresses that no other one of the engine has."""
        for network in candidates(self.range):
            try:
                engine.ask("network", "create", "--subnet", str(network), *made, name)
            except CommandFailed as error:
                if _OVERLAP not in error.said:
                    raise
            else:
                return network
        raise PlaceUnavailable(
            f"every network that was tried in {self.range} is in use; set {SUBNET_VARIABLE} to another range"
        )


def nodes_wanted(nodes: int | None, environ: Mapping[str, str] = os.environ) -> DockerNodes:
    """What the user chose by `--nodes` and the environment. Raises ValueError for what can't be."""
    nodes = NODES if nodes is None else nodes
    if not 1 <= nodes <= NODES_MAX:
        raise ValueError(
            f"a cluster of containers can't have {nodes} nodes; choose --nodes from 1 to {NODES_MAX}"
        )
    text = environ.get(SUBNET_VARIABLE) or _SUBNET
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise ValueError(
            f"{SUBNET_VARIABLE} is no range of addresses ({error}); write one like {_SUBNET}"
        ) from error
    # The network's own address, the gateway's, the driver's and that of all.
    if network.num_addresses < nodes + 4:
        raise ValueError(
            f"{SUBNET_VARIABLE} is {network}, which has too few addresses for {nodes} nodes; write one like {_SUBNET}"
        )
    return DockerNodes(nodes, network, environ.get(BASE_VARIABLE, ""))


def candidates(whole: ipaddress.IPv4Network) -> Iterator[ipaddress.IPv4Network]:
    """Networks for a run, some out of the range in random order; the range itself if it is small."""
    if whole.prefixlen >= _RUN_PREFIX:
        yield whole
        return
    parts = 1 << (_RUN_PREFIX - whole.prefixlen)
    size = whole.num_addresses // parts
    for part in random.sample(range(parts), min(parts, _SUBNET_ATTEMPTS)):
        yield ipaddress.IPv4Network((int(whole.network_address) + part * size, _RUN_PREFIX))


def cluster_file(addresses: Sequence[str]) -> dict[str, object]:
    """What ducktape's JSON cluster wants to know of the nodes, and what results say of them."""
    return {
        "where": "in containers of the machine that is named here, which share its cores",
        "nodes": [
            {
                "externally_routable_ip": address,
                "ssh_config": {
                    "host": f"node{number}",
                    "hostname": address,
                    "identityfile": f"{_INSIDE}/key",
                    "port": _NODE_PORT,
                    "user": _NODE_USER,
                },
            }
            for number, address in enumerate(addresses, 1)
        ],
    }


def node_command(
    place: Sequence[str], made: Sequence[str], address: str, public_key: str, image: str
) -> list[str]:
    """The arguments that start a node: nothing in it is root or can become it."""
    return [
        *("run", "--detach", "--init", *place, *made),
        *("--ip", address),
        *("--env", f"SYSTEST_PUBLIC_KEY={public_key}"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        "--no-healthcheck",  # it would start a process every few seconds beside what is measured
        image,
    ]


def mount_arguments(directory: Path, files: Files) -> list[str]:
    """The arguments that give the driver its files: the run's own, the checkout, and what the user named."""
    here = Path.cwd()
    mounts = [
        f"type=bind,source={directory},target={_INSIDE},readonly",
        f"type=bind,source={here},target={here}",
        *(_mount(path) for path in files.written if not _is_below(here, path)),
        *(f"{_mount(path)},readonly" for path in files.read if not _is_below(here, path)),
    ]
    return [*("--workdir", str(here)), *(word for mount in mounts for word in ("--mount", mount))]


def _mount(path: Path) -> str:
    """The driver has the user's arguments, and this machine's symbolic links only where they are in the checkout."""
    return f"type=bind,source={path.resolve()},target={_named(path)}"


def _is_below(directory: Path, path: Path) -> bool:
    """By its name and in truth."""
    return _named(path).is_relative_to(directory) and path.resolve().is_relative_to(directory)


def _named(path: Path) -> Path:
    return Path(os.path.normpath(path.absolute()))


def _identity(engine: Engine) -> list[str]:
    """The arguments that make what the driver writes the user's own."""
    # Without root, the engine's root is the user.
    rootless = "name=rootless" in engine.ask("info", "--format", "{{json .SecurityOptions}}")
    user = "0:0" if rootless else f"{os.getuid()}:{os.getgid()}"
    columns = shutil.get_terminal_size((160, 24)).columns
    return [
        *(
            "--init",
            "--user",
            user,
            "--userns",
            "host",
            "--security-opt",
            "label=disable",
            "--no-healthcheck",
        ),
        *("--env", "HOME=/home/systest", "--env", f"USER={_NODE_USER}", "--env", f"COLUMNS={columns}"),
    ]


@contextlib.contextmanager
def _belongings() -> Iterator[tuple[Belongings, Engine]]:
    """A directory of the run's own, and its hold on the engine; left, nothing is there any more."""
    belongings = Belongings(reaper=False)  # it would end the clients of the one below
    engine = Engine(belongings.run_id)
    arguments = (str(belongings.directory), belongings.run_id, Owner.this().label())
    reaper = subprocess.Popen(
        [sys.executable, "-m", "systest.clusters.docker_reaper", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield belongings, engine
    finally:
        with _undisturbed():
            try:
                remove(engine)
            finally:
                belongings.close()
                await_reaper(reaper)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Within, no Ctrl-C and no SIGTERM stops the work."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _drive(engine: Engine, driver: str) -> int:
    """Runs the driver to its end, with its output as ours; its exit status."""
    process = engine.started("start", "--attach", driver, stdout=None, stderr=None)
    try:
        return process.wait()
    except BaseException:
        # By this the tests end in order, as they would on this machine.
        with contextlib.suppress(CommandFailed):
            engine.ask("kill", "--signal", "TERM", driver)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_TIDY_UP_S)
        raise
    finally:
        docker.end(process)


def _await_sshd(engine: Engine, node: str) -> None:
    deadline_s = time.monotonic() + _NODE_LIMIT_S
    while _LISTENS not in (said := engine.ask("logs", node)):
        if engine.ask("inspect", "--format", "{{.State.Running}}", node) != "true":
            raise PlaceUnavailable(f"the container {node} ended: {said or 'it said nothing'}")
        if time.monotonic() > deadline_s:
            raise PlaceUnavailable(f"the container {node} has no sshd after {_NODE_LIMIT_S:.0f} s: {said}")
        time.sleep(_POLL_S)


def _write_key(path: Path) -> str:
    """Makes a key for the run; returns its public half."""
    key = Ed25519PrivateKey.generate()
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode()
    )


def remove_replaced(engine: Engine, former: str) -> None:
    """Removes the image that was the nodes' before, unless it has a name still, or containers."""
    without_name = ("image", "ls", "--quiet", "--no-trunc", "--filter", "dangling=true")
    if former in engine.ask(*without_name).split():
        with contextlib.suppress(CommandFailed):  # another run is on it
            engine.ask("image", "rm", former)


def _image_id(engine: Engine, name: str) -> str | None:
    try:
        return engine.ask("image", "inspect", "--format", "{{.Id}}", name)
    except CommandFailed:
        return None


def _default_base() -> str:
    found = re.search(r"^ARG BASE=(\S+)$", Path(_DOCKERFILE).read_text("utf-8"), re.MULTILINE)
    assert found is not None, f"{_DOCKERFILE} names no base"
    return found[1]
