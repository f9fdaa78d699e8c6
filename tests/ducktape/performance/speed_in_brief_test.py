"""The speed table in its smallest form, from the first play to the last line: that it works, not how fast."""

from __future__ import annotations

from ducktape.mark.resource import cluster

from systest.metrics.verdict import Verdict
from systest.progress import say
from systest.services.embedded import EmbeddedBroker
from systest.speed import SpeedOptions, SpeedResult, play_speed, terminal
from systest.testing import SystemTest


class SpeedInBriefTest(SystemTest):
    """One round of one part, on the embedded broker."""

    @cluster(num_nodes=3)
    def test_one_round__of_one_part__is_verified_and_decides_nothing(self) -> None:
        broker = EmbeddedBroker(self.test_context, 1)
        broker.start()
        chosen = SpeedOptions(groups=("one-at-a-time",), rounds=1, peer_rounds=0, duration_s=0.2)
        result = play_speed(chosen, self.options, broker, self.rounds_on(broker), say)
        assert result.is_verified, result.unverified
        played = {(each.strategy, each.case) for each in result.played}
        assert played == {("sync", "one-at-a-time"), ("async", "one-at-a-time"), ("control", "open:200")}
        p50, p99 = result.lines("async")
        assert p50.ratio is not None
        assert p50.ratio > 0
        assert (p50.verdict, p99.verdict) == (Verdict.UNDECIDED, Verdict.UNDECIDED)
        assert SpeedResult.from_json(result.to_json()) == result
        assert "one record at a time" in terminal(result, 160)
