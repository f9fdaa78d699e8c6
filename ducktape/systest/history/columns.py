"""A history on disk: one directory, one little-endian binary file a column, one manifest.

Columns because ten million records must be written by a worker without slowing it, and judged by the checks
in seconds: a worker dumps `array` objects (so would any language), the checks map the files with numpy. This
module knows neither; it is the format.

`manifest.json`::

    {"version": 1, "kind": "send", "rows": N, "columns": {"offset": "int64", ...}, "facts": {...}}

Column `offset` is the file `offset.bin`: N values of its type, nothing else. `facts` holds what is true of
the history as a whole; each kind states its facts below.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = 1
MANIFEST = "manifest.json"

#: Column type -> (`array` type code, numpy type).
TYPES: Mapping[str, tuple[str, str]] = {
    "int8": ("b", "<i1"),
    "int32": ("i", "<i4"),
    "int64": ("q", "<i8"),
}


class Outcome(enum.IntEnum):
    """What the caller was told of a record."""

    PENDING = 0  # nothing, even after the producer was closed
    ACKED = 1
    FAILED = 2  # certainly not in the log
    UNKNOWN = 3  # may be in the log, as after a delivery timeout


class Content(enum.IntEnum):
    """What a record in the log turned out to be."""

    FOREIGN = 0  # no value of this run: too short, or another run's number with an intact checksum
    INTACT = 1  # checksum, key and headers agree with the stream
    DAMAGED = 2  # recognisable as this run's, or with a wrong checksum, and not what the stream says


#: One row a record, row n is sequence number n. Times are `time.perf_counter_ns` of the worker. `intended_ns` is
#: when an open loop's record was due, -1 in a closed loop; `called_ns` is when it was sent. Where the client did
#: not say: partition, offset, timestamp_ms and reported are -1. `partition` counts on through the topics of a stream
#: (`systest.workloads.stream.RecordStream`), here and in the log. `reports` counts how often the
#: caller was told (callback runs; for a future, 1 when settled; for a record that has both, the callback's runs if
#: those are not 1). `reported` is the sequence number in the
#: message that the report carried, -1 where reports carry none or the spec did not ask for it.
SEND_COLUMNS: Mapping[str, str] = {
    "intended_ns": "int64",
    "called_ns": "int64",
    "settled_ns": "int64",
    "outcome": "int8",
    "partition": "int32",
    "offset": "int64",
    "timestamp_ms": "int64",
    "reports": "int8",
    "reported": "int64",
}

#: One row a record of the log, in reading order: offsets ascend within a partition. `producer` and `sequence`
#: are -1 for a foreign record. Facts: `log_start` and `log_end`, partition -> offset (as strings, JSON's
#: way), where `log_start` is the broker's first offset still kept, and `isolation`.
LOG_COLUMNS: Mapping[str, str] = {
    "partition": "int32",
    "offset": "int64",
    "timestamp_ms": "int64",
    "producer": "int64",
    "sequence": "int64",
    "content": "int8",
}


class HistoryError(ValueError):
    """A history on disk is missing, cut short or of another version; the message says which file."""


@dataclass(frozen=True, slots=True)
class Manifest:
    kind: str
    rows: int
    columns: Mapping[str, str]
    facts: Mapping[str, Any]

    def write(self, directory: Path) -> None:
        """Written last, so that its presence says that every column is complete."""
        text = json.dumps(
            {
                "version": VERSION,
                "kind": self.kind,
                "rows": self.rows,
                "columns": dict(self.columns),
                "facts": dict(self.facts),
            }
        )
        (directory / MANIFEST).write_text(text)

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        """Raises HistoryError if there is none, or it is not of this version."""
        path = directory / MANIFEST
        try:
            raw = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise HistoryError(f"no readable history in {directory}: {error}") from error
        if raw.get("version") != VERSION:
            raise HistoryError(
                f"{path} is of version {raw.get('version')}; this harness reads version {VERSION}"
            )
        return cls(raw["kind"], raw["rows"], raw["columns"], raw["facts"])


def column_path(directory: Path, column: str) -> Path:
    return directory / f"{column}.bin"
