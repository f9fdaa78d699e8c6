"""`systest bare-root`, behind `./run_ducktape.sh bare-root`: the README's commands on a bare machine, from a clone.

Each command gets a root of its own with empty caches. What is said of one is its exit status, its time and the lines
with which its tests closed; all its output is in a file, and the results are left as the night reads them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from systest import disk
from systest.bare_root import machine
from systest.bare_root.base import base
from systest.bare_root.root import Root, made
from systest.bare_root.states import COMMANDS, STATES, USERS, Proof, closing_lines, lacking, proofs
from systest.clusters.belongings import Belongings
from systest.clusters.place import PlaceUnavailable
from systest.distribution import DistributionUnavailable
from systest.progress import say

_ROOM_GIB = 8.0
_TOOLS = {"debootstrap": "debootstrap", "git": "git", "ip": "iproute2", "unshare": "util-linux", "tar": "tar"}
_PACKAGES_LIMIT_S = 600.0
_COMMAND_LIMIT_S = 86_400.0
_LAST_LINES = 30

_EPILOG = f"""\
A root is made by debootstrap, of this machine's suite or another. As root it has Python; a user's has Debian's
python3-venv, too, which a user can't install. Nothing leads in or out but to the registries of Debian, PyPI and Maven
Central, on the way that this machine's apt and pip are told to go.

states:
{chr(10).join(f"  {each.name:8} {each.words}; as {' and '.join(user.name for user in each.users)}" for each in STATES)}

examples:
  ./run_ducktape.sh bare-root
      all of it: some minutes for ./run_ducktape.sh each time, and for ./run_tests.sh what it takes here
  ./run_ducktape.sh bare-root --state bare --user root --command run_ducktape
      one command, in one state, as one user
  ./run_ducktape.sh bare-root --state narrow -- ./run_ducktape.sh --rounds 1
      any command there, in the clone
  ./run_ducktape.sh bare-root --user user -- bash
      a shell, to look around
"""


@dataclass(frozen=True, slots=True)
class Proven:
    """What came of one.

    Args:
        proof: that one.
        exit_status: of its command; minus a signal's number if it was ended.
        took_s: its time, without that for making the root.
        closing: the lines with which its tests closed.
        log: the file that has all its output.
    """

    proof: Proof
    exit_status: int
    took_s: float
    closing: tuple[str, ...]
    log: Path

    @property
    def wrong(self) -> str:
        """Why it proves nothing, "" if it does."""
        if self.exit_status < 0:
            return "it was ended at its limit,"
        if self.exit_status != 0:
            return f"exit status {self.exit_status}"
        missing = lacking(self.proof.command, self.closing)
        return f"no line of it says `{missing[0]}`" if missing else ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `systest bare-root`."""
    parser.usage = "./run_ducktape.sh bare-root [options] [-- COMMAND ...]"
    parser.epilog = _EPILOG
    add = parser.add_argument
    for option, names in (
        ("--state", [each.name for each in STATES]),
        ("--user", [each.name for each in USERS]),
        ("--command", [each.name for each in COMMANDS]),
    ):
        add(
            option,
            metavar="NAME",
            dest=f"{option[2:]}s",
            action="append",
            default=[],
            help=f"{' or '.join(names)} alone; may be given again (default: all)",
        )
    add(
        "--suite", metavar="NAME", default="", help="Debian's or Ubuntu's code name (default: this machine's)"
    )
    add(
        "--mirror",
        metavar="URL",
        default="",
        help="where that suite is (default: where apt looks, or the distribution's own)",
    )
    add(
        "--allow",
        metavar="HOST[:PORT]",
        action="append",
        default=[],
        help="also reachable from inside, such as where a mirror of PyPI has its files",
    )
    add("--results-root", metavar="DIR", default="results", help="where results go (default: %(default)s)")
    add("words", metavar="COMMAND", nargs="*", help=argparse.SUPPRESS)


def main(args: argparse.Namespace) -> int:
    """Exit status: 0 only if each command ended with 0 and showed tests that passed; COMMAND's, where one is given; 2
    for input that can't be run; 69 where a bare root can't be had; 128 + n if signal n ended it.
    """
    try:
        with _ended_by_signal():
            return _main(args)
    except KeyboardInterrupt:
        say("run_ducktape bare-root: ended by Ctrl-C")
        return 128 + signal.SIGINT
    except (ValueError, OSError, subprocess.SubprocessError) as error:
        print(f"run_ducktape bare-root: {error}", file=sys.stderr)
        return 2
    except (PlaceUnavailable, DistributionUnavailable) as error:
        print(f"run_ducktape bare-root: {error}", file=sys.stderr)
        return os.EX_UNAVAILABLE


def _main(args: argparse.Namespace) -> int:
    todo = proofs(args.states, args.users, args.commands)
    allowed = [machine.Endpoint.of(text) for text in args.allow]
    if not Path("run_ducktape.sh").exists():
        raise ValueError("there is no run_ducktape.sh here; run this in the repository's root directory")
    if (reason := why_not()) is not None:
        raise PlaceUnavailable(reason)
    system = machine.system_wanted(args.suite, args.mirror)
    reachable = machine.registries(system, allowed)
    _tell_uncommitted()
    if args.words:
        with _root(todo[0], system, reachable) as root:
            return abs(root.run(args.words, None, _COMMAND_LIMIT_S))
    directory = _session(Path(args.results_root))
    endpoints = ", ".join(f"{each.host}:{each.port}" for each in reachable.endpoints)
    say(f"bare {system.suite}; reachable from inside: {endpoints}")
    proven = []
    for number, proof in enumerate(todo, 1):
        say(
            f"[{number}/{len(todo)}] {proof.state.name}, as {proof.user.name}: {shlex.join(proof.command.words)}"
        )
        with _root(proof, system, reachable) as root:
            proven.append(_prove(proof, root, directory))
        print(told(proven[-1]), flush=True)
        _leave_report(directory, system.suite, proven)
    bad = [each.proof.name for each in proven if each.wrong]
    print(
        f"NOT PROVEN: {', '.join(bad)}"
        if bad
        else f"{len(proven)} of {len(proven)} commands passed on a bare {system.suite}."
    )
    print(os.path.relpath(directory))
    return int(bool(bad))


def why_not() -> str | None:
    """Why a bare root can't be had here, in one sentence that says what to do; None if it can.

    Installs what makes one where that takes no more than apt-get.
    """
    if not sys.platform.startswith("linux"):
        return "a bare root is made of Linux's namespaces; run this on Linux"
    if os.geteuid() != 0:
        return "a bare root is made by debootstrap in namespaces, which takes root; run as root"
    if (missing := _missing_packages()) and shutil.which("apt-get"):
        say(f"Installing {', '.join(missing)}...")
        for command in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *missing]):
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(
                    ["apt-get", *command],
                    capture_output=True,
                    timeout=_PACKAGES_LIMIT_S,
                    check=False,
                    env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                )
    if missing := _missing_packages():
        return f"a bare root takes {', '.join(missing)}; install it"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode != 0:
        return f"the system gives no new namespaces, not even to root ({tried.stderr.strip()})"
    return None


def told(proven: Proven) -> str:
    """What a person reads of it."""
    proof = proven.proof
    minutes, seconds = divmod(round(proven.took_s), 60)
    verdict = f"FAILED: {proven.wrong}" if proven.wrong else "passed, exit status 0"
    head = (
        f"{proof.state.name}, as {proof.user.name}: {shlex.join(proof.command.words)}: {verdict} "
        f"after {minutes} min {seconds} s"
    )
    lines = [head, *(f"    {line}" for line in proven.closing)]
    if proven.wrong:
        output = proven.log.read_text("utf-8", "replace").splitlines()
        lines += ["  its last lines:", *(f"    {line}" for line in output[-_LAST_LINES:])]
    return "\n".join([*lines, f"    {os.path.relpath(proven.log)}"])


def _prove(proof: Proof, root: Root, directory: Path) -> Proven:
    log = directory / f"{proof.name}.log"
    began_s = time.monotonic()
    status = root.run(proof.command.words, log, 60 * proof.command.limit_min)
    took_s = time.monotonic() - began_s
    closing = closing_lines(proof.command, log.read_text("utf-8", "replace").splitlines())
    return Proven(proof, status, took_s, tuple(closing), log)


def _missing_packages() -> list[str]:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return sorted({package for tool, package in _TOOLS.items() if shutil.which(tool, path=path) is None})


@contextlib.contextmanager
def _root(proof: Proof, system: machine.System, reachable: machine.Registries) -> Iterator[Root]:
    packages = ("python3", "python3-venv") if proof.user.number else ("python3",)
    tar = base(system, packages, say)
    belongings = Belongings()
    try:
        if (free := disk.free_gib(belongings.directory)) < _ROOM_GIB:
            raise ValueError(
                f"{belongings.directory.parent} has {free:.1f} GiB free and a bare root needs {_ROOM_GIB:.0f}; "
                "free some, or choose a larger disk with TMPDIR"
            )
        yield made(
            tar,
            belongings.directory / "root",
            Path.cwd(),
            (proof.state, proof.user),
            system,
            reachable,
            belongings.run_id,
        )
    finally:
        belongings.close()


@contextlib.contextmanager
def _ended_by_signal() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does, with that signal's exit status."""

    def end(number: int, frame: object) -> None:
        del frame
        sys.exit(128 + number)

    # A script's background jobs ignore Ctrl-C, and so would all that they start.
    handlers = {signal.SIGTERM: end, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _session(results_root: Path) -> Path:
    directory = (results_root / f"{datetime.now():%Y-%m-%d--%H-%M-%S}-bare-root").absolute()
    directory.mkdir(parents=True)
    return directory


def _tell_uncommitted() -> None:
    """The clone has HEAD alone, which is not what a person sees who has just changed something."""
    done = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=False)
    if count := len(done.stdout.splitlines()):
        say(f"{count} changes are not committed, and so no part of what is proven")


def _leave_report(directory: Path, suite: str, proven: Sequence[Proven]) -> None:
    """As ducktape leaves its tests, each command one of them, and with more for people."""
    results = [
        {
            "cls_name": "BareRoot",
            "function_name": each.proof.name,
            "injected_args": None,
            "test_status": "FAIL" if each.wrong else "PASS",
            "summary": each.wrong or "; ".join(each.closing),
            "suite": suite,
            "exit_status": each.exit_status,
            "took_s": round(each.took_s, 1),
            "closing": each.closing,
        }
        for each in proven
    ]
    (directory / "report.json").write_text(json.dumps({"results": results}, indent=1), "utf-8")
    (directory / "summary.txt").write_text("".join(f"{told(each)}\n" for each in proven), "utf-8")
