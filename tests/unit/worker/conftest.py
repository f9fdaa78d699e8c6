"""The real worker, started as the harness starts it, on embedded brokers."""

from __future__ import annotations

import dataclasses
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from systest import strategies
from systest.embedded.mock_cluster import MockCluster
from systest.worker.protocol import Error, Event, Progress, Ready, Summary, event_of
from systest.worker.spec import ProduceSpec, ReadSpec, Spec
from systest.workloads.stream import RecordStream, run_number
from systest.workloads.workload import workload_named

RUN_ID = "unit"
PARTITIONS = 4  # of a topic that the embedded broker makes on first use
LIMIT_S = 60.0

_topics = (f"topic-{number}" for number in itertools.count())


@dataclass(frozen=True)
class Ended:
    """A worker that has ended."""

    status: int
    events: list[Event]
    stderr: str

    @property
    def ready(self) -> Ready:
        assert isinstance(self.events[0], Ready), self
        return self.events[0]

    @property
    def summary(self) -> Summary:
        assert isinstance(self.events[-1], Summary), self
        return self.events[-1]

    @property
    def error(self) -> str:
        assert isinstance(self.events[-1], Error), self
        return self.events[-1].reason

    @property
    def kinds(self) -> list[str]:
        """What it said, without the progress, which depends on the time it took."""
        return [event.type for event in self.events if not isinstance(event, Progress)]


@dataclass(frozen=True)
class Started:
    """A worker at work."""

    process: subprocess.Popen[str]

    def event(self) -> Event:
        """The next one. Workers in these tests are never silent for longer than the test may take."""
        assert self.process.stdout is not None
        return event_of(self.process.stdout.readline())

    def end(self) -> Ended:
        stdout, stderr = self.process.communicate(timeout=LIMIT_S)
        events = [event_of(line) for line in stdout.splitlines()]
        return Ended(self.process.returncode, events, stderr)


class Workers:
    """Starts workers in a directory of their own."""

    def __init__(self, directory: Path, popen: Any) -> None:
        self._directory = directory
        self._popen = popen
        self._numbers = itertools.count()

    def start(self, spec: Spec | str, python_options: Sequence[str] = ()) -> Started:
        """With the spec, or with the text that stands in place of one."""
        path = self._directory / f"spec-{next(self._numbers)}.json"
        path.write_text(spec if isinstance(spec, str) else json.dumps(spec.to_json()))
        strategy = spec.strategy if isinstance(spec, ProduceSpec) else "sync"
        python, *arguments = strategies.command(strategy, sys.executable, str(path))
        process = self._popen(
            [python, *python_options, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return Started(process)

    def run(self, spec: Spec | str, python_options: Sequence[str] = ()) -> Ended:
        return self.start(spec, python_options).end()


@pytest.fixture(scope="session")
def cluster() -> Iterator[MockCluster]:
    with MockCluster(2) as started:
        yield started


@pytest.fixture
def workers(tmp_path: Path, popen: Any) -> Workers:
    return Workers(tmp_path, popen)


@pytest.fixture
def spec_of(cluster: MockCluster, tmp_path: Path) -> Callable[..., ProduceSpec]:
    """A short round on a topic of its own; `stream`, `workload` and others are changes to it."""

    def make(
        strategy: str, workload: str = "window:500", *, stream: Any = None, client: Any = None, **changes: Any
    ) -> ProduceSpec:
        values = {"duration_s": 0.3, "warmup_s": 0.1, "records_max": 400_000, **changes.pop("work", {})}
        spec = ProduceSpec(
            run_id=RUN_ID,
            strategy=strategy,
            mutant=None,
            stream=RecordStream(
                run_number(RUN_ID), producer=0, topic=next(_topics), partitions=PARTITIONS, **(stream or {})
            ),
            workload=workload_named(workload, **values),
            client={
                "bootstrap.servers": cluster.bootstrap_servers,
                "acks": "all",
                "linger.ms": 0,
                **(client or {}),
            },
            identify_reports=True,
            drain_s=10.0,
            directory=str(tmp_path / f"{strategy}-history"),
        )
        return dataclasses.replace(spec, **changes)

    return make


@pytest.fixture
def read_spec_of(tmp_path: Path) -> Callable[[ProduceSpec], ReadSpec]:
    """What reads back what such a round wrote."""

    def make(spec: ProduceSpec) -> ReadSpec:
        return ReadSpec(
            run_id=spec.run_id,
            topic=spec.stream.topic,
            streams=(spec.stream,),
            client={"bootstrap.servers": spec.client["bootstrap.servers"]},
            isolation="read_uncommitted",
            timeout_s=20.0,
            directory=str(tmp_path / "log"),
        )

    return make
