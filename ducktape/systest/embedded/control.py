"""Control protocol of the embedded broker, version 1: JSON objects, one a line, over TCP on 127.0.0.1.

`python -m systest.embedded` prints one `Ready` line on stdout. A client connects to its `control_port`,
writes one command a line and reads one answer a line, in the same order. Several clients may be connected at
once.

A command is `{"token": ..., "command": ..., <the fields of its class below>}`. The token is that of the
Ready line: a stranger does not know it. An answer is `{"pid": ..., "result": ...}` or `{"pid": ..., "error":
...}`; the pid is that of the Ready line, so that a stranger's port is not taken for ours. An error is one
sentence, and the connection stays usable. A line that is too long or has a wrong token is answered, then
hung up on.

What a command does is said at the method of `MockCluster` that has its name and parameters. Results: null,
but for `leaders` ({partition: broker}, keys as strings), `pending_answers` (a number) and `requests` (a list
of [broker_id, api, at_us]). `api` is a number of `Api`. Broker -1 is every broker, leader -1 is none, error
codes are Kafka's; an `answers` entry is [error, delay_ms].
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

VERSION = 1
LINE_BYTES_MAX = 1 << 20


class ControlError(ValueError):
    """A line is not what the protocol asks for; the message says what is wrong with it."""


class WrongTokenError(ControlError):
    """The line was meant for another process."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The first and only line on stdout: the brokers listen."""

    protocol: int
    pid: int
    token: str
    control_port: int
    bootstrap_servers: str
    brokers: int
    library: str  # librdkafka's version


@dataclass(frozen=True, slots=True)
class CreateTopic:
    command: ClassVar[str] = "create_topic"
    topic: str
    partitions: int
    replication_factor: int


@dataclass(frozen=True, slots=True)
class DeleteTopic:
    command: ClassVar[str] = "delete_topic"
    topic: str


@dataclass(frozen=True, slots=True)
class Leaders:
    command: ClassVar[str] = "leaders"
    topic: str


@dataclass(frozen=True, slots=True)
class SetLeader:
    command: ClassVar[str] = "set_leader"
    topic: str
    partition: int
    broker_id: int


@dataclass(frozen=True, slots=True)
class SetFollower:
    command: ClassVar[str] = "set_follower"
    topic: str
    partition: int
    broker_id: int


@dataclass(frozen=True, slots=True)
class SetTopicError:
    command: ClassVar[str] = "set_topic_error"
    topic: str
    error: int


@dataclass(frozen=True, slots=True)
class BrokerDown:
    command: ClassVar[str] = "broker_down"
    broker_id: int


@dataclass(frozen=True, slots=True)
class BrokerUp:
    command: ClassVar[str] = "broker_up"
    broker_id: int


@dataclass(frozen=True, slots=True)
class Delay:
    command: ClassVar[str] = "delay"
    broker_id: int
    rtt_ms: int


@dataclass(frozen=True, slots=True)
class FailRequests:
    command: ClassVar[str] = "fail_requests"
    api: int
    errors: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AnswerRequests:
    command: ClassVar[str] = "answer_requests"
    broker_id: int
    api: int
    answers: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class PendingAnswers:
    command: ClassVar[str] = "pending_answers"
    broker_id: int
    api: int


@dataclass(frozen=True, slots=True)
class ClearErrors:
    command: ClassVar[str] = "clear_errors"
    api: int


@dataclass(frozen=True, slots=True)
class SetApiVersions:
    command: ClassVar[str] = "set_api_versions"
    api: int
    lowest: int
    highest: int


@dataclass(frozen=True, slots=True)
class TrackRequests:
    command: ClassVar[str] = "track_requests"
    on: bool


@dataclass(frozen=True, slots=True)
class Requests:
    command: ClassVar[str] = "requests"


@dataclass(frozen=True, slots=True)
class ClearRequests:
    command: ClassVar[str] = "clear_requests"


@dataclass(frozen=True, slots=True)
class SetCoordinator:
    command: ClassVar[str] = "set_coordinator"
    kind: str  # "group" or "transaction"
    key: str
    broker_id: int


@dataclass(frozen=True, slots=True)
class DelayGroupRebalance:
    command: ClassVar[str] = "delay_group_rebalance"
    delay_ms: int


Command = (
    CreateTopic
    | DeleteTopic
    | Leaders
    | SetLeader
    | SetFollower
    | SetTopicError
    | BrokerDown
    | BrokerUp
    | Delay
    | FailRequests
    | AnswerRequests
    | PendingAnswers
    | ClearErrors
    | SetApiVersions
    | TrackRequests
    | Requests
    | ClearRequests
    | SetCoordinator
    | DelayGroupRebalance
)
COMMANDS: Mapping[str, type[Command]] = {each.command: each for each in Command.__args__}


def command_line(command: Command, token: str) -> bytes:
    """The command as a client writes it."""
    return _line({"token": token, "command": command.command, **asdict(command)})


def command_of(line: bytes, token: str) -> Command:
    """The command in a client's line.

    Raises:
        WrongTokenError: it was meant for another process.
        ControlError: it is no command.
    """
    raw = _object(line)
    if raw.pop("token", None) != token:
        raise WrongTokenError("the token is not the one of this process's ready line")
    name = raw.pop("command", None)
    kind = COMMANDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ControlError(f"unknown command {name!r}; known: {', '.join(sorted(COMMANDS))}")
    wanted = {field.name: field.type for field in fields(kind)}
    if raw.keys() != wanted.keys():
        raise ControlError(f"{name} takes {', '.join(wanted) or 'no fields'}, not {', '.join(raw) or 'none'}")
    return kind(**{key: _checked(f"{name}.{key}", value, str(wanted[key])) for key, value in raw.items()})


def result_line(pid: int, result: object) -> bytes:
    return _line({"pid": pid, "result": result})


def error_line(pid: int, error: str) -> bytes:
    return _line({"pid": pid, "error": error})


def ready_line(ready: Ready) -> bytes:
    return _line(asdict(ready))


def ready_of(line: bytes) -> Ready:
    """Raises ControlError if the line is not a Ready of this protocol's version."""
    raw = _object(line)
    try:
        ready = Ready(**raw)
    except TypeError as error:
        raise ControlError(f"not a ready line: {line[:200]!r} ({error})") from error
    if ready.protocol != VERSION:
        raise ControlError(f"it speaks control protocol {ready.protocol}, not {VERSION}")
    return ready


def answer_of(line: bytes, pid: int) -> tuple[Any, str | None]:
    """Result and error of an answer. Raises ControlError if it is none, or not from process `pid`."""
    raw = _object(line)
    if raw.get("pid") != pid:
        raise ControlError(f"another process than {pid} answers: {line[:200]!r}")
    return raw.get("result"), raw.get("error")


def _line(raw: Mapping[str, object]) -> bytes:
    return json.dumps(raw).encode() + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ControlError(f"not a line of JSON: {line[:80]!r}") from error
    if not isinstance(raw, dict):
        raise ControlError(f"not a JSON object: {line[:80]!r}")
    return raw


def _checked(what: str, value: Any, kind: str) -> Any:
    """The value as its field wants it. `kind` is the field's annotation, one of those used above."""
    if kind == "tuple[int, ...]" and isinstance(value, list):
        return tuple(_checked(what, each, "int") for each in value)
    if kind == "tuple[tuple[int, int], ...]" and isinstance(value, list):
        pairs = [_checked(what, each, "tuple[int, ...]") for each in value]
        if all(len(pair) == 2 for pair in pairs):
            return tuple(pairs)
    elif type(value).__name__ == kind and (kind != "int" or -(2**31) <= value < 2**31):
        return value
    raise ControlError(f"{what} is {kind}, not {json.dumps(value)[:80]}")
