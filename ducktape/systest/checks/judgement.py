"""What the checks say: anomalies by name, each with counter-examples, and one verdict."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.signedinteger[Any]]
Mask = npt.NDArray[np.bool_]

_EXAMPLES_MAX = 3


class Kind(enum.Enum):
    """What can be wrong with a delivery; `systest.checks` says how each is proven."""

    LOST_WRITE = "lost-write"
    PHANTOM = "phantom"
    CORRUPT = "corrupt"
    MISPLACED = "misplaced"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    OFFSET_MISMATCH = "offset-mismatch"
    WRONG_FUTURE = "wrong-future"
    REPORT_COUNT = "report-count"
    FAILED_BUT_WRITTEN = "failed-but-written"
    DIRTY_READ = "dirty-read"
    LOST_COMMIT = "lost-commit"


class Verdict(enum.Enum):
    """PASS only if everything that was to be shown was shown; UNKNOWN passes no gate."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One kind of defect.

    Args:
        kind: its name.
        count: how many records show it.
        examples: the first few of them, a plain sentence each.
    """

    kind: Kind
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the producer was configured to promise.

    Args:
        idempotent: no record may be twice in the log.
        murmur2_keys: records with `Placement.KEY` lie where Java's partitioner puts their key.
        ordered: records of one producer and partition lie in call order. False where the configuration itself
            permits retries to overtake (no idempotence and several requests in flight).
        positions: an acknowledgement says where its record lies. False with acks=0, where no broker answers: an
            offset that a client tells then is made up (librdkafka counts on from -1001 in each request).
    """

    idempotent: bool
    murmur2_keys: bool
    ordered: bool = True
    positions: bool = True


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be thought of a history.

    Args:
        verdict: the whole in a word.
        anomalies: what was found, one a kind.
        unknown: why something could not be shown, a sentence each.
        acked, failed, unknown_outcomes: records by what their caller was told; the rest was told nothing.
        in_log: records in the log, whosever they are.
        report_inversions: acknowledged records that were told before the acknowledged record called just
            ahead of them: proof that reports came out of order.
        verified: one mask per send history: acknowledged, and found intact where the acknowledgement says
            (anywhere, where it names no offset).
        duplicates: surplus copies in the log, an anomaly or not.
    """

    verdict: Verdict
    anomalies: tuple[Anomaly, ...]
    unknown: tuple[str, ...]
    acked: int
    failed: int
    unknown_outcomes: int
    in_log: int
    report_inversions: int
    verified: tuple[Mask, ...] = field(default=(), compare=False, repr=False)
    duplicates: int = 0


#: Rows that show an anomaly, and the sentence that describes one of them.
Finding = tuple[Rows, Callable[[int], str]]


def anomaly(kind: Kind, findings: Iterable[Finding]) -> Anomaly | None:
    """The anomaly that these rows show; None if there are no rows."""
    count, examples = 0, list[str]()
    for rows, describe in findings:
        count += len(rows)
        examples += [describe(int(row)) for row in rows[: _EXAMPLES_MAX - len(examples)]]
    return Anomaly(kind, count, tuple(examples)) if count else None
