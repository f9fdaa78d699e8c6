"""The benchmark of the callback pool runs; what it says is read by people."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "tests/ducktape/performance/callback_pool.py"


def test_callback_pool_benchmark__one_round__prints_a_ratio_for_each_case() -> None:
    command = [sys.executable, str(SCRIPT), "--rounds", "1"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    head, *rows = printed.splitlines()
    assert head.split()[-1] == "ratio"
    assert len(rows) == 6
    assert all(float(row.split()[-1]) > 0 for row in rows)
