"""The mock cluster does to real clients what it was told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, KafkaError, Producer

from systest.embedded import mock_cluster
from systest.embedded.mock_cluster import (
    DISCONNECT,
    NO_LEADER,
    Answer,
    Api,
    CoordinatorKind,
    MockCluster,
    MockClusterError,
)

DELAY_MS = 400


def test_produce__two_partitions__read_back_where_they_were_acknowledged(
    cluster: MockCluster, client: Any
) -> None:
    cluster.create_topic("orders", 2)
    for partition, value in ((0, b"a"), (1, b"b"), (0, b"c")):
        client.send("orders", partition, value)
    assert client.acknowledged == [(0, 0), (1, 0), (0, 1)]
    assert [client.log("orders", partition) for partition in (0, 1)] == [[b"a", b"c"], [b"b"]]


def test_produce__with_a_timestamp__kept_in_the_log_but_acknowledged_as_another(
    cluster: MockCluster, client: Any
) -> None:
    told: list[tuple[int, int]] = []
    cluster.create_topic("orders", 1)
    client.producer.produce(
        "orders", b"value", timestamp=5_000, on_delivery=lambda _, message: told.append(message.timestamp())
    )
    assert client.producer.flush(10) == 0
    assert told == [(TIMESTAMP_LOG_APPEND_TIME, 1234)]
    assert [message.timestamp() for message in client.messages("orders", 0)] == [
        (TIMESTAMP_CREATE_TIME, 5_000)
    ]


def test_create_topic__several_brokers__leaders_in_turn_as_metadata_says(
    cluster: MockCluster, client: Any
) -> None:
    cluster.create_topic("orders", 3, replication_factor=2)
    assert cluster.leaders("orders") == {0: 1, 1: 2, 2: 1} == client.leaders("orders")


def test_set_leader__other_broker__clients_are_sent_there(cluster: MockCluster, client: Any) -> None:
    cluster.create_topic("orders", 1)
    client.send("orders", 0)
    cluster.track_requests(on=True)
    cluster.set_leader("orders", 0, 2)
    client.send("orders", 0)
    assert cluster.leaders("orders") == {0: 2} == client.leaders("orders")
    assert produce_requests(cluster)[-1] == 2
    assert client.acknowledged == [(0, 0), (0, 1)]


def test_set_leader__none__partition_has_no_leader(cluster: MockCluster, client: Any) -> None:
    cluster.create_topic("orders", 2)
    cluster.set_leader("orders", 0, NO_LEADER)
    assert cluster.leaders("orders") == {1: 2}
    assert client.leaders("orders") == {0: NO_LEADER, 1: 2}


def test_broker_down__then_up__record_waits_and_nothing_is_lost(cluster: MockCluster, client: Any) -> None:
    cluster.create_topic("orders", 1)
    client.send("orders", 0, b"before")
    cluster.broker_down(1)
    client.produce("orders", 0, b"during")
    assert client.producer.flush(0.5) == 1
    cluster.broker_up(1)
    assert client.producer.flush(10) == 0
    assert client.log("orders", 0) == [b"before", b"during"]


def test_delay__one_broker__its_acknowledgements_alone_are_late(cluster: MockCluster, client: Any) -> None:
    cluster.create_topic("orders", 2)
    for partition in (0, 1):  # connected
        client.send("orders", partition)
    cluster.delay(1, DELAY_MS)
    assert client.send("orders", 0) >= DELAY_MS / 1000 > client.quickest_s("orders", 1)
    cluster.delay(1, 0)
    assert client.quickest_s("orders", 0) < DELAY_MS / 1000


def test_delay__one_broker__reports_arrive_out_of_call_order(cluster: MockCluster, client: Any) -> None:
    cluster.create_topic("orders", 2)
    for partition in (0, 1):
        client.send("orders", partition)
    client.acknowledged.clear()
    cluster.delay(1, DELAY_MS)
    client.produce("orders", 0)
    client.produce("orders", 1)
    assert client.producer.flush(10) == 0
    assert client.acknowledged == [(1, 1), (0, 1)]


def test_fail_requests__permanent_code__reported_and_not_in_the_log(
    cluster: MockCluster, client: Any
) -> None:
    cluster.create_topic("orders", 1)
    cluster.fail_requests(Api.PRODUCE, [KafkaError.MSG_SIZE_TOO_LARGE])
    client.send("orders", 0, b"refused")
    client.send("orders", 0, b"taken")
    assert client.errors == [KafkaError.MSG_SIZE_TOO_LARGE]
    assert client.log("orders", 0) == [b"taken"]


def test_fail_requests__disconnect__retried_and_delivered(cluster: MockCluster, client: Any) -> None:
    cluster.create_topic("orders", 1)
    cluster.track_requests(on=True)
    cluster.fail_requests(Api.PRODUCE, [DISCONNECT])
    client.send("orders", 0)
    assert len(produce_requests(cluster)) == 2
    assert client.acknowledged == [(0, 0)]


def test_clear_errors__before_the_request__it_succeeds(cluster: MockCluster, client: Any) -> None:
    cluster.create_topic("orders", 1)
    cluster.fail_requests(Api.PRODUCE, [KafkaError.TOPIC_AUTHORIZATION_FAILED])
    cluster.clear_errors(Api.PRODUCE)
    client.send("orders", 0)
    assert client.errors == []


def test_answer_requests__late_error_to_one_broker__that_one_alone(cluster: MockCluster, client: Any) -> None:
    cluster.create_topic("orders", 2)
    for partition in (0, 1):
        client.send("orders", partition)
    cluster.answer_requests(1, Api.PRODUCE, [Answer(KafkaError.TOPIC_AUTHORIZATION_FAILED, DELAY_MS)])
    assert cluster.pending_answers(1, Api.PRODUCE) == 1
    assert client.quickest_s("orders", 1) < DELAY_MS / 1000 <= client.send("orders", 0)
    assert client.errors == [KafkaError.TOPIC_AUTHORIZATION_FAILED]
    assert cluster.pending_answers(1, Api.PRODUCE) == 0


def test_set_topic_error__metadata__carries_it(cluster: MockCluster, client: Any) -> None:
    cluster.create_topic("orders", 1)
    cluster.set_topic_error("orders", KafkaError.TOPIC_AUTHORIZATION_FAILED)
    error = client.producer.list_topics("orders", 10).topics["orders"].error
    assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def test_set_coordinator__transaction__init_goes_to_that_broker(cluster: MockCluster) -> None:
    for broker_id in (1, 2):
        name = f"payments-{broker_id}"
        cluster.set_coordinator(CoordinatorKind.TRANSACTION, name, broker_id)
        cluster.clear_requests()
        cluster.track_requests(on=True)
        Producer(
            {"bootstrap.servers": cluster.bootstrap_servers, "transactional.id": name}
        ).init_transactions(10)
        asked = {each.broker_id for each in cluster.requests() if each.api == Api.INIT_PRODUCER_ID}
        assert asked == {broker_id}


def test_set_api_versions__no_init_producer_id__idempotence_is_refused(cluster: MockCluster) -> None:
    cluster.set_api_versions(Api.INIT_PRODUCER_ID, -1, -1)
    producer = Producer(
        {"bootstrap.servers": cluster.bootstrap_servers, "transactional.id": "a", "log_level": 0}
    )
    with pytest.raises(Exception, match="not supported"):
        producer.init_transactions(10)


def test_requests__tracked_cleared_and_ended__only_what_was_asked_for(
    cluster: MockCluster, client: Any
) -> None:
    cluster.create_topic("orders", 1)
    client.send("orders", 0)
    assert cluster.requests() == []
    cluster.track_requests(on=True)
    client.send("orders", 0)
    assert produce_requests(cluster) == [1]
    cluster.clear_requests()
    assert cluster.requests() == []
    client.send("orders", 0)
    cluster.track_requests(on=False)
    client.send("orders", 0)
    assert cluster.requests() == []


def test_delete_topic__then_made_again__empty(cluster: MockCluster, client: Any) -> None:
    cluster.create_topic("orders", 1)
    client.send("orders", 0)
    cluster.delete_topic("orders")
    with pytest.raises(MockClusterError, match="no topic orders"):
        cluster.leaders("orders")
    cluster.delete_topic("orders")  # no error
    cluster.create_topic("orders", 2)
    assert client.log("orders", 0) == []


def test_delete_records__before_an_offset__log_starts_there(cluster: MockCluster, client: Any) -> None:
    cluster.create_topic("orders", 1)
    for value in (b"a", b"b"):
        client.send("orders", 0, value)
    cluster.delete_records("orders", 0, 1)
    assert client.log("orders", 0) == [b"b"]


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda cluster: cluster.create_topic("orders", 1), "already exists"),
        (lambda cluster: cluster.create_topic("new", 1, 3), "replication factor 3 on 2 brokers"),
        (lambda cluster: cluster.create_topic("new", 0), "0 partitions"),
        (lambda cluster: cluster.create_topic("a\0b", 1), "can't be printed"),
        (lambda cluster: cluster.set_leader("orders", 0, 3), "no broker 3"),
        (lambda cluster: cluster.set_leader("orders", 7, 1), "no partition 7"),
        (lambda cluster: cluster.set_leader("absent", 0, 1), "topic absent"),
        (lambda cluster: cluster.leaders("absent"), "no topic absent"),
        (lambda cluster: cluster.set_topic_error("absent", 3), "no topic absent"),
        (lambda cluster: cluster.broker_down(0), "no broker 0; there are 1 to 2"),
        (lambda cluster: cluster.delay(1, -5), "negative"),
    ],
)
def test_call__impossible__one_sentence_says_why(
    cluster: MockCluster, call: Callable[[MockCluster], object], why: str
) -> None:
    cluster.create_topic("orders", 1)
    with pytest.raises(MockClusterError, match=why):
        call(cluster)


def test_new__no_brokers__refused() -> None:
    with pytest.raises(MockClusterError, match="at least one"):
        MockCluster(0)


def test_close__twice_then_a_call__the_call_says_it_is_closed(cluster: MockCluster) -> None:
    cluster.close()
    cluster.close()
    with pytest.raises(MockClusterError, match="closed"):
        cluster.requests()


def test_function__library_lacks_it__says_so_when_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mock_cluster._SIGNATURES, "mock_not_yet", (None, ()))
    with pytest.raises(MockClusterError, match=r"librdkafka \d+\.\d+.* has no mock_not_yet"):
        mock_cluster._function("mock_not_yet")


def produce_requests(cluster: MockCluster) -> list[int]:
    """The brokers that got Produce requests, in order."""
    return [each.broker_id for each in cluster.requests() if each.api == Api.PRODUCE]
