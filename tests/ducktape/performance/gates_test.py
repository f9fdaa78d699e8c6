"""The gates on rounds that are really played: what can't be met fails, what can't be missed holds."""

from __future__ import annotations

from dataclasses import replace

from ducktape.mark.resource import cluster

from systest.comparison import play_comparison
from systest.gates import Gate
from systest.metrics.verdict import Bound, Verdict
from systest.progress import say
from systest.reports import gate_failures
from systest.services.embedded import EmbeddedBroker
from systest.testing import SystemTest

RATE = "throughput.records_per_s"


def gate(name: str, times: str, at_least: float) -> Gate:
    return Gate(name, "async", RATE, Bound(at_least, at_least=True), times, "saturate", "to see it judged")


class GatesTest(SystemTest):
    """As few rounds as can be judged, on the embedded broker."""

    @cluster(num_nodes=3)
    def test_gates__one_impossible_and_one_easy__are_told_apart_by_their_figures(self) -> None:
        gates = [
            gate("impossible", "sync", at_least=1_000),
            gate("easy", "sync", at_least=0.0001),
            gate("absent", "aiokafka", at_least=1),
        ]
        broker = EmbeddedBroker(self.test_context, 1)
        broker.start()
        options = replace(self.options, strategies=("sync", "async"), workload="saturate", records=("plain",))
        options = replace(options, rounds=3, duration_s=1.0)
        result = play_comparison(options, gates, broker, self.rounds_on(broker), say)
        found = [each.verdict for each in result.verdicts()]
        assert found == [Verdict.NOT_MET, Verdict.MET, Verdict.NOT_JUDGED], result.verdicts()
        [failure] = gate_failures(result)
        assert failure.startswith("gate impossible failed: "), failure
        assert "of sync, at least 1000x wanted" in failure, failure
        assert failure.endswith("(async, send rate, records/s)"), failure
