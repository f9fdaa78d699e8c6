"""From histories to a judgement: every check, and what their findings amount to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from systest.checks.delivery import (
    corrupt,
    duplicate,
    duplicates,
    failed_but_written,
    lost_write,
    phantom,
    reorder,
)
from systest.checks.evidence import Evidence, join
from systest.checks.judgement import Anomaly, Expectation, Judgement, Kind, Verdict
from systest.checks.placement import misplaced
from systest.checks.reports import offset_mismatch, report_count, report_inversions, wrong_future
from systest.history.columns import Outcome
from systest.history.load import LogHistory, SendHistory

Check = Callable[[Evidence, Expectation], Anomaly | None]

CHECKS: Mapping[Kind, Check] = {
    Kind.LOST_WRITE: lost_write,
    Kind.PHANTOM: phantom,
    Kind.CORRUPT: corrupt,
    Kind.MISPLACED: misplaced,
    Kind.DUPLICATE: duplicate,
    Kind.REORDER: reorder,
    Kind.OFFSET_MISMATCH: offset_mismatch,
    Kind.WRONG_FUTURE: wrong_future,
    Kind.REPORT_COUNT: report_count,
    Kind.FAILED_BUT_WRITTEN: failed_but_written,
}


def judge(
    sends: Sequence[SendHistory],
    log: LogHistory,
    expect: Expectation,
    checks: Mapping[Kind, Check] = CHECKS,
) -> Judgement:
    """What is to be thought of what producers were told, given what a reader then found.

    Args:
        sends: one a producer; each with a producer number of its own.
        log: everything in their topic, read after the last of them had ended.
        expect: what the producers' configuration promises.
        checks: those to make.

    Raises:
        ValueError: two sends have the same producer number.
    """
    evidence = join(sends, log, expect)
    anomalies, unknown = [], _gaps(evidence)
    for kind, check in checks.items():
        try:
            found = check(evidence, expect)
        except Exception as error:  # noqa: BLE001 - a check that can't be made must not hide what the others find, nor pass
            unknown.append(f"the check {kind.value} could not be made: {error!r}")
        else:
            anomalies += [found] if found else []
    return Judgement(
        verdict=Verdict.FAIL if anomalies else Verdict.UNKNOWN if unknown else Verdict.PASS,
        anomalies=tuple(anomalies),
        unknown=tuple(unknown),
        acked=_told(sends, Outcome.ACKED),
        failed=_told(sends, Outcome.FAILED),
        unknown_outcomes=_told(sends, Outcome.UNKNOWN),
        in_log=log.rows,
        report_inversions=report_inversions(sends),
        verified=tuple(traced.verified for traced in evidence.producers),
        duplicates=duplicates(evidence),
    )


def _told(sends: Sequence[SendHistory], outcome: Outcome) -> int:
    return sum(int(np.count_nonzero(send.outcome == outcome)) for send in sends)


def _gaps(evidence: Evidence) -> list[str]:
    """Why the histories can't show everything, whatever the checks find in them."""
    gaps = []
    if not any(traced.acked.any() for traced in evidence.producers):
        gaps.append("no record was acknowledged; an empty history proves nothing")
    for partition, start in sorted(evidence.log.log_start.items()):
        if start > 0:
            gaps.append(
                f"partition {partition} begins at offset {start}: of what was ahead nothing can be shown; "
                "raise the topic's retention or send less"
            )
    out_of_reach = sum(int(np.count_nonzero(traced.out_of_reach)) for traced in evidence.producers)
    if out_of_reach:
        gaps.append(f"{out_of_reach} acknowledged records may lie ahead of where the log now begins")
    if evidence.log.repeated:
        gaps.append(
            f"the reader returned {evidence.log.repeated} positions more than once; it is not to be trusted"
        )
    return gaps
