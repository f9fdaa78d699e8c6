"""A ducktape cluster of N nodes on this machine, with no sshd and no root.

Each run has a directory below the temporary one, with a home for each node, and a /24 of loopback addresses, one
for each node, so that parallel runs never meet on a port. A listening socket on the /24's first address is the
lease of it. Where the platform has 127.0.0.1 only, nodes share that.

Whatever happens to the runner, nothing survives it: `close` ends a run in order, the reaper does if it could not.
"""

from __future__ import annotations

import errno
import json
import random
import socket
from pathlib import Path
from typing import Any

from ducktape.cluster.cluster import Cluster
from ducktape.cluster.cluster_node import ClusterNode
from ducktape.cluster.cluster_spec import ClusterSpec
from ducktape.cluster.node_container import NodeContainer

from systest.clusters.account import LocalAccount
from systest.clusters.belongings import Belongings
from systest.clusters.place import NODES_MAX

_LEASE_PORT = 18_990
_LEASE_ATTEMPTS = 1_000


class LocalCluster(Cluster):  # type: ignore[misc]  # ducktape has no types
    """Nodes local1, local2 ... Correct across ducktape's fork for each test: only the maker cleans up."""

    def __init__(
        self,
        num_nodes: int = 12,
        address: str | None = None,
        cluster_file: str | None = None,
        **ducktape_arguments: Any,
    ) -> None:
        """
        Args:
            num_nodes: how many; they cost nothing until something runs on them.
            address: of this machine, for all nodes; None for a loopback address of its own for each.
            cluster_file: of JSON that says `num_nodes`; ducktape can hand a cluster nothing but a file.
            ducktape_arguments: what else ducktape hands every cluster; none means anything here.
        """
        super().__init__()
        del ducktape_arguments
        if cluster_file is not None:
            num_nodes = json.loads(Path(cluster_file).read_text("utf-8"))["num_nodes"]
        if not 1 <= num_nodes <= NODES_MAX:
            raise ValueError(f"a local cluster can't have {num_nodes} nodes; choose 1 to {NODES_MAX}")
        self._belongings = Belongings()
        self.directory = self._belongings.directory
        self._lease, addresses = _lease(num_nodes) if address is None else (None, [address] * num_nodes)
        self._available_nodes = NodeContainer()
        self._in_use_nodes = NodeContainer()
        for number, address in enumerate(addresses, 1):
            name = f"local{number}"
            account = LocalAccount(name, address, self.directory / name, self._belongings.run_id)
            self._available_nodes.add_node(ClusterNode(account))

    def do_alloc(self, cluster_spec: Any) -> Any:
        good, _ = self._available_nodes.remove_spec(cluster_spec)
        self._in_use_nodes.add_nodes(good)
        return good

    def free_single(self, node: Any) -> None:
        self._in_use_nodes.remove_node(node)
        self._available_nodes.add_node(node)

    def available(self) -> Any:
        return ClusterSpec.from_nodes(self._available_nodes)

    def used(self) -> Any:
        return ClusterSpec.from_nodes(self._in_use_nodes)

    def close(self) -> None:
        """Ends every process of the run and removes its directory. Safe twice; nothing in a forked child."""
        self._belongings.close()
        if self._lease is not None:
            self._lease.close()


def _lease(count: int) -> tuple[socket.socket | None, list[str]]:
    """A /24 of loopback that no other run holds, by the socket that holds it; addresses for the nodes."""
    for _ in range(_LEASE_ATTEMPTS):
        network = f"127.{random.randrange(64, 192)}.{random.randrange(256)}"
        lease = socket.socket()
        try:
            lease.bind((f"{network}.1", _LEASE_PORT))
            lease.listen()
        except OSError as error:
            lease.close()
            if error.errno == errno.EADDRINUSE:
                continue
            return None, ["127.0.0.1"] * count
        return lease, [f"{network}.{host}" for host in range(2, 2 + count)]
    raise RuntimeError(f"every loopback network that was tried is in use on port {_LEASE_PORT}")
