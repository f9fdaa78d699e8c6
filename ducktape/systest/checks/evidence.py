"""The join that every check looks at: which row of the log is which record, and what lies where an ack points.

Only a row whose content is intact is evidence of *which* record it is: the identity in a damaged value may
be the damage. A damaged row is evidence of two weaker things, that something is damaged, and that the record
it claims to be, or the one that was acknowledged at its position, is not missing without a trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from systest.checks.judgement import Expectation, Mask, Rows
from systest.history.columns import Content, Outcome
from systest.history.load import Column, LogHistory, SendHistory

NOWHERE = -1

# A position is one integer, partition above offset, so that one sorted array finds any of them.
_OFFSET_BITS = 40
_OFFSET_END = 1 << _OFFSET_BITS
_PARTITION_END = 1 << (62 - _OFFSET_BITS)


def _positions(partition: Column, offset: Column) -> Rows:
    """-1 where there is no such position, so that whatever a broken client reports stays harmless."""
    possible = (partition >= 0) & (partition < _PARTITION_END) & (offset >= 0) & (offset < _OFFSET_END)
    return np.where(possible, partition.astype(np.int64) << _OFFSET_BITS | offset, NOWHERE)


class Log:
    """The log's rows by ascending partition and offset; "row" in the checks is an index here.

    Attributes:
        partition, offset, timestamp_ms, producer, sequence, content: as in `LogHistory`.
        repeated: positions that the reader returned more than once; no log has such.
    """

    def __init__(self, history: LogHistory) -> None:
        position = _positions(history.partition, history.offset)
        order = np.argsort(position, kind="stable")
        self._position = position[order]
        self.rows = history.rows
        self.log_start, self.log_end = history.log_start, history.log_end
        self.partition = history.partition[order]
        self.offset = history.offset[order]
        self.timestamp_ms = history.timestamp_ms[order]
        self.producer = history.producer[order]
        self.sequence = history.sequence[order]
        self.content = history.content[order]
        self.intact: Mask = self.content == Content.INTACT
        self.repeated = int(np.count_nonzero(self._position[1:] == self._position[:-1]))

    def rows_at(self, partition: Column, offset: Column) -> Rows:
        """The row at each of these positions, `NOWHERE` where the log has none."""
        wanted = _positions(partition, offset)
        if self.rows == 0:
            return np.full(len(wanted), NOWHERE, np.int64)
        row: Rows = np.searchsorted(self._position, wanted)
        row[row == self.rows] = 0
        return np.where((wanted != NOWHERE) & (self._position[row] == wanted), row, NOWHERE)

    def place(self, row: int) -> str:
        return f"partition {self.partition[row]}, offset {self.offset[row]}"


@dataclass(frozen=True, eq=False)
class Traced:
    """One producer's records, found in the log.

    Attributes:
        base: added to a sequence number, it gives a number that no other producer's record of the run has.
        acked: told to be in the log.
        positioned: acked with a partition and an offset that mean something.
        rows: the log's intact rows of this producer's called records, ascending.
        copies: per record, how many such rows.
        row: per record, the first of them; `NOWHERE` if none.
        told_row: per record, the row where the acknowledgement points; `NOWHERE` if nothing lies there.
        at_told: its acknowledgement points at a copy of itself.
        out_of_reach: acked, and where it may lie the log no longer reaches back.
        mangled: in the log, as far as anyone can tell, but not intact: a damaged row claims to be it, or what
            lies where it was acknowledged is no record of the run.
    """

    send: SendHistory
    base: int
    acked: Mask
    positioned: Mask
    rows: Rows
    copies: Rows
    row: Rows
    told_row: Rows
    at_told: Mask
    out_of_reach: Mask
    mangled: Mask

    @property
    def sequences(self) -> Rows:
        return np.arange(self.send.rows)

    @property
    def in_log(self) -> Mask:
        return self.copies > 0

    @cached_property
    def verified(self) -> Mask:
        """Acked, and intact where the acknowledgement says; anywhere, where it names no position."""
        return self.acked & (self.at_told | (~self.positioned & self.in_log))

    def name(self, sequence: int) -> str:
        return f"record {sequence} of producer {self.send.stream.producer}"

    def told(self, sequence: int) -> str:
        """What the caller was told, for an example's sentence."""
        if not self.acked[sequence]:
            return f"reported {Outcome(int(self.send.outcome[sequence])).name.lower()}"
        if not self.positioned[sequence]:
            return "acknowledged without an offset"
        partition, offset = self.send.partition[sequence], self.send.offset[sequence]
        return f"acknowledged at partition {partition}, offset {offset}"


@dataclass(frozen=True, eq=False)
class Evidence:
    """Everything that the checks judge by."""

    log: Log
    producers: tuple[Traced, ...]

    @cached_property
    def never_sent(self) -> Rows:
        """Intact rows that no producer of the run was asked to send."""
        known = np.zeros(self.log.rows, bool)
        for traced in self.producers:
            known[traced.rows] = True
        return np.flatnonzero(self.log.intact & ~known)

    @cached_property
    def foreign_in_place(self) -> Rows:
        """Foreign rows that lie where a record of the run, intact nowhere, was acknowledged."""
        rows = [
            traced.told_row[traced.positioned & ~traced.in_log & (traced.told_row != NOWHERE)]
            for traced in self.producers
        ]
        told: Rows = np.unique(np.concatenate([*rows, np.empty(0, np.int64)]))
        foreign: Rows = told[self.log.content[told] == Content.FOREIGN]
        return foreign


def join(sends: Sequence[SendHistory], history: LogHistory, expect: Expectation) -> Evidence:
    """Find the records of the sends in the log.

    Raises:
        ValueError: two sends have the same producer number, so that no one can tell their records apart.
    """
    numbers = [send.stream.producer for send in sends]
    if len(set(numbers)) != len(numbers):
        raise ValueError(f"producer numbers {numbers} are not distinct")
    log, base, traced = Log(history), 0, []
    for send in sends:
        traced.append(_trace(send, base, log, expect))
        base += send.rows
    return Evidence(log, tuple(traced))


def _trace(send: SendHistory, base: int, log: Log, expect: Expectation) -> Traced:
    mine = (log.producer == send.stream.producer) & (log.sequence >= 0) & (log.sequence < send.rows)
    rows = np.flatnonzero(mine & log.intact)
    copies = np.bincount(log.sequence[rows], minlength=send.rows)
    row = _first_rows(log.sequence[rows], rows, copies)

    acked: Mask = send.outcome == Outcome.ACKED
    positioned = acked & (send.partition >= 0) & (send.offset >= 0) & expect.positions
    told_row = log.rows_at(send.partition, send.offset)
    told_row[~positioned] = NOWHERE
    at_told = _is_copy(told_row, send, log)

    mangled = np.zeros(send.rows, bool)
    mangled[log.sequence[mine & (log.content == Content.DAMAGED)]] = True
    somewhere = told_row != NOWHERE
    mangled[somewhere] |= ~log.intact[told_row[somewhere]]
    return Traced(
        send=send,
        base=base,
        acked=acked,
        positioned=positioned,
        rows=rows,
        copies=copies,
        row=row,
        told_row=told_row,
        at_told=at_told,
        out_of_reach=_out_of_reach(send, acked, positioned, log),
        mangled=mangled & (copies == 0),
    )


def _first_rows(sequence: Column, rows: Rows, copies: Rows) -> Rows:
    first = np.full(len(copies), NOWHERE, np.int64)
    first[sequence] = rows
    # Which of several assignments to one place wins is numpy's secret, so the few doubled ones go again.
    doubled = copies[sequence] > 1
    again, at = np.unique(sequence[doubled], return_index=True)
    first[again] = rows[doubled][at]
    return first


def _is_copy(row: Rows, send: SendHistory, log: Log) -> Mask:
    if log.rows == 0:
        return np.zeros(send.rows, bool)
    # NOWHERE indexes the last row, which counts for nothing.
    own: Mask = log.intact[row] & (log.sequence[row] == np.arange(send.rows))
    own &= (row != NOWHERE) & (log.producer[row] == send.stream.producer)
    return own


def _out_of_reach(send: SendHistory, acked: Mask, positioned: Mask, log: Log) -> Mask:
    cut = {partition: start for partition, start in log.log_start.items() if start > 0}
    if not cut:
        return np.zeros(send.rows, bool)
    beyond = acked & ~positioned
    for partition, start in cut.items():
        beyond |= positioned & (send.partition == partition) & (send.offset < start)
    return beyond
