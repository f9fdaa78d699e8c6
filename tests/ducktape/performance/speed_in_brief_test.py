"""The speed table in its smallest form, from the first play to the last line: that it works, not how fast."""

from __future__ import annotations

from ducktape.mark.resource import cluster

from systest import not_run
from systest.metrics.verdict import Verdict
from systest.progress import say
from systest.services.embedded import EmbeddedBroker
from systest.speed import SpeedOptions, SpeedResult, play_speed, terminal
from systest.strategies import ASYNC, OURS
from systest.testing import SystemTest


class SpeedInBriefTest(SystemTest):
    """Two rounds of one part, on the embedded broker."""

    @cluster(num_nodes=3)
    def test_two_rounds__of_one_part__are_verified_and_decide_nothing(self) -> dict[str, str] | None:
        broker = EmbeddedBroker(self.test_context, 1)
        broker.start()
        player = self.rounds_on(broker)
        chosen = SpeedOptions(groups=("one-at-a-time",), rounds=2, peer_rounds=0, duration_s=0.2)
        first, result = play_speed(chosen, self.options, broker, player, say)
        assert first.played == result.played[: len(first.played)], "a round's figures changed with the next"
        assert "cut off after 1 of 2 rounds" in terminal(first, 160), "half a run looks whole"
        assert "cut off" not in terminal(result, 160), "a whole run looks cut off"
        assert result.is_verified, result.unverified
        why_pure = player.why_pure()
        subjects = OURS if why_pure is None else (ASYNC,)
        assert tuple(result.transports) == subjects, result.transports
        assert any("async-pure" in note for note in result.notes) is (why_pure is not None), result.notes
        played = {(each.strategy, each.case) for each in result.played}
        wanted = {*((name, "one-at-a-time") for name in ("sync", *subjects)), ("control", "open:200")}
        assert played == wanted, played
        for name in subjects:
            p50, p99 = result.lines(name)
            assert p50.ratio is not None, f"{name} has no ratio"
            assert p50.ratio > 0, f"{name} has the ratio {p50.ratio}"
            assert (p50.verdict, p99.verdict) == (Verdict.UNDECIDED, Verdict.UNDECIDED), (p50, p99)
        assert SpeedResult.from_json(result.to_json()) == result, "the file does not give the result back"
        assert "one record at a time" in terminal(result, 160), "the table lacks its only part"
        return not_run.data_in_part(why_pure)
