"""Somebody else's cluster: Redpanda, a managed Kafka, the one on the desk. Nothing is started here.

A wrong address or a refused password is found on construction, within seconds and in one sentence, instead of
in the middle of the first test. Secrets are in `client_properties()` and in no message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from systest.services.broker import Broker, BrokerDied, BrokerError, BrokerKind, Capability, TopicAdmin

_CONNECT_LIMIT_S = 8.0
_SECRET_WORDS = ("password", "secret", "token", "jaas", "key.pem", "oauthbearer.config")
_NOT_OURS = "it belongs to somebody else, and is not started or stopped from here"
_LACKING = (
    Capability.STOP_NODE,
    Capability.PAUSE_NODE,
    Capability.BOUNCE,
    Capability.LEADER_ELECTION,
    Capability.DELAY_REPORTS,
    Capability.INJECT_ERRORS,
    Capability.CPU_SECONDS,
)


class ExternalKafka(Broker):
    """A cluster that was there before this run and stays after it."""

    kind = BrokerKind.EXTERNAL

    def __init__(self, bootstrap_servers: str, client_config_file: str | Path | None = None) -> None:
        """Connects once to prove that it can.

        :param client_config_file: `key=value` lines in librdkafka's names, such as `sasl.password=...`
        :raise BrokerError: the file can't be read, or nobody answers, or the credentials are refused
        """
        if not bootstrap_servers:
            raise BrokerError("an external broker needs --bootstrap-server host:port")
        self._bootstrap_servers = bootstrap_servers
        self._properties = read_client_config(client_config_file) if client_config_file else {}
        self._topics = TopicAdmin(bootstrap_servers, self._properties)
        self._broker_ids = self._connect()

    @property
    def description(self) -> str:
        protocol = self._properties.get("security.protocol", "plaintext").upper()
        count = len(self._broker_ids)
        brokers = f"{count} broker{'s' if count > 1 else ''}"
        return f"external Kafka at {self._bootstrap_servers}, {brokers}, {protocol}"

    @property
    def limits(self) -> Mapping[Capability, str]:
        return dict.fromkeys(_LACKING, _NOT_OURS)

    @property
    def broker_count(self) -> int:
        return len(self._broker_ids)

    def bootstrap_servers(self) -> str:
        return self._bootstrap_servers

    def client_properties(self) -> Mapping[str, str]:
        return dict(self._properties)

    def create_topic(
        self,
        name: str,
        partitions: int,
        replication_factor: int = 1,
        config: Mapping[str, str] | None = None,
    ) -> None:
        self._topics.create([name], partitions, replication_factor, config)

    def create_topics(self, names: Sequence[str], partitions: int, replication_factor: int = 1) -> None:
        self._topics.create(names, partitions, replication_factor, None)

    def delete_topic(self, name: str) -> None:
        self._topics.delete([name])

    def delete_topics(self, names: Sequence[str]) -> None:
        self._topics.delete(names)

    def leaders(self, topic: str) -> dict[int, int]:
        return self._topics.leaders(topic)

    def assert_alive(self) -> None:
        try:
            self._topics.cluster(_CONNECT_LIMIT_S)
        except BrokerError as error:
            raise BrokerDied(f"{self._bootstrap_servers} no longer answers: {error}") from error

    def _connect(self) -> frozenset[int]:
        try:
            return self._topics.cluster(_CONNECT_LIMIT_S)[1]
        except BrokerError as error:
            raise BrokerError(
                f"no Kafka could be used at {self._bootstrap_servers} ({error}); "
                "check the address and the client configuration file"
            ) from error


def read_client_config(file: str | Path) -> dict[str, str]:
    """Client properties from a file of `key=value` lines; `#` starts a comment line.

    Raises BrokerError naming the file, and the number of a line that is none, but never its content.
    """
    try:
        text = Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerError(f"the client configuration {file} can't be read: {error}") from error
    properties = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not key.strip():
            raise BrokerError(f"line {number} of {file} is not key=value")
        properties[key.strip()] = value.strip()
    return properties


def masked(properties: Mapping[str, str]) -> dict[str, str]:
    """The same, sorted, with every value that may be a secret hidden: for logs and results."""
    return {
        key: "[hidden]" if any(word in key for word in _SECRET_WORDS) else value
        for key, value in sorted(properties.items())
    }
