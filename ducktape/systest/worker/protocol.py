"""Worker protocol, version 1: what a worker says while it works, one JSON object a line on stdout.

A worker is started with one argument, the path of its spec (`systest.worker.spec`). It writes these events
and nothing else to stdout; logs go to stderr. Histories go to the spec's directory
(`systest.history.columns`).

=========== ================================================================================================
ready       once, first: it has parsed the spec. `pid` and `run_id` prove that this worker answers.
measure     once a produce worker's warm-up is over and its figures begin.
progress    about once a second.
transaction whenever a transform worker's transaction has come further: `written`, then `committed` or `aborted`.
summary     once, last, when everything was done; exit status 0. Its absence means that the worker died.
error       once, last, instead of summary: the work could not be done. One sentence; exit status 1.
=========== ================================================================================================

Every event has a `type` and the fields of its class below; None is JSON null and means "not measured", never
0. An unknown type, an unknown field or a missing field is an error of the worker.
"""

from __future__ import annotations

import enum
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar

VERSION = 1


class ProtocolError(ValueError):
    """A worker's line is not an event of this protocol; the message quotes it."""


@dataclass(frozen=True, slots=True)
class Ready:
    type: ClassVar[str] = "ready"
    protocol: int
    pid: int
    run_id: str
    client: str  # library and version, such as "confluent-kafka 2.16.1 (librdkafka 2.16.1)"
    idiom: str  # one line: how this strategy uses its library; "" for a reader


@dataclass(frozen=True, slots=True)
class Measure:
    type: ClassVar[str] = "measure"


@dataclass(frozen=True, slots=True)
class Progress:
    type: ClassVar[str] = "progress"
    elapsed_s: float
    done: int  # records acknowledged so far, or read
    failed: int


class TransactionState(enum.Enum):
    """How far a transaction has come, by its worker's word. The last word of one that died is `written`: whether
    that transaction was committed, it can't tell.
    """

    WRITTEN = "written"  # every record acknowledged, the input's offsets sent with it, the commit not begun
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class TransactionTold:
    """`number` counts the worker's transactions from 0; `places` has for each partition (as a string, JSON's way)
    the first and the last offset that a record of it got.
    """

    type: ClassVar[str] = "transaction"
    number: int
    state: TransactionState
    records: int
    places: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class CodePath:
    """Where a producing caller's time went within the measured time; None where the library has no such call.

    `why_not` names each field that is None with the reason in a few words.
    """

    produce_calls: int | None
    produce_s: float | None
    poll_calls: int | None
    poll_s: float | None
    polled_reports: int | None
    flush_s: float | None
    why_not: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Resources:
    """The worker process over the measured time; memory from its begin to the end of the drain."""

    cpu_s: float
    caller_cpu_s: float  # of that, the thread that sends: the event loop's, if there is one
    rss_start_bytes: int
    rss_end_bytes: int
    rss_peak_bytes: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Times are the clock of the history's columns.

    `first_measured` is the sequence number of the first record sent within the measured time, `records` how
    many were sent in all. `lag_ns` is the event loop's lag, sampled about every 5 ms over the measured time:
    by how much a timer fired late; None for a strategy without an event loop. `lag_work_ns` says of each sample how
    much of it at the most was work of the loop's own thread: the rest is the machine's, which ran something else.
    `transport` is which of its transports the producer said that it used; None for a library that has but one way.
    """

    type: ClassVar[str] = "summary"
    records: int
    first_measured: int
    measured_from_ns: int
    measured_to_ns: int
    code_path: CodePath | None
    resources: Resources
    lag_ns: tuple[int, ...] | None
    lag_work_ns: tuple[int, ...] | None
    transport: str | None

    @classmethod
    def without_warm_up(cls, records: int, began_ns: int, resources: Resources) -> Summary:
        """Of a worker that is no strategy: it measures itself from its beginning until now."""
        return cls(
            records=records,
            first_measured=0,
            measured_from_ns=began_ns,
            measured_to_ns=time.perf_counter_ns(),
            code_path=None,
            resources=resources,
            lag_ns=None,
            lag_work_ns=None,
            transport=None,
        )


@dataclass(frozen=True, slots=True)
class Error:
    type: ClassVar[str] = "error"
    reason: str


Event = Ready | Measure | Progress | TransactionTold | Summary | Error
_EVENTS: Mapping[str, type[Event]] = {
    each.type: each for each in (Ready, Measure, Progress, TransactionTold, Summary, Error)
}


def line_of(event: Event) -> str:
    """The event as the line that a worker prints."""
    return json.dumps({"type": event.type, **asdict(event)}, default=lambda state: state.value) + "\n"


def event_of(line: str) -> Event:
    """The event in a line.

    Raises:
        ProtocolError: it is none.
    """
    try:
        raw = json.loads(line)
        kind = _EVENTS[raw.pop("type")]
        if kind is Summary:
            raw["code_path"] = None if raw["code_path"] is None else CodePath(**raw["code_path"])
            raw["resources"] = Resources(**raw["resources"])
            for name in ("lag_ns", "lag_work_ns"):
                raw[name] = None if raw[name] is None else tuple(raw[name])
        if kind is TransactionTold:
            raw["state"] = TransactionState(raw["state"])
            raw["places"] = {partition: (first, last) for partition, (first, last) in raw["places"].items()}
        return kind(**raw)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(
            f"not an event of worker protocol {VERSION}: {line.strip()[:200]!r} ({error})"
        ) from error
