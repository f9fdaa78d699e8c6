"""Records of every shape: what a sender hands over is what the log must have."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict

import pytest

from systest.workloads.shapes import PLAIN, SERVICE, SHAPES, shape_named, words_of
from systest.workloads.stream import TEXT_BYTES_MIN, RecordStream, Shape, sequence_in

PAST_TWO_BYTES = 66_000
"""Sequence numbers whose third byte changes, too."""


def stream(name: str, **changes: object) -> RecordStream:
    fields = {**asdict(SHAPES[name]), **changes}
    return RecordStream(run=123_456_789, producer=1, topic="t", partitions=6, **fields)


@pytest.mark.parametrize("changes", [{}, {"keys": 1_000}, {"keys": 7}, {"value_bytes": 2_000}])
@pytest.mark.parametrize("name", SHAPES)
def test_values__of_every_shape__are_sent_as_the_log_is_to_have_them(
    name: str, changes: dict[str, int]
) -> None:
    whole = stream(name, **changes)
    value = whole.value_maker()
    count = 1_000 if "value_bytes" in changes else PAST_TWO_BYTES
    for sequence, sent in enumerate(itertools.islice(whole.sent_values(), count)):
        assert isinstance(sent, str) is whole.text
        assert (sent.encode() if isinstance(sent, str) else sent) == value(sequence)
        assert len(sent) == whole.value_bytes


@pytest.mark.parametrize("name", SHAPES)
def test_value__of_every_shape__says_its_sequence_number(name: str) -> None:
    value = stream(name).value_maker()
    assert [sequence_in(value(sequence)) for sequence in (0, 255, 256, 70_000)] == [0, 255, 256, 70_000]


def test_value__that_is_text__is_json_of_its_length_down_to_the_least() -> None:
    for size in (TEXT_BYTES_MIN, TEXT_BYTES_MIN + 1, 200):
        text = stream(SERVICE, value_bytes=size).value_maker()(5)
        assert len(text) == size
        assert list(json.loads(text)) == ["id", "type", "currency", "note", "crc"]
    with pytest.raises(ValueError, match=f"a value needs {TEXT_BYTES_MIN} for its identity"):
        stream(SERVICE, value_bytes=TEXT_BYTES_MIN - 1)


def test_keys_and_headers__of_a_service__are_thousands_and_unlike_their_neighbours() -> None:
    service = stream(SERVICE)
    sent = service.key_turns()
    assert [str(key).encode() for key in sent] == [service.key(n) for n in range(len(sent))]
    assert service.key(len(sent)) == service.key(0)
    assert len(set(sent)) == SHAPES[SERVICE].keys > 1_000
    headers = service.header_turns()
    assert service.headers_of(len(headers)) == headers[0]
    assert all(one != other for one, other in itertools.pairwise(headers))


def test_shape__unknown__lists_those_there_are() -> None:
    with pytest.raises(ValueError, match="unknown shape of records 'servce', did you mean 'service'"):
        shape_named("servce")


def test_words__of_the_two_that_the_main_job_has__tell_a_reader_what_was_sent() -> None:
    assert words_of(SHAPES[PLAIN]) == "values of 30 bytes"
    assert words_of(SHAPES[SERVICE]) == (
        "JSON text of 200 bytes, str keys, two headers, an on_delivery on one in 10"
    )
    assert words_of(Shape(callback_every=1)) == "values of 30 bytes, an on_delivery"
