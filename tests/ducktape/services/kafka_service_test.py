"""The harness's own Kafka starts, and what is done to one node happens to it, measured at a client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer
from ducktape.mark import matrix, parametrize
from ducktape.mark.resource import cluster
from ducktape.tests.test import Test
from ducktape.utils.util import wait_until

from systest.services.broker import BrokerDied
from systest.services.kafka import KafkaService
from systest.services.kafka_config import ControllerMode
from systest.services.process import node_home

TOPIC = "orders"
RECORDS = 500
PARTITIONS = 3
LEADERS_MOVE_LIMIT_S = 30


class KafkaServiceTest(Test):  # type: ignore[misc]  # ducktape has no types
    """Each promise of `KafkaService`, on real brokers."""

    @cluster(num_nodes=3)
    @matrix(brokers=[1, 3], controllers=["combined", "isolated"])
    def test_start__any_shape__records_come_back(self, brokers: int, controllers: str) -> None:
        kafka = self.started(brokers, controllers)
        produce(kafka, 0)
        assert consume(kafka, RECORDS) == RECORDS
        assert set(kafka.leaders(TOPIC)) == set(range(PARTITIONS))
        assert (kafka.broker_cpu_seconds() or 0) > 0

    @cluster(num_nodes=3)
    @parametrize(how="stop")
    @parametrize(how="kill")
    @parametrize(how="pause")
    def test_lose_a_leader__any_way__others_take_over_and_nothing_is_lost(self, how: str) -> None:
        kafka = self.started(3, "combined")
        produce(kafka, 0)
        node = kafka.leader_node(TOPIC, 0)
        lost = kafka.idx(node)
        {"stop": kafka.stop_node, "kill": kafka.kill_node, "pause": kafka.pause_node}[how](node)
        kafka.assert_alive()  # one that was ended on purpose is not missed
        wait_until(
            lambda: len(kafka.leaders(TOPIC)) == PARTITIONS and lost not in kafka.leaders(TOPIC).values(),
            timeout_sec=LEADERS_MOVE_LIMIT_S,
            err_msg=f"broker {lost} still leads after {how}",
        )
        produce(kafka, RECORDS)
        if how == "pause":
            kafka.resume_node(node)
        else:
            kafka.restart_node(node)
        assert consume(kafka, 2 * RECORDS) == 2 * RECORDS

    @cluster(num_nodes=1)
    def test_assert_alive__broker_dies_on_its_own__error_has_its_last_lines(self) -> None:
        kafka = self.started(1, "combined")
        node = kafka.nodes[0]
        node.account.ssh(f"kill -KILL {kafka.broker_pid(node)}")
        wait_until(
            lambda: self.death_of(kafka) is not None, timeout_sec=10, err_msg="the death went unnoticed"
        )
        assert "broker-1" in str(self.death_of(kafka))
        assert "INFO" in str(self.death_of(kafka))

    @cluster(num_nodes=1)
    def test_broker__unpacks_a_library__does_so_among_its_own_files(self) -> None:
        """Else one that is killed would leave the library on the machine."""
        kafka = self.started(1, "combined")
        produce(kafka, 0, compression="lz4")
        node = kafka.nodes[0]
        mapped = node.account.ssh_output(f"cat /proc/{kafka.broker_pid(node)}/maps").decode().splitlines()
        # The path is the sixth column, and may have blanks.
        unpacked = {Path(line.split(maxsplit=5)[5]) for line in mapped if "liblz4-java" in line}
        assert unpacked
        assert all(path.is_relative_to(node_home(node.account)) for path in unpacked), unpacked

    def started(self, brokers: int, controllers: str) -> KafkaService:
        kafka = KafkaService(self.test_context, brokers, controllers=ControllerMode(controllers))
        kafka.start()
        kafka.create_topic(TOPIC, PARTITIONS, brokers)
        return kafka

    @staticmethod
    def death_of(kafka: KafkaService) -> BrokerDied | None:
        try:
            kafka.assert_alive()
        except BrokerDied as error:
            return error
        return None


def produce(kafka: KafkaService, first: int, compression: str = "none") -> None:
    """Sends RECORDS numbered from `first` and sees each acknowledged by every replica in sync."""
    failed: list[Any] = []
    # Not idempotent: a producer id comes from the controller, and brokers that asked one which was then paused wait out
    # a request timeout of 30 s before they ask its successor. That is Kafka's affair, and not what is shown here.
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap_servers(), "acks": "all", "compression.type": compression}
    )
    for number in range(first, first + RECORDS):
        producer.produce(
            TOPIC, str(number).encode(), on_delivery=lambda error, _: error and failed.append(error)
        )
    assert producer.flush(30) == 0
    assert failed == [], failed


def consume(kafka: KafkaService, expected: int) -> int:
    """How many different records the log holds; waits for `expected` of them for a while."""
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap_servers(), "group.id": "check", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([TOPIC])
    seen: set[bytes] = set()

    def enough() -> bool:
        seen.update(message.value() for message in consumer.consume(500, 0.5) if message.error() is None)
        return len(seen) >= expected

    wait_until(enough, timeout_sec=30, err_msg=lambda: f"{len(seen)} of {expected} records came back")
    consumer.close()
    return len(seen)
