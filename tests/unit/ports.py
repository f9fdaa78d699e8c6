"""Ports of the loopback that stay free until they are used."""

from __future__ import annotations

import contextlib
import random
import socket

ADDRESS = "127.0.0.1"


def free_ports(count: int) -> int:
    """The first of so many free ports in a row, none of them such as a system gives to whoever asks for any: of those
    another test may get one at any moment.
    """
    for first in random.sample(range(20_000, 32_000), 1_000):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind((ADDRESS, port))
            return first
    raise AssertionError("no ports are free")
