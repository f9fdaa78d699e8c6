"""Intake: the long way of a record from produce(), produce_nowait() and produce_batch() into the buffer.

It checks what was given, waits in line where the queue is full, and sees to it that what entered leaves again. The
short way of plain records is the FastLane.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from producer import arguments
from producer.access import Access
from producer.batch_manager import ProducerBatchManager
from producer.buffer_timeout import BufferTimeoutManager
from producer.callbacks import BatchResult, CallbackManager, OnDelivery
from producer.fast_lane import FastLane
from producer.message import Message
from producer.message_batch import PARTITIONER, Record
from producer.transaction import Transactions

TICK_S_MAX = 0.001
"""How long produce() may keep the loop before it lets other tasks run."""


class Intake:
    """Puts records into the buffer of `manager`. On the loop's thread."""

    def __init__(
        self,
        access: Access,
        transactions: Transactions,
        callbacks: CallbackManager,
        lane: FastLane,
        manager: ProducerBatchManager,
        timeouts: BufferTimeoutManager,
        default_on_delivery: OnDelivery | None,
    ) -> None:
        self._access = access
        self._transactions = transactions
        self._callbacks = callbacks
        self._lane = lane
        self._manager = manager
        self._timeouts = timeouts
        self._default_on_delivery = default_on_delivery
        lane.at_once = self.produce_at_once
        lane.otherwise = self.produce

    def produce_at_once(self, topic: str, value: bytes, key: bytes | None) -> asyncio.Future[Message] | None:
        """Hand over a plain record that nothing is ahead of, past the buffer; None where it must go the long way."""
        if not self._manager.is_idle() or self._default_on_delivery is not None or self._callbacks.marks:
            return None
        self._access.require_may_produce(self._transactions)
        arguments.checked_topic(topic)
        future = self._callbacks.future_type(loop=self._access.loop)
        return future if self._manager.hand_over_plain(topic, value, key, future) else None

    async def produce(
        self,
        topic: str,
        value: arguments.Payload,
        key: arguments.Payload,
        partition: int,
        on_delivery: OnDelivery | None,
        timestamp: int,
        headers: arguments.Headers | None,
    ) -> asyncio.Future[Message]:
        """See AIOProducer.produce()."""
        self._access.require_may_produce(self._transactions)
        record, bulk, on_delivery = self._checked(
            topic, value, key, partition, on_delivery, timestamp, headers
        )
        manager = self._manager
        if not manager.has_space():
            manager.hand_over()  # the line may be due to records of this very tick
        if not manager.has_space():
            return await manager.stand_in_line(
                partial(self._enter, topic, partition, record, bulk, on_delivery)
            )
        future = self._enter_now(topic, partition, record, bulk, on_delivery)
        if self._timeouts.elapsed_s() > TICK_S_MAX:
            await asyncio.sleep(0)
        return future

    def produce_nowait(
        self,
        topic: str,
        value: arguments.Payload,
        key: arguments.Payload,
        partition: int,
        on_delivery: OnDelivery | None,
        timestamp: int,
        headers: arguments.Headers | None,
    ) -> asyncio.Future[Message]:
        """See AIOProducer.produce_nowait()."""
        self._access.require_may_produce(self._transactions)
        record, bulk, chosen = self._checked(topic, value, key, partition, on_delivery, timestamp, headers)
        if not self._manager.has_space():
            raise BufferError(
                "The producer's queue is full. Await produce(), or try again when reports have come."
            )
        return self._enter_now(topic, partition, record, bulk, chosen)

    async def produce_batch(
        self,
        topic: str,
        messages: Sequence[Mapping[str, Any]],
        partition: int,
        on_delivery: OnDelivery | None,
        callback: OnDelivery | None,
    ) -> asyncio.Future[BatchResult]:
        """See AIOProducer.produce_batch()."""
        self._access.require_may_produce(self._transactions)
        arguments.checked_topic(topic)
        arguments.checked_partition(partition)
        chosen = arguments.checked_callback(on_delivery, callback) or self._default_on_delivery
        future: asyncio.Future[BatchResult] = self._access.loop.create_future()
        if not messages:
            future.set_result(BatchResult(0))
        else:
            await self._enter_batch(topic, messages, partition, chosen, future)
        return future

    async def _enter_batch(
        self,
        topic: str,
        messages: Sequence[Mapping[str, Any]],
        partition: int,
        on_delivery: OnDelivery | None,
        future: asyncio.Future[BatchResult],
    ) -> None:
        manager, lane = self._manager, self._lane
        count = len(messages)
        report = self._callbacks.batch_report(count, future, on_delivery)
        slots = report.slots
        records: list[Record] | None = None
        index = 0
        while index < count:
            if records is not None:
                index = lane.enter_batch(records, messages, slots, index)
                if index == count:
                    return
            try:
                place, record, bulk = _checked_mapping(messages[index], partition)
            except (TypeError, ValueError) as refused:
                report.reject(index, refused)
                index += 1
                continue
            record["callback"] = slots[index]
            if not manager.has_space():
                manager.hand_over()
            if manager.has_space():
                report.enter(topic, place, record, bulk, manager.add)
                self._after_entry()
                if self._timeouts.elapsed_s() > TICK_S_MAX:
                    await asyncio.sleep(0)
                    self._access.life.require_open()
                    self._transactions.require_in_place()
            else:
                await manager.stand_in_line(partial(report.enter, topic, place, record, bulk, manager.add))
                self._access.life.require_open()
            records = lane.lists.get(topic) if partition == PARTITIONER else None
            index += 1

    def _checked(
        self,
        topic: Any,
        value: Any,
        key: Any,
        partition: Any,
        on_delivery: Any,
        timestamp: Any,
        headers: Any,
    ) -> tuple[Record, bool, OnDelivery | None]:
        """The record but for its callback, whether it fits the bulk call, and its on_delivery."""
        arguments.checked_topic(topic)
        record: Record = {
            "value": arguments.checked_payload("value", value),
            "key": arguments.checked_payload("key", key),
        }
        arguments.checked_partition(partition)
        bulk = _add_extras(record, timestamp, headers)
        return record, bulk, arguments.checked_callback(on_delivery, self._default_on_delivery)

    def _enter(
        self, topic: str, partition: int, record: Record, bulk: bool, on_delivery: OnDelivery | None
    ) -> asyncio.Future[Any]:
        """Put a checked record into the buffer, now that there is room for it."""
        future = self._future_of(record, on_delivery)
        self._manager.add(topic, partition, record, bulk)
        return future

    def _leave_at_once(
        self, topic: str, partition: int, record: Record, bulk: bool, on_delivery: OnDelivery | None
    ) -> asyncio.Future[Any]:
        """Hand over a checked record that nothing is ahead of, past the buffer."""
        future = self._future_of(record, on_delivery)
        if not self._manager.hand_over_alone(topic, partition, record, bulk):
            self._timeouts.mark_activity()
        return future

    def _future_of(self, record: Record, on_delivery: OnDelivery | None) -> asyncio.Future[Any]:
        """A new future, which the record tells of its report."""
        future = self._callbacks.future_type(loop=self._access.loop)
        record["callback"] = self._callbacks.callback_for(future, on_delivery)
        return future

    def _enter_now(
        self, topic: str, partition: int, record: Record, bulk: bool, on_delivery: OnDelivery | None
    ) -> asyncio.Future[Any]:
        if self._manager.is_idle():
            return self._leave_at_once(topic, partition, record, bulk, on_delivery)
        future = self._enter(topic, partition, record, bulk, on_delivery)
        self._after_entry()
        return future

    def _after_entry(self) -> None:
        """Records entered the buffer: see to it that they leave."""
        manager = self._manager
        self._timeouts.mark_activity()
        if manager.burst_is_full():
            manager.flush_buffer()
        if self._default_on_delivery is None:
            manager.open_room()


def _add_extras(record: Record, timestamp: Any, headers: Any) -> bool:
    """Add timestamp and headers where given; whether the record still fits the bulk call."""
    if timestamp:
        record["timestamp"] = arguments.checked_timestamp(timestamp)
    elif timestamp != 0 or not isinstance(timestamp, int):
        arguments.checked_timestamp(timestamp)
    if headers is not None:
        checked = arguments.checked_headers(headers)
        if checked is not None:
            record["headers"] = checked
    return len(record) == 2


def _checked_mapping(message: Mapping[str, Any], partition: int) -> tuple[int, Record, bool]:
    """Of one mapping of a batch: its partition, its record but for the callback, and whether it fits bulk."""
    if not isinstance(message, Mapping):
        raise TypeError(f"a message must be a mapping, not {type(message).__name__}.")
    get = message.get
    record: Record = {
        "value": arguments.checked_payload("value", get("value")),
        "key": arguments.checked_payload("key", get("key")),
    }
    own_partition = get("partition")
    place = partition if own_partition is None else arguments.checked_partition(own_partition)
    return place, record, _add_extras(record, get("timestamp") or 0, get("headers"))
