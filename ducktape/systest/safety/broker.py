"""The embedded broker in a process of its own, so that none of its memory counts as the producer's."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from systest.embedded import control
from systest.embedded.client import ControlClient
from systest.safety.scenes import PARTITIONS, TOPIC

_END_S_MAX = 15.0
_OF_A_CHECK = ("LD_PRELOAD", "PYTHONMALLOC", "PYTHONDEVMODE", "PYTHONASYNCIODEBUG")
"""What makes this process look at its memory, and would only make the broker slow."""


class BrokerDied(Exception):
    """The embedded broker did not start, or ended on its own; the message says so."""


@contextlib.contextmanager
def embedded_broker() -> Iterator[tuple[str, ControlClient]]:
    """Its address, and the way to command it. It ends with the block, or with this process."""
    environment = {name: value for name, value in os.environ.items() if name not in _OF_A_CHECK}
    process = subprocess.Popen(
        [sys.executable, "-m", "systest.embedded"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert process.stdin is not None and process.stdout is not None, "both are pipes"
    try:
        line = process.stdout.readline()
        if not line:
            raise BrokerDied(f"the embedded broker ended at once, with exit status {process.wait()}")
        ready = control.ready_of(line)
        client = ControlClient(ready)
        try:
            client.call(control.CreateTopic(TOPIC, PARTITIONS, 1))
            yield ready.bootstrap_servers, client
        finally:
            client.close()
    finally:
        process.stdin.close()
        try:
            process.wait(_END_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
