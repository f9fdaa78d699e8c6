"""The shapes of records that a user can ask for by name, in the comparison of producers and in the speed table alike.

What a benchmark sends is seldom what a service sends: `plain` is the one, `service` the other, and the rest is what
lies between, each field by itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from systest.choices import unknown
from systest.workloads.stream import Placement, Shape

PLAIN, SERVICE = "plain", "service"
_KEYS = 4_096
_TEXT_BYTES = 200
_HOUR_MS = 3_600_000
# A broker deletes what says of itself that it is a week old, and refuses what comes from an hour ahead.
_AN_HOUR_AGO_MS = round(time.time() * 1000) - _HOUR_MS

SHAPES: Mapping[str, Shape] = {
    PLAIN: Shape(),
    SERVICE: Shape(value_bytes=_TEXT_BYTES, text=True, keys=_KEYS, headers=True, callback_every=10),
    "key": Shape(keys=_KEYS),
    "text": Shape(value_bytes=_TEXT_BYTES, text=True),
    "text-key": Shape(value_bytes=_TEXT_BYTES, text=True, keys=_KEYS),
    "headers": Shape(headers=True),
    "timestamp": Shape(timestamp_base_ms=_AN_HOUR_AGO_MS),
    "partition": Shape(placement=Placement.PARTITION),
    "callback": Shape(callback_every=1),
    "all": Shape(
        value_bytes=_TEXT_BYTES,
        text=True,
        keys=_KEYS,
        placement=Placement.PARTITION,
        headers=True,
        timestamp_base_ms=_AN_HOUR_AGO_MS,
        callback_every=1,
    ),
}


def shape_named(name: str) -> Shape:
    """Raises ValueError that lists the shapes if there is none of this name."""
    if name not in SHAPES:
        raise ValueError(unknown("shape of records", name, SHAPES))
    return SHAPES[name]


def words_of(shape: Shape) -> str:
    """What a person reads of it."""
    value = f"{'JSON text' if shape.text else 'values'} of {shape.value_bytes} bytes"
    by_turns = shape.placement is Placement.PARTITION
    others = (
        (shape.keys > 0, f"{'str' if shape.text else 'bytes'} keys"),
        (by_turns, "a partition"),
        (shape.headers, "two headers"),
        (shape.timestamp_base_ms is not None, "a timestamp"),
        (shape.callback_every == 1, "an on_delivery"),
        (shape.callback_every > 1, f"an on_delivery on one in {shape.callback_every}"),
    )
    return ", ".join([value, *(words for is_there, words in others if is_there)])
