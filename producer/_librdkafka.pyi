import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, ThrottleEvent

from producer.callbacks import CallbackManager
from producer.fast_lane import FastLane as FastLane
from producer.message import Message as Message
from producer.message_batch import Record

class Client:
    def __init__(
        self,
        settings: Mapping[str, str | None],
        wake_fd: int,
        error_cb: Callable[[KafkaError], None],
        stats_cb: Callable[[str], None] | None = None,
        throttle_cb: Callable[[ThrottleEvent], None] | None = None,
        token_cb: Callable[[str], None] | None = None,
        logger: Any = None,
    ) -> None: ...
    def submit(
        self,
        topic: str,
        partition: int,
        records: tuple[Record, ...],
        bulk: bool,
        refuse: Callable[[Record, KafkaError], None],
    ) -> int: ...
    def submit_alone(
        self, topic: str, value: bytes, key: bytes | None, callback: asyncio.Future[Any]
    ) -> bool: ...
    def drain(self, callbacks: CallbackManager) -> bool: ...
    def keep_silent(self) -> None: ...
    def set_token(
        self, token: str, lifetime_ms: int, principal: str, extensions: Mapping[str, str]
    ) -> None: ...
    def set_token_failure(self, reason: str) -> None: ...
