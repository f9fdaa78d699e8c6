"""What a worker is told to do: one JSON file, one frozen value.

The file holds what these classes hold, field by field: enums by value, nested classes as objects. Any program
that reads a `ProduceSpec` and speaks `systest.worker.protocol` is a strategy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from systest.worker.loops import Loop
from systest.workloads.stream import Placement, RecordStream
from systest.workloads.workload import Workload

#: A client setting's value, as librdkafka's configuration takes it.
Setting = str | int | float | bool


@dataclass(frozen=True, slots=True)
class ProduceSpec:
    """Run one strategy on one workload.

    Args:
        run_id: name of the run; the worker repeats it in its `ready` event.
        strategy: name of the strategy.
        mutant: name of the defect to plant, None for the strategy as it is.
        stream: the records to send.
        workload: how many in flight, for how long.
        client: client configuration by librdkafka's names, `bootstrap.servers` among them; a strategy on
            another library translates what it can and refuses what it can't.
        identify_reports: whether the history's `reported` column is filled (costs the caller some time).
        drain_s: time that records in flight at the end may take to settle.
        directory: where the history goes, made by the worker.
        loop: what a strategy on asyncio runs on; others refuse any but the default.
    """

    run_id: str
    strategy: str
    mutant: str | None
    stream: RecordStream
    workload: Workload
    client: Mapping[str, Setting]
    identify_reports: bool
    drain_s: float
    directory: str
    loop: Loop = Loop.ASYNCIO

    def to_json(self) -> dict[str, Any]:
        return _plain("produce", {**asdict(self), "loop": self.loop.value})


@dataclass(frozen=True, slots=True)
class ReadSpec:
    """Read a topic back, from its first offset to the end offsets found at the start.

    Args:
        run_id: name of the run; the worker repeats it in its `ready` event.
        topic: the topic to read, or what the names of the streams' topics begin with.
        streams: what was sent there, one a producer; their `run` and `producer` numbers tell records apart.
        client: client configuration as in `ProduceSpec`.
        isolation: `read_committed` or `read_uncommitted`.
        timeout_s: time for the whole reading; past it the worker ends with an error.
        directory: where the history goes, made by the worker.
    """

    run_id: str
    topic: str
    streams: tuple[RecordStream, ...]
    client: Mapping[str, Setting]
    isolation: str
    timeout_s: float
    directory: str

    @property
    def first_partitions(self) -> dict[str, int]:
        """The topics to read; added to a partition's own number, it gives the number that histories know."""
        several = [stream.first_partitions for stream in self.streams if stream.topics > 1]
        return several[0] if several else {self.topic: 0}

    def to_json(self) -> dict[str, Any]:
        return _plain("read", asdict(self))


@dataclass(frozen=True, slots=True)
class TransformSpec:
    """Read a topic to the end that it has at the start, and write a transformation of each record to another, in
    transactions of this project's AIOProducer that carry the input's offsets.

    Record `n` of `output` is the transformation of record `n` of `source`, in the partition of the same number.

    Args:
        run_id: name of the run; the worker repeats it in its `ready` event.
        source: the records to read; its topic is filled.
        output: the records to write.
        group: the consumer group whose offsets say how far the work has come.
        client: client configuration as in `ProduceSpec`, for producer and consumer both; `transactional.id` too.
        shared: whether other workers of the group share the partitions by subscription, or all are this worker's.
        records_max: of a transaction.
        hold_s: how long each transaction stays `written` before it is committed, for faults to hit it.
        fail_every: the transformation of each such transaction, by number, fails, in turn once it is written and
            while its records are on their way; 0 for none.
        mutant: name of the defect to plant (`systest.worker.transform`), None for none.
        directory: the worker writes nothing there.
    """

    run_id: str
    source: RecordStream
    output: RecordStream
    group: str
    client: Mapping[str, Setting]
    shared: bool
    records_max: int
    hold_s: float
    fail_every: int
    mutant: str | None
    directory: str

    def to_json(self) -> dict[str, Any]:
        return _plain("transform", asdict(self))


Spec = ProduceSpec | ReadSpec | TransformSpec


def spec_from_json(raw: Mapping[str, Any]) -> Spec:
    """The spec in a parsed JSON file.

    Raises:
        ValueError: of no known kind, or with missing or unknown fields.
    """
    fields = {name: value for name, value in raw.items() if name != "kind"}
    try:
        if raw.get("kind") == "produce":
            fields["stream"] = _stream(fields["stream"])
            fields["workload"] = Workload(**fields["workload"])
            fields["loop"] = Loop(fields["loop"])
            return ProduceSpec(**fields)
        if raw.get("kind") == "read":
            fields["streams"] = tuple(_stream(each) for each in fields["streams"])
            return ReadSpec(**fields)
        if raw.get("kind") == "transform":
            fields["source"], fields["output"] = _stream(fields["source"]), _stream(fields["output"])
            return TransformSpec(**fields)
    except (KeyError, TypeError) as error:
        raise ValueError(f"a worker's spec has wrong fields: {error}") from error
    raise ValueError(
        f"a worker's spec is of unknown kind {raw.get('kind')!r}; known are produce, read and transform"
    )


def _stream(raw: Mapping[str, Any]) -> RecordStream:
    return RecordStream(**{**raw, "placement": Placement(raw["placement"])})


def _plain(kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    streams = [fields[name] for name in ("stream", "source", "output") if name in fields]
    for stream in (*streams, *fields.get("streams", ())):
        stream["placement"] = stream["placement"].value
    return {"kind": kind, **fields}
