"""FastLane: a plain record's way into the buffer, past everything that only other records need.

Plain is a record of bytes with neither partition, headers, timestamp nor on_delivery, as nearly all are that come in
great number. While the batch manager leaves room in the lane, such a record is appended to its topic's list without
asking anything else; every other one goes the long way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from threading import get_ident
from typing import Any

from producer.callbacks import OnDelivery
from producer.message_batch import PARTITIONER, Record

_NOW = 0
"""Compared by identity, as the partitioner: what is equal alone may be of a wrong type, which the long way tells."""


class FastLane:
    """`room` records may enter `lists[topic]`. The batch manager opens and closes it, and sets `open_list`.

    `open_list(topic)` makes the list of a topic that has nothing buffered, or returns None where the long way must
    decide. Where there is no room `at_once(topic, value, key)` gives the future of a plain record that may leave
    unbuffered, or None. `otherwise` is the long way, with produce()'s parameters.
    """

    open_list: Callable[[str], list[Record] | None]
    at_once: Callable[[str, bytes, bytes | None], asyncio.Future[Any] | None]
    otherwise: Callable[..., Awaitable[asyncio.Future[Any]]]

    def __init__(self, loop: asyncio.AbstractEventLoop, future_type: type[asyncio.Future[Any]]) -> None:
        self.room = 0
        self.lists: dict[str, list[Record]] = {}
        self._loop = loop
        self._thread = get_ident()
        self._future_type = future_type

    async def produce(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int = PARTITIONER,
        on_delivery: OnDelivery | None = None,
        timestamp: int = 0,
        headers: Any = None,
        *,
        callback: OnDelivery | None = None,
    ) -> asyncio.Future[Any]:
        """See AIOProducer.produce()."""
        future: asyncio.Future[Any] | None
        if (
            type(value) is bytes
            and (key is None or type(key) is bytes)
            and partition is PARTITIONER
            and on_delivery is None
            and headers is None
            and timestamp is _NOW
            and callback is None
            and get_ident() == self._thread
        ):
            if self.room > 0:
                records = self.lists.get(topic)
                if records is None:
                    records = self.open_list(topic)
                if records is not None:
                    self.room -= 1
                    future = self._future_type(loop=self._loop)
                    records.append({"value": value, "key": key, "callback": future})
                    return future
            elif (future := self.at_once(topic, value, key)) is not None:
                return future
        return await self.otherwise(topic, value, key, partition, on_delivery or callback, timestamp, headers)

    def enter_batch(
        self,
        records: list[Record],
        messages: Sequence[Mapping[str, Any]],
        callbacks: Sequence[Any],
        start: int,
    ) -> int:
        """Append the messages from `start` on while they are plain and there is room. The index of the first that has
        not entered.
        """
        for index in range(start, len(messages)):
            message = messages[index]
            if self.room <= 0 or type(message) is not dict:
                return index
            value, key = message.get("value"), message.get("key")
            if (
                type(value) is not bytes
                or not (key is None or type(key) is bytes)
                or len(message) != 1 + ("key" in message)
            ):
                return index
            self.room -= 1
            records.append({"value": value, "key": key, "callback": callbacks[index]})
        return len(messages)
