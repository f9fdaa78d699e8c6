"""Random histories: a correct one raises no anomaly, a planted defect is found under its own name alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from systest.checks import Expectation, Kind, Verdict
from systest.checks.verdict import CHECKS
from systest.history.columns import Outcome
from systest.workloads.stream import Placement, RecordStream

PARTITIONS = 4
BASE_MS = 1_000
IDEMPOTENT = Expectation(idempotent=True, murmur2_keys=True)

everywhere = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@dataclass
class World:
    """What producers were told, and each partition's log, before it is cast into histories; defects go in here.

    `told[p][n]` is what was told of record n of producer p; `logs` holds what lies in a partition, in order. An acked
    record's place is looked up when the histories are made, `patches` then overwrite single fields of it.
    """

    say: Any
    streams: list[RecordStream]
    told: list[list[Any]]
    logs: list[list[Any]]
    reading: list[int]

    def acked(self) -> list[tuple[int, int]]:
        return [
            (p, n)
            for p, told in enumerate(self.told)
            for n, each in enumerate(told)
            if each.outcome is Outcome.ACKED
        ]

    def place(self, p: int, n: int) -> tuple[int, int]:
        """Partition and offset of a record in the log."""
        for partition, records in enumerate(self.logs):
            for offset, record in enumerate(records):
                if (record.producer, record.sequence) == (p, n):
                    return partition, offset
        raise LookupError((p, n))

    def tell_places(self) -> None:
        """Acknowledge every acked record where it lies."""
        for p, n in self.acked():
            partition, offset = self.place(p, n)
            self.told[p][n] = replace(self.told[p][n], partition=partition, offset=offset)

    def judge(self) -> Any:
        sends = [
            self.say.sends(*told, stream=stream) for told, stream in zip(self.told, self.streams, strict=True)
        ]
        heads = [
            [replace(record, partition=partition, offset=offset) for offset, record in enumerate(records)]
            for partition, records in enumerate(self.logs)
        ]
        rows = [heads[partition].pop(0) for partition in self.reading if heads[partition]]
        rest = [record for records in heads for record in records]
        return self.say.judge(sends, self.say.log(*rows, *rest), IDEMPOTENT)


@st.composite
def worlds(draw: st.DrawFn, say: Any) -> World:
    """A correct run: some producers, acked, failed and unknown records, reports in any order, a reader by turns."""
    identified = draw(st.booleans())
    stamped = draw(st.booleans())
    streams, told = [], []
    logs: list[list[Any]] = [[] for _ in range(PARTITIONS)]
    calls: list[tuple[int, int, bool]] = []
    for p in range(draw(st.integers(1, 3))):
        placement = draw(st.sampled_from([Placement.PARTITION, Placement.ANY]))
        base_ms = BASE_MS if stamped else None
        streams.append(
            say.stream(producer=p, partitions=PARTITIONS, placement=placement, timestamp_base_ms=base_ms)
        )
        outcomes = draw(
            st.lists(
                st.sampled_from([Outcome.ACKED] * 4 + [Outcome.FAILED, Outcome.UNKNOWN]),
                min_size=10,
                max_size=30,
            )
        )
        outcomes[:9] = [Outcome.ACKED] * 9  # whatever is to be planted finds its records
        settled = draw(st.permutations(range(len(outcomes))))
        told.append(
            [
                say.acked(0, 0, settled_ns=when, reported=n if identified else -1)
                if outcome is Outcome.ACKED
                else say.failed(settled_ns=when)
                if outcome is Outcome.FAILED
                else say.unknown(settled_ns=when)
                for n, (outcome, when) in enumerate(zip(outcomes, settled, strict=True))
            ]
        )
        for n, outcome in enumerate(outcomes):
            written = outcome is Outcome.ACKED or (outcome is Outcome.UNKNOWN and draw(st.booleans()))
            calls.append((p, n, written))
    # Producers interleave; each keeps its own order.
    turns = draw(st.permutations([p for p, _, _ in calls]))
    waiting = {p: [call for call in calls if call[0] == p] for p in range(len(streams))}
    for p in turns:
        _, n, written = waiting[p].pop(0)
        wanted = streams[p].partition(n)
        partition = draw(st.integers(0, PARTITIONS - 1)) if wanted is None else wanted
        if written:
            logs[partition].append(say.at(partition, 0, seq=n, producer=p, timestamp_ms=BASE_MS + n))
    reading = draw(st.lists(st.integers(0, PARTITIONS - 1), max_size=60))
    world = World(say, streams, told, logs, reading)
    world.tell_places()
    return world


@given(data=st.data())
@everywhere
def test_correct_history__whatever_order_reports_came_in__is_pass_and_all_verified(
    data: st.DataObject, say: Any
) -> None:
    world = data.draw(worlds(say))
    judgement = world.judge()
    assert (judgement.verdict, judgement.anomalies, judgement.unknown) == (Verdict.PASS, (), ())
    assert sum(int(mask.sum()) for mask in judgement.verified) == judgement.acked == len(world.acked())


def _two(data: st.DataObject, world: World) -> tuple[tuple[int, int], tuple[int, int]]:
    """Two acked records of one producer and partition, the earlier call first."""
    pairs = [
        (first, second)
        for first in world.acked()
        for second in world.acked()
        if first[0] == second[0]
        and first[1] < second[1]
        and world.place(*first)[0] == world.place(*second)[0]
    ]
    return data.draw(st.sampled_from(pairs))


def _one(data: st.DataObject, world: World) -> tuple[int, int]:
    return data.draw(st.sampled_from(world.acked()))


def _lose(data: st.DataObject, world: World) -> int:
    p, n = _one(data, world)
    partition, offset = world.place(p, n)
    told = world.told[p][n]
    del world.logs[partition][offset]
    world.told[p][n] = replace(told, outcome=Outcome.UNKNOWN)
    world.tell_places()
    world.told[p][n] = told
    return 1


def _invent(data: st.DataObject, world: World) -> int:
    p = data.draw(st.integers(0, len(world.streams) - 1))
    never = data.draw(st.integers(len(world.told[p]), 1 << 40))
    partition = data.draw(st.integers(0, PARTITIONS - 1))
    stranger = data.draw(
        st.sampled_from(
            [
                world.say.at(0, 0, seq=never, producer=p),
                world.say.at(0, 0, seq=0, producer=99),
                world.say.foreign(0, 0),
            ]
        )
    )
    world.logs[partition].insert(data.draw(st.integers(0, len(world.logs[partition]))), stranger)
    world.tell_places()
    return 1


def _damage(data: st.DataObject, world: World) -> int:
    partition, offset = world.place(*_one(data, world))
    whole = world.logs[partition][offset]
    claims = data.draw(
        st.sampled_from([whole, replace(whole, sequence=0), world.say.at(0, 0, seq=-1, producer=-1)])
    )
    world.logs[partition][offset] = world.say.damaged(claims)
    return 1


def _misplace(data: st.DataObject, world: World) -> int:
    world.streams = [replace(stream, placement=Placement.PARTITION) for stream in world.streams]
    _sort_into_requested(world)
    p, n = _one(data, world)
    partition, offset = world.place(p, n)
    record = world.logs[partition].pop(offset)
    elsewhere = (partition + data.draw(st.integers(1, PARTITIONS - 1))) % PARTITIONS
    # Where its producer's call order holds there as well: a misplaced record need not be out of order too.
    ahead = [i for i, each in enumerate(world.logs[elsewhere]) if each.producer == p and each.sequence < n]
    world.logs[elsewhere].insert(max(ahead, default=-1) + 1, record)
    world.tell_places()
    return 1


def _sort_into_requested(world: World) -> None:
    records = [record for log in world.logs for record in log]
    records.sort(key=lambda record: record.sequence)
    world.logs = [
        [record for record in records if record.sequence % PARTITIONS == partition]
        for partition in range(PARTITIONS)
    ]
    world.tell_places()


def _double(data: st.DataObject, world: World) -> int:
    partition, offset = world.place(*_one(data, world))
    log = world.logs[partition]
    log.insert(data.draw(st.integers(offset + 1, len(log))), log[offset])
    world.tell_places()
    return 1


def _overtake(data: st.DataObject, world: World) -> int:
    first, second = _two(data, world)
    partition, ahead = world.place(*first)
    log = world.logs[partition]
    behind = world.place(*second)[1]
    passed: int = sum(each.producer == first[0] for each in log[ahead + 1 : behind + 1])
    log.insert(ahead, log.pop(behind))
    world.tell_places()
    return passed


def _misstate(data: st.DataObject, world: World) -> int:
    p, n = _one(data, world)
    partition, offset = world.place(p, n)
    other = data.draw(
        st.tuples(st.integers(0, PARTITIONS), st.integers(0, 1 << 62)).filter(
            lambda it: it != (partition, offset)
        )
        | st.tuples(st.just(partition), st.integers(0, 20).filter(lambda it: it != offset))
    )
    world.told[p][n] = replace(world.told[p][n], partition=other[0], offset=other[1])
    return 1


def _exchange(data: st.DataObject, world: World) -> int:
    (p, first), (q, second) = data.draw(
        st.lists(st.sampled_from(world.acked()), min_size=2, max_size=2, unique=True)
        if world.told[0][0].reported < 0
        else _two_of_one(world)
    )
    a, b = world.told[p][first], world.told[q][second]
    world.told[p][first] = replace(a, partition=b.partition, offset=b.offset, reported=b.reported)
    world.told[q][second] = replace(b, partition=a.partition, offset=a.offset, reported=a.reported)
    return 2


def _two_of_one(world: World) -> st.SearchStrategy[list[tuple[int, int]]]:
    """Two acked records of one producer: `reported` is a sequence number, and can't tell producers apart."""
    return st.integers(0, len(world.told) - 1).flatmap(
        lambda p: st.lists(
            st.sampled_from([each for each in world.acked() if each[0] == p]),
            min_size=2,
            max_size=2,
            unique=True,
        )
    )


def _tell_wrongly_often(data: st.DataObject, world: World) -> int:
    p, n = _one(data, world)
    told = world.told[p][n]
    world.told[p][n] = data.draw(
        st.sampled_from([replace(told, reports=2), replace(told, reports=0), world.say.pending()])
    )
    return 1


def _deny(data: st.DataObject, world: World) -> int:
    p, n = _one(data, world)
    world.told[p][n] = world.say.failed()
    return 1


Plant = Callable[[st.DataObject, World], int]

DEFECTS: dict[Kind, Plant] = {
    Kind.LOST_WRITE: _lose,
    Kind.PHANTOM: _invent,
    Kind.CORRUPT: _damage,
    Kind.MISPLACED: _misplace,
    Kind.DUPLICATE: _double,
    Kind.REORDER: _overtake,
    Kind.OFFSET_MISMATCH: _misstate,
    Kind.WRONG_FUTURE: _exchange,
    Kind.REPORT_COUNT: _tell_wrongly_often,
    Kind.FAILED_BUT_WRITTEN: _deny,
}


def test_defects__cover_every_kind() -> None:
    assert set(DEFECTS) == set(CHECKS)


@pytest.mark.parametrize("kind", list(CHECKS), ids=lambda kind: kind.value)
@given(data=st.data())
@everywhere
def test_planted_defect__in_a_random_history__is_found_under_its_name_alone(
    kind: Kind, data: st.DataObject, say: Any
) -> None:
    world = data.draw(worlds(say))
    records = DEFECTS[kind](data, world)
    judgement = world.judge()
    assert judgement.verdict is Verdict.FAIL
    assert [(each.kind, each.count) for each in judgement.anomalies] == [(kind, records)]
