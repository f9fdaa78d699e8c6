"""`systest kafka`: a throw-away Kafka on this machine, and fetching all that it needs beforehand.

The same `KafkaService` that the tests use, on the same `LocalCluster`, without ducktape's runner around them.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import socket
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

from systest.clusters.local import LocalCluster
from systest.distribution import DistributionUnavailable, ensure, java_compiler
from systest.services.broker import BrokerError
from systest.services.kafka import KafkaService
from systest.services.kafka_config import ControllerMode, Login

_LIVENESS_POLL_S = 1.0
_BROKERS_MAX = 9
_PORT_MAX = 65_535
_ADDRESS = "127.0.0.1"

_USAGE_EXAMPLE = """\
{description}

{properties}

Try it:
  python -c 'from confluent_kafka import Producer; p = Producer({settings}); \
p.produce("try", b"hello"); print("left in the queue:", p.flush(10))'

Topics are made on first use. Ctrl-C ends it and removes its data."""


@dataclass
class _Context:
    """What a ducktape service asks of its test's context."""

    cluster: Any
    logger: logging.Logger
    services: list[Any] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `systest kafka`."""
    commands = parser.add_subparsers(dest="kafka_command", required=True)
    up = commands.add_parser("up", help="start a throw-away Kafka and keep it until Ctrl-C")
    up.add_argument("--brokers", type=_broker_count, default=1, metavar="N", help="how many (default: 1)")
    up.add_argument(
        "--controllers",
        choices=[mode.value for mode in ControllerMode],
        default=ControllerMode.COMBINED.value,
        help="whether brokers are controllers too (default: combined)",
    )
    up.add_argument(
        "--performance", action="store_true", help="the JVM's full compiler: starts slower, then runs faster"
    )
    up.add_argument(
        "--port",
        type=_port,
        metavar="N",
        help=f"of the first broker, on {_ADDRESS}; the others' follow it (default: free ones)",
    )
    up.add_argument(
        "--bind",
        metavar="ADDRESS",
        help=f"listen there, such as on 0.0.0.0 in a container; clients are told {_ADDRESS} all the same",
    )
    up.add_argument(
        "--sasl", action="store_true", help="clients must sign in, with a password that is new each time"
    )
    commands.add_parser("install", help="fetch all that Kafka needs now, so that later runs need no network")


def main(args: argparse.Namespace) -> int:
    """Exit status: 0 after an orderly end, 1 with one sentence on stderr if Kafka couldn't start or died."""
    try:
        if args.kafka_command == "install":
            return _install()
        return _up(args)
    except (DistributionUnavailable, BrokerError) as error:
        print(f"systest kafka: {error}", file=sys.stderr)
        return 1


def _broker_count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= _BROKERS_MAX:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {_BROKERS_MAX}, not {text!r}")
    return int(text)


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= _PORT_MAX:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {_PORT_MAX}, not {text!r}")
    return int(text)


def _check_ports(first: int, count: int) -> None:
    """Raises BrokerError that names a port which a broker could not have."""
    for port in range(first, first + count):
        with socket.socket() as one:
            one.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # as Java does, so it minds only who listens
            try:
                one.bind((_ADDRESS, port))
            except (OSError, OverflowError) as error:
                reason = error.strerror if isinstance(error, OSError) else f"the last one is {_PORT_MAX}"
                raise BrokerError(
                    f"port {port} of {_ADDRESS} can't be used ({reason}); choose another --port, "
                    "or leave it out for one that is free"
                ) from error


def _install() -> int:
    found = ensure(_say)
    java_compiler(_say)
    print(
        f"Kafka {found.kafka.version} from {found.kafka.source.value}, Java {found.java.version} from "
        f"{found.java.source.value}, {found.startup.note}: ready"
    )
    return 0


def _up(args: argparse.Namespace) -> int:
    if args.port is not None:
        _check_ports(args.port, args.brokers)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    ensure(_say)  # here, so that a first run shows its progress
    if stopped.is_set():
        return 0
    cluster = LocalCluster(
        args.brokers, address=None if args.port is None and args.bind is None else _ADDRESS
    )
    try:
        service = KafkaService(
            _Context(cluster, logging.getLogger("systest.kafka")),
            args.brokers,
            controllers=ControllerMode(args.controllers),
            performance=args.performance,
            login=Login() if args.sasl else None,
            first_port=args.port,
            bind=args.bind,
            overrides={"auto.create.topics.enable": "true"},
        )
        try:
            service.start()
            print(_usage_example(service), flush=True)
            while not stopped.wait(_LIVENESS_POLL_S):
                service.assert_alive()
        finally:
            service.stop()
            service.clean()
            service.free()
    finally:
        cluster.close()
    return 0


def _usage_example(service: KafkaService) -> str:
    client = {"bootstrap.servers": service.bootstrap_servers(), **service.client_properties()}
    return _USAGE_EXAMPLE.format(
        description=service.description,
        properties="\n".join(f"  {key}={value}" for key, value in client.items()),
        settings=json.dumps(client),
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
