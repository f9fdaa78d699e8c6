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
    """In another partition than was requested, or than its key's partitioner says, or in another topic.

    Every copy counts: a retry goes where the record went. Records that the client may place where it likes, and
    records with a key when the partitioner isn't Java's, can't be misplaced.
    """
    log = evidence.log

    def finding(traced: Traced) -> Finding:
        rows, stream = traced.rows, traced.send.stream
        sequence = log.sequence[rows]
        wanted = _wanted_partition(stream, sequence, expect)
        if wanted is None and stream.topics == 1:
            return np.empty(0, np.int64), str
        topic = sequence % stream.topics
        first = topic * stream.partitions
        if wanted is None:  # the client may choose any of the topic's
            wrong = log.partition[rows] // stream.partitions != topic
        else:
            wrong = log.partition[rows] != first + wanted

        def describe(row: int) -> str:
            at = np.searchsorted(rows, row)
            where = f"topic {topic[at]}" if wanted is None else f"partition {first[at] + wanted[at]}"
            return f"{traced.name(int(sequence[at]))} lies at {log.place(row)}, and belongs in {where}"

        return rows[wrong], describe

    return anomaly(Kind.MISPLACED, map(finding, evidence.producers))


def _wanted_partition(stream: RecordStream, sequence: Column, expect: Expectation) -> Column | None:
    """Within its topic; None where the client may choose."""
    if stream.placement is Placement.PARTITION:
        partition: Column = sequence // stream.topics % stream.partitions
        return partition
    if stream.placement is Placement.KEY and expect.murmur2_keys:
        # Hashing in Python is slow; distinct keys are few.
        index, which = np.unique(key_indices(stream, sequence), return_inverse=True)
        wanted = [partition_of(stream.key_at(each), stream.partitions) for each in index.tolist()]
        return np.array(wanted, np.int64)[which]
    return None
