"""The one way out of a root: connections to named endpoints, passed on byte by byte.

A root's network namespace has a loopback interface and nothing else. There each endpoint has an address of its own,
known by the root's /etc/hosts, and behind it this process listens: with sockets that were made inside the namespace,
by a thread that went there, while what it connects to is reached from outside. So no packet of the root leaves it, no
name is looked up there, this machine's own network is left as it is, and all ends with this process, however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network, ip_address
from pathlib import Path

from systest.bare_root.machine import Endpoint

_ADDRESSES = IPv4Network("198.19.255.0/24")
_CHUNK = 1 << 16
_BACKLOG = 128
_CONNECT_LIMIT_S = 30.0
_CLONE_NEWNET = 0x40000000
_IP_FREEBIND = 15
_LIBC = ctypes.CDLL(None, use_errno=True)


def addresses_of(endpoints: Iterable[Endpoint]) -> dict[str, str]:
    """The address of each host in a root: a literal one its own, any other the next of a network kept for tests."""
    hosts = dict.fromkeys(endpoint.host for endpoint in endpoints)
    free = _ADDRESSES.hosts()
    return {host: host if _is_literal(host) else str(next(free)) for host in hosts}


def hosts_file(addresses: Mapping[str, str]) -> str:
    """/etc/hosts of a root."""
    lines = ["127.0.0.1 localhost", "::1 localhost"]
    lines += [f"{address} {host}" for host, address in addresses.items() if host != address]
    return "".join(f"{line}\n" for line in lines)


class Relay:
    """Passes on for one root, from `start` to `close`."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._endpoints = tuple(endpoints)
        self.addresses = addresses_of(self._endpoints)
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)

    def start(self, pid: int) -> None:
        """Listens in the network namespace of a process. Raises OSError."""
        with ThreadPoolExecutor(1) as apart:  # its thread stays in that namespace and goes
            listening = apart.submit(self._listen, pid).result()
        self._thread.start()
        for endpoint, each in listening:
            asyncio.run_coroutine_threadsafe(self._serve(endpoint, each), self._loop).result()

    def close(self) -> None:
        """Cuts all connections. Safe twice."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        if not self._loop.is_closed():
            self._loop.close()

    def _listen(self, pid: int) -> list[tuple[Endpoint, socket.socket]]:
        _enter_network(pid)
        listening = []
        for endpoint in self._endpoints:
            address = self.addresses[endpoint.host]
            each = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            # The root gives itself the address at its own time.
            each.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind((address, endpoint.port))
            each.listen(_BACKLOG)
            listening.append((endpoint, each))
        return listening

    async def _serve(self, endpoint: Endpoint, listening: socket.socket) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.TimeoutError, asyncio.CancelledError):
                await _pass_on(endpoint, reader, writer)
            writer.close()

        self._servers.append(await asyncio.start_server(serve, sock=listening))

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


async def _pass_on(endpoint: Endpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connecting = asyncio.open_connection(endpoint.host, endpoint.port)
    far_reader, far_writer = await asyncio.wait_for(connecting, _CONNECT_LIMIT_S)
    try:
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
    finally:
        far_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def _enter_network(pid: int) -> None:
    """Has the calling thread, and no other, see the network of a process."""
    descriptor = os.open(Path("/proc", str(pid), "ns", "net"), os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"the root's network can't be entered ({os.strerror(number)})")
    finally:
        os.close(descriptor)


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
