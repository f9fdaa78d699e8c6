"""Formatted storage for brokers, without a JVM a broker.

Kafka's StorageTool formats one directory for each version of Kafka, and that is kept: the bootstrap snapshot
in it is the same for every node and cluster. What differs is `meta.properties`, four lines, which
`meta_properties` gives. Formatting each broker with the tool adds a second to every start of three.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence
from pathlib import Path

from systest.distribution.cache import cache_root, exclusive, key_of, partial
from systest.distribution.errors import DistributionUnavailable
from systest.distribution.jvm import JavaCommandFailed, run_java
from systest.distribution.properties import render_properties

META_FILE = "meta.properties"

_FORMAT_PROPERTIES = {
    "controller.listener.names": "CONTROLLER",
    "controller.quorum.voters": "1@127.0.0.1:9093",
    "listeners": "CONTROLLER://127.0.0.1:9093",
    "node.id": "1",
    "process.roles": "controller",
}


def formatted_storage(java: str, class_path: Sequence[str]) -> Path:
    """Directory whose files, with a `meta.properties` of its own beside them, are a node's fresh storage.

    Made at first use, which takes some 2 s. Raises DistributionUnavailable if Kafka's tool fails.
    """
    directory = cache_root() / "storage"
    storage = directory / key_of(class_path)
    if not storage.exists():
        with exclusive(directory):
            if not storage.exists():  # another process may have been faster
                _format(java, class_path, storage)
    return storage


def _format(java: str, class_path: Sequence[str], storage: Path) -> None:
    with partial(storage.parent) as work:
        properties = work / "server.properties"
        properties.write_text(
            render_properties({**_FORMAT_PROPERTIES, "log.dirs": str(work / "data")}), "ascii"
        )
        arguments = ["kafka.tools.StorageTool", "format", "-t", random_id(), "-c", str(properties)]
        try:
            run_java([java, *arguments], class_path, "formatting storage")
        except JavaCommandFailed as error:
            raise DistributionUnavailable(f"This Kafka doesn't work: {error}.") from error
        (work / "data" / META_FILE).unlink()
        (work / "data").rename(storage)


def meta_properties(cluster_id: str, kafka_id: int) -> str:
    """The text of the file that gives a formatted directory its owner."""
    return f"cluster.id={cluster_id}\ndirectory.id={random_id()}\nnode.id={kafka_id}\nversion=1\n"


def random_id() -> str:
    """A random id in Kafka's own form: 16 bytes, URL-safe base 64, no padding, no leading dash."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass  # Kafka's tools would take it for an option, and Kafka itself never makes one
    return text
