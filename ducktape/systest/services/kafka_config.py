"""What the processes of a Kafka cluster are told: who plays which part, and the exact text of their files.

Pure: values in, values and text out. Properties come out sorted by key, so that two runs differ only where
their settings do.
"""

from __future__ import annotations

import enum
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from systest.distribution.properties import render_properties

_FIRST_CONTROLLER_ID = 101
_VOTERS_MAX = 3
_REPLICAS_MAX = 3
_INTERNAL_PARTITIONS = 5
_MECHANISM = "PLAIN"


class ControllerMode(enum.Enum):
    """Whether brokers are controllers too, or controllers are processes of their own beside them."""

    COMBINED = "combined"
    ISOLATED = "isolated"


class Role(enum.Enum):
    """What one Kafka process does; the value is its `process.roles`."""

    BROKER = "broker"
    CONTROLLER = "controller"
    BOTH = "broker,controller"

    @property
    def is_broker(self) -> bool:
        return self is not Role.CONTROLLER

    @property
    def is_controller(self) -> bool:
        return self is not Role.BROKER


@dataclass(frozen=True)
class Part:
    """One process of the cluster: its Kafka id, its role, and the node it runs on, counted from 1."""

    node_number: int
    kafka_id: int
    role: Role

    @property
    def name(self) -> str:
        return f"{'broker' if self.role.is_broker else 'controller'}-{self.kafka_id}"


@dataclass(frozen=True)
class Endpoint:
    """Where one process listens; a port it has no listener for is None.

    `bound_to` is the address that clients' listener binds, where they dial another one: from outside a container.
    """

    address: str
    client_port: int | None
    controller_port: int | None
    bound_to: str | None = None


@dataclass(frozen=True)
class Login:
    """What clients must sign in with, by SASL's PLAIN without TLS; brokers use it among themselves too.

    Controllers ask for none. Raises ValueError for what a JAAS file can't hold as it is.
    """

    username: str = "systest"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    def __post_init__(self) -> None:
        if not self.username.isalnum() or not self.password.replace("-", "").replace("_", "").isalnum():
            raise ValueError("a login is made of letters and digits, the password also of - and _")

    def client_properties(self) -> dict[str, str]:
        """What a librdkafka client needs. Holds the password."""
        return {
            "security.protocol": "sasl_plaintext",
            "sasl.mechanism": _MECHANISM,
            "sasl.username": self.username,
            "sasl.password": self.password,
        }

    def jaas(self) -> str:
        """The text of the file that a broker's JVM has it from. Holds the password."""
        return (
            "KafkaServer {\n"
            "  org.apache.kafka.common.security.plain.PlainLoginModule required\n"
            f'  username="{self.username}" password="{self.password}" user_{self.username}="{self.password}";\n'
            "};\n"
        )


def cast(num_brokers: int, mode: ControllerMode) -> tuple[Part, ...]:
    """Who plays which part. Broker ids are node numbers; isolated controllers sit beside the first brokers.

    One controller for fewer than three brokers, since two would stand still as soon as one of them is gone;
    three otherwise. Raises ValueError if there is no broker.
    """
    if num_brokers < 1:
        raise ValueError(f"num_brokers must be at least 1, not {num_brokers}")
    voters = _VOTERS_MAX if num_brokers >= _VOTERS_MAX else 1
    numbers = range(1, num_brokers + 1)
    if mode is ControllerMode.COMBINED:
        return tuple(Part(n, n, Role.BOTH if n <= voters else Role.BROKER) for n in numbers)
    controllers = (Part(n, _FIRST_CONTROLLER_ID + n - 1, Role.CONTROLLER) for n in range(1, voters + 1))
    return (*controllers, *(Part(n, n, Role.BROKER) for n in numbers))


def server_properties(
    part: Part,
    endpoints: Mapping[Part, Endpoint],
    data_directory: str,
    overrides: Mapping[str, str],
    login: Login | None = None,
) -> dict[str, str]:
    """Everything that `part` is told, but for secrets. `endpoints` holds every part of the cluster.

    Raises ValueError if `overrides` names a property that says where or who a process is: those are chosen
    at start, and a fixed one would break every other process.
    """
    own = endpoints[part]
    voters = [
        f"{other.kafka_id}@{place.address}:{place.controller_port}"
        for other, place in endpoints.items()
        if other.role.is_controller
    ]
    clients = "PLAINTEXT" if login is None else "SASL_PLAINTEXT"
    listeners = []
    placed = {
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": ",".join(voters),
        "listener.security.protocol.map": f"CONTROLLER:PLAINTEXT,{clients}:{clients}",
        "log.dirs": data_directory,
        "node.id": str(part.kafka_id),
        "process.roles": part.role.value,
    }
    if part.role.is_broker:
        placed["advertised.listeners"] = f"{clients}://{own.address}:{own.client_port}"
        placed["inter.broker.listener.name"] = clients
        listeners.append(f"{clients}://{own.bound_to or own.address}:{own.client_port}")
        if login is not None:
            placed["sasl.enabled.mechanisms"] = _MECHANISM
            placed["sasl.mechanism.inter.broker.protocol"] = _MECHANISM
    if part.role.is_controller:
        listeners.append(f"CONTROLLER://{own.address}:{own.controller_port}")
    placed["listeners"] = ",".join(listeners)
    refused = sorted({"advertised.listeners", "inter.broker.listener.name", *placed} & overrides.keys())
    if refused:
        raise ValueError(f"{refused[0]} is chosen when the cluster starts and can't be overridden")
    brokers = sum(other.role.is_broker for other in endpoints)
    return {**_test_settings(brokers), **overrides, **placed}


def _test_settings(num_brokers: int) -> dict[str, str]:
    replicas = min(num_brokers, _REPLICAS_MAX)
    settings = {
        "auto.create.topics.enable": "false",
        # A killed broker's leaders move after this long; the default of 9 s makes every fault test wait.
        "broker.heartbeat.interval.ms": "1000",
        "broker.session.timeout.ms": "6000",
        # The first leader of the metadata quorum is elected this long after a voter is up; default 1 s.
        "controller.quorum.election.timeout.ms": "500",
        "default.replication.factor": str(replicas),
        "group.initial.rebalance.delay.ms": "0",
        # The default allocates a quarter of the heap for compaction that no test here needs.
        "log.cleaner.dedupe.buffer.size": str(8 << 20),
    }
    # Few partitions, since a coordinator answers only once it has loaded each of them.
    for prefix, partitions in (
        ("offsets.topic", "num.partitions"),
        ("share.coordinator.state.topic", "num.partitions"),
        ("transaction.state.log", "num.partitions"),
    ):
        settings[f"{prefix}.{partitions}"] = str(_INTERNAL_PARTITIONS)
        settings[f"{prefix}.replication.factor"] = str(replicas)
    for prefix in ("share.coordinator.state.topic", "transaction.state.log"):
        settings[f"{prefix}.min.isr"] = str(max(1, replicas - 1))
    return settings


def log4j2_properties() -> str:
    """Log to standard output, which the node keeps in a file; without a configuration nothing is logged."""
    return render_properties(
        {
            "appender.out.layout.pattern": "[%d] %p %m (%c)%n",
            "appender.out.layout.type": "PatternLayout",
            "appender.out.name": "out",
            "appender.out.type": "Console",
            "rootLogger.appenderRef.out.ref": "out",
            "rootLogger.level": "INFO",
        }
    )


def bootstrap_servers(endpoints: Mapping[Part, Endpoint]) -> str:
    """`host:port,...` of every broker, in the order of their ids."""
    places: Sequence[tuple[int, Endpoint]] = sorted(
        (part.kafka_id, place) for part, place in endpoints.items() if part.role.is_broker
    )
    return ",".join(f"{place.address}:{place.client_port}" for _, place in places)
