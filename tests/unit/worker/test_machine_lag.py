"""The process that measures the machine's own lag beside a worker."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from systest.worker.resources import LAG_EVERY_S

LIMIT_S = 60.0


def catches_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    [caught] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_machine_lag__told_to_stop__prints_how_late_it_woke_each_time(popen: Any) -> None:
    began_s = time.monotonic()
    process = popen([sys.executable, "-m", "systest.worker.machine_lag"], stdout=subprocess.PIPE)
    while not catches_sigterm(process.pid):
        assert time.monotonic() - began_s < LIMIT_S, "it has not begun"
        time.sleep(0.01)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=LIMIT_S)
    late_ns = json.loads(said)
    assert 2 <= len(late_ns) <= (time.monotonic() - began_s) / LAG_EVERY_S
    assert all(each >= 0 for each in late_ns)
    assert sum(late_ns) > 0
