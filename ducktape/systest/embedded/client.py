"""The other end of the control protocol: commands to an embedded broker in another process."""

from __future__ import annotations

import socket
import threading
from typing import Any

from systest.embedded import control

_CALL_LIMIT_S = 10.0


class CommandFailed(Exception):
    """The embedded broker refused a command or no longer answers; the message says which and why."""


class ControlClient:
    """One connection, made on construction. Any thread may call; calls take turns.

    Raises CommandFailed if nobody listens on the port of the ready line.
    """

    def __init__(self, ready: control.Ready) -> None:
        self._ready = ready
        self._turn = threading.Lock()
        try:
            self._socket = socket.create_connection(("127.0.0.1", ready.control_port), _CALL_LIMIT_S)
        except OSError as error:
            raise CommandFailed(f"the embedded broker (pid {ready.pid}) can't be reached: {error}") from error
        self._answers = self._socket.makefile("rb")

    def call(self, command: control.Command) -> Any:
        """The command's result, once it was carried out. Raises CommandFailed."""
        with self._turn:
            try:
                self._socket.sendall(control.command_line(command, self._ready.token))
                line = self._answers.readline()
            except OSError as error:
                raise self._failure(command, str(error)) from error
        if not line:
            raise self._failure(command, "it hung up")
        try:
            result, error_text = control.answer_of(line, self._ready.pid)
        except control.ControlError as error:
            raise self._failure(command, str(error)) from error
        if error_text is not None:
            raise self._failure(command, error_text)
        return result

    def close(self) -> None:
        """Hangs up; the broker goes on. Safe twice."""
        self._answers.close()
        self._socket.close()

    def _failure(self, command: control.Command, why: str) -> CommandFailed:
        return CommandFailed(f"embedded broker (pid {self._ready.pid}), {command.command}: {why}")
