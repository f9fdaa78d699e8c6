"""`systest provision CLUSTER.json`: gives every node of an ssh cluster what tests need there, all at once.

What is done on a node is `ducktape/provision.sh`; nodes that have it all, the very harness of this checkout included,
are left alone. At the end every node is looked at as a run would look at it.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import paramiko
from ducktape.cluster.remoteaccount import RemoteAccountError

from systest.clusters.harness import harness_id
from systest.clusters.ssh import NodeLost, NotProvisioned, SshAccount, accounts_in
from systest.clusters.survey import NotUsable, Surveyed, in_parallel, survey
from systest.clusters.wheel import NoWheel, build_wheel
from systest.progress import say

_SCRIPT = Path("ducktape/provision.sh")
_STEP_LIMIT_S = 900.0
_GRACE_S = 30.0


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
        ready = in_parallel(_is_ready, accounts)
        if todo := [account for account, is_ready in zip(accounts, ready, strict=True) if not is_ready]:
            _provision(todo)
        say(f"looking at {len(accounts)} nodes ...")
        nodes = survey(accounts)
    except (NotDone, NotUsable, NoWheel) as error:
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
    """Whether nothing is to be done on a node; of one that can't be reached the survey says so."""
    try:
        said = account.ssh_output('cat "$HOME"/.systest/ready', allow_fail=True, combine_stderr=False)
    except NotProvisioned:
        return False
    except NodeLost:
        return True
    finally:
        account.close()
    return bool(said.decode().strip() == harness_id())


def _provision(accounts: Sequence[SshAccount]) -> None:
    with tempfile.TemporaryDirectory(prefix="systest-wheel-") as directory:
        say("building the harness's wheel ...")
        wheel = build_wheel(Path(), Path(directory))
        clients: list[paramiko.SSHClient] = []

        def provision(account: SshAccount) -> str | None:
            try:
                with contextlib.closing(account.connection()) as client:
                    clients.append(client)
                    _provision_node(client, wheel, lambda line: say(f"{account.hostname}: {line}"))
            except NotDone as error:
                return f"{account.hostname}: {error}"
            except RemoteAccountError as error:
                return str(error)
            except (paramiko.SSHException, OSError, EOFError) as error:
                return f"{account.hostname}: the connection broke ({error or type(error).__name__})"
            say(f"{account.hostname}: provisioned")
            return None

        try:
            failures = [failure for failure in in_parallel(provision, accounts) if failure is not None]
        except KeyboardInterrupt:
            for client in clients:
                client.close()  # or its thread would wait for the node
            raise
        if failures:
            raise NotDone("\n".join(failures))


def _provision_node(client: paramiko.SSHClient, wheel: Path, tell: Callable[[str], None]) -> None:
    # A directory of its own: accounts may share a home, and so may two drivers.
    incoming = f".systest/incoming-{uuid.uuid4().hex[:8]}"
    _execute(client, f"mkdir -p {incoming}", tell)
    try:
        with client.open_sftp() as files:
            files.put(str(_SCRIPT), f"{incoming}/{_SCRIPT.name}")
            files.put(str(wheel), f"{incoming}/{wheel.name}")
        script = f"{incoming}/{_SCRIPT.name}"
        tell("installing what is missing of the system ...")
        _execute(client, f"sh {script} system", tell)
        tell("installing the harness and Kafka ...")
        _execute(client, f"sh {script} harness {incoming}/{shlex.quote(wheel.name)}", tell)
    finally:
        with contextlib.suppress(NotDone, paramiko.SSHException, OSError, EOFError):
            _execute(client, f"rm -rf {incoming}", tell)


def _execute(client: paramiko.SSHClient, command: str, tell: Callable[[str], None]) -> None:
    """Runs a command in the account's home, telling what it says on stderr. Raises NotDone with its last words."""
    transport = client.get_transport()
    if transport is None:
        raise NotDone("the connection was closed")
    last = ""
    with contextlib.closing(transport.open_session(timeout=_GRACE_S)) as channel:
        channel.settimeout(_STEP_LIMIT_S + _GRACE_S)
        timed = f'cd "$HOME" && exec timeout -s KILL {_STEP_LIMIT_S:g} {command}'
        channel.exec_command(f"exec /bin/sh -c {shlex.quote(timed)}")
        for line in channel.makefile_stderr("r"):
            if line.strip():
                last = line.strip()
                tell(last)
        status = channel.recv_exit_status()
    if status != 0:
        raise NotDone(last or f"`{command}` ended with status {status}")
