"""The scaling curves in their smallest form, from the first play to the chart: that they work, not what they say."""

from __future__ import annotations

from dataclasses import replace

from ducktape.mark.resource import cluster

from systest.progress import say
from systest.scaling import ScalingOptions, ScalingResult, chart, markdown, play_scaling, terminal
from systest.scaling.axes import axes_named
from systest.services.embedded import EmbeddedBroker
from systest.testing import SystemTest


class ScalingInBriefTest(SystemTest):
    """One round along one axis, on the embedded broker."""

    @cluster(num_nodes=3)
    def test_one_round__along_one_axis__has_every_strategy_at_every_value(self) -> None:
        broker = EmbeddedBroker(self.test_context, 1)
        broker.start()
        chosen = ScalingOptions(axes=("in-flight",), rounds=1, duration_s=0.5, up_to=10)
        options = replace(self.options, strategies=("sync", "async"))
        [result] = play_scaling(chosen, options, broker, self.rounds_on(broker), say)
        assert result.is_verified, result.unverified
        [axis], [view] = axes_named(chosen.axes), result.views
        found = {curve.strategy: [point.value for point in curve.points] for curve in result.curves(view)}
        wanted = [value for value in axis.cases if value <= 10]
        assert found == {"sync": wanted, "async": wanted, "control": wanted}, found
        assert ScalingResult.from_json(result.to_json()) == result, "the file does not give the result back"
        for text in (terminal(result, 160), markdown(result), chart(result)):
            assert "asyncio alone" in text, "a report lacks a curve"
