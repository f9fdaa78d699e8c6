"""The speed table of the producer's contract, on one warm broker.

    TMPDIR=/dev/shm ./run_ducktape.sh tests/ducktape/performance/speed_test.py

The whole table takes an hour; TMPDIR keeps the broker's log in memory, and so waits for the disk out of the
producers' figures. `--globals '{"speed": {"rounds": 3, "rows": "saturation,open"}}'` chooses
how often, and which parts: saturation, one-at-a-time, open, tasks, shapes, topics; `peer_rounds` and `duration_s` too.
"""

from __future__ import annotations

from systest.limits import limit
from systest.progress import say
from systest.rounds import results_dir
from systest.speed import REPORT, SpeedOptions, markdown, play_speed
from systest.testing import SystemTest


class SpeedTest(SystemTest):
    """Every row, beside the yardstick and the peers, with its goal."""

    # No @cluster: it takes every node, so that no other test runs beside it.
    @limit(minutes=240)
    def test_producer__every_row__is_measured_on_verified_records(self) -> None:
        chosen = SpeedOptions.from_globals(self.test_context.globals)
        broker = self.start_broker(performance=True)
        say(f"broker: {broker.description}")
        report = results_dir(self.test_context) / REPORT
        for result in play_speed(chosen, self.options, broker, self.rounds_on(broker), say):
            report.write_text(result.to_json(), "utf-8")
            report.with_suffix(".md").write_text(markdown(result), "utf-8")
        assert result.is_verified, "some check did not hold; see speed.md"
