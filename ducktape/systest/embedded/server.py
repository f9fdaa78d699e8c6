"""The embedded broker's process: a mock cluster, its control socket, and the reasons to end.

It ends when its starter does: at the end of its stdin, or, started with a pid to watch, when that process is
gone (a service on a node has no pipe to hand over). SIGTERM and SIGINT end it too. Nothing outlives it: the
cluster is in its memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import secrets
import signal
import sys
import threading
from dataclasses import astuple, fields
from typing import TypeVar

import psutil

from systest.embedded import control
from systest.embedded.mock_cluster import (
    Answer,
    Api,
    CoordinatorKind,
    MockCluster,
    MockClusterError,
    library_version,
)

_E = TypeVar("_E", bound=enum.Enum)

_STARTER_CHECK_S = 0.25
_LAST_ANSWER_LIMIT_S = 1.0
_TOKEN_BYTES = 16


async def serve(brokers: int, starter_pid: int | None) -> None:
    """Runs N brokers until the starter is gone or a signal comes.

    Args:
        brokers: how many.
        starter_pid: the process to end with; None to end with stdin.

    Raises:
        MockClusterError: the brokers could not be started.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, ended.set)
    with MockCluster(brokers) as cluster:
        session = _Session(cluster, secrets.token_hex(_TOKEN_BYTES))
        server = await asyncio.start_server(session.run, "127.0.0.1", 0, limit=control.LINE_BYTES_MAX)
        ready = control.Ready(
            protocol=control.VERSION,
            pid=os.getpid(),
            token=session.token,
            control_port=server.sockets[0].getsockname()[1],
            bootstrap_servers=cluster.bootstrap_servers,
            brokers=brokers,
            library=library_version(),
        )
        sys.stdout.buffer.write(control.ready_line(ready))
        sys.stdout.buffer.flush()
        if starter_pid is None:
            _on_end_of_stdin(loop, ended)
            await ended.wait()
        else:
            await _until_gone(starter_pid, ended)
        server.close()


class _Session:
    """What control connections talk to. The cluster's calls take milliseconds, so they run on the loop."""

    def __init__(self, cluster: MockCluster, token: str) -> None:
        self.token = token
        self._cluster = cluster
        self._pid = os.getpid()

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one client until it or we hang up."""
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while await self._answer_one(reader, writer):
                await writer.drain()
            await _let_read(reader, writer)
        writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the client may go on."""
        try:
            line = await reader.readline()
        except ValueError:  # the rest of an overlong line would be taken for further commands
            writer.write(control.error_line(self._pid, f"a line is over {control.LINE_BYTES_MAX} bytes long"))
            return False
        if not line:
            return False
        try:
            result = self._carry_out(control.command_of(line, self.token))
        except control.WrongTokenError as error:
            writer.write(control.error_line(self._pid, str(error)))
            return False
        except (control.ControlError, MockClusterError) as error:
            writer.write(control.error_line(self._pid, str(error)))
        else:
            writer.write(control.result_line(self._pid, result))
        return True

    def _carry_out(self, command: control.Command) -> object:
        arguments = {field.name: getattr(command, field.name) for field in fields(command)}
        if "api" in arguments:
            arguments["api"] = _member(Api, arguments["api"])
        if isinstance(command, control.SetCoordinator):
            arguments["kind"] = _member(CoordinatorKind, command.kind)
        if isinstance(command, control.AnswerRequests):
            arguments["answers"] = [Answer(*each) for each in command.answers]
        # A command has the name and the parameters of its method; a test holds them to it.
        result = getattr(self._cluster, command.command)(**arguments)
        return [astuple(request) for request in result] if isinstance(command, control.Requests) else result


async def _let_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Gives the client time for our last answer; closing with its words unread would take that back."""
    writer.write_eof()
    deadline_s = asyncio.get_running_loop().time() + _LAST_ANSWER_LIMIT_S
    with contextlib.suppress(asyncio.TimeoutError):
        while await asyncio.wait_for(
            reader.read(control.LINE_BYTES_MAX), deadline_s - asyncio.get_running_loop().time()
        ):
            pass


def _member(kind: type[_E], value: object) -> _E:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(str(each.value) for each in kind)
        raise control.ControlError(f"there is no {kind.__name__} {value!r}; there are {known}") from None


def _on_end_of_stdin(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        with contextlib.suppress(RuntimeError):  # the loop is closed: we end already
            loop.call_soon_threadsafe(ended.set)

    # A thread, since a loop can't watch a stdin that is a file or /dev/null; it dies with the process.
    threading.Thread(target=wait, name="stdin", daemon=True).start()


async def _until_gone(pid: int, ended: asyncio.Event) -> None:
    try:
        starter = psutil.Process(pid)  # also knows when another process got the pid
        while not ended.is_set() and starter.is_running() and starter.status() != psutil.STATUS_ZOMBIE:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(ended.wait(), _STARTER_CHECK_S)
    except psutil.NoSuchProcess:
        return
