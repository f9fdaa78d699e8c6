"""The comparison without the harness in its smallest form: that it works, not how fast."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ducktape.mark.resource import cluster

from producer.transports import transports, why_not_compiled
from systest import not_run
from systest.testing import SystemTest

SCRIPT = Path(__file__).with_name("bare.py")
LIMIT_S = 120


class BareInBriefTest(SystemTest):
    """One round of some records."""

    @cluster(num_nodes=1)
    def test_one_round__of_every_producer__prints_each_figure_with_its_ratio(self) -> dict[str, str] | None:
        broker = self.start_broker(1)
        lines = self._lines_of(broker.bootstrap_servers())
        of_sync, of_ours = 6, 8 * (len(transports()) + 1)  # one more on uvloop
        if why_not_compiled() is None:
            of_ours += 3  # with no producer around librdkafka's events
        assert len(lines) == of_sync + of_ours, lines
        ratios = [(float(line.partition("x [")[0].split()[-1]), line) for line in lines[of_sync:]]
        assert all(ratio > 0 for ratio, _ in ratios), lines
        # No matter of speed: librdkafka left alone waits out a timer of half a second before a new producer's first.
        assert all(ratio < 0.8 for ratio, line in ratios if "first_ms" in line), lines
        shapes = ("mixed", "all together")
        chosen = [word for shape in shapes for word in ("--shape", shape)]
        table = self._lines_of(
            broker.bootstrap_servers(),
            *chosen,
            "--set",
            "acks=1",
            "--set",
            "enable.idempotence=false",
            "--topics",
            "3",
        )
        for shape in shapes:
            rows = [line for line in table if line.startswith(f"| {shape} |")]
            assert [row.count("x [") for row in rows] == [4] * len(transports()), table
        return not_run.data_in_part(why_not_compiled())

    def _lines_of(self, servers: str, *options: str) -> list[str]:
        command = [sys.executable, str(SCRIPT), "--bootstrap-server", servers, *options]
        command += ["--rounds", "1", "--records", "20000"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.splitlines()[1:]
