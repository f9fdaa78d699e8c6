"""Histories from disk, for the checks and the metrics: columns mapped into memory, not read.

A mapped column costs address space only, so ten million records are judged in the memory of the arrays that
the judging makes itself. Everything that can be wrong with the files is found here; whoever holds a
`SendHistory` or a `LogHistory` need not doubt its shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from systest.history.columns import (
    LOG_COLUMNS,
    MANIFEST,
    SEND_COLUMNS,
    TYPES,
    HistoryError,
    Manifest,
    column_path,
)
from systest.workloads.stream import RecordStream

#: One column: integers of the width that `systest.history.columns` gives it.
Column = npt.NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, eq=False)
class SendHistory:
    """What one producer's caller was told, row n of sequence number n; columns as in `SEND_COLUMNS`."""

    stream: RecordStream
    rows: int
    intended_ns: Column
    called_ns: Column
    settled_ns: Column
    outcome: Column
    partition: Column
    offset: Column
    timestamp_ms: Column
    reports: Column
    reported: Column


@dataclass(frozen=True, eq=False)
class LogHistory:
    """What a reader found; columns as in `LOG_COLUMNS`.

    `log_start` and `log_end` say for each partition which offsets the reader covered: from the first that the
    broker still kept to just before the end.
    """

    rows: int
    partition: Column
    offset: Column
    timestamp_ms: Column
    producer: Column
    sequence: Column
    content: Column
    log_start: Mapping[int, int]
    log_end: Mapping[int, int]
    isolation: str


def load_send(directory: Path, stream: RecordStream) -> SendHistory:
    """The history that a producing worker left.

    Args:
        directory: as in its spec.
        stream: what it was asked to send, as in its spec.

    Raises:
        HistoryError: it is missing, cut short, of another kind or of other columns; the message says which file.
    """
    manifest = _manifest(directory, "send", SEND_COLUMNS)
    return SendHistory(stream=stream, rows=manifest.rows, **_columns(directory, manifest))


def load_log(directory: Path) -> LogHistory:
    """The history that a reading worker left.

    Raises:
        HistoryError: as `load_send`, or its facts are missing.
    """
    manifest = _manifest(directory, "log", LOG_COLUMNS)
    try:
        log_start = _offsets(manifest.facts["log_start"])
        log_end = _offsets(manifest.facts["log_end"])
        isolation = manifest.facts["isolation"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HistoryError(
            f"{directory / MANIFEST} lacks the facts log_start, log_end and isolation ({error!r})"
        ) from error
    if log_start.keys() != log_end.keys():
        raise HistoryError(f"{directory / MANIFEST} names other partitions in log_start than in log_end")
    columns = _columns(directory, manifest)
    return LogHistory(
        rows=manifest.rows, **columns, log_start=log_start, log_end=log_end, isolation=isolation
    )


def _offsets(fact: Mapping[str, Any]) -> dict[int, int]:
    return {int(partition): int(offset) for partition, offset in fact.items()}


def _manifest(directory: Path, kind: str, columns: Mapping[str, str]) -> Manifest:
    path = directory / MANIFEST
    try:
        manifest = Manifest.read(directory)
    except (KeyError, AttributeError) as error:
        raise HistoryError(f"{path} is not the manifest of a history ({error!r})") from error
    if manifest.kind != kind:
        raise HistoryError(f"{path} is of kind {manifest.kind!r}, wanted {kind!r}")
    if not isinstance(manifest.rows, int) or manifest.rows < 0:
        raise HistoryError(f"{path} says {manifest.rows!r} rows; a history has 0 or more")
    if manifest.columns != columns:
        raise HistoryError(f"{path} has columns {manifest.columns}, wanted {dict(columns)}")
    return manifest


def _columns(directory: Path, manifest: Manifest) -> dict[str, Any]:
    return {
        name: _column(column_path(directory, name), np.dtype(TYPES[kind][1]), manifest.rows)
        for name, kind in manifest.columns.items()
    }


def _column(path: Path, kind: np.dtype[Any], rows: int) -> Column:
    try:
        found = path.stat().st_size
    except OSError as error:
        raise HistoryError(f"no readable history: {error}") from error
    wanted = rows * kind.itemsize
    if found != wanted:
        raise HistoryError(f"{path} has {found} bytes; {rows} rows of {kind.name} take {wanted}")
    if rows == 0:  # an empty file can't be mapped
        return np.empty(0, kind)
    mapped: Column = np.memmap(path, kind, mode="r", shape=(rows,))
    return mapped
