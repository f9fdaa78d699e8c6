"""The way out of a root: to named endpoints, byte by byte, until it is closed."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from systest.bare_root import relay
from systest.bare_root.machine import Endpoint
from systest.bare_root.relay import Relay, addresses_of, hosts_file

INSIDE = "127.66.77.1"


def test_addresses__of_names_and_literals__are_one_a_name_and_its_own_for_a_literal() -> None:
    endpoints = [
        Endpoint("b.example", 80),
        Endpoint("b.example", 443),
        Endpoint("127.0.0.1", 3128),
        Endpoint("c", 1),
    ]
    addresses = addresses_of(endpoints)
    assert addresses == {"b.example": "198.19.255.1", "127.0.0.1": "127.0.0.1", "c": "198.19.255.2"}
    assert (
        hosts_file(addresses)
        == "127.0.0.1 localhost\n::1 localhost\n198.19.255.1 b.example\n198.19.255.2 c\n"
    )


def test_relay__to_a_server__passes_on_both_ways_and_the_end_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "_enter_network", lambda pid: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server_thread = threading.Thread(target=_answer, args=(server,))
        server_thread.start()
        passing_on = Relay([Endpoint("localhost", server.getsockname()[1])])
        passing_on.addresses["localhost"] = INSIDE
        passing_on.start(0)
        try:
            with socket.create_connection((INSIDE, server.getsockname()[1]), timeout=10) as connection:
                connection.sendall(b"x" * 300_000)
                connection.shutdown(socket.SHUT_WR)
                assert connection.recv(100, socket.MSG_WAITALL) == b"300000"
                assert connection.recv(1) == b""
        finally:
            passing_on.close()
            server_thread.join()
        passing_on.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((INSIDE, server.getsockname()[1]), timeout=10)


def test_relay__to_nobody__ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "_enter_network", lambda pid: None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        passing_on = Relay([Endpoint("localhost", taken.getsockname()[1])])
        passing_on.addresses["localhost"] = INSIDE
        passing_on.start(0)
        try:
            with socket.create_connection((INSIDE, taken.getsockname()[1]), timeout=10) as connection:
                assert connection.recv(1) == b""
        finally:
            passing_on.close()


def test_relay__for_a_process_that_is_gone__is_told() -> None:
    passing_on = Relay([Endpoint("localhost", 1)])
    with pytest.raises(FileNotFoundError):
        passing_on.start(0)
    passing_on.close()


def _answer(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        count = 0
        while chunk := connection.recv(65_536):
            count += len(chunk)
        connection.sendall(str(count).encode())


def test_relay__closed_with_connections_open__cuts_them_and_leaves_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay, "_enter_network", lambda pid: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        passing_on = Relay([Endpoint("localhost", server.getsockname()[1])])
        passing_on.addresses["localhost"] = INSIDE
        passing_on.start(0)
        where = (INSIDE, server.getsockname()[1])
        connections = [socket.create_connection(where, timeout=10) for _ in range(20)]
        passing_on.close()
        for connection in connections:
            with connection, contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""
    assert "relay" not in [thread.name for thread in threading.enumerate()]
