"""The face that every broker shows to tests, whatever stands behind it.

A test asks for topics, leaders and faults here and never for the class behind them: `KafkaService` (real
Kafka that this run starts), the embedded broker, and `ExternalKafka` (somebody else's cluster). What one of
them cannot do stands in its `limits`, with the reason; asking for it anyway raises `Unsupported` with that
reason. Nothing is skipped in silence and nothing pretends.

`TopicAdmin` is how the two that speak Kafka's admin protocol keep the promises about topics. It measures
nothing and starts nothing.
"""

from __future__ import annotations

import abc
import enum
import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # the stubs don't export what the docs name
    AdminClient,
    DescribeClusterResult,
    NewTopic,
    OffsetSpec,
    TopicMetadata,
)

_T = TypeVar("_T")

_ADMIN_CALL_LIMIT_S = 10.0
_ONE_BROKER_LIMIT_S = 2.0
_TOPIC_USABLE_LIMIT_S = 30.0
_POLL_S = 0.02
_REFUSALS = (KafkaError._AUTHENTICATION, KafkaError._SSL)


class BrokerKind(enum.Enum):
    """Where the broker comes from; the value is what `--broker` takes."""

    KAFKA = "kafka"
    EMBEDDED = "embedded"
    EXTERNAL = "external"


class Capability(enum.Enum):
    """Something a test may want of a broker, and that some broker can't give."""

    CREATE_TOPICS = "create topics with a chosen number of partitions"
    DELETE_TOPICS = "delete topics"
    STOP_NODE = "stop, kill and restart one node"
    PAUSE_NODE = "pause and resume one node"
    BOUNCE = "restart a node with its data kept"
    LEADER_ELECTION = "elect a new leader when a node is gone"
    READ_COMMITTED = "hide aborted records from read_committed readers"
    UNLIMITED_LOG = "keep every record until it is read back"
    DELAY_REPORTS = "delay or reorder acknowledgements at will"
    INJECT_ERRORS = "answer requests with chosen error codes"
    CPU_SECONDS = "tell the CPU time that the broker itself used"


class BrokerError(Exception):
    """Something is wrong with the broker, not with what is tested on it."""


class Unsupported(BrokerError):
    """This broker can't do what the test asked; the message names the broker and the reason."""

    def __init__(self, broker: str, capability: Capability, reason: str) -> None:
        super().__init__(f"{broker} can't {capability.value}: {reason}")
        self.capability = capability
        self.reason = reason


class BrokerDied(BrokerError):
    """A broker process that should run is gone; the message ends with its last lines."""


class BrokerNotReady(BrokerError):
    """A broker did not become usable in the time it had; the message says what was still missing."""


class Broker(abc.ABC):
    """One cluster that records can be produced to and read back from.

    `node` is a ducktape node of a service, or whatever `nodes` of the implementation holds; a broker without
    nodes of its own (`Capability.STOP_NODE` in its limits) has none to pass.
    """

    kind: BrokerKind

    @property
    @abc.abstractmethod
    def description(self) -> str:
        """One line for the head of the output and for result files: product, version, shape."""

    @property
    @abc.abstractmethod
    def limits(self) -> Mapping[Capability, str]:
        """Each capability this broker lacks, with the reason in a few words."""

    def require(self, capability: Capability) -> None:
        """Does nothing if this broker can do it; raises `Unsupported` with the reason if not."""
        reason = self.limits.get(capability)
        if reason is not None:
            raise Unsupported(self.description, capability, reason)

    @property
    @abc.abstractmethod
    def broker_count(self) -> int:
        """How many brokers the cluster was made of, whether all of them run now or not."""

    @abc.abstractmethod
    def bootstrap_servers(self) -> str:
        """`host:port,...` for a client's `bootstrap.servers`."""

    def client_properties(self) -> Mapping[str, str]:
        """What a librdkafka client needs beside `bootstrap.servers`: security settings. May hold secrets."""
        return {}

    @abc.abstractmethod
    def create_topic(
        self,
        name: str,
        partitions: int,
        replication_factor: int = 1,
        config: Mapping[str, str] | None = None,
    ) -> None:
        """Returns once every partition's leader answers for it, so that the first produce meets no delay.

        Raises BrokerError if the topic exists or can't be made, BrokerNotReady if it is not usable in time.
        """

    @abc.abstractmethod
    def delete_topic(self, name: str) -> None:
        """Returns once no broker tells of the topic any more. No error if it does not exist."""

    def create_topics(self, names: Sequence[str], partitions: int, replication_factor: int = 1) -> None:
        """As `create_topic` for each of them, in one go where there is one."""
        for name in names:
            self.create_topic(name, partitions, replication_factor)

    def delete_topics(self, names: Sequence[str]) -> None:
        """As `delete_topic` for each of them, in one go where there is one."""
        for name in names:
            self.delete_topic(name)

    @abc.abstractmethod
    def leaders(self, topic: str) -> dict[int, int]:
        """Partition -> broker id of its leader; partitions without a leader are left out."""

    @abc.abstractmethod
    def assert_alive(self) -> None:
        """Raises BrokerDied with the last lines of a node that ought to run and doesn't."""

    def broker_cpu_seconds(self) -> float | None:
        """CPU time that all broker processes used so far; None where it can't be measured."""
        return None

    def stop_node(self, node: Any, clean: bool = True) -> None:
        """Ends one node and returns once it is gone: an orderly shutdown, or SIGKILL if not `clean`."""
        del node, clean
        self.require(Capability.STOP_NODE)

    def kill_node(self, node: Any) -> None:
        """SIGKILL: as if the machine had lost power, but for the page cache."""
        self.stop_node(node, clean=False)

    def pause_node(self, node: Any) -> None:
        """SIGSTOP: the node keeps its connections and answers nothing until `resume_node`."""
        del node
        self.require(Capability.PAUSE_NODE)

    def resume_node(self, node: Any) -> None:
        """SIGCONT after `pause_node`. No error if it was not paused."""
        del node
        self.require(Capability.PAUSE_NODE)

    def restart_node(self, node: Any, clean: bool = True) -> None:
        """Stops the node if it runs, starts it on the data it has, and returns once it serves again."""
        del node, clean
        self.require(Capability.BOUNCE)


class TopicAdmin:
    """Topics of one cluster through Kafka's admin protocol; every call ends within its limit.

    Each call connects anew, and a question is put to one broker after the other: a client that lives on
    prefers the broker it knows, which a fault test may just have stopped or paused.
    """

    def __init__(self, bootstrap_servers: str, client_properties: Mapping[str, str] | None = None) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._properties = dict(client_properties or {})

    def cluster(self, limit_s: float = _ADMIN_CALL_LIMIT_S) -> tuple[str | None, frozenset[int]]:
        """Cluster id and the ids of the brokers that the controller knows as alive.

        Raises BrokerError if nobody answers within `limit_s`, with what the last attempt met.
        """

        def describe(client: AdminClient, limit_s: float) -> DescribeClusterResult:
            future: Future[DescribeClusterResult] = client.describe_cluster(request_timeout=limit_s)
            return future.result(timeout=limit_s + 1)

        answer = self._ask(describe, limit_s, "describe the cluster")
        return answer.cluster_id, frozenset(node.id for node in answer.nodes)

    def leaders(self, name: str) -> dict[int, int]:
        """As `Broker.leaders`; raises BrokerError if there is no such topic."""
        found = self._ask(
            lambda client, limit_s: _metadata(client, [name], limit_s), what=f"ask about topic {name}"
        )
        if name not in found:
            raise BrokerError(f"there is no topic {name}")
        return {number: p.leader for number, p in sorted(found[name].partitions.items()) if p.leader >= 0}

    def create(
        self,
        names: Sequence[str],
        partitions: int,
        replication_factor: int,
        config: Mapping[str, str] | None,
        limit_s: float = _TOPIC_USABLE_LIMIT_S,
    ) -> None:
        """As `Broker.create_topics`."""
        deadline_s = time.monotonic() + limit_s
        new = [NewTopic(name, partitions, replication_factor, config=dict(config or {})) for name in names]
        client = _Connection(self._bootstrap_servers, self._properties)
        futures = client.admin.create_topics(new, request_timeout=limit_s, operation_timeout=limit_s)
        for name, future in futures.items():
            try:
                future.result(timeout=limit_s + 1)
            except KafkaException as error:
                raise BrokerError(f"could not create topic {name}: {client.cause(error)}") from error
        self.await_usable(names, partitions, replication_factor, deadline_s - time.monotonic())

    def await_usable(
        self, names: Sequence[str], partitions: int, replication_factor: int, limit_s: float
    ) -> None:
        """Waits until each partition's leader itself answers for it with a full set of in-sync replicas.

        Metadata alone proves too little: a broker may be named leader before it knows. Asking for the end
        offset goes to the leader, is refused until it is one, and writes nothing.
        """
        client = _Connection(self._bootstrap_servers, self._properties).admin

        def missing() -> str | None:
            try:
                found = _metadata(client, names, _ONE_BROKER_LIMIT_S)
            except KafkaException as error:
                return str(error.args[0].str())
            for name in names:
                if name not in found or len(found[name].partitions) < partitions:
                    return f"{name} is not in the metadata"
                for number, partition in sorted(found[name].partitions.items()):
                    if partition.leader < 0:
                        return f"partition {number} has no leader"
                    in_sync = len(partition.isrs)
                    if in_sync < replication_factor:
                        return f"partition {number} has {in_sync} of {replication_factor} replicas in sync"
            return _offsets_refused(client, names, partitions)

        _await_none(missing, limit_s, f"topic {_named(names)} is not usable")

    def delete(self, names: Sequence[str], limit_s: float = _TOPIC_USABLE_LIMIT_S) -> None:
        """As `Broker.delete_topics`."""
        client = _Connection(self._bootstrap_servers, self._properties)
        futures = client.admin.delete_topics(list(names), request_timeout=limit_s, operation_timeout=limit_s)
        for name, future in futures.items():
            try:
                future.result(timeout=limit_s + 1)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise BrokerError(f"could not delete topic {name}: {client.cause(error)}") from error

        def remaining() -> str | None:
            gone = not _metadata(client.admin, names, _ADMIN_CALL_LIMIT_S)
            return None if gone else "still in the metadata"

        _await_none(remaining, limit_s, f"topic {_named(names)} is not gone")

    def _ask(
        self,
        question: Callable[[AdminClient, float], _T],
        limit_s: float = _ADMIN_CALL_LIMIT_S,
        what: str = "",
    ) -> _T:
        deadline_s = time.monotonic() + limit_s
        for server in itertools.cycle(self._bootstrap_servers.split(",")):
            client = _Connection(server, self._properties)
            left_s = max(0.1, deadline_s - time.monotonic())
            try:
                return question(client.admin, min(left_s, _ONE_BROKER_LIMIT_S))
            except KafkaException as error:
                cause = client.cause(error)
                if time.monotonic() > deadline_s or client.is_refused:
                    raise BrokerError(f"could not {what}: {cause}") from error
        raise AssertionError("a cycle of at least one server does not end")


class _Connection:
    """An admin client that remembers why it can't connect; librdkafka itself only says that time is up."""

    def __init__(self, servers: str, properties: Mapping[str, str]) -> None:
        self._last_error: KafkaError | None = None
        self._is_closed_on = False
        settings: dict[str, Any] = {
            # A broker that is not up yet is tried again at once: start-up is timed by this client.
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 200,
            **properties,
            "bootstrap.servers": servers,
            "error_cb": self._remember,
        }
        try:
            self.admin = AdminClient(settings, logger=_silent_logger())
        except KafkaException as error:
            raise BrokerError(f"the client settings are not accepted: {error.args[0].str()}") from error

    def _remember(self, error: KafkaError) -> None:
        # That all brokers are down follows from each one's own reason, which came before and says more.
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._last_error = error
        else:
            self._is_closed_on = True

    @property
    def is_refused(self) -> bool:
        """Whether asking again is no use: the broker knows us and does not want us."""
        return self._last_error is not None and self._last_error.code() in _REFUSALS

    def cause(self, error: KafkaException) -> str:
        """Why a call failed, in Kafka's words."""
        self.admin.poll(0)
        if self._last_error is not None:
            return str(self._last_error.str())
        if self._is_closed_on:  # and gave no reason, as a broker does to a client that it doesn't understand
            return f"{error.args[0].str()}; it closes connections, so see that security.protocol is what it wants"
        return str(error.args[0].str())


def _metadata(client: AdminClient, names: Sequence[str], limit_s: float) -> dict[str, TopicMetadata]:
    """Those of the topics that there are; one request, so for several of all topics."""
    answer = client.list_topics(*(names if len(names) == 1 else ()), timeout=limit_s).topics
    found = {name: answer[name] for name in names if name in answer}
    return {name: topic for name, topic in found.items() if topic.error is None or topic.partitions}


def _named(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} or another of {len(names)}"


def _offsets_refused(client: AdminClient, names: Sequence[str], partitions: int) -> str | None:
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = {TopicPartition(name, number): latest for name in names for number in range(partitions)}
    for partition, future in client.list_offsets(asked, request_timeout=_ONE_BROKER_LIMIT_S).items():
        try:
            future.result(timeout=_ONE_BROKER_LIMIT_S + 1)
        except KafkaException as error:
            return f"partition {partition.partition}: {error.args[0].str()}"
    return None


def _await_none(missing: Callable[[], str | None], limit_s: float, what: str) -> None:
    deadline_s = time.monotonic() + limit_s
    while (reason := missing()) is not None:
        if time.monotonic() > deadline_s:
            raise BrokerNotReady(f"{what} after {limit_s:.0f} s: {reason}")
        time.sleep(_POLL_S)


def _silent_logger() -> logging.Logger:
    """librdkafka prints every refused connection on stderr unless it is given a logger."""
    logger = logging.getLogger("systest.broker.admin")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger
