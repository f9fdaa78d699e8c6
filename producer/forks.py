"""Keeps a forked child from using and from destroying the parent's client.

The client's threads do not exist in the child, and librdkafka would wait for them for ever. So the child
never lets go of the client: its memory is the price of a fork. And no record may enter there unasked.
"""

from __future__ import annotations

import ctypes
import os
from typing import Protocol
from weakref import WeakSet


class HasRoom(Protocol):
    """Lets so many records in unasked."""

    room: int


class ClientOwner(Protocol):
    """Owns a client until it ends, and the way into it."""

    @property
    def records(self) -> HasRoom: ...

    def client(self) -> object | None:
        """The client, or None once it has ended."""


_owners: WeakSet[ClientOwner] = WeakSet()
_held: list[object] = []
"""Clients during a fork: the child drops what its missing threads held before its own code runs."""


def keep_from_children(owner: ClientOwner) -> None:
    """Have every child forked from now on leave the owner's client alone."""
    _owners.add(owner)


def _hold() -> None:
    _held.extend(client for client in (owner.client() for owner in _owners) if client is not None)


def _leak() -> None:
    for owner in _owners:
        owner.records.room = 0
    for client in _held:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_held.clear, after_in_child=_leak)
