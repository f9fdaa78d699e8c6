"""A configuration means over either transport what it means to confluent_kafka.Producer, its own settings included."""

from __future__ import annotations

import asyncio
import decimal
import json
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import ModuleType
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from producer import AIOProducer, ProducerFailedError

LIMIT_S = 20.0
PRODUCE_REQUEST = 0
FAR_FUTURE_S = 2_000_000_000
NOBODY = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
OAUTH = {"security.protocol": "sasl_plaintext", "sasl.mechanisms": "OAUTHBEARER"}
OIDC = {
    **OAUTH,
    "sasl.oauthbearer.method": "oidc",
    "sasl.oauthbearer.client.id": "me",
    "sasl.oauthbearer.client.secret": "secret",
    "sasl.oauthbearer.token.endpoint.url": "http://127.0.0.1:1/token",
}
AWS = {
    **OAUTH,
    "sasl.oauthbearer.method": "oidc",
    "sasl.oauthbearer.metadata.authentication.type": "aws_iam",
    "sasl.oauthbearer.config": "region=us-east-1,audience=kafka",
}


async def until(condition: Callable[[], Any], what: str) -> None:
    for _ in range(round(LIMIT_S / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{what}, within {LIMIT_S:g} s")


@pytest.mark.parametrize(
    "conf",
    [
        {"no.such.setting": 1},
        {5: 1},
        {None: 1},
        {b"client.id": "bytes"},
        {"": 1},
        {"linger.ms": "soon"},
        {"enable.idempotence": "perhaps"},
        {"acks": 7000},
        {"enable.idempotence": True, "acks": 1},
        {"partitioner": "no_such"},
        {"partitioner": print},
        {"partitioner": None},
        {"dr_msg_cb": print},
        {"debug": "no_such"},
        {"plugin.library.paths": "no-such-plugin"},
        {"default.topic.config": {"acks": 7000}},
        {"default.topic.config": {"no.such.setting": 1}},
        {"security.protocol": "ssl", "ssl.ca.location": "/no/such/file"},
        {**OIDC, "sasl.oauthbearer.token.endpoint.url": None},
        {**OAUTH, "enable.sasl.oauthbearer.unsecure.jwt": True, "oauth_cb": print},
    ],
    ids=str,
)
async def test_conf__refused__is_the_error_of_confluents_producer(transport, conf: dict[Any, Any]) -> None:
    with pytest.raises(KafkaException) as expected:
        Producer({**NOBODY, **conf})
    with pytest.raises(KafkaException) as refused:
        AIOProducer({**NOBODY, **conf}, transport=transport)
    told, wanted = refused.value.args[0], expected.value.args[0]
    assert (told.code(), told.str()) == (wanted.code(), wanted.str())


@pytest.mark.parametrize(
    "conf",
    [
        {"linger.ms": 0.5, "enable.idempotence": True, "retries": 5},
        {"client.id": None, "debug": None, "plugin.library.paths": None, "default.topic.config": None},
        {
            "error_cb": None,
            "stats_cb": None,
            "throttle_cb": None,
            "oauth_cb": None,
            "on_delivery": None,
            "logger": None,
        },
        {"default.topic.config": {"acks": 1, "stats_cb": print}},
        {"partitioner": "murmur2_random"},
        {"delivery.report.only.error": False},
        {**OAUTH, "enable.sasl.oauthbearer.unsecure.jwt": "true", "sasl.oauthbearer.config": "principal=me"},
    ],
    ids=str,
)
async def test_conf__any_kind_of_value__is_taken(transport, raised, conf: dict[str, Any]) -> None:
    producer = AIOProducer({**NOBODY, **conf}, transport=transport)
    await producer.close(timeout=0)
    assert raised == []


@pytest.mark.parametrize("wrong", [5, "acks=1", [("acks", 1)]])
async def test_default_topic_config__no_mapping__is_a_clear_type_error(transport, wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"default\.topic\.config must be a mapping of settings, not"):
        AIOProducer({**NOBODY, "default.topic.config": wrong}, transport=transport)


@pytest.mark.parametrize("wrong", ["perhaps", 2, ""])
async def test_only_failures_reported__neither_true_nor_false__is_a_clear_value_error(
    transport, wrong: Any
) -> None:
    with pytest.raises(ValueError, match=r"delivery\.report\.only\.error must be true or false, not"):
        AIOProducer({**NOBODY, "delivery.report.only.error": wrong}, transport=transport)


@pytest.mark.parametrize(
    ("value", "told"), [(True, 0), ("true", 0), ("1", 0), (False, 1), ("F", 1), (None, 1)]
)
async def test_only_failures_reported__as_librdkafka_reads_it__successes_are_told_or_not(
    make, value: Any, told: int
) -> None:
    heard: list[Any] = []
    producer = make(
        {"delivery.report.only.error": value, "on_delivery": lambda *report: heard.append(report)}
    )
    await producer.send_and_wait("t", b"1")
    await producer.flush(LIMIT_S)
    assert len(heard) == told


async def test_default_topic_config__callback_in_it__is_called(broker, make) -> None:
    told: list[int] = []
    topics = {"on_delivery": lambda error, message: told.append(message.offset())}
    producer = make({"default.topic.config": topics})
    sent = await producer.send_and_wait("t", b"1")
    await producer.flush(LIMIT_S)
    assert told == [sent.offset()]


async def test_plugins__one_of_the_wheels__is_found_by_its_name(transport, monkeypatch) -> None:
    monkeypatch.setattr(confluent_kafka, "_resolve_plugins", lambda paths: f"/the/wheels/{paths}")
    with pytest.raises(KafkaException, match=r"/the/wheels/interceptor"):
        AIOProducer({**NOBODY, "plugin.library.paths": "interceptor"}, transport=transport)


@pytest.fixture
async def hello() -> AsyncIterator[tuple[str, list[bytes]]]:
    """The address of somebody who answers nothing, and what clients said to him."""
    said: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.append(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", said
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("conf", "expected"),
    [
        (
            {},
            (
                "confluent-kafka-python",
                f"{confluent_kafka.version()}-rdkafka-{confluent_kafka.libversion()[0]}",
            ),
        ),
        ({"client.software.name": "mine", "client.software.version": "7"}, ("mine", "7")),
    ],
    ids=["by default", "the user's"],
)
async def test_client_software__is_told_to_the_broker(make, hello, conf, expected) -> None:
    address, said = hello
    producer = make({"bootstrap.servers": address, "log_level": 0, **conf})
    await until(lambda: said, "the client said nothing")
    await producer.close(timeout=0)
    # Each preceded by its length and one, as Kafka's compact strings are.
    assert b"".join(bytes([len(text) + 1]) + text.encode() for text in expected) in said[0]


async def test_error_cb__broker_away__hears_what_confluents_producer_says(make) -> None:
    told: list[KafkaError] = []
    expected: list[KafkaError] = []
    make({**NOBODY, "error_cb": told.append})
    reference = Producer({**NOBODY, "error_cb": expected.append})

    def both_refused() -> bool:
        reference.poll(0)
        return all(KafkaError._TRANSPORT in (error.code() for error in heard) for heard in (told, expected))

    await until(both_refused, "nobody was told that the connection was refused")
    ours, theirs = (
        next(error for error in heard if error.code() == KafkaError._TRANSPORT) for heard in (told, expected)
    )
    assert (ours.fatal(), ours.retriable()) == (theirs.fatal(), theirs.retriable())
    assert ours.str().partition(" (after")[0] == theirs.str().partition(" (after")[0]


class Lines:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def log(self, *line: Any) -> None:
        self.lines.append(line)

    def refusal(self) -> tuple[Any, ...] | None:
        """The line on a refused connection, without the client's number and without times."""
        for level, form, facility, name, text in self.lines:
            if facility == "FAIL":
                return level, form, name.partition("#")[0], text.partition(" (after")[0]
        return None


async def test_logger__broker_away__hears_what_confluents_producer_logs(make) -> None:
    ours, theirs = Lines(), Lines()
    make({**NOBODY, "log_level": 6, "logger": ours})
    reference = Producer({**NOBODY, "log_level": 6}, logger=theirs)

    def both_refused() -> bool:
        reference.poll(0)
        return ours.refusal() is not None and theirs.refusal() is not None

    await until(both_refused, "nobody was told that the connection was refused")
    assert ours.refusal() == theirs.refusal()


async def test_error_cb__fatal_error__hears_its_cause_and_the_producer_has_failed(broker, make) -> None:
    told: list[KafkaError] = []
    producer = make({"enable.idempotence": True, "enable.gapless.guarantee": True, "error_cb": told.append})
    await producer.send_and_wait("t", b"1", partition=0)
    broker.fail(PRODUCE_REQUEST, KafkaError.MSG_SIZE_TOO_LARGE)
    with pytest.raises(KafkaException):
        await producer.send_and_wait("t", b"2", partition=0)
    await until(lambda: any(error.fatal() for error in told), "error_cb heard of no fatal error")
    assert [error.code() for error in told if error.fatal()] == [KafkaError._GAPLESS_GUARANTEE]
    with pytest.raises(ProducerFailedError):
        await producer.send_and_wait("t", b"3", partition=0)


# Tokens


async def test_oauth__nobody_has_tokens__is_quiet_and_costs_nothing(make, raised) -> None:
    producer = make({**OAUTH, "log_level": 0})
    await asyncio.sleep(0.3)
    assert producer.statistics().polls < 50
    await producer.close(timeout=0)
    assert raised == []


async def test_oauth_cb__with_method_oidc__is_asked_and_not_the_endpoint(make) -> None:
    asked: list[str] = []

    def token(config: str) -> Any:
        asked.append(config)
        return "token", FAR_FUTURE_S

    producer = make({**OIDC, "oauth_cb": token, "log_level": 0})
    await until(lambda: asked, "oauth_cb was not asked")
    await producer.close(timeout=0)


@pytest.mark.parametrize(
    "answer",
    [
        ("token", FAR_FUTURE_S),
        ("token", decimal.Decimal(FAR_FUTURE_S), "me"),
        (
            "token",
            float(FAR_FUTURE_S),
            "me",
            {f"extension{chr(97 + n % 26)}{chr(97 + n // 26)}": "v" for n in range(100)},
        ),
    ],
    ids=["integer", "decimal", "a hundred extensions"],
)
async def test_oauth_cb__any_answer_that_confluents_producer_takes__is_taken(make, raised, answer) -> None:
    told: list[KafkaError] = []
    asked: list[str] = []

    def token(config: str) -> Any:
        asked.append(config)
        return answer

    producer = make({**NOBODY, **OAUTH, "oauth_cb": token, "error_cb": told.append})
    await until(lambda: asked, "oauth_cb was not asked")
    await asyncio.sleep(0.1)
    await producer.close(timeout=0)
    assert raised == []
    assert [error for error in told if error.code() == KafkaError._AUTHENTICATION] == []


async def raises(config: str | None) -> Any:
    raise LookupError("no token today")


@pytest.mark.parametrize("oauth_cb", [raises, lambda config: 5], ids=["raises", "no token"])
async def test_oauth_cb__can_not_answer__is_told_at_once_and_blocks_nobody(
    make, raised, transport, oauth_cb
) -> None:
    began_s = time.monotonic()
    try:
        make({**NOBODY, **OAUTH, "oauth_cb": oauth_cb, "log_level": 0})
    except KafkaException as refused:  # the pure transport: confluent's constructor wants the answer
        assert transport == "pure"
        told: BaseException | None = refused.__cause__
    else:
        await until(lambda: raised, "nobody was told")
        told = raised[0]["exception"]
    assert time.monotonic() - began_s < 5, "confluent's constructor waits ten seconds"
    assert isinstance(told, LookupError | TypeError)


@pytest.mark.parametrize("conf", [{}, {"security.protocol": "plaintext", "sasl.mechanisms": "OAUTHBEARER"}])
async def test_oauth_cb__that_librdkafka_never_asks__blocks_nobody(make, conf) -> None:
    began_s = time.monotonic()
    make({**NOBODY, **conf, "oauth_cb": raises})
    assert time.monotonic() - began_s < 5, "confluent's constructor waits ten seconds"


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[str]]]:
    """The address of an OIDC provider, and what was posted there. Its thread serves while a constructor waits."""
    posted: list[str] = []

    class Provider(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            answer = json.dumps({"access_token": "x.y.z", "expires_in": 3600}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/token", posted
    server.shutdown()
    thread.join()
    server.server_close()


async def test_oauth__method_oidc__gets_its_tokens_from_the_endpoint(make, endpoint) -> None:
    url, posted = endpoint
    producer = make({**OIDC, "sasl.oauthbearer.token.endpoint.url": url, "log_level": 0})
    await until(lambda: posted, "nobody asked the endpoint")
    await producer.close(timeout=0)
    assert "grant_type=client_credentials" in posted[0]


class TokensOfAws:
    """Stands for AWS, and for its library, of which ducktape pins a version that knows of no such tokens."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.library = ModuleType("boto3")
        self.library.__version__ = "1.42.25"  # type: ignore[attr-defined]
        self.library.Session = lambda **_: self  # type: ignore[attr-defined]

    def client(self, name: str, **_: Any) -> TokensOfAws:
        return self

    def get_web_identity_token(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        payload = "eyJzdWIiOiAibWUifQ"  # {"sub": "me"}
        return {
            "WebIdentityToken": f"h.{payload}.s",
            "Expiration": datetime.fromtimestamp(FAR_FUTURE_S, timezone.utc),
        }


def forget_aws(monkeypatch: pytest.MonkeyPatch, library: ModuleType | None) -> None:
    for name in [name for name in sys.modules if name.startswith("confluent_kafka._oauthbearer")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "boto3", library)  # type: ignore[arg-type]  # None: can't be imported


async def test_oauth__aws_iam__asks_aws_for_tokens(make, raised, monkeypatch) -> None:
    aws = TokensOfAws()
    forget_aws(monkeypatch, aws.library)
    producer = make({**AWS, "log_level": 0})
    await until(lambda: aws.asked, "nobody asked AWS")
    await asyncio.sleep(0.1)
    await producer.close(timeout=0)
    assert aws.asked[0]["Audience"] == ["kafka"]
    assert raised == []


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"sasl.oauthbearer.method": "default"}, ValueError, "oauthbearer.method=oidc"),
        ({"sasl.oauthbearer.config": None}, ValueError, "region and audience"),
        ({"sasl.oauthbearer.config": "region=us-east-1"}, ValueError, "audience"),
        ({}, ImportError, r"confluent-kafka\[oauthbearer-aws\]"),
    ],
    ids=["another method", "no config", "no audience", "no library"],
)
async def test_oauth__aws_iam_that_can_not_work__says_what_to_do(
    transport, monkeypatch, change: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    forget_aws(monkeypatch, None if error is ImportError else TokensOfAws().library)
    with pytest.raises(error, match=sentence):
        AIOProducer({**NOBODY, **AWS, **change}, transport=transport)
