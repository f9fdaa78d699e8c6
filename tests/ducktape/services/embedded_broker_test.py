"""The harness's embedded broker starts, does what it was told to real clients, and names what it can't do."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer
from ducktape.mark import matrix
from ducktape.mark.resource import cluster
from ducktape.tests.test import Test
from ducktape.utils.util import wait_until

from systest.embedded.mock_cluster import Api
from systest.services.broker import Broker, BrokerDied, BrokerError, Capability, Unsupported
from systest.services.embedded import EmbeddedBroker

TOPIC = "orders"
PARTITIONS = 3
LIMIT_S = 10.0
DELAY_MS = 500


class EmbeddedBrokerTest(Test):  # type: ignore[misc]  # ducktape has no types
    """Each promise of `EmbeddedBroker`, met by real clients in another process."""

    @cluster(num_nodes=1)
    @matrix(brokers=[1, 3])
    def test_start__any_count__records_come_back_from_a_new_topic(self, brokers: int) -> None:
        broker = self.started(brokers)
        client = Client(broker)
        for partition in range(PARTITIONS):
            client.send(partition)
        assert client.consumed() == PARTITIONS
        assert broker.leaders(TOPIC) == {
            partition: 1 + partition % brokers for partition in range(PARTITIONS)
        }
        assert (broker.broker_cpu_seconds() or 0) > 0
        assert "librdkafka" in broker.description
        broker.stop()
        broker.start()
        broker.create_topic(TOPIC, 1)  # the old one went with its process

    @cluster(num_nodes=1)
    def test_stop_node__leader_of_a_partition__records_wait_until_it_is_back(self) -> None:
        broker = self.started(3)
        client = Client(broker)
        node = broker.leader_node(TOPIC, 1)
        broker.stop_node(node)
        client.produce(1)
        client.send(0)
        assert client.reported == [(0, None)], client.reported
        broker.restart_node(node)
        assert client.producer.flush(LIMIT_S) == 0
        assert client.reported == [(0, None), (1, None)], client.reported
        broker.assert_alive()

    @cluster(num_nodes=1)
    def test_faults__delay_error_and_moved_leader__clients_meet_each(self) -> None:
        broker = self.started(2)
        client = Client(broker)
        for partition in range(PARTITIONS):
            client.send(partition)
        broker.delay(1, DELAY_MS)
        assert client.send(0) >= DELAY_MS / 1000 > min(client.send(1) for _ in range(5))
        broker.set_leader(TOPIC, 0, 2)
        broker.track_requests()
        broker.fail_requests(Api.PRODUCE, [KafkaError.MSG_SIZE_TOO_LARGE])
        client.send(1)
        assert client.reported[-1] == (1, KafkaError.MSG_SIZE_TOO_LARGE), client.reported
        assert [each.broker_id for each in broker.requests() if each.api == Api.PRODUCE] == [2]

    @cluster(num_nodes=1)
    def test_what_it_cannot_do__asked_for__says_so(self) -> None:
        broker: Broker = self.started(1)
        for capability in (Capability.UNLIMITED_LOG, Capability.READ_COMMITTED, Capability.PAUSE_NODE):
            error = refusal(broker.require, capability)
            assert isinstance(error, Unsupported) and error.capability is capability
        assert "already exists" in str(refusal(broker.create_topic, TOPIC, 1))
        assert "no settings" in str(refusal(broker.create_topic, "other", 1, 1, {"retention.ms": "1"}))
        assert "replication factor 2" in str(refusal(broker.create_topic, "other", 1, 2))
        broker.delete_topic("absent")
        broker.delete_topic(TOPIC)
        broker.create_topic(TOPIC, 1)

    @cluster(num_nodes=1)
    def test_assert_alive__process_dies_on_its_own__noticed(self) -> None:
        broker = self.started(1)
        node = broker.nodes[0]
        node.account.ssh(f"kill -KILL {broker.broker_pid()}")
        wait_until(
            lambda: isinstance(refusal(broker.assert_alive), BrokerDied),
            timeout_sec=LIMIT_S,
            err_msg="the death went unnoticed",
        )
        assert isinstance(refusal(broker.leaders, TOPIC), BrokerDied)

    def started(self, brokers: int) -> EmbeddedBroker:
        broker = EmbeddedBroker(self.test_context, brokers)
        broker.start()
        broker.create_topic(TOPIC, PARTITIONS)
        return broker


class Client:
    """One producer that remembers its reports: partition and error code, in their order."""

    def __init__(self, broker: Broker) -> None:
        self.reported: list[tuple[int, int | None]] = []
        self._servers = {"bootstrap.servers": broker.bootstrap_servers(), "log_level": 0}
        self.producer = Producer({**self._servers, "linger.ms": 0})

    def produce(self, partition: int) -> None:
        self.producer.produce(TOPIC, b"value", partition=partition, on_delivery=self._report)

    def send(self, partition: int) -> float:
        """Seconds until this record was reported."""
        before = len(self.reported)
        began_s = time.monotonic()
        self.produce(partition)
        while len(self.reported) == before:
            assert time.monotonic() < began_s + LIMIT_S, f"no report for partition {partition}"
            self.producer.poll(0.05)
        return time.monotonic() - began_s

    def _report(self, error: KafkaError | None, message: Any) -> None:
        self.reported.append((message.partition(), None if error is None else error.code()))

    def consumed(self) -> int:
        """How many records come back; waits for as many as were acknowledged."""
        wanted = sum(error is None for _, error in self.reported)
        consumer = Consumer({**self._servers, "group.id": "reader", "auto.offset.reset": "earliest"})
        try:
            consumer.subscribe([TOPIC])
            return len(consumer.consume(wanted, timeout=LIMIT_S))
        finally:
            consumer.close()


def refusal(call: Any, *arguments: Any) -> BrokerError | None:
    """What the call raises; None if it does not."""
    try:
        call(*arguments)
    except BrokerError as error:
        return error
    return None
