"""What every system test starts from: the user's options, the broker they chose, rounds on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ducktape.tests.test import Test

from systest.options import RunOptions
from systest.rounds import RoundPlayer
from systest.services.broker import Broker, BrokerKind
from systest.services.embedded import EmbeddedBroker
from systest.services.external import ExternalKafka
from systest.services.kafka import KafkaService

_BEGIN_S = 300.0
_ROUND_S = 20.0
"""What a round takes beside its measured time, and five times that: topic, two processes, reading it all back."""


def rounds_limit_s(context: Any) -> float:
    """The limit of a test that plays each of the user's strategies with each of their records as often as they want."""
    options = RunOptions.from_globals(context.globals or {})
    rounds = options.rounds * len(options.strategies) * len(options.records)
    return _BEGIN_S + rounds * (5 * options.duration_s + _ROUND_S)


class TooFewNodes(Exception):
    """The cluster is too small for the test."""


class SystemTest(Test):  # type: ignore[misc]  # ducktape has no types
    """A ducktape test of this harness."""

    @property
    def options(self) -> RunOptions:
        return RunOptions.from_globals(self.test_context.globals)

    def require_nodes(self, workers: int) -> None:
        """For a test that takes all nodes there are: raises TooFewNodes if they don't do for the user's brokers and so
        many workers.
        """
        options = self.options
        brokers = {
            BrokerKind.KAFKA: options.brokers,
            BrokerKind.EMBEDDED: 1,
            BrokerKind.EXTERNAL: 0,
        }[options.broker]
        there = len(self.test_context.cluster)
        if there < brokers + workers:
            raise TooFewNodes(
                f"{brokers + workers} nodes are needed, {brokers} for brokers and {workers} for workers, "
                f"and {there} can be used; choose more with --nodes"
            )

    def start_broker(
        self,
        brokers: int | None = None,
        *,
        performance: bool = False,
        overrides: Mapping[str, str] | None = None,
    ) -> Broker:
        """The broker that the user chose, ready for records.

        Args:
            brokers: how many this test needs; None for the user's choice.
            performance: for figures rather than for correctness; starts slower.
            overrides: Kafka's server properties, for a broker that this run starts.
        """
        options = self.options
        count = options.brokers if brokers is None else brokers
        if options.broker is BrokerKind.EXTERNAL:
            return ExternalKafka(options.bootstrap_server, options.client_config or None)
        if options.broker is BrokerKind.EMBEDDED:
            embedded = EmbeddedBroker(self.test_context, count)
            embedded.start()
            return embedded
        kafka = KafkaService(self.test_context, count, performance=performance, overrides=overrides)
        kafka.start()
        kafka.warm_up()
        return kafka

    def rounds_on(self, broker: Broker, producers: int = 1) -> RoundPlayer:
        """Plays rounds on a started broker; `producers` is the most that any of them wants."""
        return RoundPlayer(self.test_context, broker, producers)
