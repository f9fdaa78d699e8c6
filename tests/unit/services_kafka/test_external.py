from __future__ import annotations

from pathlib import Path

import pytest

from systest.services import external
from systest.services.broker import BrokerError
from systest.services.external import ExternalKafka, masked, read_client_config


def test_external__nobody_listens__one_sentence_naming_address_and_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(external, "_CONNECT_LIMIT_S", 0.3)
    with pytest.raises(BrokerError, match=r"^no Kafka could be used at 127\.0\.0\.1:1 \(.*refused.*address"):
        ExternalKafka("127.0.0.1:1")


def test_external__no_address__says_which_option() -> None:
    with pytest.raises(BrokerError, match="--bootstrap-server"):
        ExternalKafka("")


def test_read_client_config__comments_and_blanks__only_the_pairs(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("# theirs\n\nsecurity.protocol = SASL_SSL\nsasl.password=a=b\n")
    assert read_client_config(file) == {"security.protocol": "SASL_SSL", "sasl.password": "a=b"}


def test_read_client_config__line_that_is_none__number_but_no_content(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("a=b\nhunter2\n")
    with pytest.raises(BrokerError, match=r"line 2 of .* is not key=value") as caught:
        read_client_config(file)
    assert "hunter2" not in str(caught.value)


def test_read_client_config__no_such_file__named(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"absent can't be read"):
        read_client_config(tmp_path / "absent")


def test_masked__secrets__hidden_and_sorted() -> None:
    shown = masked({"sasl.username": "me", "sasl.password": "x", "ssl.key.password": "y", "acks": "all"})
    assert list(shown.items()) == [
        ("acks", "all"),
        ("sasl.password", "[hidden]"),
        ("sasl.username", "me"),
        ("ssl.key.password", "[hidden]"),
    ]


def test_external__setting_that_does_not_exist__named_at_once(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("no.such.setting=1\n")
    with pytest.raises(BrokerError, match=r"not accepted: .*no\.such\.setting"):
        ExternalKafka("127.0.0.1:1", file)
