"""A small language for histories: what callers were told, what lies in the log, and what is to be thought of it.

told = sends(acked(0, 0), acked(0, 1), unknown())      # record 0, 1, 2 of producer 0
found = log(at(0, 0, seq=0), at(0, 1, seq=1))          # partition, offset, whose
assert anomalies(told, found) == {}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from systest.checks import Expectation, Judgement, judge
from systest.history.columns import LOG_COLUMNS, SEND_COLUMNS, TYPES, Content, Outcome
from systest.history.load import LogHistory, SendHistory
from systest.workloads.stream import RecordStream

IDEMPOTENT = Expectation(idempotent=True, murmur2_keys=True)
AT_LEAST_ONCE = Expectation(idempotent=False, murmur2_keys=True)


@dataclass(frozen=True)
class Told:
    """What the caller was told of one record."""

    outcome: Outcome
    partition: int = -1
    offset: int = -1
    reports: int = 1
    reported: int = -1
    settled_ns: int | None = None


@dataclass(frozen=True)
class Found:
    """One record of the log."""

    partition: int
    offset: int
    sequence: int
    producer: int = 0
    content: Content = Content.INTACT
    timestamp_ms: int = 0


class Language:
    """The words; a test takes them as the fixture `say`."""

    @staticmethod
    def stream(producer: int = 0, partitions: int = 4, **settings: Any) -> RecordStream:
        return RecordStream(run=7, producer=producer, topic="orders", partitions=partitions, **settings)

    @staticmethod
    def acked(partition: int, offset: int, **more: Any) -> Told:
        return Told(Outcome.ACKED, partition, offset, **more)

    @staticmethod
    def failed(**more: Any) -> Told:
        return Told(Outcome.FAILED, **more)

    @staticmethod
    def unknown(**more: Any) -> Told:
        return Told(Outcome.UNKNOWN, **more)

    @staticmethod
    def pending() -> Told:
        return Told(Outcome.PENDING, reports=0)

    @classmethod
    def sends(cls, *told: Told, stream: RecordStream | None = None) -> SendHistory:
        """The n-th is what was told of record n. Called a microsecond apart, told a millisecond after the call."""
        called = [1_000 * n for n in range(len(told))]
        columns = {
            "intended_ns": [-1 for _ in told],
            "called_ns": called,
            "settled_ns": [
                call + 1_000_000 if each.settled_ns is None else each.settled_ns
                for call, each in zip(called, told, strict=True)
            ],
            "outcome": [each.outcome for each in told],
            "partition": [each.partition for each in told],
            "offset": [each.offset for each in told],
            "timestamp_ms": [-1 for _ in told],
            "reports": [each.reports for each in told],
            "reported": [each.reported for each in told],
        }
        return SendHistory(stream or cls.stream(), len(told), **_arrays(columns, SEND_COLUMNS))

    @staticmethod
    def at(partition: int, offset: int, seq: int, **more: Any) -> Found:
        return Found(partition, offset, seq, **more)

    @staticmethod
    def foreign(partition: int, offset: int) -> Found:
        return Found(partition, offset, -1, -1, Content.FOREIGN)

    @staticmethod
    def damaged(record: Found) -> Found:
        return replace(record, content=Content.DAMAGED)

    @staticmethod
    def log(*found: Found, start: dict[int, int] | None = None) -> LogHistory:
        """In the order in which the reader met them. Partitions begin at 0 unless `start` says otherwise."""
        columns = {
            "partition": [each.partition for each in found],
            "offset": [each.offset for each in found],
            "timestamp_ms": [each.timestamp_ms for each in found],
            "producer": [each.producer for each in found],
            "sequence": [each.sequence for each in found],
            "content": [each.content for each in found],
        }
        starts = dict.fromkeys(range(4), 0) | (start or {})
        ends = {
            partition: max([start, *(each.offset + 1 for each in found if each.partition == partition)])
            for partition, start in starts.items()
        }
        return LogHistory(
            rows=len(found),
            **_arrays(columns, LOG_COLUMNS),
            log_start=starts,
            log_end=ends,
            isolation="read_uncommitted",
        )

    @staticmethod
    def judge(
        told: SendHistory | Sequence[SendHistory], found: LogHistory, expect: Expectation = IDEMPOTENT
    ) -> Judgement:
        return judge([told] if isinstance(told, SendHistory) else told, found, expect)

    @classmethod
    def anomalies(
        cls, told: SendHistory | Sequence[SendHistory], found: LogHistory, expect: Expectation = IDEMPOTENT
    ) -> dict[str, int]:
        """Name -> count of what is wrong; an empty one is a clean bill of health."""
        judgement = cls.judge(told, found, expect)
        assert judgement.unknown == ()
        return {each.kind.value: each.count for each in judgement.anomalies}


def _arrays(columns: Mapping[str, object], kinds: Mapping[str, str]) -> dict[str, Any]:
    return {name: np.array(columns[name], TYPES[kind][1]) for name, kind in kinds.items()}


@pytest.fixture
def say() -> type[Language]:
    return Language


@pytest.fixture
def at_least_once() -> Expectation:
    return AT_LEAST_ONCE
