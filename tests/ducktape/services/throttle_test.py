"""A broker that slows producers down says so, and the producer tells its throttle_cb, whichever its transport."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import ThrottleEvent
from ducktape.mark import matrix
from ducktape.mark.resource import cluster
from ducktape.tests.test import Test

from producer import AIOProducer
from producer.transports import transports, why_not_compiled
from systest import not_run
from systest.services.kafka import KafkaService

TOPIC = "orders"
BYTES_PER_S = 2_000
RECORD_BYTES = 3 * BYTES_PER_S
BRIEFLY = {"quota.window.num": "2", "quota.window.size.seconds": "1"}
LIMIT_S = 30.0


@dataclass
class Heard:
    """What reached one throttle_cb, on which thread, and what reached the loop's exception handler."""

    events: list[ThrottleEvent] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    raised: list[dict[str, Any]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, event: ThrottleEvent) -> None:
        self.events.append(event)
        self.threads.add(threading.get_ident())
        self.came.set()


def plain(heard: Heard) -> Callable[[ThrottleEvent], None]:
    return heard.note


def in_a_task(heard: Heard) -> Callable[[ThrottleEvent], Any]:
    async def throttled(event: ThrottleEvent) -> None:
        await asyncio.sleep(0)
        heard.note(event)

    return throttled


def raising(heard: Heard) -> Callable[[ThrottleEvent], None]:
    def throttled(event: ThrottleEvent) -> None:
        heard.note(event)
        raise LookupError("throttle_cb")

    return throttled


KINDS = {"plain": plain, "async": in_a_task, "raising": raising}


class ThrottleTest(Test):  # type: ignore[misc]  # ducktape has no types
    """Kafka's quotas, met by this producer."""

    @cluster(num_nodes=1)
    @matrix(transport=transports())
    def test_throttle_cb__plain_async_and_raising__hears_on_the_loop_who_slows_it_down_and_how_long(
        self, transport: str
    ) -> dict[str, str] | None:
        kafka = KafkaService(self.test_context, overrides=BRIEFLY)
        kafka.start()
        kafka.create_topic(TOPIC, 1)
        kafka.limit_producers(BYTES_PER_S)
        for kind in KINDS:
            heard = asyncio.run(heard_when_too_fast(kafka, transport, kind))
            first = heard.events[0]
            assert type(first) is ThrottleEvent, f"{kind}: {first!r}"
            assert first.broker_name == kafka.bootstrap_servers(), f"{kind}: {first.broker_name}"
            assert first.broker_id == 1, f"{kind}: {first.broker_id}"
            # Three times what a second allows at once, in windows of a second: seconds, not milliseconds or minutes.
            assert 0.5 <= first.throttle_time <= 10, f"{kind}: {first.throttle_time} s"
            assert heard.threads == {threading.get_ident()}, f"{kind}: not on the loop's thread"
            told = [f"{each['message']}: {each['exception']}" for each in heard.raised]
            expected = ["throttle_cb of the producer raised: throttle_cb"] if kind == "raising" else []
            assert told[:1] == expected, f"{kind}: {told}"
        return not_run.data_in_part(why_not_compiled())


async def heard_when_too_fast(kafka: KafkaService, transport: str, kind: str) -> Heard:
    """What a producer hears that sends more at once than the broker's quota allows."""
    heard = Heard()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.raised.append(context))
    conf = {"bootstrap.servers": kafka.bootstrap_servers(), "throttle_cb": KINDS[kind](heard)}
    async with AIOProducer(conf, transport=transport) as producer:
        await producer.send_and_wait(TOPIC, bytes(RECORD_BYTES))
        try:
            await asyncio.wait_for(heard.came.wait(), LIMIT_S)
        except asyncio.TimeoutError:
            raise AssertionError(f"{kind}: throttle_cb heard nothing within {LIMIT_S:.0f} s") from None
    return heard
