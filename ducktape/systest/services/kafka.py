"""Real Kafka: a KRaft cluster of N brokers, one a node, started by this run and gone with it.

Nodes start side by side. `start` returns when each of *our* processes lives and has said that it started, and
the cluster answers with the id that we gave it and with every broker in it; it fails with the last lines of
whoever did not come up. The data goes with the service, so `stop` kills; `stop_node` is orderly unless told.

Threads: one caller at a time. A service's own threads touch one node each and end before the call does.
"""

from __future__ import annotations

import contextlib
import enum
import itertools
import shlex
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import confluent_kafka
from ducktape.cluster.remoteaccount import RemoteCommandError
from ducktape.services.service import Service

from systest.clusters.account import LocalAccount
from systest.clusters.survey import distribution_on, in_parallel
from systest.distribution import Distribution, ensure, storage
from systest.distribution.properties import render_properties
from systest.services import kafka_config
from systest.services.broker import (
    Broker,
    BrokerDied,
    BrokerError,
    BrokerKind,
    BrokerNotReady,
    Capability,
    TopicAdmin,
)
from systest.services.kafka_config import ControllerMode, Endpoint, Login, Part
from systest.services.process import NodeProcess, free_ports, node_address, node_home

_START_LIMIT_S = 60.0
_CLEAN_STOP_LIMIT_S = 30.0
_WARM_UP_LIMIT_S = 30.0
_ADMIN_LIMIT_S = 60.0
_POLL_S = 0.05
_PORT_ATTEMPTS = 3
_TAIL_LINES = 25
_COMPLAINTS = 3
_STARTED = b"Kafka Server started"
_PORT_TAKEN = b"Address already in use"


class _State(enum.Enum):
    """What a process of ours ought to be doing now."""

    STOPPED = "stopped"
    RUNNING = "running"
    PAUSED = "paused"


class _PortTakenError(Exception):
    """Somebody took a port between our choosing it and our broker's binding it."""


@dataclass
class _Member:
    """One Kafka process: what it is, and what has become of it."""

    part: Part
    node: Any
    directory: str
    state: _State = _State.STOPPED
    process: NodeProcess | None = None
    starts: int = 0
    cpu_s_before: float = 0.0  # of its earlier processes

    @property
    def title(self) -> str:
        return f"{self.part.name} on {self.node.account.hostname}"

    @property
    def logs(self) -> str:
        return f"{self.directory}/logs"

    @property
    def data(self) -> str:
        return f"{self.directory}/data/{self.part.name}"

    @property
    def temporary(self) -> str:
        """For libraries that a JVM unpacks, and leaves where it is killed."""
        return f"{self.directory}/temporary"

    @property
    def properties(self) -> str:
        return f"{self.logs}/{self.part.name}.properties"

    @property
    def log4j2(self) -> str:
        return f"{self.logs}/log4j2.properties"

    @property
    def jaas(self) -> str:
        return f"{self.directory}/jaas.conf"  # holds a password, so not among the logs, which are collected


class KafkaService(Service, Broker):  # type: ignore[misc]  # ducktape has no types
    """N brokers on N nodes of the test's cluster."""

    kind = BrokerKind.KAFKA

    def __init__(
        self,
        context: Any,
        num_brokers: int = 1,
        *,
        controllers: ControllerMode = ControllerMode.COMBINED,
        overrides: Mapping[str, str] | None = None,
        performance: bool = False,
        login: Login | None = None,
        first_port: int | None = None,
        bind: str | None = None,
        start_limit_s: float = _START_LIMIT_S,
    ) -> None:
        """
        :param num_brokers: and as many nodes; isolated controllers run beside the first brokers
        :param overrides: server properties on top of those made for tests
        :param performance: the JVM's full compiler, for figures; otherwise what starts fastest
        :param login: what clients must sign in with; None lets everybody in
        :param first_port: of the first broker for clients, the others' follow it; None for any free ones
        :param bind: address for clients' listeners where they dial another one; None for the node's own
        :param start_limit_s: for the cluster to be usable, once Kafka is there; also for one node's restart
        """
        parts = kafka_config.cast(num_brokers, controllers)
        super().__init__(context, num_nodes=num_brokers)
        homes = in_parallel(node_home, (node.account for node in self.nodes))
        self.controllers = controllers
        self.overrides = dict(overrides or {})
        self.performance = performance
        self.login = login
        self.first_port = first_port
        self.bind = bind
        self.start_limit_s = start_limit_s
        self._members = [
            _Member(part, self.nodes[part.node_number - 1], f"{homes[part.node_number - 1]}/kafka")
            for part in parts
        ]
        self._endpoints: dict[Part, Endpoint] = {}
        self._cluster_id = ""
        self._distributions: dict[str, Distribution] = {}
        self.logs = {"kafka": {"path": "kafka/logs", "collect_default": True}}

    # What it is

    @property
    def description(self) -> str:
        count = f"{self.num_nodes} broker{'s' if self.num_nodes > 1 else ''}"
        login = "" if self.login is None else ", SASL_PLAINTEXT"
        shape = f"{count} (KRaft, {self.controllers.value}{login})"
        if not self._distributions:
            return f"Apache Kafka, {shape}, not started"
        found = next(iter(self._distributions.values()))
        compiler = "C2" if self.performance else "C1 only"
        java = f"Java {found.java.version} from {found.java.source.value}"
        return f"Apache Kafka {found.kafka.version}, {shape}, {java}, {compiler}"

    @property
    def limits(self) -> Mapping[Capability, str]:
        limits = {
            Capability.DELAY_REPORTS: "Apache Kafka answers as soon as it can",
            Capability.INJECT_ERRORS: "Apache Kafka makes no errors on request",
        }
        if self.num_nodes == 1:
            limits[Capability.LEADER_ELECTION] = "there is one broker, so nobody can take over"
        return limits

    @property
    def broker_count(self) -> int:
        return len([member for member in self._members if member.part.role.is_broker])

    def bootstrap_servers(self) -> str:
        return kafka_config.bootstrap_servers(self._endpoints)

    def client_properties(self) -> Mapping[str, str]:
        return {} if self.login is None else self.login.client_properties()

    def broker_cpu_seconds(self) -> float | None:
        return sum(m.cpu_s_before + (m.process.cpu_seconds() if m.process else 0.0) for m in self._members)

    def leader_node(self, topic: str, partition: int) -> Any:
        """The ducktape node that leads a partition. Raises BrokerError if none does."""
        leader = self.leaders(topic).get(partition)
        if leader is None:
            raise BrokerError(f"partition {partition} of {topic} has no leader")
        return self.get_node(leader)

    def broker_pid(self, node: Any) -> int:
        """Process id of the node's broker, for faults that go past this service. BrokerError if stopped."""
        member = self._broker_on(node)
        if member.process is None:
            raise BrokerError(f"{member.title} is not running")
        return member.process.pid

    # Topics

    def create_topic(
        self,
        name: str,
        partitions: int,
        replication_factor: int = 1,
        config: Mapping[str, str] | None = None,
    ) -> None:
        self._admin().create([name], partitions, replication_factor, config)

    def create_topics(self, names: Sequence[str], partitions: int, replication_factor: int = 1) -> None:
        self._admin().create(names, partitions, replication_factor, None)

    def delete_topic(self, name: str) -> None:
        self._admin().delete([name])

    def delete_topics(self, names: Sequence[str]) -> None:
        self._admin().delete(names)

    def leaders(self, topic: str) -> dict[int, int]:
        return self._admin().leaders(topic)

    def _admin(self) -> TopicAdmin:
        """Asks only those that ought to answer, so that a paused broker holds nobody up."""
        serving = {
            member.part: self._endpoints[member.part]
            for member in self._members
            if member.state is _State.RUNNING and member.part in self._endpoints
        }
        servers = kafka_config.bootstrap_servers(serving)
        if not servers:
            raise BrokerError(f"no broker of {self.who_am_i()} is running")
        return TopicAdmin(servers, self.client_properties())

    def warm_up(self) -> None:
        """Makes the transaction coordinator load, so that no test's first producer pays for it.

        Raises BrokerNotReady if it has not loaded in time.
        """
        producer = confluent_kafka.Producer(
            {
                **self.client_properties(),
                "bootstrap.servers": self.bootstrap_servers(),
                "transactional.id": "systest-warm-up",
                "log_level": 2,  # that the coordinator still loads is what this waits for, and no news
            }
        )
        try:
            producer.init_transactions(_WARM_UP_LIMIT_S)
        except confluent_kafka.KafkaException as error:
            raise BrokerNotReady(
                f"no transaction coordinator after {_WARM_UP_LIMIT_S:.0f} s: {error.args[0].str()}"
            ) from error

    def limit_producers(self, bytes_per_s: int) -> None:
        """Slows every client down that produces more, from now on; Kafka calls it a quota. Raises BrokerError."""
        member = next(member for member in self._members if member.state is _State.RUNNING)
        account = member.node.account
        distribution = self._distributions[account.hostname]
        command = [
            *("env", *(f"{name}={value}" for name, value in distribution.environment().items())),
            *distribution.java_command(performance=False),
            *("kafka.admin.ConfigCommand", "--bootstrap-server", self.bootstrap_servers()),
            *("--entity-type", "clients", "--entity-default"),
            *("--alter", "--add-config", f"producer_byte_rate={bytes_per_s}"),
        ]
        try:
            account.ssh_output(shlex.join(command), timeout_sec=_ADMIN_LIMIT_S)
        except RemoteCommandError as error:
            raise BrokerError(f"{self.who_am_i()} took no quota: {error}") from error

    # The whole cluster

    def start(self, **kwargs: Any) -> None:
        """Returns once the cluster is usable.

        Raises DistributionUnavailable, BrokerNotReady or BrokerDied; then no process is left, only logs.
        """
        del kwargs
        self.logger.info("%s: starting service", self.who_am_i())
        began_s = time.time()
        self._distributions = self._find_distributions()
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            in_parallel(self.clean_node, self.nodes)
            try:
                self._start_cluster()
            except _PortTakenError as error:
                self._kill_all()
                self.logger.warning("attempt %d of %d: %s", attempt, _PORT_ATTEMPTS, error)
                if attempt == _PORT_ATTEMPTS:
                    raise BrokerNotReady(str(error)) from error
            except BaseException:
                self._kill_all()
                raise
            else:
                break
        self._start_time = began_s
        self._start_duration_seconds = time.time() - began_s
        self.logger.info("%s: %s at %s", self.who_am_i(), self.description, self.bootstrap_servers())

    def _start_cluster(self) -> None:
        deadline_s = time.monotonic() + self.start_limit_s
        self._cluster_id = storage.random_id()
        chosen = in_parallel(self._choose_ports, self.nodes)
        self._endpoints = dict(itertools.chain.from_iterable(chosen))
        in_parallel(self._write_files, self.nodes)
        abandoned = threading.Event()

        def start(member: _Member) -> None:
            try:
                self._start_member(member, deadline_s, abandoned)
            except BaseException:
                abandoned.set()  # the others would wait in vain for a cluster that will not come
                raise

        in_parallel(start, self._members)
        self._await_brokers({part.kafka_id for part in self._endpoints if part.role.is_broker}, deadline_s)

    def stop(self, **kwargs: Any) -> None:
        """Kills every process: nobody needs the data any more. Safe at any time and twice."""
        del kwargs
        self.logger.info("%s: stopping service", self.who_am_i())
        self._stop_time = time.time()
        self._kill_all()
        self._stop_duration_seconds = time.time() - self._stop_time

    def clean_node(self, node: Any, **kwargs: Any) -> None:
        """Removes all that this service wrote on the node. Safe at any time and twice."""
        del kwargs
        for member in self._members_on(node):
            self._end(member, clean=False)
        self._remove_files(node)

    # One node

    def start_node(self, node: Any, **kwargs: Any) -> None:
        """Starts the node's broker on the data it has; returns once it serves."""
        del kwargs
        deadline_s = time.monotonic() + self.start_limit_s
        member = self._broker_on(node)
        if member.state is not _State.STOPPED:
            raise BrokerError(f"{member.title} is {member.state.value} already")
        try:
            self._start_member(member, deadline_s, threading.Event())
        except _PortTakenError as error:
            raise BrokerNotReady(str(error)) from error
        self._await_brokers({member.part.kafka_id}, deadline_s)

    def stop_node(self, node: Any, clean: bool = True, **kwargs: Any) -> None:
        """Ends the node's broker; an isolated controller beside it goes on. No error if it doesn't run."""
        del kwargs
        self._end(self._broker_on(node), clean)

    def restart_node(self, node: Any, clean: bool = True) -> None:
        self.stop_node(node, clean)
        self.start_node(node)

    def pause_node(self, node: Any) -> None:
        self._switch(self._broker_on(node), "STOP", _State.RUNNING, _State.PAUSED)

    def resume_node(self, node: Any) -> None:
        member = self._broker_on(node)
        if member.state is _State.PAUSED:
            self._switch(member, "CONT", _State.PAUSED, _State.RUNNING)

    def assert_alive(self) -> None:
        for member in self._members:
            if member.state is not _State.STOPPED and member.process and not member.process.is_alive():
                raise BrokerDied(f"{member.title} has died; {_last_words(member, member.process)}")

    def ask_for_stacks(self) -> bool:
        """Has each process that runs write its threads' stacks to its log. Whether there is one."""
        running = [
            member.process
            for member in self._members
            if member.state is _State.RUNNING and member.process is not None and member.process.is_alive()
        ]
        for process in running:
            process.signal("QUIT")
        return bool(running)

    # Inside

    def _members_on(self, node: Any) -> list[_Member]:
        return [member for member in self._members if member.node is node]

    def _broker_on(self, node: Any) -> _Member:
        return next(member for member in self._members_on(node) if member.part.role.is_broker)

    def _find_distributions(self) -> dict[str, Distribution]:
        """Hostname -> what Kafka runs from there; the nodes of this machine share one."""
        accounts = [node.account for node in self.nodes]
        far = [account for account in accounts if not isinstance(account, LocalAccount)]
        found = dict(
            zip((account.hostname for account in far), in_parallel(distribution_on, far), strict=True)
        )
        if len(far) < len(accounts):
            here = ensure(self.logger.info)
            found.update({a.hostname: here for a in accounts if isinstance(a, LocalAccount)})
        return found

    def _choose_ports(self, node: Any) -> list[tuple[Part, Endpoint]]:
        parts = [member.part for member in self._members_on(node)]
        free = iter(free_ports(node.account, sum(p.role.is_broker + p.role.is_controller for p in parts)))
        clients = (
            free if self.first_port is None else itertools.count(self.first_port + parts[0].node_number - 1)
        )
        address = node_address(node.account)
        return [
            (
                part,
                Endpoint(
                    address,
                    next(clients) if part.role.is_broker else None,
                    next(free) if part.role.is_controller else None,
                    self.bind,
                ),
            )
            for part in parts
        ]

    def _write_files(self, node: Any) -> None:
        account = node.account
        for member in self._members_on(node):
            properties = kafka_config.server_properties(
                member.part, self._endpoints, member.data, self.overrides, self.login
            )
            meta = storage.meta_properties(self._cluster_id, member.part.kafka_id)
            account.ssh(shlex.join(["mkdir", "-p", member.logs, member.data, member.temporary]))
            account.create_file(member.properties, render_properties(properties))
            account.create_file(member.log4j2, kafka_config.log4j2_properties())
            account.create_file(f"{member.data}/{storage.META_FILE}", meta)
            if self.login is not None:
                account.ssh(f"umask 077 && touch {shlex.quote(member.jaas)}")
                account.create_file(member.jaas, self.login.jaas())
            member.starts = 0

    def _remove_files(self, node: Any) -> None:
        node.account.ssh(f"rm -rf {shlex.quote(self._broker_on(node).directory)}")

    def _start_member(self, member: _Member, deadline_s: float, abandoned: threading.Event) -> None:
        account = member.node.account
        distribution = self._distributions[account.hostname]
        java = [
            *distribution.java_command(performance=self.performance),
            f"-Djava.io.tmpdir={member.temporary}",
            f"-XX:ErrorFile={member.logs}/{member.part.name}.crash",
            f"-Dlog4j2.configurationFile={member.log4j2}",
            *([] if self.login is None else [f"-Djava.security.auth.login.config={member.jaas}"]),
        ]
        serve = f"exec {shlex.join([*java, 'kafka.Kafka', member.properties])}"
        copy = f"cp -R {shlex.quote(distribution.storage)}/. {shlex.quote(member.data)}"
        script = serve if member.starts else f"{copy} && {serve}"
        member.starts += 1
        name = member.part.name if member.starts == 1 else f"{member.part.name}.start-{member.starts}"
        member.process = NodeProcess.start(
            account,
            ["/bin/sh", "-c", script],
            name=name,
            directory=member.logs,
            env=distribution.environment(),
        )
        member.state = _State.RUNNING
        self._await_started(member, member.process, deadline_s, abandoned)

    def _await_started(
        self, member: _Member, process: NodeProcess, deadline_s: float, abandoned: threading.Event
    ) -> None:
        """Returns once the process says so; or, having proven nothing, when the start is `abandoned`."""
        said = b""
        while not abandoned.is_set():
            alive = process.is_alive()  # asked first: what it said before it died must not count
            said += process.hear()
            if alive and _STARTED in said:
                return
            if not alive:
                if _PORT_TAKEN in said:
                    raise _PortTakenError(f"a port of {member.title} was taken by another program")
                raise BrokerDied(f"{member.title} died while starting; {_last_words(member, process)}")
            if time.monotonic() > deadline_s:
                raise BrokerNotReady(
                    f"{member.title} had not started after {self.start_limit_s:.0f} s; "
                    f"{_last_words(member, process)}"
                )
            abandoned.wait(_POLL_S)

    def _await_brokers(self, wanted: set[int], deadline_s: float) -> None:
        """Asks the cluster itself who it is and who is in it, until that is us and all of `wanted`."""
        while True:
            self.assert_alive()
            left_s = deadline_s - time.monotonic()
            try:
                cluster_id, present = self._admin().cluster(limit_s=max(1.0, min(5.0, left_s)))
            except BrokerError as error:
                reason = str(error)
            else:
                if cluster_id != self._cluster_id:
                    raise BrokerError(
                        f"{self.bootstrap_servers()} answers as cluster {cluster_id}, which is not ours"
                    )
                if wanted <= present:
                    return
                reason = f"broker {min(wanted - present)} is not in the cluster"
            if left_s <= 0:
                raise BrokerNotReady(f"not usable after {self.start_limit_s:.0f} s: {reason}")
            time.sleep(_POLL_S)

    def _switch(self, member: _Member, signal_name: str, before: _State, after: _State) -> None:
        if member.state is not before or member.process is None:
            raise BrokerError(f"{member.title} is {member.state.value}, not {before.value}")
        member.process.signal(signal_name)
        member.state = after

    def _end(self, member: _Member, clean: bool) -> None:
        process = member.process
        if process is None:
            return
        with contextlib.suppress(RemoteCommandError):  # a dead process has no time to tell
            member.cpu_s_before += process.cpu_seconds()
        if clean:
            if member.state is _State.PAUSED:
                process.signal("CONT")
            process.terminate(_CLEAN_STOP_LIMIT_S)
        else:
            process.kill()
        member.process = None
        member.state = _State.STOPPED

    def _kill_all(self) -> None:
        in_parallel(lambda member: self._end(member, clean=False), self._members)


def _last_words(member: _Member, process: NodeProcess) -> str:
    """A broker's first complaints, since a stack trace may fill the end, and its last lines."""
    command = f"grep -m {_COMPLAINTS} -E ' (ERROR|FATAL) |Exception' {shlex.quote(process.stdout_path)}"
    complaints = member.node.account.ssh_output(command, allow_fail=True).decode(errors="replace").strip()
    first = f"it complained:\n{complaints}\n" if complaints else ""
    return f"{first}its last lines:\n{process.tail(_TAIL_LINES)}"
