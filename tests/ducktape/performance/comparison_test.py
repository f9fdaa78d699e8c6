"""The main job: how producers compare on one broker, with every record read back and every gate judged."""

from __future__ import annotations

from pathlib import Path

from systest.comparison import REPORT, play_comparison
from systest.gates import load_gates
from systest.limits import limit
from systest.progress import say
from systest.reports import RunResult, gate_failures, junit, markdown
from systest.rounds import results_dir
from systest.testing import SystemTest, rounds_limit_s


class ComparisonTest(SystemTest):
    """All strategies that the user chose, in interleaved rounds."""

    # No @cluster: it takes every node, so that no other test runs beside it.
    @limit(of=rounds_limit_s)
    def test_strategies__take_turns__every_record_is_where_it_was_acknowledged(self) -> None:
        try:
            result = self._compare()
        except Exception as error:
            say(f"the comparison could not be finished: {error}")
            raise
        assert result.is_verified, "some check did not hold; see comparison.md"
        failures = gate_failures(result)
        assert not failures, "; ".join(failures)

    def _compare(self) -> RunResult:
        options = self.options
        gates = load_gates(Path(options.gates))
        self.require_nodes(workers=2)
        broker = self.start_broker(performance=True)
        say(f"broker: {broker.description}")
        result = play_comparison(options, gates, broker, self.rounds_on(broker), say)
        report = results_dir(self.test_context) / REPORT
        report.write_text(result.to_json(), "utf-8")
        report.with_suffix(".md").write_text(markdown(result), "utf-8")
        report.with_suffix(".xml").write_text(junit(result), "utf-8")
        return result
