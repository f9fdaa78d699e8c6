"""What a caller may pass: pure functions that return the checked value or raise, naming the parameter."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from confluent_kafka import TopicPartition

Payload = str | bytes | bytearray | memoryview | None
Headers = Mapping[str, str | bytes | None] | list[tuple[str, str | bytes | None]]

PARTITION_MAX = 2**31 - 1
TIMESTAMP_MAX_MS = 2**63 - 1
QUEUE_MESSAGES_DEFAULT = 100_000
QUEUE_MESSAGES_MAX = 2**31 - 1
TRANSACTION_TIMEOUT_DEFAULT_MS = 60_000
MESSAGE_NAMES = frozenset(("value", "key", "partition", "headers", "timestamp", "on_delivery", "callback"))
"""What a message of a batch may have."""


def _integer(name: str, given: Any, what: str = "") -> int:
    """What is a whole number by itself: an int, an IntEnum, one of numpy's."""
    try:
        return operator.index(given)
    except TypeError:
        raise TypeError(f"{name} must be an int{what}, not {type(given).__name__}.") from None


def checked_topic(topic: Any) -> str:
    """A topic that can be handed to librdkafka."""
    if not isinstance(topic, str):
        raise TypeError(f"topic must be a str, not {type(topic).__name__}.")
    if not topic or "\0" in topic:
        raise ValueError(f"topic {topic!r} must be a name of at least one character and without NUL.")
    plain: str = str.__str__(topic)  # of a subclass, too, what librdkafka would see of it
    plain.encode()
    return plain


def checked_payload(name: str, payload: Any) -> bytes | None:
    """A value or key as bytes: str becomes UTF-8, and what the caller could still change is copied."""
    if payload is None or type(payload) is bytes:
        return payload
    if isinstance(payload, str):
        return str.encode(payload)
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return memoryview(payload).tobytes()
    raise TypeError(f"{name} must be bytes, str or None, not {type(payload).__name__}.")


def checked_partition(partition: Any) -> int:
    """A partition number, or -1 for the partitioner's choice."""
    number = _integer("partition", partition)
    if not -1 <= number <= PARTITION_MAX:
        raise ValueError(f"partition is {number}; it must be -1 (any) to {PARTITION_MAX}.")
    return number


def checked_timestamp(timestamp: Any) -> int:
    """Milliseconds since the epoch, or 0 for now."""
    number = _integer("timestamp", timestamp, " (milliseconds since the epoch)")
    if not 0 <= number <= TIMESTAMP_MAX_MS:
        raise ValueError(f"timestamp is {number}; it must be 0 (now) to {TIMESTAMP_MAX_MS} milliseconds.")
    return number


def checked_headers(headers: Any) -> list[tuple[str, bytes | None]] | None:
    """Headers as a list of their own, in the given order; None where there are none."""
    if headers is None:
        return None
    pairs = list(headers.items()) if isinstance(headers, Mapping) else headers
    if not isinstance(pairs, (list, tuple)):
        raise TypeError(
            f"headers must be a mapping or a list of (key, value) pairs, not {type(headers).__name__}."
        )
    checked: list[tuple[str, bytes | None]] = []
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"headers must hold (key, value) pairs, not {pair!r}.")
        key = pair[0].decode() if isinstance(pair[0], bytes) else pair[0]
        if not isinstance(key, str):
            raise TypeError(f"headers must have str keys, not {type(key).__name__}.")
        key = str.__str__(key)
        if "\0" in key:
            raise ValueError(f"headers key {key!r} must not contain NUL.")
        key.encode()
        checked.append((key, checked_payload(f"headers[{key!r}]", pair[1])))
    return checked or None


def checked_callback(on_delivery: Any) -> Any:
    """The delivery callback, or None."""
    if on_delivery is not None and not callable(on_delivery):
        raise TypeError(f"on_delivery must be callable, not {type(on_delivery).__name__}.")
    return on_delivery


def checked_messages(messages: Any) -> Sequence[Any]:
    """The messages of a batch, in an order of their own."""
    if isinstance(messages, (str, bytes)) or not isinstance(messages, Sequence):
        raise TypeError(f"messages must be a list of mappings, not {type(messages).__name__}.")
    return messages


def checked_message(message: Any) -> dict[Any, Any]:
    """One message of a batch. A name that is none of those there are may be a slip of the pen."""
    if not isinstance(message, Mapping):
        raise TypeError(f"a message must be a mapping, not {type(message).__name__}.")
    known = message if type(message) is dict else dict(message)
    if not known.keys() <= MESSAGE_NAMES:
        unknown = ", ".join(repr(name) for name in known if name not in MESSAGE_NAMES)
        raise ValueError(f"a message may have {', '.join(sorted(MESSAGE_NAMES))}, but no {unknown}.")
    return known


def callback_of(message: Mapping[Any, Any], otherwise: Any) -> Any:
    """The delivery callback of a message of a batch, given by either of its two names, or that of all."""
    for name in ("on_delivery", "callback"):
        if message.get(name) is not None:
            return message[name]
    return otherwise


def checked_conf(conf: Any, producer_conf: Any) -> Any:
    """The configuration, given by either of its two names."""
    if (conf is None) == (producer_conf is None):
        raise TypeError("conf must be given, once: librdkafka's settings as a mapping.")
    return producer_conf if conf is None else conf


def checked_count(name: str, count: Any) -> int:
    """A number of things, at least one."""
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"{name} must be an int, not {type(count).__name__}.")
    if count < 1:
        raise ValueError(f"{name} is {count}; it must be at least 1.")
    return count


def checked_seconds(name: str, seconds: Any) -> float:
    """A duration in seconds, not negative."""
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        raise TypeError(f"{name} must be a number of seconds, not {type(seconds).__name__}.")
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{name} is {seconds}; it must be 0 or more seconds, and finite.")
    return float(seconds)


def checked_timeout(timeout: Any) -> float | None:
    """A timeout in seconds; None and negative numbers mean no limit."""
    if timeout is None:
        return None
    if not isinstance(timeout, (int, float)) or isinstance(timeout, bool):
        raise TypeError(f"timeout must be a number of seconds, not {type(timeout).__name__}.")
    return None if timeout < 0 else float(timeout)


def checked_positions(positions: Any) -> None:
    """Offsets for a transaction."""
    if not isinstance(positions, (list, tuple)) or any(
        not isinstance(position, TopicPartition) for position in positions
    ):
        raise TypeError("positions must be a list of confluent_kafka.TopicPartition with an offset each.")


def checked_group_metadata(group_metadata: Any) -> None:
    """What confluent's consumer tells of its group, as bytes that only librdkafka reads."""
    if not isinstance(group_metadata, bytes):
        raise TypeError(
            "group_metadata must be what the consumer's consumer_group_metadata() returned, not "
            f"{type(group_metadata).__name__}."
        )


def checked_executor(executor: Any) -> Executor | None:
    """An executor for blocking calls."""
    if executor is not None and not isinstance(executor, Executor):
        raise TypeError(f"executor must be a concurrent.futures.Executor, not {type(executor).__name__}.")
    return executor


def queue_messages_max(conf: Mapping[str, Any]) -> int:
    """How many records librdkafka's queue holds by this configuration."""
    given = conf.get("queue.buffering.max.messages", QUEUE_MESSAGES_DEFAULT)
    try:
        limit = int(given)
    except (TypeError, ValueError):
        return QUEUE_MESSAGES_DEFAULT  # librdkafka refuses the value in its own words
    return limit if limit > 0 else QUEUE_MESSAGES_MAX


def transaction_s_max(conf: Mapping[str, Any]) -> float:
    """How long a transaction may take by this configuration, which librdkafka is yet to check."""
    given = conf.get("transaction.timeout.ms", TRANSACTION_TIMEOUT_DEFAULT_MS)
    try:
        return int(given) / 1000
    except (TypeError, ValueError):
        return TRANSACTION_TIMEOUT_DEFAULT_MS / 1000  # librdkafka refuses the value in its own words
