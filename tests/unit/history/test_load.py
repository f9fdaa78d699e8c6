"""Histories from disk: what loads is whole, and what isn't whole is refused by the name of the file."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from systest.history.columns import (
    LOG_COLUMNS,
    MANIFEST,
    SEND_COLUMNS,
    TYPES,
    HistoryError,
    Manifest,
    column_path,
)
from systest.history.identity import key_indices
from systest.history.load import load_log, load_send
from systest.workloads.stream import RecordStream

STREAM = RecordStream(run=1, producer=0, topic="orders", partitions=2)
FACTS = {"log_start": {0: 0, 1: 5}, "log_end": {0: 3, 1: 5}, "isolation": "read_committed"}


def write(
    directory: Path, kind: str, columns: Mapping[str, str], rows: int, facts: Mapping[str, Any]
) -> None:
    """A history in which column k of row n is 10 n + k."""
    for number, (name, of) in enumerate(columns.items()):
        values = array(TYPES[of][0], [10 * row + number for row in range(rows)])
        column_path(directory, name).write_bytes(values.tobytes())
    Manifest(kind, rows, columns, facts).write(directory)


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    write(tmp_path, "send", SEND_COLUMNS, 3, {})
    return tmp_path


@pytest.fixture
def read(tmp_path: Path) -> Path:
    write(tmp_path, "log", LOG_COLUMNS, 3, FACTS)
    return tmp_path


def test_load_send__written_by_array__has_every_column(sent: Path) -> None:
    history = load_send(sent, STREAM)
    assert (history.rows, history.stream) == (3, STREAM)
    for number, name in enumerate(SEND_COLUMNS):
        assert getattr(history, name).tolist() == [number, 10 + number, 20 + number]


def test_load_log__written_by_array__has_columns_and_facts(read: Path) -> None:
    history = load_log(read)
    assert (history.rows, history.isolation) == (3, "read_committed")
    assert (history.log_start, history.log_end) == ({0: 0, 1: 5}, {0: 3, 1: 5})
    for number, name in enumerate(LOG_COLUMNS):
        assert getattr(history, name).tolist() == [number, 10 + number, 20 + number]


def test_load__no_rows__is_an_empty_history(tmp_path: Path) -> None:
    write(tmp_path, "send", SEND_COLUMNS, 0, {})
    assert load_send(tmp_path, STREAM).called_ns.tolist() == []


def test_load__nothing_there__names_the_directory(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=f"no readable history in {tmp_path}"):
        load_send(tmp_path, STREAM)


def test_load__column_missing__names_the_file(sent: Path) -> None:
    column_path(sent, "offset").unlink()
    with pytest.raises(HistoryError, match=r"offset\.bin"):
        load_send(sent, STREAM)


@pytest.mark.parametrize("bytes_", [0, 23, 25, 32])
def test_load__column_of_another_length__says_both_lengths(sent: Path, bytes_: int) -> None:
    column_path(sent, "offset").write_bytes(bytes(bytes_))
    with pytest.raises(HistoryError, match=rf"offset\.bin has {bytes_} bytes; 3 rows of int64 take 24"):
        load_send(sent, STREAM)


def test_load__other_kind__is_refused(read: Path) -> None:
    with pytest.raises(HistoryError, match="is of kind 'log', wanted 'send'"):
        load_send(read, STREAM)


@pytest.mark.parametrize("rows", [-1, 1.5, "3", None])
def test_load__impossible_row_count__is_refused(sent: Path, rows: Any) -> None:
    _rewrite(sent, rows=rows)
    with pytest.raises(HistoryError, match="rows; a history has 0 or more"):
        load_send(sent, STREAM)


@pytest.mark.parametrize(
    "columns", [{}, {**SEND_COLUMNS, "more": "int8"}, {**SEND_COLUMNS, "offset": "int32"}], ids=len
)
def test_load__other_columns__is_refused(sent: Path, columns: Any) -> None:
    _rewrite(sent, columns=columns)
    with pytest.raises(HistoryError, match="has columns"):
        load_send(sent, STREAM)


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 1}', '{"version": 2}'])
def test_load__manifest_is_none__is_refused(sent: Path, text: str) -> None:
    (sent / MANIFEST).write_text(text)
    with pytest.raises(HistoryError):
        load_send(sent, STREAM)


@pytest.mark.parametrize("fact", ["log_start", "log_end", "isolation"])
def test_load_log__fact_missing__is_refused(read: Path, fact: str) -> None:
    _rewrite(read, facts={name: value for name, value in FACTS.items() if name != fact})
    with pytest.raises(HistoryError, match="lacks the facts log_start, log_end and isolation"):
        load_log(read)


def test_load_log__start_and_end_of_different_partitions__is_refused(read: Path) -> None:
    _rewrite(read, facts={**FACTS, "log_end": {0: 3}})
    with pytest.raises(HistoryError, match="names other partitions in log_start than in log_end"):
        load_log(read)


@pytest.mark.parametrize("keys", [0, 1, 7, 1000])
def test_key_indices__many_at_once__are_the_streams_own(keys: int) -> None:
    stream = RecordStream(run=1, producer=0, topic="orders", partitions=2, keys=keys)
    sequences = [0, 1, 2, 999_999, 3_000_000_000]
    assert key_indices(stream, np.array(sequences)).tolist() == [stream.key_index(each) for each in sequences]


def _rewrite(directory: Path, **fields: Any) -> None:
    path = directory / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
