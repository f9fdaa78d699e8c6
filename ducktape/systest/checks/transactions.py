"""Checks of what transactions wrote: from a reader at read_committed, and what the writers told of their transactions.

The model. Record `n` of an input is transformed into record `n` of the output, in a transaction that carries the
input's offsets too; the group's offsets stand at the input's end. So each record of the input was consumed by a
committed transaction, and exactly one, and a reader at read_committed must find record `n` once, in order, for each.
Two anomalies are a transaction's own:

- `dirty-read`: a row that the reader was shown lies where a transaction, told aborted, had written;
- `lost-commit`: a record was consumed, and what it was transformed into is nowhere to be seen.

Of a transaction whose writer died before it could tell, nothing is assumed: shown and hidden are both legal, and its
records must be there once all the same. A row that is a dirty read counts as nothing else: the other checks judge the
log without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from systest.checks.delivery import corrupt, duplicate, phantom, reorder
from systest.checks.evidence import Evidence, Log, Traced
from systest.checks.judgement import (
    Anomaly,
    Expectation,
    Finding,
    Judgement,
    Kind,
    Mask,
    Verdict,
    anomaly,
)
from systest.checks.placement import misplaced
from systest.checks.verdict import Check, judge
from systest.history.columns import LOG_COLUMNS, SEND_COLUMNS, TYPES, Outcome
from systest.history.load import LogHistory, SendHistory
from systest.workloads.stream import RecordStream


@dataclass(frozen=True, slots=True)
class Aborted:
    """A transaction that was told aborted: a name for it, and partition -> first and last offset that it wrote."""

    name: str
    places: Mapping[int, tuple[int, int]]


def judge_transactions(
    output: RecordStream, consumed: int, aborted: Sequence[Aborted], shown: LogHistory
) -> Judgement:
    """What is to be thought of what a reader at read_committed was shown.

    Args:
        output: what the input's records are transformed into.
        consumed: how many records the input has, all of them consumed.
        aborted: every transaction that was told aborted.
        shown: the output topic, read after the last writer had ended.
    """
    dirty = _dirty(aborted, shown)
    rest = judge([_consumed(output, consumed)], _without(shown, dirty), _EXPECT, _CHECKS)
    found = dirty_read(aborted, shown)
    if found is None:
        return rest
    return replace(rest, verdict=Verdict.FAIL, anomalies=(found, *rest.anomalies), in_log=shown.rows)


def hidden(shown: LogHistory, everything: LogHistory) -> int:
    """How many rows lie in the log that a reader at read_committed was not shown: 0 means that no transaction was
    aborted, so that nothing was proven.

    Args:
        shown: read at read_committed.
        everything: the same topic, read at read_uncommitted.
    """
    seen, log = Log(shown), Log(everything)
    return int(np.count_nonzero(seen.rows_at(log.partition, log.offset) < 0))


def dirty_read(aborted: Sequence[Aborted], shown: LogHistory) -> Anomaly | None:
    """Shown, and written by a transaction that was aborted.

    Sound because one transaction at a time has the transactional.id, and only it writes between the first and the
    last place that its records were acknowledged at.
    """

    def describe(row: int) -> str:
        where = f"partition {shown.partition[row]}, offset {shown.offset[row]}"
        [name, *_] = [each.name for each in aborted if _dirty([each], shown)[row]]
        return (
            f"{where} shows record {shown.sequence[row]} of producer {shown.producer[row]}, written by {name}, "
            "which was aborted"
        )

    return anomaly(Kind.DIRTY_READ, [(np.flatnonzero(_dirty(aborted, shown)), describe)])


def lost_commit(evidence: Evidence, _: Expectation) -> Anomaly | None:
    """Consumed, and shown nowhere. What lies there mangled is `corrupt` instead."""

    def finding(traced: Traced) -> Finding:
        lost = traced.acked & ~traced.in_log & ~traced.mangled & ~traced.out_of_reach
        return (
            np.flatnonzero(lost),
            lambda n: (
                f"record {n} of the input was consumed, and its transformation, {traced.name(n)}, is nowhere to be seen"
            ),
        )

    return anomaly(Kind.LOST_COMMIT, map(finding, evidence.producers))


KINDS = (Kind.DIRTY_READ, Kind.LOST_COMMIT)
"""The anomalies that only transactions can have."""
_EXPECT = Expectation(idempotent=True, murmur2_keys=False)
_CHECKS: Mapping[Kind, Check] = {
    Kind.LOST_COMMIT: lost_commit,
    Kind.PHANTOM: phantom,
    Kind.CORRUPT: corrupt,
    Kind.MISPLACED: misplaced,
    Kind.DUPLICATE: duplicate,
    Kind.REORDER: reorder,
}


def _dirty(aborted: Sequence[Aborted], shown: LogHistory) -> Mask:
    dirty = np.zeros(shown.rows, bool)
    for each in aborted:
        for partition, (first, last) in each.places.items():
            dirty |= (shown.partition == partition) & (shown.offset >= first) & (shown.offset <= last)
    return dirty


def _without(log: LogHistory, rows: Mask) -> LogHistory:
    kept = {name: getattr(log, name)[~rows] for name in LOG_COLUMNS}
    return replace(log, rows=int(np.count_nonzero(~rows)), **kept)


def _consumed(output: RecordStream, count: int) -> SendHistory:
    """Each record once, wherever it lies: as if it had been acknowledged without a place."""
    columns = {name: np.full(count, -1, TYPES[kind][1]) for name, kind in SEND_COLUMNS.items()}
    columns["outcome"][:] = Outcome.ACKED
    return SendHistory(stream=output, rows=count, **columns)
