from __future__ import annotations

import pytest

from systest.distribution.properties import render_properties
from systest.services import kafka_config
from systest.services.kafka_config import ControllerMode, Endpoint, Login, Part, Role

ONE = Part(1, 1, Role.BOTH)


def endpoints(parts: tuple[Part, ...]) -> dict[Part, Endpoint]:
    return {part: Endpoint(f"127.0.0.{part.node_number}", 9092, 9093) for part in parts}


def test_server_properties__one_combined_broker__exact_text() -> None:
    properties = kafka_config.server_properties(ONE, endpoints((ONE,)), "/data/1", {"num.io.threads": "4"})
    assert render_properties(properties) == (
        "advertised.listeners=PLAINTEXT://127.0.0.1:9092\n"
        "auto.create.topics.enable=false\n"
        "broker.heartbeat.interval.ms=1000\n"
        "broker.session.timeout.ms=6000\n"
        "controller.listener.names=CONTROLLER\n"
        "controller.quorum.election.timeout.ms=500\n"
        "controller.quorum.voters=1@127.0.0.1:9093\n"
        "default.replication.factor=1\n"
        "group.initial.rebalance.delay.ms=0\n"
        "inter.broker.listener.name=PLAINTEXT\n"
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n"
        "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\n"
        "log.cleaner.dedupe.buffer.size=8388608\n"
        "log.dirs=/data/1\n"
        "node.id=1\n"
        "num.io.threads=4\n"
        "offsets.topic.num.partitions=5\n"
        "offsets.topic.replication.factor=1\n"
        "process.roles=broker,controller\n"
        "share.coordinator.state.topic.min.isr=1\n"
        "share.coordinator.state.topic.num.partitions=5\n"
        "share.coordinator.state.topic.replication.factor=1\n"
        "transaction.state.log.min.isr=1\n"
        "transaction.state.log.num.partitions=5\n"
        "transaction.state.log.replication.factor=1\n"
    )


def test_server_properties__isolated_controller__has_no_client_listener() -> None:
    parts = kafka_config.cast(3, ControllerMode.ISOLATED)
    told = kafka_config.server_properties(parts[0], endpoints(parts), "/d", {})
    assert told["listeners"] == "CONTROLLER://127.0.0.1:9093"
    assert "advertised.listeners" not in told
    assert told["controller.quorum.voters"] == "101@127.0.0.1:9093,102@127.0.0.2:9093,103@127.0.0.3:9093"


def test_server_properties__bound_to_another_address__are_dialled_at_their_own() -> None:
    told = kafka_config.server_properties(ONE, {ONE: Endpoint("127.0.0.1", 9092, 9093, "0.0.0.0")}, "/d", {})
    assert told["advertised.listeners"] == "PLAINTEXT://127.0.0.1:9092"
    assert told["listeners"] == "PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093"


def test_server_properties__three_brokers__internal_topics_survive_the_loss_of_one() -> None:
    parts = kafka_config.cast(3, ControllerMode.COMBINED)
    told = kafka_config.server_properties(parts[0], endpoints(parts), "/d", {})
    assert told["transaction.state.log.replication.factor"] == "3"
    assert told["transaction.state.log.min.isr"] == "2"


def test_server_properties__override_of_a_test_setting__wins() -> None:
    override = {"auto.create.topics.enable": "true"}
    told = kafka_config.server_properties(ONE, endpoints((ONE,)), "/d", override)
    assert told["auto.create.topics.enable"] == "true"


def test_server_properties__login__clients_sign_in_and_controllers_do_not() -> None:
    told = kafka_config.server_properties(ONE, endpoints((ONE,)), "/d", {}, Login("me", "hunter2"))
    assert told["listeners"] == "SASL_PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"
    assert told["listener.security.protocol.map"] == "CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT"
    assert told["inter.broker.listener.name"] == "SASL_PLAINTEXT"
    assert told["sasl.enabled.mechanisms"] == "PLAIN"
    assert "hunter2" not in render_properties(told)


def test_login__jaas__exact_text() -> None:
    assert Login("me", "hunter2").jaas() == (
        "KafkaServer {\n"
        "  org.apache.kafka.common.security.plain.PlainLoginModule required\n"
        '  username="me" password="hunter2" user_me="hunter2";\n'
        "};\n"
    )


def test_login__password__new_each_time_and_not_shown() -> None:
    login = Login()
    assert login.password != Login().password
    assert login.password not in repr(login)


@pytest.mark.parametrize("arguments", [("a b", "x"), ("me", 'x"'), ("me", "x\ny"), ("", "x"), ("me", "")])
def test_login__what_a_jaas_file_would_mistake__refused(arguments: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="letters and digits"):
        Login(*arguments)


@pytest.mark.parametrize("key", ["node.id", "listeners", "log.dirs", "advertised.listeners"])
def test_server_properties__override_of_a_place__refused(key: str) -> None:
    with pytest.raises(ValueError, match=f"{key} is chosen"):
        kafka_config.server_properties(ONE, endpoints((ONE,)), "/d", {key: "x"})


@pytest.mark.parametrize(
    ("brokers", "mode", "expected"),
    [
        (1, ControllerMode.COMBINED, ["broker-1 broker,controller"]),
        (2, ControllerMode.COMBINED, ["broker-1 broker,controller", "broker-2 broker"]),
        (1, ControllerMode.ISOLATED, ["controller-101 controller", "broker-1 broker"]),
    ],
)
def test_cast__few_brokers__one_controller(brokers: int, mode: ControllerMode, expected: list[str]) -> None:
    assert [f"{part.name} {part.role.value}" for part in kafka_config.cast(brokers, mode)] == expected


@pytest.mark.parametrize("mode", list(ControllerMode))
def test_cast__five_brokers__three_controllers(mode: ControllerMode) -> None:
    parts = kafka_config.cast(5, mode)
    assert sum(part.role.is_controller for part in parts) == 3
    assert [part.kafka_id for part in parts if part.role.is_broker] == [1, 2, 3, 4, 5]


def test_cast__no_broker__refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        kafka_config.cast(0, ControllerMode.COMBINED)


def test_render_properties__line_break_in_a_value__refused() -> None:
    with pytest.raises(ValueError, match="a holds a line break"):
        render_properties({"a": "b\nlisteners=elsewhere"})


def test_render_properties__backslash__escaped_for_java() -> None:
    assert render_properties({"a": r"x\y"}) == "a=x\\\\y\n"


def test_bootstrap_servers__isolated__brokers_only_in_order() -> None:
    parts = kafka_config.cast(2, ControllerMode.ISOLATED)
    assert kafka_config.bootstrap_servers(endpoints(parts)) == "127.0.0.1:9092,127.0.0.2:9092"


def test_render_properties__letters_beyond_ascii__written_by_their_numbers() -> None:
    assert render_properties({"log.dirs": "/Ordner mit Ümläuten/😀"}) == (
        "log.dirs=/Ordner mit \\u00dcml\\u00e4uten/\\ud83d\\ude00\n"
    )
