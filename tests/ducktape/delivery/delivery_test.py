"""What a strategy's caller was told is what the log holds, however records find their partitions."""

from __future__ import annotations

from ducktape.mark import matrix
from ducktape.mark.resource import cluster

from systest import strategies
from systest.limits import limit
from systest.rounds import RoundPlan
from systest.strategies.mutants import MUTABLE, MUTANTS
from systest.testing import SystemTest
from systest.workloads.shapes import SHAPES
from systest.workloads.stream import Placement, Shape
from systest.workloads.workload import Workload, workload_named

SHORT = Workload("window:2000", in_flight=2_000, duration_s=0.5, warmup_s=0.1, records_max=60_000)
FEW = Workload("window:500", in_flight=500, duration_s=10.0, warmup_s=0.0, records_max=3_000)


class DeliveryTest(SystemTest):
    """No anomaly where none was planted; each planted one under its own name."""

    @cluster(num_nodes=5)
    @matrix(strategy=list(strategies.NAMES), brokers=[1, 3])
    def test_strategy__every_placement__log_is_what_was_acknowledged(
        self, strategy: str, brokers: int
    ) -> None:
        player = self.rounds_on(self.start_broker(brokers))
        for placement in Placement:
            keys = 1_000 if placement is Placement.KEY else 0
            shape = Shape(placement=placement, keys=keys)
            player.play(RoundPlan(strategy, SHORT, shape=shape, identify_reports=True)).assert_held()

    @limit(minutes=10)
    @cluster(num_nodes=3)
    @matrix(strategy=list(strategies.NAMES))
    def test_strategy__every_shape__log_is_what_was_acknowledged(self, strategy: str) -> None:
        player = self.rounds_on(self.start_broker())
        for shape in SHAPES.values():
            if strategies.refusal(strategy, SHORT, shape) is None:
                player.play(RoundPlan(strategy, SHORT, shape=shape, identify_reports=True)).assert_held()

    @cluster(num_nodes=3)
    @matrix(strategy=list(strategies.NAMES))
    def test_strategy__every_workload_and_many_topics__log_is_what_was_acknowledged(
        self, strategy: str
    ) -> None:
        player = self.rounds_on(self.start_broker())
        for name in ("open:5000", "tasks:200", "bulk:500"):
            work = workload_named(name, duration_s=0.5, warmup_s=0.1, records_max=60_000)
            if strategies.refusal(strategy, work) is None:
                player.play(RoundPlan(strategy, work, identify_reports=True)).assert_held()
        player.play(RoundPlan(strategy, SHORT, topics=20, partitions=2, identify_reports=True)).assert_held()

    @limit(minutes=10)
    @cluster(num_nodes=3)
    @matrix(strategy=list(strategies.NAMES), rounds=[20])
    def test_strategy__round_after_round__raises_no_anomaly(self, strategy: str, rounds: int) -> None:
        player = self.rounds_on(self.start_broker())
        for _ in range(rounds):
            player.play(RoundPlan(strategy, SHORT, identify_reports=True)).assert_held()

    @cluster(num_nodes=5)
    @matrix(strategy=list(strategies.NAMES))
    def test_several_producers__one_topic__each_finds_its_own(self, strategy: str) -> None:
        player = self.rounds_on(self.start_broker(), producers=3)
        plan = RoundPlan(strategy, SHORT, producers=3, identify_reports=True)
        player.play(plan).assert_held()


class MutantTest(SystemTest):
    """A check that was never seen to fail proves nothing."""

    @cluster(num_nodes=3)
    @matrix(strategy=list(MUTABLE))
    def test_mutant__each__is_caught_under_its_own_name_alone(self, strategy: str) -> None:
        player = self.rounds_on(self.start_broker())
        found = {}
        for mutant in MUTANTS:
            plan = RoundPlan(
                strategy,
                FEW,
                mutant=mutant,
                shape=Shape(placement=Placement.PARTITION),
                identify_reports=True,
                drain_s=5.0,
            )
            found[mutant] = [anomaly.kind.value for anomaly in player.play(plan).judgement.anomalies]
        assert found == {mutant: [mutant] for mutant in MUTANTS}, found
