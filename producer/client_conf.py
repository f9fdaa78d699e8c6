"""The configuration for librdkafka, made from the caller's: a copy, with every callback brought to the loop.

librdkafka runs callbacks inside poll(), on whatever thread that is. Here each becomes a call on the loop,
plain or async; what it raises goes to the loop's exception handler. `oauth_cb` is the exception: librdkafka
needs its return value on the spot.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, SupportsFloat

from confluent_kafka import KafkaError, KafkaException

from producer.callbacks import OnDelivery
from producer.threads import call_apart
from producer.user_calls import UserCalls

PLUGINS = "plugin.library.paths"
FIRST = ("debug", PLUGINS)
"""Settings that others depend on."""
EVENT_CALLBACKS = ("error_cb", "stats_cb", "throttle_cb")


@dataclass(frozen=True)
class ClientConf:
    """What the transport gets, and what the producer keeps for itself."""

    conf: dict[str, Any]
    on_delivery: OnDelivery | None
    only_failures: bool
    serves_events: bool
    gets_producer_id: bool
    """Whether librdkafka asks for a producer id by itself, and sends nothing before it has one."""


class LoopCalls:
    """Runs callbacks on the loop, from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls = UserCalls(loop)

    def wrap(self, name: str, callback: Callable[..., Any]) -> Callable[..., None]:
        """A callable for any thread that runs `callback` on the loop."""
        run = partial(self._calls.call, lambda: {"message": f"{name} of the producer raised"}, callback)

        def call(*args: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
                self._loop.call_soon_threadsafe(run, *args)

        return call


class LoopLogger:
    """What librdkafka's log lines go to: the caller's logger, called on the loop."""

    def __init__(self, calls: LoopCalls, logger: Any) -> None:
        self.log = calls.wrap("logger", logger.log)


def client_conf(
    conf: Mapping[str, Any], loop: asyncio.AbstractEventLoop, on_fatal: Callable[[KafkaError], None]
) -> ClientConf:
    """Copy `conf` for the transport. Raises TypeError for a callback that can't be called, or topics' settings that are
    no mapping, ValueError for what is neither true nor false and should be.
    """
    if not isinstance(conf, Mapping):
        raise TypeError(f"conf must be a mapping of librdkafka's settings, not {type(conf).__name__}.")
    copied = _flat(conf)
    calls = LoopCalls(loop)
    for name in (*EVENT_CALLBACKS, "oauth_cb", "on_delivery"):
        if copied.get(name) is None:
            copied.pop(name, None)
        elif not callable(copied[name]):
            raise TypeError(f"{name} must be callable, not {type(copied[name]).__name__}.")
    if copied.get("logger") is None:
        copied.pop("logger", None)
    serves_events = any(name in copied for name in (*EVENT_CALLBACKS, "oauth_cb", "logger"))
    on_delivery = copied.pop("on_delivery", None)
    only_failures = _is_true("delivery.report.only.error", copied.pop("delivery.report.only.error", False))
    copied["error_cb"] = calls.wrap("error_cb", partial(_on_error, on_fatal, copied.get("error_cb")))
    for name in ("stats_cb", "throttle_cb"):
        if name in copied:
            copied[name] = calls.wrap(name, copied[name])
    if "logger" in copied:
        copied["logger"] = LoopLogger(calls, copied["logger"])
    gets_producer_id = _reads_true(copied.get("enable.idempotence")) and not copied.get("transactional.id")
    return ClientConf(copied, on_delivery, only_failures, serves_events, gets_producer_id)


def _flat(conf: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which topics' settings stand among the others, and win, as in confluent-kafka."""
    copied = dict(conf)
    topics = copied.pop("default.topic.config", None)
    if not isinstance(topics, Mapping | None):
        raise TypeError(f"default.topic.config must be a mapping of settings, not {type(topics).__name__}.")
    copied.update(topics or {})
    for name, value in copied.items():
        if isinstance(value, (list, tuple, set, frozenset, Mapping, bytes, bytearray)):
            raise TypeError(
                f"{name} must be a str or a number, not {type(value).__name__}. librdkafka takes several values as "
                "one str, with commas between them."
            )
    for name in FIRST:  # whose None confluent-kafka takes for a word
        if name in copied and copied[name] is None:
            del copied[name]
    return copied


def _is_true(name: str, value: Any) -> bool:
    """As librdkafka reads it."""
    if _reads_true(value):
        return True
    if str(value).lower() in ("false", "f", "0", "none"):
        return False
    raise ValueError(f"{name} must be true or false, not {value!r}.")


def _reads_true(value: Any) -> bool:
    """Whether librdkafka takes it for true."""
    return str(value).lower() in ("true", "t", "1")


def _on_error(
    on_fatal: Callable[[KafkaError], None], error_cb: Callable[..., Any] | None, error: KafkaError
) -> Any:
    if error.fatal():
        on_fatal(error)
    return error_cb(error) if error_cb is not None else None


def answer_at_once(conf: dict[str, Any]) -> None:
    """Change an oauth_cb for confluent's constructor, which waits ten seconds for one that does not answer, be it that
    librdkafka never asks it.

    Raises KafkaException at once where it raises.
    """
    oauth_cb = conf.get("oauth_cb")
    if oauth_cb is None or _reads_true(conf.get("enable.sasl.oauthbearer.unsecure.jwt")):
        return  # of the two librdkafka takes one, and says so
    mechanism = conf.get("sasl.mechanisms", conf.get("sasl.mechanism"))
    if (
        str(conf.get("security.protocol")).lower().startswith("sasl")
        and str(mechanism).upper() == "OAUTHBEARER"
    ):
        conf["oauth_cb"] = _answering(oauth_cb, conf.get("sasl.oauthbearer.config"))
    else:
        del conf["oauth_cb"]


def _answering(oauth_cb: Callable[[str | None], Any], config: str | None) -> Callable[[str | None], Any]:
    """An oauth_cb whose first answer is there. An async one runs to its end on a loop and thread of its own."""

    def ask(config: str | None) -> Any:
        outcome = oauth_cb(config)
        if not inspect.isawaitable(outcome):
            return checked_token(outcome)
        return checked_token(_run_apart(outcome))

    try:
        first = [call_apart(ask, config).result()]  # where others are asked for, too, and it may run a loop
    except Exception as raised:
        error = KafkaError(
            KafkaError.SASL_AUTHENTICATION_FAILED, f"oauth_cb raised {type(raised).__name__}: {raised}"
        )
        raise KafkaException(error) from raised
    return lambda config: first.pop() if first else ask(config)


def checked_token(answer: Any) -> tuple[str, SupportsFloat, str, dict[str, str]]:
    """What oauth_cb returned: (token, seconds since the epoch at the end of its life[, principal[, extensions]])."""
    if isinstance(answer, tuple) and 2 <= len(answer) <= 4:
        token, expiry_s = answer[:2]
        principal = answer[2] if len(answer) > 2 else ""
        extensions = answer[3] if len(answer) > 3 else {}
        if (
            isinstance(token, str)
            and isinstance(expiry_s, SupportsFloat)
            and isinstance(principal, str)
            and isinstance(extensions, dict)
        ):
            return token, expiry_s, principal, extensions
    raise TypeError(
        "oauth_cb must return (token, expiry in seconds since the epoch[, principal[, extensions]]), not "
        f"{type(answer).__name__}."
    )


def _run_apart(awaitable: Any) -> Any:
    async def wait() -> Any:
        return await awaitable

    return call_apart(asyncio.run, wait()).result()
