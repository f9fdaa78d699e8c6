"""The embedded broker in a process of its own: it obeys its control socket and ends with its starter."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from confluent_kafka import KafkaError

from systest.embedded import control
from systest.embedded.client import CommandFailed, ControlClient
from systest.embedded.mock_cluster import Api, MockCluster
from systest.processes import pid_lives

LIMIT_S = 10.0
DELAY_MS = 400
COMMAND = (sys.executable, "-m", "systest.embedded")
STARTER = """
import subprocess, sys, time
broker = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
time.sleep(60)
"""


class Served:
    """An embedded broker that this test started."""

    def __init__(self, popen: Any, *options: str) -> None:
        self.process = popen(
            [*COMMAND, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.ready = control.ready_of(self.process.stdout.readline())


@pytest.fixture
def serve(popen: Any) -> Callable[..., Served]:
    return partial(Served, popen)


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve("--brokers", "2")


@pytest.fixture
def commands(served: Served) -> Iterator[ControlClient]:
    with contextlib.closing(ControlClient(served.ready)) as connected:
        yield connected


@pytest.fixture
def lines(served: Served) -> Iterator[Callable[[bytes], bytes]]:
    """Writes raw bytes to the control socket and reads the line that answers; b"" once it hung up."""
    with socket.create_connection(("127.0.0.1", served.ready.control_port), LIMIT_S) as connection:
        answers = connection.makefile("rb")

        def ask(raw: bytes) -> bytes:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(raw)
            return answers.readline()

        yield ask
        answers.close()


def test_faults__commanded_while_a_client_is_at_work__the_client_meets_them(
    served: Served, commands: ControlClient, connect: Callable[[str], Any]
) -> None:
    commands.call(control.CreateTopic("orders", 2, 1))
    client = connect(served.ready.bootstrap_servers)
    for partition in (0, 1):
        client.send("orders", partition)
    commands.call(control.TrackRequests(on=True))
    commands.call(control.Delay(1, DELAY_MS))
    commands.call(control.AnswerRequests(2, Api.PRODUCE, ((KafkaError.MSG_SIZE_TOO_LARGE, 0),)))
    assert client.send("orders", 0) >= DELAY_MS / 1000
    client.send("orders", 1)
    assert client.errors == [KafkaError.MSG_SIZE_TOO_LARGE]
    requests = commands.call(control.Requests())
    assert [broker_id for broker_id, api, _ in requests if api == Api.PRODUCE] == [1, 2]
    assert client.quickest_s("orders", 1) < DELAY_MS / 1000


def test_leaders__moved__as_metadata_says(
    served: Served, commands: ControlClient, connect: Callable[[str], Any]
) -> None:
    commands.call(control.CreateTopic("orders", 2, 1))
    commands.call(control.SetLeader("orders", 0, 2))
    assert commands.call(control.Leaders("orders")) == {"0": 2, "1": 2}
    assert connect(served.ready.bootstrap_servers).leaders("orders") == {0: 2, 1: 2}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"command": "explode"}, "unknown command 'explode'; known: answer_requests"),
        ({"command": ["x"]}, "unknown command"),
        ({}, "unknown command None"),
        ({"command": "delay", "broker_id": 1}, "delay takes broker_id, rtt_ms, not broker_id"),
        ({"command": "delay", "broker_id": 1, "rtt_ms": "5"}, 'delay.rtt_ms is int, not "5"'),
        ({"command": "delay", "broker_id": True, "rtt_ms": 5}, "delay.broker_id is int, not true"),
        ({"command": "delay", "broker_id": 1, "rtt_ms": 2**40}, "delay.rtt_ms is int, not 1099511627776"),
        ({"command": "delay", "broker_id": 9, "rtt_ms": 5}, "there is no broker 9"),
        ({"command": "clear_errors", "api": 70000}, "there is no Api 70000"),
        ({"command": "fail_requests", "api": 0, "errors": [1, None]}, "fail_requests.errors is int"),
        ({"command": "answer_requests", "broker_id": 1, "api": 0, "answers": [[1]]}, "answers is tuple"),
        ({"command": "set_coordinator", "kind": "x", "key": "k", "broker_id": 1}, "no CoordinatorKind 'x'"),
        ({"command": "leaders", "topic": "\ud800"}, "no topic"),
        ({"command": "create_topic", "topic": "\ud800", "partitions": 1, "replication_factor": 1}, "no name"),
    ],
)
def test_control__command_that_is_none__one_error_and_the_next_is_served(
    served: Served, lines: Callable[[bytes], bytes], fields: dict[str, object], why: str
) -> None:
    answer = json.loads(lines(json.dumps({"token": served.ready.token, **fields}).encode() + b"\n"))
    assert answer["pid"] == served.ready.pid
    assert why in answer["error"]
    assert json.loads(lines(control.command_line(control.Requests(), served.ready.token)))["result"] == []


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\n", b"\xff\xfe\n", b"\n", b"[1]\n", b"null\n", b"[" * 9999 + b"\n"]
)
def test_control__garbage__one_error_and_the_next_is_served(
    served: Served, lines: Callable[[bytes], bytes], garbage: bytes
) -> None:
    assert "not a" in json.loads(lines(garbage))["error"]
    assert json.loads(lines(control.command_line(control.Requests(), served.ready.token)))["result"] == []


def test_control__line_without_end__told_hung_up_on_and_others_are_served(
    commands: ControlClient, lines: Callable[[bytes], bytes]
) -> None:
    assert "bytes long" in json.loads(lines(b"x" * (2 * control.LINE_BYTES_MAX)))["error"]
    assert commands.call(control.Requests()) == []


@pytest.mark.parametrize("token", ["", "wrong", None, 7])
def test_control__wrong_token__refused_and_hung_up_on(
    commands: ControlClient, lines: Callable[[bytes], bytes], token: object
) -> None:
    command = {"command": "create_topic", "topic": "orders", "partitions": 1, "replication_factor": 1}
    assert "token" in json.loads(lines(json.dumps({"token": token, **command}).encode() + b"\n"))["error"]
    assert lines(b"{}\n") == b""
    with pytest.raises(CommandFailed, match="no topic orders"):
        commands.call(control.Leaders("orders"))


def test_client__another_process_has_the_port__not_taken_for_ours(served: Served) -> None:
    client = ControlClient(dataclasses.replace(served.ready, pid=1))
    with contextlib.closing(client), pytest.raises(CommandFailed, match="another process than 1 answers"):
        client.call(control.Requests())


def test_client__broker_is_gone__says_so(served: Served, commands: ControlClient) -> None:
    served.process.kill()
    served.process.wait()
    with pytest.raises(CommandFailed, match=f"pid {served.ready.pid}.*requests"):
        commands.call(control.Requests())
    with pytest.raises(CommandFailed, match="can't be reached"):
        ControlClient(served.ready)


def test_process__end_of_stdin__ends_in_order(served: Served) -> None:
    served.process.communicate(timeout=LIMIT_S)
    assert served.process.returncode == 0


@pytest.mark.parametrize("each", [signal.SIGTERM, signal.SIGINT])
def test_process__signal_with_a_client_connected__ends_in_order(
    served: Served, commands: ControlClient, each: signal.Signals
) -> None:
    commands.call(control.Requests())
    served.process.send_signal(each)
    assert served.process.communicate(timeout=LIMIT_S) == (b"", b"")
    assert served.process.returncode == 0


def test_process__parent_killed__ends_too(popen: Any) -> None:
    parent = popen([sys.executable, "-c", STARTER, *COMMAND], stdout=subprocess.PIPE)
    ready = control.ready_of(parent.stdout.readline())
    parent.kill()
    parent.wait()
    until(lambda: not pid_lives(ready.pid), f"the end of {ready.pid}")


def test_process__watched_starter_killed__ends_in_order(popen: Any, serve: Callable[..., Served]) -> None:
    starter = popen(["sleep", "60"])
    served = serve("--starter", str(starter.pid))
    assert served.process.poll() is None
    starter.kill()  # and not waited for: a zombie is as gone
    assert served.process.wait(LIMIT_S) == 0


def test_process__no_brokers__one_sentence_and_exit_status_1() -> None:
    ended = subprocess.run([*COMMAND, "--brokers", "0"], stdin=subprocess.DEVNULL, capture_output=True)
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert ended.stderr == b"a mock cluster needs at least one broker, not 0\n"


@pytest.mark.parametrize("command", control.COMMANDS.values(), ids=control.COMMANDS)
def test_command__each__has_the_name_and_parameters_of_a_method(command: type[control.Command]) -> None:
    _, *parameters = inspect.signature(getattr(MockCluster, command.command)).parameters
    assert [field.name for field in dataclasses.fields(command)] == parameters


def test_ready__other_version__refused(served: Served) -> None:
    other = dataclasses.replace(served.ready, protocol=2)
    with pytest.raises(control.ControlError, match="speaks control protocol 2, not 1"):
        control.ready_of(control.ready_line(other))


def until(true: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < deadline_s, f"not within {LIMIT_S} s: {what}"
        time.sleep(0.02)
