"""The embedded broker as a service: librdkafka's mock cluster in its own process, with faults on request.

One process on one node plays all the brokers, so what other brokers take a ducktape node for is a broker id
here: 1 to `num_brokers`. Stopping one cuts its connections and refuses new ones until it is restarted; its
log stays, and it stays leader, whether the stop was meant to be clean or not. There is nothing to warm up and
a topic is usable at once.

An acknowledgement's timestamp is always 1234, so nothing can be learnt from it; in the log it is the record's.

The brokers listen on 127.0.0.1 only, so they serve workers on the same machine: a local cluster's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ducktape.services.service import Service

from systest.clusters.account import LocalAccount
from systest.embedded import control
from systest.embedded.client import CommandFailed, ControlClient
from systest.embedded.mock_cluster import (
    Answer,
    Api,
    Request,
    can_delete_topics,
    library_version,
)
from systest.services.broker import Broker, BrokerDied, BrokerError, BrokerKind, BrokerNotReady, Capability
from systest.services.process import NodeProcess, node_home, node_python

_START_LIMIT_S = 20.0
_POLL_S = 0.02
_TAIL_LINES = 25
_NAME = "embedded-broker"

_LIMITS = {
    Capability.PAUSE_NODE: "all its brokers are one process; delay() holds one broker's answers back",
    Capability.LEADER_ELECTION: "it elects nobody; set_leader() moves a partition",
    Capability.READ_COMMITTED: "its fetches show aborted records to everybody",
    Capability.UNLIMITED_LOG: "a partition keeps 5 MiB and 100,000 record batches, older ones are dropped",
}


class EmbeddedBroker(Service, Broker):  # type: ignore[misc]  # ducktape has no types
    """N mock brokers on one node of the test's cluster."""

    kind = BrokerKind.EMBEDDED

    def __init__(self, context: Any, num_brokers: int = 1) -> None:
        if num_brokers < 1:
            raise BrokerError(f"an embedded broker needs at least one broker, not {num_brokers}")
        super().__init__(context, num_nodes=1)
        self.num_brokers = num_brokers
        self._node = self.nodes[0]
        self._directory = f"{node_home(self._node.account)}/embedded"
        self._process: NodeProcess | None = None
        self._ready: control.Ready | None = None
        self._control: ControlClient | None = None
        self.logs = {"embedded": {"path": self._directory, "collect_default": True}}

    # What it is

    @property
    def description(self) -> str:
        count = f"{self.num_brokers} broker{'s' if self.num_brokers > 1 else ''}"
        return f"embedded broker, {count} (librdkafka {library_version()} mock cluster, not Apache Kafka)"

    @property
    def limits(self) -> Mapping[Capability, str]:
        if can_delete_topics():
            return _LIMITS
        return {**_LIMITS, Capability.DELETE_TOPICS: f"librdkafka {library_version()} has no way to"}

    @property
    def broker_count(self) -> int:
        return self.num_brokers

    def bootstrap_servers(self) -> str:
        return self._started().bootstrap_servers

    def broker_cpu_seconds(self) -> float | None:
        return self._process.cpu_seconds() if self._process is not None else None

    def broker_pid(self, node: Any = None) -> int:
        """Process id of all brokers, for faults that go past this service."""
        del node
        return self._started().pid

    def leader_node(self, topic: str, partition: int) -> int:
        """The id of the broker that leads a partition. Raises BrokerError if none does."""
        leader = self.leaders(topic).get(partition)
        if leader is None:
            raise BrokerError(f"partition {partition} of {topic} has no leader")
        return leader

    # Topics

    def create_topic(
        self,
        name: str,
        partitions: int,
        replication_factor: int = 1,
        config: Mapping[str, str] | None = None,
    ) -> None:
        """As `Broker.create_topic`. The brokers lead its partitions in turn: broker 1 leads partition 0."""
        if config:
            raise BrokerError(f"topics of the embedded broker have no settings; {name} wants {dict(config)}")
        self._call(control.CreateTopic(name, partitions, replication_factor))

    def delete_topic(self, name: str) -> None:
        self.require(Capability.DELETE_TOPICS)
        self._call(control.DeleteTopic(name))

    def leaders(self, topic: str) -> dict[int, int]:
        """As `Broker.leaders`, for topics made by `create_topic`; BrokerError for others."""
        return {int(partition): leader for partition, leader in self._call(control.Leaders(topic)).items()}

    def set_leader(self, topic: str, partition: int, broker_id: int) -> None:
        """Moves the partition's leader; -1 leaves it without one."""
        self._call(control.SetLeader(topic, partition, broker_id))

    # Faults

    def delay(self, broker_id: int, rtt_ms: int) -> None:
        """Every later answer of the broker leaves `rtt_ms` after its request came; 0 ends that."""
        self._call(control.Delay(broker_id, rtt_ms))

    def fail_requests(self, api: Api, errors: Sequence[int]) -> None:
        """The next requests of this type, to whichever broker, are answered with these error codes."""
        self._call(control.FailRequests(api, tuple(errors)))

    def answer_requests(self, broker_id: int, api: Api, answers: Sequence[Answer]) -> None:
        """The next requests of this type to one broker are answered with these errors and delays."""
        pairs = tuple((answer.error, answer.delay_ms) for answer in answers)
        self._call(control.AnswerRequests(broker_id, api, pairs))

    def clear_errors(self, api: Api) -> None:
        """Takes back what is left of `fail_requests`."""
        self._call(control.ClearErrors(api))

    def track_requests(self) -> None:
        """From here on, `requests` remembers."""
        self._call(control.ClearRequests())
        self._call(control.TrackRequests(on=True))

    def requests(self) -> list[Request]:
        """What the brokers received since `track_requests`, in the order of arrival."""
        return [Request(*row) for row in self._call(control.Requests())]

    def broker_down(self, broker_id: int) -> None:
        """Cuts the broker's connections and refuses new ones; it stays leader."""
        self._call(control.BrokerDown(broker_id))

    def broker_up(self, broker_id: int) -> None:
        """Ends `broker_down`. No error if it was up."""
        self._call(control.BrokerUp(broker_id))

    def stop_node(self, node: int, clean: bool = True, **kwargs: Any) -> None:
        """As `broker_down`: clean or not makes no difference to a broker without a disk."""
        del clean, kwargs
        self.broker_down(node)

    def start_node(self, node: int, **kwargs: Any) -> None:
        """As `broker_up`."""
        del kwargs
        self.broker_up(node)

    def restart_node(self, node: int, clean: bool = True) -> None:
        self.stop_node(node, clean)
        self.start_node(node)

    def assert_alive(self) -> None:
        if self._process is not None and not self._process.is_alive():
            raise BrokerDied(f"the embedded broker has died{self._last_words()}")

    # The whole process

    def start(self, **kwargs: Any) -> None:
        """Returns once the brokers listen.

        Raises BrokerNotReady or BrokerDied, with the process's last lines; then no process is left.
        """
        del kwargs
        account = self._node.account
        if not isinstance(account, LocalAccount):
            raise BrokerError(
                f"the embedded broker serves this machine only, and {account.hostname} is another one; "
                "use a local cluster or another --broker"
            )
        began_s = time.time()
        self.clean_node(self._node)
        argv = [node_python(account), "-m", "systest.embedded", "--brokers", str(self.num_brokers)]
        argv += ["--starter", str(os.getpid())]
        try:
            self._process = NodeProcess.start(account, argv, name=_NAME, directory=self._directory)
            self._ready = self._await_ready()
            self._control = ControlClient(self._ready)
        except CommandFailed as error:
            self._end()
            raise BrokerNotReady(str(error)) from error
        except BaseException:
            self._end()
            raise
        self._start_time = began_s
        self._start_duration_seconds = time.time() - began_s
        self.logger.info("%s: %s at %s", self.who_am_i(), self.description, self.bootstrap_servers())

    def stop(self, **kwargs: Any) -> None:
        """Kills the process: nothing in it outlives it anyway. Safe at any time and twice."""
        del kwargs
        self._stop_time = time.time()
        self._end()
        self._stop_duration_seconds = time.time() - self._stop_time

    def clean_node(self, node: Any, **kwargs: Any) -> None:
        """Removes what this service wrote. Safe at any time and twice."""
        del kwargs
        self._end()
        node.account.remove(self._directory, allow_fail=True)

    # Inside

    def _await_ready(self) -> control.Ready:
        assert self._process is not None
        deadline_s = time.monotonic() + _START_LIMIT_S
        said = b""
        while True:
            alive = self._process.is_alive()  # asked first: what it said before it died still counts
            said += self._process.hear()
            if said.endswith(b"\n"):
                return self._understood(said)
            if not alive:
                raise BrokerDied(f"the embedded broker did not start{self._last_words()}")
            if time.monotonic() > deadline_s:
                raise BrokerNotReady(
                    f"the embedded broker said nothing for {_START_LIMIT_S:.0f} s{self._last_words()}"
                )
            time.sleep(_POLL_S)

    def _understood(self, line: bytes) -> control.Ready:
        try:
            return control.ready_of(line)
        except control.ControlError as error:
            raise BrokerNotReady(f"the embedded broker: {error}") from error

    def _started(self) -> control.Ready:
        if self._ready is None:
            raise BrokerError("the embedded broker is not started")
        return self._ready

    def _call(self, command: control.Command) -> Any:
        self._started()
        assert self._control is not None
        try:
            return self._control.call(command)
        except CommandFailed as error:
            self.assert_alive()  # its death says more than a broken connection
            raise BrokerError(str(error)) from error

    def _last_words(self) -> str:
        words = self._process.tail(_TAIL_LINES) if self._process is not None else ""
        return f"; its last lines:\n{words}" if words else ""

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
        self._control, self._process, self._ready = None, None, None
