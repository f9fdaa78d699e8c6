"""Nodes that are Vagrant's virtual machines: `--cluster vagrant`, on what `vagrant up` made in `vagrant/`.

Machines take minutes to come up and outlive a run, so the user brings them up and down; this only looks that all of
them run, writes the cluster file that the user can hand to `systest provision` as well, and goes on as with any
cluster of ssh accounts.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import paramiko

from systest.clusters.place import Opened, Place, PlaceUnavailable, Say, SshAccounts
from systest.yaml_file import NotYaml, read_yaml

DIRECTORY = Path("vagrant")
CLUSTER_FILE = DIRECTORY / "cluster.json"

_SETTINGS = ("machines.yaml", "machines.local.yaml")
_FIRST_HOST = 11
_LIMIT_S = 120.0  # Vagrant starts in seconds and asks each machine's provider


@dataclass(frozen=True, slots=True)
class VagrantMachines(Place):
    """All machines that vagrant/machines.yaml describes."""

    @contextlib.contextmanager
    def opened(self, say: Say) -> Iterator[Opened]:
        say("asking Vagrant for its machines ...")
        states = states_of(_vagrant("status", "--machine-readable"))
        for name, state in states.items():
            if state != "running":
                raise PlaceUnavailable(
                    f"the machine {name} is {state.replace('_', ' ')}; run first: cd {DIRECTORY} && vagrant up"
                )
        entries = cluster_file(_vagrant("ssh-config"), addresses(settings(DIRECTORY), len(states)))
        CLUSTER_FILE.write_text(json.dumps(entries, indent=2) + "\n", "utf-8")
        with SshAccounts(CLUSTER_FILE).opened(say) as opened:
            yield opened


def states_of(said: str) -> dict[str, str]:
    """Each machine's state, from what `vagrant status --machine-readable` prints."""
    rows = (line.split(",", 3) for line in said.splitlines())
    return {row[1]: row[3] for row in rows if len(row) == 4 and row[2] == "state"}


def cluster_file(ssh_config: str, addresses: Mapping[str, str]) -> dict[str, object]:
    """What ducktape's JSON cluster wants to know, from what `vagrant ssh-config` prints."""
    config = paramiko.SSHConfig.from_text(ssh_config)
    nodes = []
    for name, address in addresses.items():
        host = config.lookup(name)
        nodes.append(
            {
                "externally_routable_ip": address,
                "ssh_config": {
                    "host": name,
                    "hostname": host["hostname"],
                    "identityfile": host["identityfile"][0].strip('"'),
                    "port": int(host.get("port", 22)),
                    "user": host["user"],
                },
            }
        )
    return {"nodes": nodes}


def addresses(described: Mapping[str, object], count: int) -> dict[str, str]:
    """Each machine's address in the network that they share, as the Vagrantfile gives it."""
    first = ipaddress.IPv4Network(str(described["network"])).network_address + _FIRST_HOST
    return {f"node{number}": str(first + number - 1) for number in range(1, count + 1)}


def settings(directory: Path) -> dict[str, object]:
    """What describes the machines, as the Vagrantfile reads it. Raises PlaceUnavailable if that can't be."""
    merged: dict[str, object] = {}
    for file in (directory / name for name in _SETTINGS):
        if not file.exists():
            continue
        try:
            content = read_yaml(file)
        except NotYaml as error:
            raise PlaceUnavailable(f"{error}; write lines like `count: 3`") from error
        match content:
            case dict():
                merged |= content
            case None:  # all of it may be comments
                pass
            case _:
                raise PlaceUnavailable(f"{file} has no settings; write lines like `count: 3`")
    return merged


def _vagrant(*arguments: str) -> str:
    if shutil.which("vagrant") is None:
        raise PlaceUnavailable(
            f"there is no vagrant command here; install Vagrant, see {DIRECTORY}/README.md"
        )
    try:
        done = subprocess.run(
            ["vagrant", *arguments],
            cwd=DIRECTORY,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PlaceUnavailable(
            f"vagrant {arguments[0]} had not ended after {_LIMIT_S:.0f} s; see whether it works in {DIRECTORY}"
        ) from None
    if done.returncode != 0:
        raise PlaceUnavailable(f"vagrant {arguments[0]} failed: {reason_of(done.stdout, done.stderr)}")
    return done.stdout


def reason_of(stdout: str, stderr: str) -> str:
    """The first line of Vagrant's complaint, which is on stdout where that is for programs."""
    for line in stdout.splitlines():
        row = line.split(",", 4)
        if row[2:4] == ["ui", "error"] or row[2:3] == ["error-exit"]:
            return row[4].replace("%!(VAGRANT_COMMA)", ",").split("\\n")[0]
    lines = stderr.strip().splitlines()
    return lines[0] if lines else "it said nothing"
