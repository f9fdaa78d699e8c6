"""Places: where a run's nodes come from. `systest.clusters.places` has them by name.

A place is opened around a run and yields what ducktape is to be told. What it made for the run, such as namespaces
or containers, goes when it is left, and also when the runner is killed.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from systest.clusters.belongings import Belongings

Say = Callable[[str], None]

LOCAL_CLUSTER = "systest.clusters.local.LocalCluster"
SSH_CLUSTER = "systest.clusters.ssh.SshCluster"
NODES_MAX = 250


class PlaceUnavailable(Exception):
    """Nodes can't be had there; one sentence that says what is missing and what to do."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A place that is ready.

    Args:
        arguments: ducktape's, such as `--cluster` and `--cluster-file`.
        notes: sentences that belong in every result of the run.
    """

    arguments: tuple[str, ...]
    notes: tuple[str, ...] = ()


class Place(Protocol):
    """Somewhere that nodes come from.

    `is_local` says that nodes are this machine's plain processes, so that a broker on loopback can serve them;
    `shares_files` that they see this machine's files, so that what is fetched here is there.
    """

    is_local: ClassVar[bool] = False
    shares_files: ClassVar[bool] = False

    def refused(self) -> str | None:
        """Why nodes can't be had there, whatever one installs or fetches, in one sentence; None if nothing is known."""
        return None

    def opened(self, say: Say) -> AbstractContextManager[Opened]:
        """Within, the nodes are there. Raises PlaceUnavailable; then nothing is left of what was begun.

        Args:
            say: is told each step that takes a while.
        """


@dataclass(frozen=True, slots=True)
class ClusterClass(Place):
    """A ducktape cluster class, which makes its own nodes; nobody can say where."""

    path: str

    @contextlib.contextmanager
    def opened(self, say: Say) -> Iterator[Opened]:
        del say
        yield Opened(("--cluster", self.path))


@dataclass(frozen=True, slots=True)
class LocalNodes(Place):
    """Nodes on this machine, so many, or None for as many as there usually are."""

    is_local = shares_files = True

    nodes: int | None = None

    @contextlib.contextmanager
    def opened(self, say: Say) -> Iterator[Opened]:
        del say
        if self.nodes is None:
            yield Opened(("--cluster", LOCAL_CLUSTER))
            return
        belongings = Belongings()
        try:
            file = belongings.directory / "cluster.json"
            file.write_text(json.dumps({"num_nodes": self.nodes}))
            yield Opened(("--cluster", LOCAL_CLUSTER, "--cluster-file", str(file)))
        finally:
            belongings.close()


@dataclass(frozen=True, slots=True)
class SshAccounts(Place):
    """The ssh accounts that a JSON file lists."""

    file: Path

    @contextlib.contextmanager
    def opened(self, say: Say) -> Iterator[Opened]:
        from systest.clusters import ssh, survey

        accounts = ssh.accounts_in(self.file)
        say(f"looking at {len(accounts)} nodes ...")
        try:
            nodes = survey.survey(accounts)
        except survey.NotUsable as error:
            raise PlaceUnavailable(str(error)) from error
        where = ssh.read_cluster_file(self.file).get("where")
        yield Opened(
            ("--cluster", SSH_CLUSTER, "--cluster-file", str(self.file)), tuple(survey.notes_on(nodes, where))
        )
