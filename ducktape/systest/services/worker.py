"""Worker processes on nodes: started, listened to line by line, and ended.

`WorkerService` starts a worker on one of its nodes for one spec; `WorkerRun` is that worker's life as the harness
sees it. A worker that dies, says nothing for too long or says what the protocol does not know fails the wait
at once, with its last lines; so does whatever the caller watches meanwhile, such as a broker that died.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
import json
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ducktape.services.service import Service

from systest import strategies
from systest.services.process import NodeProcess, node_home, node_python
from systest.worker.protocol import (
    Error,
    Event,
    Measure,
    Progress,
    ProtocolError,
    Ready,
    Summary,
    TransactionState,
    TransactionTold,
    event_of,
)
from systest.worker.spec import ProduceSpec, Spec

_POLL_S = 0.1
_WATCH_S = 0.5
_READY_LIMIT_S = 60.0
_SILENCE_LIMIT_S = 20.0
_STACKS_S = 1.0
_EXIT_LIMIT_S = 10.0
_TAIL_LINES = 25
_LOGS = "workers"
_HISTORIES = "histories"


class WorkerFailed(Exception):
    """A worker could not do its work, died, fell silent or said something unknown; ends with its last lines."""


class Phase(enum.Enum):
    """How far a worker has come, by its own word."""

    STARTING = "starting"
    READY = "ready"
    MEASURING = "measuring"
    DONE = "done"
    FAILED = "failed"


_NEXT: dict[Phase, frozenset[Phase]] = {
    Phase.STARTING: frozenset({Phase.READY, Phase.FAILED}),
    Phase.READY: frozenset({Phase.MEASURING, Phase.DONE, Phase.FAILED}),
    Phase.MEASURING: frozenset({Phase.DONE, Phase.FAILED}),
    Phase.DONE: frozenset(),
    Phase.FAILED: frozenset(),
}


class WorkerRun:
    """One worker process from its start to its summary."""

    def __init__(self, name: str, account: Any, process: NodeProcess, spec: Spec) -> None:
        self.name = name
        self.title = f"worker {name} on {account.hostname}"
        self.process = process
        self.spec = spec
        self.phase = Phase.STARTING
        self.ready: Ready | None = None
        self.progress: Progress | None = None
        self.summary: Summary | None = None
        self.transactions: list[TransactionTold] = []
        self.account = account
        self._unfinished_line = ""
        self._heard_s = time.monotonic()

    def await_phase(self, phase: Phase, limit_s: float, watch: Callable[[], None] | None = None) -> None:
        """Returns once the worker has reached `phase` or gone past it.

        Args:
            phase: what to wait for.
            limit_s: for the whole wait.
            watch: called every half second; what it raises ends the wait.

        Raises:
            WorkerFailed: it won't come to that; the worker is dead then.
        """
        self._await(lambda: self._reached(phase), f"not {phase.value}", limit_s, watch)

    def await_transactions(self, count: int, state: TransactionState, limit_s: float) -> None:
        """Returns once the worker, from now on, has told of so many transactions that they are in this state.

        Raises:
            WorkerFailed: as `await_phase`.
        """
        self._listen()
        wanted = self._told_of(state) + count
        self._await(lambda: self._told_of(state) >= wanted, f"without a transaction {state.value}", limit_s)

    def _told_of(self, state: TransactionState) -> int:
        return sum(told.state is state for told in self.transactions)

    def _await(
        self,
        reached: Callable[[], bool],
        lacking: str,
        limit_s: float,
        watch: Callable[[], None] | None = None,
    ) -> None:
        deadline_s = time.monotonic() + limit_s
        watch_s = 0.0
        try:
            while True:
                alive = self.process.is_alive()  # asked first: what it said before it died still counts
                self._listen()
                if reached():
                    return
                now_s = time.monotonic()
                if not alive:
                    raise self._failure("died without a word of why")
                if now_s > deadline_s:
                    raise self._hung(f"is {self.phase.value}, {lacking}, after {limit_s:.0f} s")
                if self.phase is not Phase.STARTING and now_s - self._heard_s > _SILENCE_LIMIT_S:
                    raise self._hung(f"has said nothing for {_SILENCE_LIMIT_S:.0f} s")
                if watch is not None and now_s > watch_s:
                    watch()
                    watch_s = now_s + _WATCH_S
                time.sleep(_POLL_S)
        except BaseException:
            self.process.kill()
            raise

    def await_ready(self) -> Ready:
        """The worker's first word, proven to be our worker's."""
        self.await_phase(Phase.READY, _READY_LIMIT_S)
        assert self.ready is not None
        return self.ready

    def await_summary(self, limit_s: float, watch: Callable[[], None] | None = None) -> Summary:
        """The worker's last word; its process has ended and its history is complete."""
        self.await_phase(Phase.DONE, limit_s, watch)
        assert self.summary is not None
        deadline_s = time.monotonic() + _EXIT_LIMIT_S
        while self.process.is_alive():
            if time.monotonic() > deadline_s:
                failure = self._hung(f"had not ended {_EXIT_LIMIT_S:.0f} s after its summary")
                self.process.kill()
                raise failure
            time.sleep(_POLL_S / 10)
        return self.summary

    def pause(self) -> None:
        """SIGSTOP: it does and says nothing until `resume`."""
        self.process.signal("STOP")

    def resume(self) -> None:
        """SIGCONT after `pause`; its silence until now was not its own."""
        self.process.signal("CONT")
        self._heard_s = time.monotonic()

    def discard(self) -> None:
        """Ends the worker if it runs, and removes its history; its logs stay for collection."""
        self.process.kill()
        directory = shlex.quote(self.spec.directory)
        self.account.ssh(f"rm -rf {directory} {directory}.json")

    def _reached(self, phase: Phase) -> bool:
        order = (Phase.STARTING, Phase.READY, Phase.MEASURING, Phase.DONE)
        return order.index(self.phase) >= order.index(phase)

    def _listen(self) -> None:
        new = self.process.hear()
        *lines, self._unfinished_line = (self._unfinished_line + new.decode(errors="replace")).split("\n")
        for line in lines:
            self._heard_s = time.monotonic()
            try:
                self._take(event_of(line))
            except ProtocolError as error:
                raise self._failure(f"broke the protocol: {error}") from error

    def _take(self, event: Event) -> None:
        match event:
            case Ready():
                if event.run_id != self.spec.run_id:
                    raise ProtocolError(f"it answers for run {event.run_id!r}, not {self.spec.run_id!r}")
                self._move(Phase.READY)
                self.ready = event
            case Measure():
                self._move(Phase.MEASURING)
            case Progress():
                self.progress = event
            case TransactionTold():
                self.transactions.append(event)
            case Summary():
                self._move(Phase.DONE)
                self.summary = event
            case Error():
                self._move(Phase.FAILED)
                raise WorkerFailed(f"{self.title}: {event.reason}")

    def _move(self, phase: Phase) -> None:
        if phase not in _NEXT[self.phase]:
            raise ProtocolError(f"it says that it is {phase.value} after it was {self.phase.value}")
        self.phase = phase

    def _failure(self, what: str) -> WorkerFailed:
        words = self.process.tail(_TAIL_LINES)
        return WorkerFailed(f"{self.title} {what}" + (f"; its last lines:\n{words}" if words else ""))

    def _hung(self, what: str) -> WorkerFailed:
        """As `_failure`, with every thread's stack: Python workers and Java alike print them on SIGQUIT."""
        self.process.signal("QUIT")
        time.sleep(_STACKS_S)
        return self._failure(what)


class WorkerService(Service):  # type: ignore[misc]  # ducktape has no types
    """Nodes that workers run on, one at a time each."""

    def __init__(self, context: Any, num_nodes: int = 1) -> None:
        super().__init__(context, num_nodes=num_nodes)
        self._runs: dict[Any, WorkerRun] = {}
        self._numbers = itertools.count(1)
        self.logs = {"workers": {"path": _LOGS, "collect_default": True}}

    def launch(self, node: Any, name: str, spec: Spec) -> WorkerRun:
        """Starts a worker on a node.

        Args:
            node: one of this service's; its former worker must have ended.
            name: of the work, for messages and file names.
            spec: what to do; the directory in it is replaced by one on the node.
        """
        previous = self._runs.get(node)
        if previous is not None and previous.process.is_alive():
            raise WorkerFailed(f"{previous.title} still runs, so {name} can't start there")
        account = node.account
        name = f"{next(self._numbers):03d}-{name}"
        # The spec may hold a password, so it lies with the histories, which ducktape does not collect.
        directory = f"{node_home(account)}/{_HISTORIES}/{name}"
        spec_path = f"{directory}.json"
        spec = dataclasses.replace(spec, directory=directory)
        account.ssh(f"umask 077 && mkdir -p {shlex.quote(directory)} && touch {shlex.quote(spec_path)}")
        account.create_file(spec_path, json.dumps(spec.to_json()))
        command = self.command(node_python(account), spec, spec_path)
        logs = f"{node_home(account)}/{_LOGS}"
        process = NodeProcess.start(account, command, name=name, directory=logs)
        self._runs[node] = WorkerRun(name, account, process, spec)
        return self._runs[node]

    def fetch_history(self, run: WorkerRun) -> Path:
        """The directory of a run's history on this machine; a copy of it if the run was on another one."""
        here: Path = run.account.here(run.spec.directory, Path(self.local_scratch_dir) / run.name)
        return here

    def command(self, python: str, spec: Spec, spec_path: str) -> list[str]:
        """The command line that does the work of `spec`, which lies at `spec_path` on the node."""
        if isinstance(spec, ProduceSpec):
            return strategies.command(spec.strategy, python, spec_path)
        return [python, "-m", "systest.worker", spec_path]

    def ask_for_stacks(self) -> bool:
        """Has each worker that runs write its threads' stacks to its log. Whether there is one."""
        running = [run for run in self._runs.values() if run.process.is_alive()]
        for run in running:
            run.process.signal("QUIT")
        if running:
            time.sleep(_STACKS_S)
        return bool(running)

    def start_node(self, node: Any, **kwargs: Any) -> None:
        """A worker starts when there is work: `launch`."""

    def stop_node(self, node: Any, **kwargs: Any) -> None:
        """Kills the node's worker, if one runs. Safe at any time and twice."""
        del kwargs
        if node in self._runs:
            self._runs[node].process.kill()

    def clean(self, **kwargs: Any) -> None:
        """Removes what the workers left on the nodes, and here: ducktape forgets its services before it closes them."""
        try:
            super().clean(**kwargs)
        finally:
            self.close()

    def clean_node(self, node: Any, **kwargs: Any) -> None:
        """Removes what the workers left on the node."""
        self.stop_node(node, **kwargs)
        home = shlex.quote(node_home(node.account))
        node.account.ssh(f"rm -rf {home}/{_LOGS} {home}/{_HISTORIES}")
