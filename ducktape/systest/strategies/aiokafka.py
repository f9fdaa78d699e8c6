"""`aiokafka`: the asyncio client written in Python.

Idiom: `await send()` for each record and a window of futures (`systest.strategies.pipeline`), `await flush()` and
`await stop()` at the end. What librdkafka's settings ask for is translated; what can't be is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiokafka
import aiokafka.errors
import aiokafka.helpers

from systest.history.columns import Outcome
from systest.strategies.base import REACH_LIMIT_S, ArgumentNames, CannotRun, Job
from systest.strategies.pipeline import AsyncioStrategy, Polls
from systest.worker.recorder import Recorder, Taker, outcome_of_code
from systest.worker.spec import Setting

#: librdkafka's name -> aiokafka's, and what makes one value of the other.
_SETTINGS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "bootstrap.servers": ("bootstrap_servers", str),
    "client.id": ("client_id", str),
    "acks": ("acks", lambda value: value if value == "all" else int(value)),
    "enable.idempotence": ("enable_idempotence", lambda value: str(value).lower() == "true"),
    "compression.type": ("compression_type", lambda value: None if value == "none" else value),
    "linger.ms": ("linger_ms", float),
    "batch.size": ("max_batch_size", int),
    "request.timeout.ms": ("request_timeout_ms", int),
    "message.max.bytes": ("max_request_size", int),
    "retry.backoff.ms": ("retry_backoff_ms", int),
    "transactional.id": ("transactional_id", str),
    "security.protocol": ("security_protocol", str.upper),
    "sasl.mechanism": ("sasl_mechanism", str),
    "sasl.mechanisms": ("sasl_mechanism", str),
    "sasl.username": ("sasl_plain_username", str),
    "sasl.password": ("sasl_plain_password", str),
}


#: librdkafka's name -> the parameter of `aiokafka.helpers.create_ssl_context`.
_TLS_FILES: Mapping[str, str] = {
    "ssl.ca.location": "cafile",
    "ssl.certificate.location": "certfile",
    "ssl.key.location": "keyfile",
    "ssl.key.password": "password",
}


class AiokafkaStrategy(AsyncioStrategy):
    idiom = (
        "await send() per record, add_done_callback() where it has a callback, serializers of text, "
        "a window of futures, flush(), stop()"
    )
    names = ArgumentNames(timestamp="timestamp_ms")

    def __init__(self) -> None:
        self._producer: Any = None
        self._calls_back = False

    @property
    def client(self) -> str:
        return f"aiokafka {aiokafka.__version__}"

    async def start(self, job: Job) -> None:
        self._calls_back = job.stream.callback_every > 0
        serializers = {"key_serializer": _encoded, "value_serializer": _encoded} if job.stream.text else {}
        self._producer = aiokafka.AIOKafkaProducer(**translated(job.spec.client), **serializers)
        try:
            await asyncio.wait_for(self._start(job.stream.topic_names), REACH_LIMIT_S)
        except (aiokafka.errors.KafkaError, TimeoutError, asyncio.TimeoutError) as error:
            await self._producer.stop()
            servers = job.spec.client["bootstrap.servers"]
            raise CannotRun(
                f"aiokafka got no metadata of topic {job.stream.topic} from {servers}: {error or 'time is up'}"
            ) from error

    async def _start(self, topics: Sequence[str]) -> None:
        await self._producer.start()
        await self._producer.client.set_topics(topics)  # of all at once; one by one takes seconds
        for topic in topics:
            await self._producer.partitions_for(topic)

    def sender(self) -> Callable[..., Any]:
        send: Callable[..., Any] = self._send_and_call_back if self._calls_back else self._producer.send
        return send

    async def _send_and_call_back(
        self, topic: str, value: Any, *, on_delivery: Callable[..., None] | None = None, **fields: Any
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = await self._producer.send(topic, value, **fields)
        if on_delivery is not None:
            future.add_done_callback(on_delivery)
        return future

    def taker(self, recorder: Recorder) -> Taker:
        return recorder.metadata

    def outcome_of(self, error: BaseException) -> Outcome:
        if isinstance(error, aiokafka.errors.BrokerResponseError):
            return outcome_of_code(error.errno)
        return Outcome.UNKNOWN

    async def flush(self, limit_s: float) -> None:
        await self._producer.flush()

    async def close(self) -> None:
        await self._producer.stop()

    def polls(self) -> Polls:
        why_not = "it has no poll(); the event loop reads its sockets"
        return Polls(None, None, None, dict.fromkeys(("poll_calls", "poll_s", "polled_reports"), why_not))


def _encoded(text: str | None) -> bytes | None:
    """aiokafka serializes the key that a record lacks, too."""
    return None if text is None else text.encode()


def translated(client: Mapping[str, Setting]) -> dict[str, Any]:
    """aiokafka's arguments for these settings. Raises CannotRun that names one it doesn't have."""
    arguments: dict[str, Any] = {}
    tls_files: dict[str, Any] = {}
    for name, value in client.items():
        if name in _SETTINGS:
            argument, convert = _SETTINGS[name]
            arguments[argument] = convert(value)
        elif name in _TLS_FILES:
            tls_files[_TLS_FILES[name]] = value
        elif name != "partitioner":
            raise CannotRun(f"aiokafka has no equivalent of the client setting {name}")
        elif value != "murmur2_random":
            raise CannotRun(f"aiokafka places keys by murmur2 and can't do {name}={value}")
    if arguments.get("security_protocol") in ("SSL", "SASL_SSL"):
        arguments["ssl_context"] = aiokafka.helpers.create_ssl_context(**tls_files)
    return arguments
