"""Checks of what is in the log against what was sent and what its callers were told."""

from __future__ import annotations

import numpy as np

from systest.checks.evidence import Evidence, Traced
from systest.checks.judgement import Anomaly, Expectation, Finding, Kind, Rows, anomaly
from systest.history.columns import Content, Outcome
from systest.history.load import Column


def lost_write(evidence: Evidence, _: Expectation) -> Anomaly | None:
    """Acknowledged, and nowhere in the log.

    Sound because the reader read every partition from its first offset to an end found after all
    acknowledgements. A record that lies there mangled is `corrupt` instead; one whose place the log no longer
    reaches back to may have been there, so nothing is said of it here.
    """

    def finding(traced: Traced) -> Finding:
        lost = traced.acked & ~traced.in_log & ~traced.mangled & ~traced.out_of_reach
        return np.flatnonzero(
            lost
        ), lambda n: f"{traced.name(n)} was {traced.told(n)}, and is nowhere in the log"

    return anomaly(Kind.LOST_WRITE, map(finding, evidence.producers))


def phantom(evidence: Evidence, _: Expectation) -> Anomaly | None:
    """In the log, and sent by nobody: the run's topic is its own, so every record in it must be accounted for.

    A foreign record where one of ours was acknowledged and is intact nowhere is what became of it: `corrupt`.
    """
    log = evidence.log
    foreign = np.flatnonzero(log.content == Content.FOREIGN)
    return anomaly(
        Kind.PHANTOM,
        [
            (
                evidence.never_sent,
                lambda row: (
                    f"{log.place(row)} holds record {log.sequence[row]} of producer {log.producer[row]}, "
                    "which was never sent"
                ),
            ),
            (
                np.setdiff1d(foreign, evidence.foreign_in_place, assume_unique=True),
                lambda row: f"{log.place(row)} holds a record that is not of this run",
            ),
        ],
    )


def corrupt(evidence: Evidence, _: Expectation) -> Anomaly | None:
    """In the log, but not as it was sent: value, key, headers, or the timestamp where the stream sets it."""
    log = evidence.log

    def wrong_time(traced: Traced) -> Finding:
        base = traced.send.stream.timestamp_base_ms
        if base is None:
            return np.empty(0, np.int64), str
        rows = traced.rows
        wrong = rows[log.timestamp_ms[rows] != base + log.sequence[rows]]
        return (
            wrong,
            lambda row: (
                f"{log.place(row)} holds {traced.name(int(log.sequence[row]))} with timestamp "
                f"{log.timestamp_ms[row]}, sent with {base + log.sequence[row]}"
            ),
        )

    return anomaly(
        Kind.CORRUPT,
        [
            (
                np.flatnonzero(log.content == Content.DAMAGED),
                lambda row: (
                    f"{log.place(row)} holds a record whose checksum, key or headers are not what was sent; it says "
                    f"it is record {log.sequence[row]} of producer {log.producer[row]}"
                ),
            ),
            (
                evidence.foreign_in_place,
                lambda row: f"{log.place(row)}, where a record was acknowledged, holds what nobody sent",
            ),
            *map(wrong_time, evidence.producers),
        ],
    )


def duplicates(evidence: Evidence) -> int:
    """Surplus copies in the log, whether or not they are an anomaly."""
    return sum(int(np.sum(traced.copies[traced.copies > 1] - 1)) for traced in evidence.producers)


def duplicate(evidence: Evidence, expect: Expectation) -> Anomaly | None:
    """Twice in the log under idempotence, whatever its caller was told. Without idempotence a retry may do that."""
    log = evidence.log

    def finding(traced: Traced) -> Finding:
        def describe(n: int) -> str:
            sequence = log.sequence[traced.rows]
            places = "; ".join(log.place(row) for row in traced.rows[sequence == n])
            return f"{traced.name(n)} is {traced.copies[n]} times in the log: {places}"

        return np.flatnonzero(traced.copies > 1), describe

    return anomaly(Kind.DUPLICATE, map(finding, evidence.producers)) if expect.idempotent else None


def failed_but_written(evidence: Evidence, _: Expectation) -> Anomaly | None:
    """Told to be certainly not in the log, and yet there. Where the client can't tell, it must say so: `unknown`."""

    def finding(traced: Traced) -> Finding:
        written = (traced.send.outcome == Outcome.FAILED) & traced.in_log
        return (
            np.flatnonzero(written),
            lambda n: (
                f"{traced.name(n)} was reported failed, and lies at {evidence.log.place(int(traced.row[n]))}"
            ),
        )

    return anomaly(Kind.FAILED_BUT_WRITTEN, map(finding, evidence.producers))


def reorder(evidence: Evidence, expect: Expectation) -> Anomaly | None:
    """Behind a record of the same producer and partition that was called later.

    Sequence numbers are call order. Only first copies count: a later copy is a `duplicate`. Without idempotence only
    acknowledged records do: one that was given up may still be on its way while its successors are written.
    """
    log = evidence.log

    def finding(traced: Traced) -> Finding:
        rows = traced.rows
        sequence = log.sequence[rows]
        counts = traced.row[sequence] == rows
        if not expect.idempotent:
            counts &= traced.acked[sequence]
        rows, sequence = rows[counts], sequence[counts]
        late = rows[_behind_a_greater(sequence, log.partition[rows])]

        def describe(row: int) -> str:
            ahead = rows[(log.partition[rows] == log.partition[row]) & (rows < row)]
            latest = ahead[np.argmax(log.sequence[ahead])]
            return (
                f"{traced.name(int(log.sequence[row]))} lies at {log.place(row)}, behind record "
                f"{log.sequence[latest]} at offset {log.offset[latest]}"
            )

        return late, describe

    return anomaly(Kind.REORDER, map(finding, evidence.producers)) if expect.ordered else None


def _behind_a_greater(sequence: Column, partition: Column) -> Rows:
    """Where a sequence number is below one that stands ahead of it in its partition; partitions ascend."""
    starts = np.flatnonzero(np.diff(partition, prepend=-1))
    late = [np.empty(0, np.int64)]
    ends = np.append(starts, len(partition))[1:]
    for start, end in zip(starts, ends, strict=True):
        part = sequence[start:end]
        late.append(start + np.flatnonzero(part < np.maximum.accumulate(part)))
    return np.concatenate(late)
