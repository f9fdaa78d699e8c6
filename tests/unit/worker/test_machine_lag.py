"""The process that measures the machine's own lag beside a worker."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

from systest.worker.resources import LAG_EVERY_S


def test_machine_lag__told_to_stop__prints_how_late_it_woke_each_time() -> None:
    process = subprocess.Popen([sys.executable, "-m", "systest.worker.machine_lag"], stdout=subprocess.PIPE)
    try:
        time.sleep(2)  # it has to start, and then to measure for a while
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    late_ns = json.loads(said)
    assert 2 <= len(late_ns) <= 2 / LAG_EVERY_S
    assert all(each >= 0 for each in late_ns)
    assert sum(late_ns) > 0
