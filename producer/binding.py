"""What confluent-kafka's Producer does with a configuration before librdkafka gets it, for the transport without it.

A configuration means the same over both transports. Callbacks are not here: `producer.client_conf` has taken care of
them, for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import confluent_kafka

from producer.client_conf import EVENT_CALLBACKS, FIRST, PLUGINS

_AWS = ("sasl.oauthbearer.metadata.authentication.type", "aws_iam")
_OIDC = ("sasl.oauthbearer.method", "oidc")


def native_settings(conf: Mapping[str, Any]) -> dict[str, str | None]:
    """librdkafka's own settings as strings, in the order in which it must have them."""
    settings: dict[str, Any] = {
        "client.software.name": "confluent-kafka-python",
        "client.software.version": f"{confluent_kafka.version()}-rdkafka-{confluent_kafka.libversion()[0]}",
        **{name: conf[name] for name in FIRST if name in conf},
        **conf,
    }
    for name in (*EVENT_CALLBACKS, "oauth_cb", "logger"):
        settings.pop(name, None)
    if PLUGINS in settings:  # some wheels bring plugins, which go by their names alone
        settings[PLUGINS] = confluent_kafka._resolve_plugins(settings[PLUGINS])
    return {str(name): None if value is None else str(value) for name, value in settings.items()}


def oauth_cb_for(conf: Mapping[str, Any]) -> Callable[[str | None], Any] | None:
    """The caller's oauth_cb, or confluent-kafka's own where the settings ask for tokens of AWS.

    Raises ValueError for settings that leave something open, ImportError where AWS's library is missing.
    """
    given: Callable[[str | None], Any] | None = conf.get("oauth_cb")
    setting, value = _AWS
    if given is not None or conf.get(setting) != value:
        return given
    needed, oidc = _OIDC
    if conf.get(needed) != oidc:
        raise ValueError(f"{setting}={value} requires {needed}={oidc}, not {conf.get(needed)!r}.")
    try:
        from confluent_kafka._oauthbearer.aws.aws_autowire import create_handler
    except ImportError as missing:
        raise ImportError(
            f"{setting}={value} needs what pip install -U 'confluent-kafka[oauthbearer-aws]' installs."
        ) from missing
    handler: Callable[[Any], Any] = create_handler(
        conf.get("sasl.oauthbearer.config") or "", conf.get("sasl.oauthbearer.extensions")
    )
    return handler
