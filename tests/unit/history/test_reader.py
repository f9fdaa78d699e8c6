"""Reading back for real: clients and brokers are real librdkafka's, what lies in the topic is known."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from systest.checks.murmur2 import partition_of
from systest.embedded.mock_cluster import Api, MockCluster
from systest.history.columns import MANIFEST, Content
from systest.history.load import LogHistory, load_log
from systest.worker import reader
from systest.worker.protocol import VERSION, Event, Progress, Ready, Summary, event_of, line_of
from systest.worker.reader import ReadError, read
from systest.worker.spec import ReadSpec
from systest.workloads.stream import Placement, RecordStream

TOPIC = "orders"
FOREIGN, INTACT, DAMAGED = Content.FOREIGN, Content.INTACT, Content.DAMAGED
_NOT_LEADER = 6
_TOPIC_AUTHORIZATION_FAILED = 29


class Orders:
    """A topic on an embedded cluster, a producer to fill it, and the reader."""

    def __init__(self, cluster: MockCluster, directory: Path, partitions: int = 1) -> None:
        cluster.create_topic(TOPIC, partitions)
        self.cluster = cluster
        self.events: list[Event] = []
        self._directory = directory
        self._producer = Producer(
            {"bootstrap.servers": cluster.bootstrap_servers, "partitioner": "murmur2_random"}
        )

    def send(self, stream: RecordStream, sequence: int, **instead: Any) -> None:
        """A record as the stream has it, but for the fields given."""
        fields: dict[str, Any] = {
            "value": stream.value_maker()(sequence),
            "key": stream.key(sequence),
            "headers": stream.headers_of(sequence),
            "timestamp": stream.timestamp_ms(sequence) or 0,
            "partition": stream.partition(sequence) or 0,
        }
        if stream.placement is Placement.KEY:
            del fields["partition"]
        self._producer.produce(TOPIC, **{**fields, **instead})

    def settle(self) -> None:
        """Everything put and sent so far is in the log."""
        assert self._producer.flush(10) == 0

    def read(
        self,
        *streams: RecordStream,
        timeout_s: float = 20.0,
        topic: str = TOPIC,
        emit: Callable[[Event], None] | None = None,
        **client: Any,
    ) -> LogHistory:
        self.settle()
        spec = ReadSpec(
            run_id="run-1",
            topic=topic,
            streams=streams,
            client={"bootstrap.servers": self.cluster.bootstrap_servers, "log_level": 0, **client},
            isolation="read_uncommitted",
            timeout_s=timeout_s,
            directory=str(self._directory),
        )
        self.summary = read(spec, emit or self.events.append)
        return load_log(self._directory)

    @property
    def has_history(self) -> bool:
        return (self._directory / MANIFEST).exists()

    @staticmethod
    def stream(producer: int = 0, partitions: int = 1, **settings: Any) -> RecordStream:
        return RecordStream(
            run=7, producer=producer, topic=TOPIC, partitions=partitions, **{"value_bytes": 40, **settings}
        )


@pytest.fixture
def cluster() -> Iterator[MockCluster]:
    with MockCluster() as cluster:
        yield cluster


@pytest.fixture
def orders(cluster: MockCluster, tmp_path: Path) -> Callable[..., Orders]:
    return lambda partitions=1: Orders(cluster, tmp_path / "log", partitions)


def contents(history: LogHistory) -> list[Content]:
    return [Content(each) for each in history.content.tolist()]


def test_read__records_as_sent__are_intact_with_place_time_and_identity(orders: Any) -> None:
    topic = orders()
    stream = topic.stream(timestamp_base_ms=1_700_000_000_000)
    for sequence in range(3):
        topic.send(stream, sequence)
    history = topic.read(stream)
    assert contents(history) == [INTACT] * 3
    assert history.producer.tolist() == [0, 0, 0]
    assert history.sequence.tolist() == [0, 1, 2]
    assert history.partition.tolist() == [0, 0, 0]
    assert history.offset.tolist() == [0, 1, 2]
    assert history.timestamp_ms.tolist() == [1_700_000_000_000 + n for n in range(3)]
    assert (history.log_start, history.log_end) == ({0: 0}, {0: 3})
    assert history.isolation == "read_uncommitted"


def test_read__more_than_a_batch_on_several_partitions__has_all_in_offset_order(orders: Any) -> None:
    topic = orders(5)
    stream = topic.stream(partitions=5, placement=Placement.PARTITION)
    for sequence in range(30_000):
        topic.send(stream, sequence)
    history = topic.read(stream)
    assert history.rows == topic.summary.records == 30_000
    assert (history.content == INTACT).all()
    for partition in range(5):
        there = history.partition == partition
        assert history.offset[there].tolist() == list(range(6_000))
        assert history.sequence[there].tolist() == list(range(partition, 30_000, 5))
    assert history.log_end == dict.fromkeys(range(5), 6_000)


def test_read__batches_of_one__has_every_record_to_the_last(
    orders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_BATCH", 1)
    topic = orders(2)
    stream = topic.stream(partitions=2, placement=Placement.PARTITION)
    for sequence in range(20):
        topic.send(stream, sequence)
    assert sorted(topic.read(stream).sequence.tolist()) == list(range(20))


def test_read__records_arrive_while_it_reads__stops_at_the_end_it_found_first(
    orders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_BATCH", 3)
    monkeypatch.setattr(reader, "_PROGRESS_S", 0.0)
    topic = orders()
    stream = topic.stream()
    for sequence in range(4):
        topic.send(stream, sequence)

    def more(event: Event) -> None:
        if isinstance(event, Progress):
            for sequence in range(4, 20):
                topic.send(stream, sequence)
            topic.settle()
            time.sleep(0.2)  # so that the consumer has fetched them before the next batch is taken

    history = topic.read(stream, emit=more)
    assert history.sequence.tolist() == [0, 1, 2, 3]
    assert history.log_end == {0: 4}


def test_read__one_byte_changed__is_damaged_wherever_it_is(orders: Any) -> None:
    topic = orders()
    stream = topic.stream()
    value = stream.value_maker()(0)
    for at in range(len(value)):
        topic.send(stream, 0, value=value[:at] + bytes([value[at] ^ 0x10]) + value[at + 1 :])
    assert contents(topic.read(stream)) == [DAMAGED] * len(value)


def test_read__value_cut_short__is_damaged_and_foreign_once_it_can_hold_no_identity(orders: Any) -> None:
    topic = orders()
    stream = topic.stream()
    value = stream.value_maker()(5)
    for length in (40, 39, 24, 23, 1, 0):
        topic.send(stream, 5, value=value[:length])
    topic.send(stream, 5, value=None)
    history = topic.read(stream)
    assert contents(history) == [INTACT, DAMAGED, DAMAGED, FOREIGN, FOREIGN, FOREIGN, FOREIGN]
    assert history.sequence.tolist() == [5, 5, 5, -1, -1, -1, -1]
    assert history.producer.tolist() == [0, 0, 0, -1, -1, -1, -1]


def test_read__intact_value_of_another_length_than_the_streams__is_damaged(orders: Any) -> None:
    topic = orders()
    topic.send(topic.stream(value_bytes=50), 0)
    assert contents(topic.read(topic.stream(value_bytes=40))) == [DAMAGED]


def text_stream(topic: Orders, **changes: Any) -> RecordStream:
    """Of a service's records, as short as they can be for every byte to be changed."""
    return topic.stream(**{"text": True, "value_bytes": 120, "keys": 50, "headers": True, **changes})


def test_read__text_as_sent__is_intact_with_its_identity(orders: Any) -> None:
    topic = orders(4)
    stream = text_stream(topic, partitions=4, placement=Placement.PARTITION)
    for sequence, value in zip(range(3_000), stream.sent_values(), strict=False):
        topic.send(stream, sequence, value=value)
    history = topic.read(stream)
    assert history.rows == 3_000
    assert (history.content == INTACT).all()
    assert sorted(history.sequence.tolist()) == list(range(3_000))
    assert (history.sequence % 4 == history.partition).all()


def test_read__text_with_one_character_changed__is_damaged_wherever_it_is(orders: Any) -> None:
    topic = orders()
    stream = text_stream(topic)
    value = stream.value_maker()(7)
    for bit in (0x01, 0x10):
        for at in range(len(value)):
            topic.send(stream, 7, value=value[:at] + bytes([value[at] ^ bit]) + value[at + 1 :])
    assert contents(topic.read(stream)) == [DAMAGED] * 2 * len(value)


def test_read__text_cut_short_or_longer__is_damaged_and_foreign_once_it_can_hold_no_identity(
    orders: Any,
) -> None:
    topic = orders()
    stream = text_stream(topic)
    value = stream.value_maker()(5)
    for other in (value, value + b"}", value[:-1], value[:115], value[:114], b"{", None):
        topic.send(stream, 5, value=other)
    topic.send(text_stream(topic, value_bytes=130), 5)
    history = topic.read(stream)
    assert contents(history) == [INTACT, DAMAGED, DAMAGED, DAMAGED, FOREIGN, FOREIGN, FOREIGN, DAMAGED]
    assert history.sequence.tolist() == [5, 5, 5, 5, -1, -1, -1, 5]


def test_read__headers_of_two_records_that_changed_places__are_damaged(orders: Any) -> None:
    topic = orders()
    stream = text_stream(topic)
    for sequence, others in ((0, 0), (1, 2), (2, 1), (3, 3)):
        topic.send(stream, sequence, headers=stream.headers_of(others))
    topic.send(stream, 4, headers=[*reversed(stream.headers_of(4) or [])])
    assert contents(topic.read(stream)) == [INTACT, DAMAGED, DAMAGED, INTACT, DAMAGED]


def test_read__record_of_another_run__is_foreign(orders: Any) -> None:
    topic = orders()
    topic.send(RecordStream(run=8, producer=0, topic=TOPIC, partitions=1, value_bytes=40), 3)
    history = topic.read(topic.stream())
    assert contents(history) == [FOREIGN]
    assert (history.producer.tolist(), history.sequence.tolist()) == ([-1], [-1])


def test_read__producer_of_this_run_that_nobody_named__keeps_its_number(orders: Any) -> None:
    topic = orders()
    topic.send(topic.stream(producer=9), 3)
    history = topic.read(topic.stream(producer=0))
    assert (contents(history), history.producer.tolist(), history.sequence.tolist()) == ([INTACT], [9], [3])


def test_read__keys_as_sent__are_intact_and_lie_where_murmur2_says(orders: Any) -> None:
    topic = orders(4)
    stream = topic.stream(partitions=4, placement=Placement.KEY, keys=50)
    for sequence in range(500):
        topic.send(stream, sequence)
    history = topic.read(stream)
    assert set(contents(history)) == {INTACT}
    wanted = [partition_of(stream.key(n) or b"", 4) for n in history.sequence.tolist()]
    assert history.partition.tolist() == wanted
    assert set(wanted) == {0, 1, 2, 3}


@pytest.mark.parametrize("key", [None, b"", b"key-00000099"])
def test_read__key_is_not_the_streams__is_damaged(orders: Any, key: bytes | None) -> None:
    topic = orders()
    stream = topic.stream(keys=5)
    topic.send(stream, 0)
    topic.send(stream, 1, key=key)
    assert contents(topic.read(stream)) == [INTACT, DAMAGED]


def test_read__key_where_the_stream_has_none__is_damaged(orders: Any) -> None:
    topic = orders()
    stream = topic.stream()
    topic.send(stream, 0)
    topic.send(stream, 1, key=b"key-00000000")
    assert contents(topic.read(stream)) == [INTACT, DAMAGED]


@pytest.mark.parametrize(
    "headers",
    [None, [("trace", b"2"), ("source", b"systest")], [("source", b"systest")], [("other", b"1")] * 2],
)
def test_read__headers_are_not_the_streams__is_damaged(orders: Any, headers: Any) -> None:
    topic = orders()
    stream = topic.stream(headers=True)
    topic.send(stream, 0)
    topic.send(stream, 1, headers=headers)
    assert contents(topic.read(stream)) == [INTACT, DAMAGED]


def test_read__headers_where_the_stream_has_none__is_damaged(orders: Any) -> None:
    topic = orders()
    stream = topic.stream()
    topic.send(stream, 0, headers=[("source", b"systest")])
    assert contents(topic.read(stream)) == [DAMAGED]


def test_read__two_producers_of_different_streams__each_is_held_to_its_own(orders: Any) -> None:
    topic = orders()
    plain, keyed = topic.stream(), topic.stream(producer=1, value_bytes=64, keys=3, headers=True)
    for sequence in range(4):
        topic.send(plain, sequence)
        topic.send(keyed, sequence)
    topic.send(keyed, 4, key=None)
    history = topic.read(plain, keyed)
    assert contents(history) == [INTACT] * 8 + [DAMAGED]
    assert history.producer.tolist() == [0, 1] * 4 + [1]
    assert history.sequence.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4]


def test_read__empty_topic__is_an_empty_history(orders: Any) -> None:
    topic = orders(3)
    history = topic.read(topic.stream())
    assert (history.rows, history.log_start, history.log_end) == (0, {0: 0, 1: 0, 2: 0}, {0: 0, 1: 0, 2: 0})


def test_read__beginning_of_the_log_is_gone__says_where_it_begins(orders: Any) -> None:
    topic = orders()
    stream = topic.stream()
    for sequence in range(5):
        topic.send(stream, sequence)
        topic.settle()  # a message set each, so that the broker can cut between them
    topic.cluster.delete_records(TOPIC, 0, 3)
    history = topic.read(stream)
    assert (history.log_start, history.log_end) == ({0: 3}, {0: 5})
    assert history.sequence.tolist() == [3, 4]


def test_read__events__are_ready_first_and_survive_the_protocol(orders: Any) -> None:
    topic = orders()
    topic.send(topic.stream(), 0)
    topic.read(topic.stream())
    ready = topic.events[0]
    assert isinstance(ready, Ready)
    assert (ready.protocol, ready.pid, ready.run_id, ready.idiom) == (VERSION, os.getpid(), "run-1", "")
    assert ready.client.startswith("confluent-kafka ")
    summary = topic.summary
    assert isinstance(summary, Summary)
    assert (summary.records, summary.code_path, summary.lag_ns) == (1, None, None)
    assert summary.measured_from_ns < summary.measured_to_ns
    assert summary.resources.cpu_s > 0
    assert summary.resources.rss_peak_bytes > 0
    assert event_of(line_of(summary)) == summary


def test_read__no_such_topic__says_so_and_leaves_no_history(orders: Any) -> None:
    topic = orders()
    with pytest.raises(ReadError, match=r"topic nowhere can't be read back: .*nknown topic"):
        topic.read(topic.stream(), topic="nowhere")
    assert not topic.has_history


def test_read__fetch_refused_for_good__says_why(orders: Any) -> None:
    topic = orders()
    topic.send(topic.stream(), 0)
    topic.settle()
    topic.cluster.fail_requests(Api.FETCH, [_TOPIC_AUTHORIZATION_FAILED] * 20)
    with pytest.raises(ReadError, match=r"topic orders can't be read back: .*uthorization failed"):
        topic.read(topic.stream())
    assert not topic.has_history


def test_read__leader_denies_itself_for_a_moment__reads_on(orders: Any) -> None:
    topic = orders()
    topic.send(topic.stream(), 0)
    topic.settle()
    topic.cluster.fail_requests(Api.FETCH, [_NOT_LEADER] * 2)
    assert contents(topic.read(topic.stream())) == [INTACT]


def test_read__broker_stops_answering__ends_at_its_time_limit(orders: Any) -> None:
    topic = orders()
    topic.send(topic.stream(), 0)
    topic.settle()
    topic.cluster.fail_requests(Api.FETCH, [_NOT_LEADER] * 10_000)
    began_s = time.monotonic()
    with pytest.raises(
        ReadError,
        match=r"topic orders was not read to its end within 1\.5 s; unread are partition 0 \(to 1\)",
    ):
        topic.read(topic.stream(), timeout_s=1.5)
    assert time.monotonic() - began_s < 10
    assert any(isinstance(event, Progress) for event in topic.events)
    assert not topic.has_history


def test_read__nobody_listens__says_what_the_client_saw(orders: Any) -> None:
    topic = orders()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ReadError, match="no broker told of topic orders: "):
            topic.read(topic.stream(), timeout_s=1.0, **{"bootstrap.servers": address})


def test_read__setting_that_does_not_exist__is_named(orders: Any) -> None:
    topic = orders()
    with pytest.raises(ReadError, match=r"configuration is refused: .*no\.such\.setting"):
        topic.read(topic.stream(), **{"no.such.setting": 1})
