"""MachineLag: how late a process wakes that does nothing but sleep, on the node where a worker runs.

The lag of a worker's event loop has two causes, what runs on the loop and a machine that is busy elsewhere. This is
the second one alone, measured at the same time.
"""

from __future__ import annotations

import json
from typing import Any

from systest.services.process import NodeProcess, node_home, node_python


class MachineLag:
    """Measures while its block runs; `lag_ns` is what it found, once the block was left normally."""

    lag_ns: tuple[int, ...]

    def __init__(self, account: Any) -> None:
        self._account = account

    def __enter__(self) -> MachineLag:
        command = [node_python(self._account), "-m", "systest.worker.machine_lag"]
        directory = f"{node_home(self._account)}/machine-lag"
        self._process = NodeProcess.start(self._account, command, name="machine-lag", directory=directory)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        process = self._process
        process.terminate()
        if kind is not None:
            return
        said = process.hear()
        if not said:
            raise RuntimeError(f"the process that measures the machine's lag said nothing\n{process.tail()}")
        self.lag_ns = tuple(json.loads(said))
