"""How the cost of a record scales, on one warm broker: curves over tasks, records in flight, sizes, topics, partitions.

    TMPDIR=/dev/shm ./run_ducktape.sh tests/ducktape/performance/scaling_test.py

All of it takes half an hour or more; TMPDIR keeps the broker's log in memory, and so waits for the disk out of the
figures.
`--globals '{"scaling": {"rounds": 1, "axes": "tasks,in-flight"}}'` chooses how often, and along what: tasks, in-flight,
sizes, topics, partitions; `duration_s` and `up_to`, a greatest number along each, too. `--strategies` chooses whose.
"""

from __future__ import annotations

from systest.limits import limit
from systest.progress import say
from systest.rounds import results_dir
from systest.scaling import REPORT, ScalingOptions, chart, markdown, play_scaling
from systest.testing import SystemTest

# What a play wrote goes when its topic does, not a minute later: there would be some gigabytes of it.
DELETED_AT_ONCE = {"log.segment.delete.delay.ms": "1000"}


class ScalingTest(SystemTest):
    """Every axis, for every strategy that the user chose."""

    # No @cluster: it takes every node, so that no other test runs beside it.
    @limit(minutes=240)
    def test_strategies__along_every_axis__are_measured_on_verified_records(self) -> None:
        chosen = ScalingOptions.from_globals(self.test_context.globals)
        self.require_nodes(workers=2)
        broker = self.start_broker(performance=True, overrides=DELETED_AT_ONCE)
        say(f"broker: {broker.description}")
        report = results_dir(self.test_context) / REPORT
        for result in play_scaling(chosen, self.options, broker, self.rounds_on(broker), say):
            report.write_text(result.to_json(), "utf-8")
            report.with_suffix(".md").write_text(markdown(result), "utf-8")
            report.with_suffix(".svg").write_text(chart(result), "utf-8")
        assert result.is_verified, "some check did not hold; see scaling.md"
