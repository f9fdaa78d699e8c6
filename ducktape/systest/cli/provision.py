"""`systest provision CLUSTER.json`: gives every node of an ssh cluster what tests need there, all at once.

What is done on a node is `ducktape/provision.sh`; nodes that have it all, the very harness of this checkout included,
are left alone. At the end every node is looked at as a run would look at it.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import paramiko

from systest.clusters.harness import harness_id
from systest.clusters.sources import NoSources, pack_sources
from systest.clusters.ssh import NodeError, NotProvisioned, SshAccount, accounts_in, limited
from systest.clusters.survey import NotUsable, Surveyed, in_parallel, interrupt, survey
from systest.progress import say

_SCRIPT = Path("ducktape/provision.sh")
_STEP_LIMIT_S = 900.0
_GRACE_S = 30.0
_PUT_LIMIT_S = 120.0


class NotDone(Exception):
    """A node could not be provisioned; one sentence that names it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `systest provision`."""
    parser.add_argument(
        "cluster", metavar="CLUSTER.json", type=Path, help="a file of ssh accounts, in ducktape's format"
    )


def main(args: argparse.Namespace) -> int:
    """Exit status: 0 if tests can run on every node now; 1 if on some they can't; 2 if the file lists no nodes."""
    began_s = time.monotonic()
    try:
        accounts = accounts_in(args.cluster)
    except ValueError as error:
        print(f"systest provision: {error}", file=sys.stderr)
        return 2
    try:
        ready = in_parallel(_is_ready, accounts, interrupt)
        if todo := [account for account, is_ready in zip(accounts, ready, strict=True) if not is_ready]:
            _provision(todo)
        say(f"looking at {len(accounts)} nodes ...")
        nodes = survey(accounts)
    except KeyboardInterrupt:
        print("systest provision: interrupted; run it again to go on", file=sys.stderr)
        return 128 + signal.SIGINT
    except (NotDone, NotUsable, NoSources) as error:
        for line in error.reasons if isinstance(error, NotUsable) else str(error).splitlines():
            print(f"systest provision: {line}", file=sys.stderr)
        return 1
    print(table(nodes))
    print(
        f"{len(nodes)} nodes are ready, with harness {harness_id()}; it took {time.monotonic() - began_s:.1f} s."
    )
    return 0


def table(nodes: Sequence[Surveyed]) -> str:
    """A line for each node."""
    rows = [("node", "machine", "Python", "Java", "Kafka", "clock ahead of this one's")]
    for node in nodes:
        java, kafka = node.distribution.java, node.distribution.kafka
        source = f"{java.version} from {java.source.value}"
        warning = "  APART" if node.skew.is_certain else ""
        hello = node.hello
        rows.append(
            (node.name, hello.machine, hello.python_version, source, kafka.version, f"{node.skew}{warning}")
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _is_ready(account: SshAccount) -> bool:
    """Whether nothing is to be done on a node; what else is wrong with one the survey says."""
    try:
        said = account.ssh_output('cat "$HOME"/.systest/ready', allow_fail=True, combine_stderr=False)
    except NotProvisioned:
        return False
    except NodeError:
        return True
    finally:
        account.close()
    return bool(said.decode().strip() == harness_id())


def _provision(accounts: Sequence[SshAccount]) -> None:
    """Raises NotDone that names every node which could not be provisioned; the others are."""
    if not _SCRIPT.exists():
        raise NotDone(f"there is no {_SCRIPT} here; run this in the repository's root directory")
    nodes = [_Node(account) for account in accounts]
    try:
        _on_all(nodes, _Node.install_system)
        if any(node.failure is None for node in nodes):
            with tempfile.TemporaryDirectory(prefix="systest-sources-") as directory:
                sources = pack_sources(Path(), Path(directory))
                _on_all(nodes, lambda node: node.install_harness(sources))
        _on_all(nodes, _Node.leave, also_failed=True)
    finally:
        for node in nodes:
            node.disconnect()
    if failures := [node.failure for node in nodes if node.failure is not None]:
        raise NotDone("\n".join(failures))


def _on_all(nodes: Sequence[_Node], do: Callable[[_Node], None], also_failed: bool = False) -> None:
    """Does it on every node where nothing has failed yet, at once; what fails is kept as the node's failure."""

    def attempt(node: _Node) -> None:
        try:
            do(node)
        except NotDone as error:
            node.failure = node.failure or f"{node.name}: {error}"
        except NodeError as error:
            node.failure = node.failure or str(error)
        except (paramiko.SSHException, OSError, EOFError) as error:
            node.failure = (
                node.failure or f"{node.name}: the connection broke ({error or type(error).__name__})"
            )

    todo = [node for node in nodes if also_failed or node.failure is None]
    in_parallel(attempt, todo, _Node.disconnect)


class _Node:
    """One node that is being provisioned; `failure` says what went wrong there, None as long as nothing did."""

    def __init__(self, account: SshAccount) -> None:
        self.name = str(account.hostname)
        self.failure: str | None = None
        self._account = account
        self._client: paramiko.SSHClient | None = None
        self._is_over = False
        # A directory of its own: accounts may share a home, and so may two drivers.
        self._incoming = f".systest/incoming-{uuid.uuid4().hex[:8]}"

    def install_system(self) -> None:
        self._client = self._account.connection()
        if self._is_over:  # meanwhile, when there was nothing to close yet
            self.disconnect()
            raise NotDone("it was interrupted")
        # An earlier one was left where that driver was killed, or interrupted.
        old = 'find .systest -maxdepth 1 -name "incoming-*" -mmin +60 -exec rm -rf {} +'
        self._execute(f"mkdir -p {self._incoming} && {old}")
        self._put(_SCRIPT)
        self._tell("looking for what is missing of the system ...")
        self._execute(f"sh {self._incoming}/{_SCRIPT.name} system")
        self._execute(f"sh {self._incoming}/{_SCRIPT.name} compiler")

    def install_harness(self, sources: Path) -> None:
        self._put(sources)
        self._execute(
            f"sh {self._incoming}/{_SCRIPT.name} harness {self._incoming}/{shlex.quote(sources.name)}"
        )
        self._tell("provisioned")

    def leave(self) -> None:
        if self._client is not None:
            self._execute(f"rm -rf {self._incoming}; rmdir .systest 2>/dev/null || :")

    def disconnect(self) -> None:
        self._is_over = True
        if self._client is not None:
            self._client.close()

    def _tell(self, line: str) -> None:
        say(f"{self.name}: {line}")

    def _put(self, file: Path) -> None:
        assert self._client is not None
        # sftp starts in the user's home too, but it need not be what $HOME says.
        home = self._execute('echo "$HOME"')
        with limited(self._client, _PUT_LIMIT_S), self._client.open_sftp() as files:
            files.put(str(file), f"{home}/{self._incoming}/{file.name}")

    def _execute(self, script: str) -> str:
        """Runs a script in the home, telling what it says on stderr; returns the first line of its stdout.

        Raises NotDone with its last words.
        """
        assert self._client is not None
        transport = self._client.get_transport()
        if transport is None:
            raise NotDone("the connection was closed")
        last = ""
        began_s = time.monotonic()
        with contextlib.closing(transport.open_session(timeout=_GRACE_S)) as channel:
            timed = f'cd "$HOME" && exec timeout -s KILL {_STEP_LIMIT_S:g} /bin/sh -c {shlex.quote(script)}'
            with limited(self._client, _GRACE_S):
                channel.exec_command(f"exec /bin/sh -c {shlex.quote(timed)}")
            try:
                for line in _lines(channel, began_s + _STEP_LIMIT_S + _GRACE_S):
                    last = line
                    self._tell(last)
                said = channel.makefile("r").readline().strip()
                status = channel.recv_exit_status() if channel.status_event.wait(_GRACE_S) else None
            except TimeoutError:  # the node can't end what root does there
                status = None
        if status != 0 and time.monotonic() - began_s >= _STEP_LIMIT_S:
            doing = f" after it said: {last}" if last else ""
            raise NotDone(f"`{script}` had not ended after {_STEP_LIMIT_S:g} s{doing}")
        if status != 0:
            raise NotDone(last or f"`{script}` ended with status {status}")
        return str(said)


def _lines(channel: paramiko.Channel, deadline_s: float) -> Iterator[str]:
    """Those of stderr that say something. Raises TimeoutError."""
    stderr = channel.makefile_stderr("r")
    while True:
        channel.settimeout(max(0.0, deadline_s - time.monotonic()))
        if not (line := stderr.readline()):
            return
        if line.strip():
            yield line.strip()
