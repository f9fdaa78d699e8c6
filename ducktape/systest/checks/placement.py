"""The check of where records were put."""

from __future__ import annotations

import numpy as np

from systest.checks.evidence import Evidence, Traced
from systest.checks.judgement import Anomaly, Expectation, Finding, Kind, anomaly
from systest.checks.murmur2 import partition_of
from systest.history.identity import key_indices
from systest.history.load import Column
from systest.workloads.stream import Placement, RecordStream


def misplaced(evidence: Evidence, expect: Expectation) -> Anomaly | None:
    """In another partition than was requested, or than its key's partitioner says.

    Every copy counts: a retry goes where the record went. Records that the client may place where it likes, and
    records with a key when the partitioner isn't Java's, can't be misplaced.
    """
    log = evidence.log

    def finding(traced: Traced) -> Finding:
        rows = traced.rows
        wanted = _wanted_partition(traced.send.stream, log.sequence[rows], expect)
        if wanted is None:
            return np.empty(0, np.int64), str
        wrong = log.partition[rows] != wanted
        return (
            rows[wrong],
            lambda row: (
                f"{traced.name(int(log.sequence[row]))} lies at {log.place(row)}, "
                f"and belongs in partition {wanted[np.searchsorted(rows, row)]}"
            ),
        )

    return anomaly(Kind.MISPLACED, map(finding, evidence.producers))


def _wanted_partition(stream: RecordStream, sequence: Column, expect: Expectation) -> Column | None:
    if stream.placement is Placement.PARTITION:
        return sequence % stream.partitions
    if stream.placement is Placement.KEY and expect.murmur2_keys:
        # Hashing in Python is slow; distinct keys are few.
        index, which = np.unique(key_indices(stream, sequence), return_inverse=True)
        wanted = [partition_of(stream.key_at(each), stream.partitions) for each in index.tolist()]
        partition: Column = np.array(wanted, np.int64)[which]
        return partition
    return None
