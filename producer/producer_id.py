"""An idempotent producer's id, asked for as soon as a broker can give it.

librdkafka (2.16) asks for the id when metadata arrives, and otherwise by a timer each 500 ms. The first metadata comes
over the bootstrap connection, which it then drops for that to the broker itself, so that at this moment no broker is
there to be asked: every new idempotent producer has waited for the timer. Metadata that a broker brings over its own
connection makes librdkafka ask at once.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from producer.threads import call_apart

ASK_S = 0.1
"""One request's time limit: close() may have to wait for it."""
PAUSE_S = 0.01
SEEK_S_MAX = 5.0
"""With no broker by then, the timer's half second matters no more."""
BOOTSTRAP = -1
"""The id of a broker that is known by its address alone."""


class ProducerIdSeeker:
    """Asks for the metadata of `topic` on a thread of its own, until a broker's own connection has brought it.

    `client` gives the client, or None once it has ended.
    """

    def __init__(self, client: Callable[[], Any | None], topic: str) -> None:
        self._client = client
        self._topic = topic
        self._over = threading.Event()
        self._search = call_apart(self._seek)

    async def stop(self) -> None:
        """Leave the client alone: at once where a broker was found, else in `ASK_S`."""
        self._over.set()
        await asyncio.wait([asyncio.wrap_future(self._search)])

    def _seek(self) -> None:
        until_s = time.monotonic() + SEEK_S_MAX
        while time.monotonic() < until_s and not self._is_through():
            if self._over.wait(PAUSE_S):
                return

    def _is_through(self) -> bool:
        client = self._client()
        if client is None:
            return True
        try:
            metadata = client.list_topics(self._topic, timeout=ASK_S)
        except KafkaException as failed:  # no broker yet, or one that nobody can send to, as its records tell
            return bool(failed.args[0].code() == KafkaError._INVALID_ARG)
        return bool(metadata.orig_broker_id != BOOTSTRAP)
