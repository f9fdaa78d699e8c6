"""The one way out of a root: connections to named endpoints, passed on byte by byte.

A root's network namespace has a loopback interface and nothing else. There each endpoint has an address of its own,
known by the root's /etc/hosts, and behind it this process listens: with sockets that were made inside the namespace,
by a thread that went there, while what it connects to is reached from outside. So no packet of the root leaves it, no
name is looked up there, this machine's own network is left as it is, and all ends with this process, however it ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network, ip_address
from pathlib import Path

from systest.bare_root.machine import Endpoint

_ADDRESSES = IPv4Network("198.19.255.0/24")
_CHUNK = 1 << 16
_BACKLOG = 128
_CONNECT_LIMIT_S = 30.0
_END_LIMIT_S = 5.0
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
    """Passes on for one root, from `start` to `close`. Two threads a connection: there are few, and most wait."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._endpoints = tuple(endpoints)
        self.addresses = addresses_of(self._endpoints)
        self._lock = threading.Lock()
        self._is_over = False
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def start(self, pid: int) -> None:
        """Listens in the network namespace of a process. Raises OSError."""
        with ThreadPoolExecutor(1) as apart:  # its thread stays in that namespace and goes
            listening = apart.submit(self._listen, pid).result()
        for endpoint, each in listening:
            self._begin(self._accept, endpoint, each)

    def close(self) -> None:
        """Cuts all connections. Safe twice."""
        with self._lock:
            self._is_over = True
            for each in self._open:
                _cut(each)
        deadline_s = time.monotonic() + _END_LIMIT_S
        # One that accepts may begin another as it ends; one that is just connecting ends later than is waited for.
        while (
            alive := [each for each in self._threads if each.is_alive()]
        ) and time.monotonic() < deadline_s:
            alive[0].join(max(0.0, deadline_s - time.monotonic()))

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

    def _begin(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name="relay", daemon=True)
        with self._lock:
            thread.start()
            self._threads = [each for each in self._threads if each.is_alive()] + [thread]

    def _accept(self, endpoint: Endpoint, listening: socket.socket) -> None:
        with self._kept(listening), contextlib.suppress(OSError):  # raised when it is cut
            while True:
                near, _ = listening.accept()
                self._begin(self._serve, endpoint, near)

    def _serve(self, endpoint: Endpoint, near: socket.socket) -> None:
        with self._kept(near), contextlib.suppress(OSError):  # the root's program sees its connection end
            far = socket.create_connection((endpoint.host, endpoint.port), timeout=_CONNECT_LIMIT_S)
            far.settimeout(None)
            with self._kept(far):
                back = threading.Thread(target=_copy, args=(far, near), name="relay", daemon=True)
                back.start()
                _copy(near, far)
                back.join()

    @contextlib.contextmanager
    def _kept(self, one: socket.socket) -> Iterator[None]:
        """Within, `close` cuts it; afterwards it is closed."""
        with self._lock:
            self._open.add(one)
            if self._is_over:
                _cut(one)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(one)
            one.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    """All that comes, and then its end; if either breaks, both are cut, so that the other way ends too."""
    try:
        while chunk := source.recv(_CHUNK):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        _cut(source)
        _cut(sink)


def _cut(one: socket.socket) -> None:
    """Whoever waits for it in another thread hears of it, as by closing it nobody would."""
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


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
