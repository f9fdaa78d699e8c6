"""Which place a user means, by the name that `--cluster` takes."""

from __future__ import annotations

import importlib
from pathlib import Path

from systest.clusters.netns import NetnsNodes
from systest.clusters.place import NODES_MAX, ClusterClass, LocalNodes, Place, SshAccounts
from systest.clusters.vagrant import VagrantMachines


def place_named(where: str, nodes: int | None = None) -> Place:
    """The place that a user named.

    Args:
        where: local, netns, vagrant, a JSON file, or a cluster class.
        nodes: how many, None for as many as there usually are.

    Raises ValueError with one sentence if there is no such place, or it can't have so many nodes.
    """
    if nodes is not None and not 1 <= nodes <= NODES_MAX:
        raise ValueError(f"a cluster can't have {nodes} nodes; choose --nodes from 1 to {NODES_MAX}")
    if where == "local":
        return LocalNodes(nodes)
    if where == "netns":
        return NetnsNodes() if nodes is None else NetnsNodes(nodes)
    place = _place_with_nodes(where)
    if nodes is not None:
        raise ValueError(f"{where} has nodes of its own; leave out --nodes")
    return place


def _place_with_nodes(where: str) -> Place:
    """One that makes none for a run. Raises ValueError if there is no such place."""
    if where == "vagrant":
        return VagrantMachines()
    if Path(where).is_file():
        return SshAccounts(Path(where))
    module, _, name = where.rpartition(".")
    try:
        getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"unknown cluster {where!r} ({error}); choose local, netns, docker, vagrant, a JSON file of ssh accounts, "
            "or a class such as my.module.MyCluster"
        ) from error
    return ClusterClass(where)
