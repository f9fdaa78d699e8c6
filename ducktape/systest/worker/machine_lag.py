"""`python -m systest.worker.machine_lag`: by how much the machine itself lets a process sleep too long.

A process that does nothing else sleeps as long as `LagSampler` does between two looks, until SIGTERM; then it prints
how late it woke, in nanoseconds, as one JSON array. Whatever runs beside it on a busy machine is no less late.
"""

from __future__ import annotations

import json
import signal
import time
from array import array

from systest.worker.resources import LAG_EVERY_S


def main() -> None:
    late_ns = array("q")
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    while not ended:
        due_ns = time.monotonic_ns() + round(LAG_EVERY_S * 1e9)
        time.sleep(LAG_EVERY_S)
        late_ns.append(max(0, time.monotonic_ns() - due_ns))
    print(json.dumps(late_ns.tolist()))


if __name__ == "__main__":
    main()
