"""Checks of the acknowledgements themselves: how many, whose, and where they point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from systest.checks.evidence import NOWHERE, Evidence, Traced
from systest.checks.judgement import Anomaly, Expectation, Finding, Kind, Mask, Rows, anomaly
from systest.history.columns import Outcome
from systest.history.load import SendHistory


def report_count(evidence: Evidence, _: Expectation) -> Anomaly | None:
    """Not told exactly once: a callback ran more often, or never, or a future was left pending after close."""

    def finding(traced: Traced) -> Finding:
        send = traced.send
        wrong = (send.reports != 1) | (send.outcome == Outcome.PENDING)
        return (
            np.flatnonzero(wrong),
            lambda n: (
                f"{traced.name(n)} was reported {send.reports[n]} times, wanted once"
                if send.reports[n] != 1
                else f"{traced.name(n)} was left without an outcome"
            ),
        )

    return anomaly(Kind.REPORT_COUNT, map(finding, evidence.producers))


def wrong_future(evidence: Evidence, _: Expectation) -> Anomaly | None:
    """Told with another record's report. Two kinds of evidence, each enough:

    - The report carried its message, and that was another record (`reported`).
    - The report did not say whose it was; but of a group of records, each intact in the log, every one was told
      the position of the next one round. Reports that changed hands look like that. Offsets that are simply wrong
      don't: a shifted offset leads out of the group, to a place that nobody lost, or to none.
    """

    def finding(astray: _Astray) -> Finding:
        traced, wrong = astray.traced, astray.misreported.copy()
        wrong[astray.traded] = True

        def describe(n: int) -> str:
            if astray.misreported[n]:
                return f"{traced.name(n)} was {traced.told(n)}, with the report of record {traced.send.reported[n]}"
            own = evidence.log.place(int(traced.row[n]))
            other = evidence.log.sequence[traced.told_row[n]]
            return (
                f"{traced.name(n)} lies at {own}, and was {traced.told(n)}: the place of record {other}, "
                "which was told another"
            )

        return np.flatnonzero(wrong), describe

    return anomaly(Kind.WRONG_FUTURE, map(finding, _astray(evidence)))


def offset_mismatch(evidence: Evidence, _: Expectation) -> Anomaly | None:
    """Acknowledged at one place, and lies intact only at others; and not because reports changed hands.

    A record that is nowhere is `lost-write` or `corrupt`, whatever its acknowledgement says. One that was
    acknowledged where the log no longer reaches back to may have a copy there.
    """

    def finding(astray: _Astray) -> Finding:
        traced, wrong = astray.traced, astray.elsewhere & ~astray.misreported
        wrong[astray.traded] = False
        return (
            np.flatnonzero(wrong),
            lambda n: (
                f"{traced.name(n)} was {traced.told(n)}, and lies at {evidence.log.place(int(traced.row[n]))}"
            ),
        )

    return anomaly(Kind.OFFSET_MISMATCH, map(finding, _astray(evidence)))


def report_inversions(sends: Sequence[SendHistory]) -> int:
    """Acknowledged records that were told before the acknowledged record called just ahead of them."""
    told = (send.settled_ns[send.outcome == Outcome.ACKED] for send in sends)
    return sum(int(np.count_nonzero(times[1:] < times[:-1])) for times in told)


@dataclass(frozen=True, eq=False)
class _Astray:
    """Acknowledgements of one producer that don't lead to their record.

    Attributes:
        misreported: told with the report of another record, by the report's own word.
        elsewhere: acknowledged at a place where it isn't, and intact at another.
        traded: those of the latter, without a word on whose report it was, that form rings (see `wrong_future`).
    """

    traced: Traced
    misreported: Mask
    elsewhere: Mask
    traded: Rows


def _astray(evidence: Evidence) -> list[_Astray]:
    found = [
        _Astray(
            traced,
            misreported=(traced.send.reported >= 0) & (traced.send.reported != traced.sequences),
            elsewhere=traced.positioned & ~traced.at_told & traced.in_log & ~traced.out_of_reach,
            traded=np.empty(0, np.int64),
        )
        for traced in evidence.producers
    ]
    unsaid = [np.flatnonzero(each.elsewhere & (each.traced.send.reported < 0)) for each in found]
    numbers = np.concatenate(
        [np.empty(0, np.int64), *(e.traced.base + n for e, n in zip(found, unsaid, strict=True))]
    )
    if not len(numbers):
        return found
    owners = _owner_of_rows(evidence)
    targets = np.concatenate([each.traced.told_row[n] for each, n in zip(found, unsaid, strict=True)])
    target_owner = np.where(targets == NOWHERE, NOWHERE, owners[targets])
    ring = numbers[_on_rings(_index_in(numbers, target_owner))]
    return [
        _Astray(each.traced, each.misreported, each.elsewhere, n[np.isin(n + each.traced.base, ring)])
        for each, n in zip(found, unsaid, strict=True)
    ]


def _owner_of_rows(evidence: Evidence) -> Rows:
    owner = np.full(evidence.log.rows, NOWHERE, np.int64)
    for traced in evidence.producers:
        owner[traced.rows] = traced.base + evidence.log.sequence[traced.rows]
    return owner


def _index_in(ascending: Rows, wanted: Rows) -> Rows:
    """Where each wanted number stands in an ascending array; `len(ascending)` if it doesn't."""
    at = np.searchsorted(ascending, wanted)
    found = ascending[np.minimum(at, len(ascending) - 1)] == wanted
    return np.where(found, at, len(ascending))


def _on_rings(successor: Rows) -> Rows:
    """The nodes that come back to themselves by following successors; a successor past the end is a dead end.

    After as many steps as there are nodes whoever still walks walks on a ring, and every node of every ring is
    walked on. Doubling the step makes that a logarithmic number of rounds.
    """
    nodes = len(successor)
    after = np.append(successor, nodes)
    for _ in range(nodes.bit_length()):
        after = after[after]
    return np.setdiff1d(after, nodes)
