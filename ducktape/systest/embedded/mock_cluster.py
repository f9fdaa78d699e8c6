"""librdkafka's mock cluster, from the library inside the confluent-kafka wheel: brokers without Kafka.

`MockCluster` owns one cluster and the client handle that librdkafka wants beside it. The brokers, numbered
from 1, are served by a thread of this process and listen on free ports of 127.0.0.1. All of it is in memory
and gone with `close()`. Every method may be called from any thread and returns in milliseconds.

What the brokers can't do:

- A partition keeps 5 MiB and 100,000 record batches; older ones are dropped without a word.
- A topic made by its first use has 4 partitions. There is no CreateTopics for admin clients.
- Every acknowledgement tells the timestamp 1234, of type LogAppendTime, whatever the record's is; in the log
  the record has its own, of type CreateTime. No topic has settings.
- Read_committed readers see aborted records too.
- Leaders move only when told, also when a broker is down.

librdkafka calls this interface experimental. A function that the installed version lacks raises
`MockClusterError` when called; the others work.
"""

from __future__ import annotations

import ctypes
import enum
import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import cimpl

EVERY_BROKER: Final = -1
NO_LEADER: Final = -1
DISCONNECT: Final = -195  # librdkafka's own transport error: the broker hangs up instead of answering

_PRODUCER = 0
_CONF_OK = 0
_UNKNOWN_TOPIC = 3
_ERROR_TEXT_BYTES = 512

_VOID_P, _INT, _CHAR_P, _SIZE = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t
_I16, _I32, _I64 = ctypes.c_int16, ctypes.c_int32, ctypes.c_int64

# Result and parameters of every C function used here, without the common prefix "rd_kafka_". A result of
# int is an error code, 0 for success, unless the caller knows better.
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "version_str": (_CHAR_P, ()),
    "err2str": (_CHAR_P, (_INT,)),
    "conf_new": (_VOID_P, ()),
    "conf_set": (_INT, (_VOID_P, _CHAR_P, _CHAR_P, _CHAR_P, _SIZE)),
    "conf_destroy": (None, (_VOID_P,)),
    "new": (_VOID_P, (_INT, _VOID_P, _CHAR_P, _SIZE)),
    "destroy": (None, (_VOID_P,)),
    "mock_cluster_new": (_VOID_P, (_VOID_P, _INT)),
    "mock_cluster_destroy": (None, (_VOID_P,)),
    "mock_cluster_bootstraps": (_CHAR_P, (_VOID_P,)),
    "mock_topic_create": (_INT, (_VOID_P, _CHAR_P, _INT, _INT)),
    "mock_topic_delete": (_INT, (_VOID_P, _CHAR_P)),
    "mock_topic_set_error": (None, (_VOID_P, _CHAR_P, _INT)),
    "mock_partition_set_leader": (_INT, (_VOID_P, _CHAR_P, _I32, _I32)),
    "mock_partition_set_follower": (_INT, (_VOID_P, _CHAR_P, _I32, _I32)),
    "mock_partition_set_follower_wmarks": (_INT, (_VOID_P, _CHAR_P, _I32, _I64, _I64)),
    "mock_partition_push_leader_response": (_INT, (_VOID_P, _CHAR_P, _I32, _I32, _I32)),
    "mock_partition_delete_records": (_INT, (_VOID_P, _CHAR_P, _I32, _I64)),
    "mock_broker_set_down": (_INT, (_VOID_P, _I32)),
    "mock_broker_set_up": (_INT, (_VOID_P, _I32)),
    "mock_broker_set_rtt": (_INT, (_VOID_P, _I32, _INT)),
    "mock_broker_set_rack": (_INT, (_VOID_P, _I32, _CHAR_P)),
    # The last one is variadic: pairs of (error code, delay in ms) follow.
    "mock_broker_push_request_error_rtts": (_INT, (_VOID_P, _I32, _I16, _SIZE)),
    "mock_broker_error_stack_cnt": (_INT, (_VOID_P, _I32, _I16, ctypes.POINTER(_SIZE))),
    "mock_push_request_errors_array": (None, (_VOID_P, _I16, _SIZE, ctypes.POINTER(_INT))),
    "mock_clear_request_errors": (None, (_VOID_P, _I16)),
    "mock_coordinator_set": (_INT, (_VOID_P, _CHAR_P, _CHAR_P, _I32)),
    "mock_set_apiversion": (_INT, (_VOID_P, _I16, _I16, _I16)),
    "mock_group_initial_rebalance_delay_ms": (None, (_VOID_P, _I32)),
    "mock_start_request_tracking": (None, (_VOID_P,)),
    "mock_stop_request_tracking": (None, (_VOID_P,)),
    "mock_clear_requests": (None, (_VOID_P,)),
    "mock_get_requests": (ctypes.POINTER(_VOID_P), (_VOID_P, ctypes.POINTER(_SIZE))),
    "mock_request_id": (_I32, (_VOID_P,)),
    "mock_request_api_key": (_I16, (_VOID_P,)),
    "mock_request_timestamp": (_I64, (_VOID_P,)),
    "mock_request_destroy_array": (None, (ctypes.POINTER(_VOID_P), _SIZE)),
}


class MockClusterError(Exception):
    """The mock cluster refused a call, or can't do it; the message says which and why."""


class Api(enum.IntEnum):
    """Kafka's request types that the mock brokers answer."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    API_VERSIONS = 18
    INIT_PRODUCER_ID = 22
    OFFSET_FOR_LEADER_EPOCH = 23
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


class CoordinatorKind(enum.Enum):
    """What a coordinator looks after."""

    GROUP = "group"
    TRANSACTION = "transaction"


@dataclass(frozen=True, slots=True)
class Answer:
    """How one request is answered out of the ordinary.

    `error` is Kafka's error code, 0 for none, or `DISCONNECT`. `delay_ms` holds the answer back; a request
    without an error is carried out at once and only its answer is late.
    """

    error: int = 0
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One request that a mock broker received while tracking was on; `at_us` is librdkafka's own clock."""

    broker_id: int
    api: int
    at_us: int


class MockCluster:
    """N mock brokers in this process; see the module for what they can't do."""

    def __init__(self, num_brokers: int = 1) -> None:
        if num_brokers < 1:
            raise MockClusterError(f"a mock cluster needs at least one broker, not {num_brokers}")
        self.num_brokers = num_brokers
        # The library can be told who leads a partition, but not asked.
        self._leaders: dict[str, dict[int, int]] = {}
        self._lock = threading.RLock()  # of _leaders, and of _cluster against close()
        self._client = _new_client()
        self._cluster: int | None = _function("mock_cluster_new")(self._client, num_brokers)
        if not self._cluster:
            _function("destroy")(self._client)
            raise MockClusterError(
                f"librdkafka {library_version()} could not start {num_brokers} mock brokers"
            )
        self.bootstrap_servers: str = _function("mock_cluster_bootstraps")(self._cluster).decode()

    def close(self) -> None:
        """Ends the brokers and frees what they hold. Safe twice."""
        with self._lock:
            if self._cluster is not None:
                _function("mock_cluster_destroy")(self._cluster)
                _function("destroy")(self._client)
                self._cluster = None

    def __enter__(self) -> MockCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Topics

    def create_topic(self, topic: str, partitions: int, replication_factor: int = 1) -> None:
        """A topic whose partitions are led by the brokers in turn: partition 0 by broker 1, 1 by 2, ...

        Raises MockClusterError if it exists or the numbers are none that the cluster can serve.
        """
        if partitions < 1 or not 1 <= replication_factor <= self.num_brokers:
            raise MockClusterError(
                f"can't create topic {topic} with {partitions} partitions and replication factor "
                f"{replication_factor} on {self.num_brokers} brokers"
            )
        with self._lock:
            self._call("mock_topic_create", _c_text(topic), partitions, replication_factor)
            self._leaders[topic] = dict.fromkeys(range(partitions), NO_LEADER)
            for partition in range(partitions):
                self.set_leader(topic, partition, 1 + partition % self.num_brokers)

    def delete_topic(self, topic: str) -> None:
        """No error if it does not exist."""
        with self._lock:
            self._call("mock_topic_delete", _c_text(topic), harmless=_UNKNOWN_TOPIC)
            self._leaders.pop(topic, None)

    def leaders(self, topic: str) -> dict[int, int]:
        """Partition -> leading broker; partitions without a leader are left out.

        Raises MockClusterError for a topic that `create_topic` did not make: its leaders nobody knows.
        """
        with self._lock:
            if topic not in self._leaders:
                raise MockClusterError(f"there is no topic {topic} made by create_topic")
            leaders = self._leaders[topic].items()
            return {partition: leader for partition, leader in leaders if leader != NO_LEADER}

    def set_leader(self, topic: str, partition: int, broker_id: int) -> None:
        """Moves a partition's leader to another broker, or to none (`NO_LEADER`)."""
        with self._lock:
            self._known_partition(topic, partition)
            if broker_id != NO_LEADER:
                self._known_broker(broker_id)
            self._call("mock_partition_set_leader", _c_text(topic), partition, broker_id)
            self._leaders[topic][partition] = broker_id

    def set_follower(self, topic: str, partition: int, broker_id: int) -> None:
        """Makes consumers fetch this partition from `broker_id`, which need not exist."""
        self._known_partition(topic, partition)
        self._call("mock_partition_set_follower", _c_text(topic), partition, broker_id)

    def set_follower_watermarks(self, topic: str, partition: int, low: int, high: int) -> None:
        """Start and end offset that the follower claims; -1 is the leader's own again."""
        self._known_partition(topic, partition)
        self._call("mock_partition_set_follower_wmarks", _c_text(topic), partition, low, high)

    def push_leader_response(self, topic: str, partition: int, broker_id: int, epoch: int) -> None:
        """The next Metadata answer names this leader and epoch for the partition, true or not."""
        self._known_partition(topic, partition)
        self._call("mock_partition_push_leader_response", _c_text(topic), partition, broker_id, epoch)

    def delete_records(self, topic: str, partition: int, before_offset: int) -> None:
        """Drops what lies before an offset, as retention would."""
        self._known_partition(topic, partition)
        self._call("mock_partition_delete_records", _c_text(topic), partition, before_offset)

    def set_topic_error(self, topic: str, error: int) -> None:
        """Metadata and AddPartitionsToTxn answers carry this error for the topic; 0 ends that."""
        self.leaders(topic)  # refuses an unknown topic, which the library would make
        self._void("mock_topic_set_error", _c_text(topic), error)

    # Brokers

    def broker_down(self, broker_id: int = EVERY_BROKER) -> None:
        """Cuts its connections and takes no new ones. Its log stays, and it stays leader."""
        self._call("mock_broker_set_down", self._known_broker(broker_id))

    def broker_up(self, broker_id: int = EVERY_BROKER) -> None:
        """Takes connections again, on the same port and with the same log."""
        self._call("mock_broker_set_up", self._known_broker(broker_id))

    def delay(self, broker_id: int, rtt_ms: int) -> None:
        """Every later answer of the broker leaves `rtt_ms` after its request came; 0 ends that."""
        if rtt_ms < 0:
            raise MockClusterError(f"a delay can't be negative: {rtt_ms} ms")
        self._call("mock_broker_set_rtt", self._known_broker(broker_id), rtt_ms)

    def set_rack(self, broker_id: int, rack: str) -> None:
        self._call("mock_broker_set_rack", self._known_broker(broker_id), _c_text(rack))

    # Requests

    def fail_requests(self, api: Api, errors: Sequence[int]) -> None:
        """The next requests of this type, to whichever broker, are answered with these errors, one each."""
        self._void("mock_push_request_errors_array", api, len(errors), (_INT * len(errors))(*errors))

    def answer_requests(self, broker_id: int, api: Api, answers: Sequence[Answer]) -> None:
        """The next requests of this type to one broker are answered so, before any of `fail_requests`."""
        self._known_broker(broker_id)
        pairs = [_INT(number) for answer in answers for number in (answer.error, answer.delay_ms)]
        self._call("mock_broker_push_request_error_rtts", broker_id, api, len(answers), *pairs)

    def pending_answers(self, broker_id: int, api: Api) -> int:
        """How many of `answer_requests` wait for their request."""
        count = _SIZE()
        self._call("mock_broker_error_stack_cnt", self._known_broker(broker_id), api, ctypes.byref(count))
        return count.value

    def clear_errors(self, api: Api) -> None:
        """Takes back what is left of `fail_requests` for this type."""
        self._void("mock_clear_request_errors", api)

    def set_api_versions(self, api: Api, lowest: int, highest: int) -> None:
        """The versions of a request type that the brokers claim to know; -1 and -1 for none of them."""
        self._call("mock_set_apiversion", api, lowest, highest)

    def track_requests(self, on: bool) -> None:
        """Starts the tracking that `requests` reads, or ends it and forgets what was tracked."""
        self._void("mock_start_request_tracking" if on else "mock_stop_request_tracking")

    def requests(self) -> list[Request]:
        """What the brokers received while tracking was on, in the order of arrival."""
        count = _SIZE()
        with self._lock:
            found = _function("mock_get_requests")(self._living(), ctypes.byref(count))
            try:
                return [
                    Request(
                        broker_id=_function("mock_request_id")(found[index]),
                        api=_function("mock_request_api_key")(found[index]),
                        at_us=_function("mock_request_timestamp")(found[index]),
                    )
                    for index in range(count.value)
                ]
            finally:
                _function("mock_request_destroy_array")(found, count.value)

    def clear_requests(self) -> None:
        """Forgets what was tracked."""
        self._void("mock_clear_requests")

    # Coordinators

    def set_coordinator(self, kind: CoordinatorKind, key: str, broker_id: int) -> None:
        """Names the broker that coordinates this group.id or transactional.id."""
        self._call("mock_coordinator_set", kind.value.encode(), _c_text(key), broker_id)

    def delay_group_rebalance(self, delay_ms: int) -> None:
        """How long a new group waits for further members before its first rebalance."""
        self._void("mock_group_initial_rebalance_delay_ms", delay_ms)

    # Inside

    def _call(self, name: str, *arguments: Any, harmless: int = 0) -> None:
        with self._lock:
            error = _function(name)(self._living(), *arguments)
        if error not in (0, harmless):
            shown = [a.decode() if isinstance(a, bytes) else a for a in arguments]
            cause = _function("err2str")(error).decode()
            raise MockClusterError(f"librdkafka refused {name}{tuple(shown)}: {cause}")

    def _void(self, name: str, *arguments: Any) -> None:
        with self._lock:
            _function(name)(self._living(), *arguments)

    def _living(self) -> int:
        if self._cluster is None:
            raise MockClusterError("the mock cluster is closed")
        return self._cluster

    def _known_broker(self, broker_id: int) -> int:
        if broker_id != EVERY_BROKER and not 1 <= broker_id <= self.num_brokers:
            raise MockClusterError(f"there is no broker {broker_id}; there are 1 to {self.num_brokers}")
        return broker_id

    def _known_partition(self, topic: str, partition: int) -> None:
        """Refuses what is not there; the library would make a topic, with partitions nobody asked for."""
        with self._lock:
            if partition not in self._leaders.get(topic, {}):
                raise MockClusterError(
                    f"there is no partition {partition} of a topic {topic}; create it first"
                )


def _c_text(text: str) -> bytes:
    """The text for a C function, which would take a NUL for its end."""
    if "\0" in text or not text.isprintable():
        raise MockClusterError(f"{text!r} is no name: it holds what can't be printed")
    return text.encode()


def library_version() -> str:
    """The version of the librdkafka inside the wheel."""
    version: bytes = _function("version_str")()
    return version.decode()


def can_delete_topics() -> bool:
    """Whether the installed librdkafka can; older ones can't."""
    return hasattr(_library(), "rd_kafka_mock_topic_delete")


@functools.cache
def _library() -> ctypes.CDLL:
    # The loader finds the wheel's librdkafka through the extension module that is linked with it.
    return ctypes.CDLL(cimpl.__file__)


@functools.cache
def _function(name: str) -> Any:
    try:
        function = _library()[f"rd_kafka_{name}"]
    except AttributeError:
        raise MockClusterError(
            f"librdkafka {library_version()} has no {name}; install a newer confluent-kafka"
        ) from None
    function.restype, function.argtypes = _SIGNATURES[name]
    return function


def _new_client() -> int:
    """The client handle that carries a mock cluster. It connects to nobody and logs errors only."""
    text = ctypes.create_string_buffer(_ERROR_TEXT_BYTES)
    conf = _function("conf_new")()
    for key, value in ((b"client.id", b"mock-cluster"), (b"log_level", b"3")):
        if _function("conf_set")(conf, key, value, text, _ERROR_TEXT_BYTES) != _CONF_OK:
            _function("conf_destroy")(conf)
            raise MockClusterError(f"librdkafka refused a setting: {text.value.decode()}")
    client: int | None = _function("new")(_PRODUCER, conf, text, _ERROR_TEXT_BYTES)
    if not client:
        _function("conf_destroy")(conf)  # only a client that came to be owns its settings
        raise MockClusterError(f"librdkafka could not start: {text.value.decode()}")
    return client
