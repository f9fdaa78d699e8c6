"""The main job: how producers compare on one broker, with every record read back."""

from __future__ import annotations

from systest.comparison import REPORT, play_comparison
from systest.progress import say
from systest.reports import RunResult, markdown
from systest.rounds import results_dir
from systest.testing import SystemTest


class ComparisonTest(SystemTest):
    """All strategies that the user chose, in interleaved rounds."""

    # No @cluster: it takes every node, so that no other test runs beside it.
    def test_strategies__take_turns__every_record_is_where_it_was_acknowledged(self) -> None:
        try:
            result = self._compare()
        except Exception as error:
            say(f"the comparison could not be finished: {error}")
            raise
        assert result.is_verified, "some check did not hold; see comparison.md"

    def _compare(self) -> RunResult:
        options = self.options
        broker = self.start_broker(performance=True)
        say(f"broker: {broker.description}")
        result = play_comparison(options, broker, self.rounds_on(broker), say)
        report = results_dir(self.test_context) / REPORT
        report.write_text(result.to_json(), "utf-8")
        report.with_suffix(".md").write_text(markdown(result), "utf-8")
        return result
