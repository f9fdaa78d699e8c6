import asyncio
from collections.abc import Callable, Mapping
from typing import Any, SupportsFloat

from confluent_kafka import KafkaError, ThrottleEvent

from producer import transport
from producer.callbacks import CallbackManager, OnDelivery
from producer.message import Message as Message

class Client:
    def __init__(
        self,
        settings: Mapping[str, str | None],
        wake_fd: int,
        error_cb: Callable[[KafkaError], None],
        stats_cb: Callable[[str], None] | None = None,
        throttle_cb: Callable[[ThrottleEvent], None] | None = None,
        token_cb: Callable[[str | None], None] | None = None,
        logger: Any = None,
    ) -> None: ...
    def keep_silent(self) -> None: ...
    def set_token(
        self, token: str, expiry_s: SupportsFloat, principal: str, extensions: dict[str, str]
    ) -> None: ...
    def set_token_failure(self, reason: str) -> None: ...

def Records(
    client: Client,
    loop: asyncio.AbstractEventLoop,
    callbacks: CallbackManager,
    batch_size: int,
    on_delivery: OnDelivery | None,
) -> transport.Records: ...
