"""Ports in a row that stay free until they are used, for who must name a port before something listens there."""

from __future__ import annotations

import random
import socket

ADDRESS = "127.0.0.1"


def first_of_free_ports(count: int) -> int:
    """The first of so many, below those that systems give out by themselves: of those anybody may get one meanwhile."""
    for first in random.sample(range(20_000, 32_000), 1_000):
        if are_free(first, count):
            return first
    raise OSError(
        f"no {count} ports in a row are free from 20000 to 32000 on {ADDRESS}; end what listens there"
    )


def are_free(first: int, count: int) -> bool:
    """Whether nothing listens on any of them."""
    for port in range(first, first + count):
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that ended don't count
            try:
                one.bind((ADDRESS, port))
            except OSError:
                return False
    return True
