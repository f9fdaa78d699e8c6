"""`systest safety`: whether the producer leaks, loses or touches memory that is not its own."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from systest.safety import __main__ as soak
from systest.safety import allocator, sanitizer
from systest.safety.parts import CanNotRun
from systest.safety.session import Check, add_results_root, end_session, new_session

_SOAK_OPTIONS = ("records", "seconds", "transport", "seed", "results_root")
_EPILOG = """\
Each leaves a report and its logs in a directory of its own.

examples:
  systest safety soak
      50 million records of every kind and fate: some minutes
  systest safety soak --seconds 30 --transport pure
      half a minute over the transport in Python
  systest safety sanitizer
      the producer's tests and a short soak under gcc's sanitizers
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `systest safety`."""
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(dest="safety_command", required=True, metavar="COMMAND")
    for name, does, add, summary in (
        (
            "soak",
            _soak,
            soak.add_arguments,
            "send records of every kind and fate: none is lost, nothing leaks",
        ),
        (
            "sanitizer",
            _sanitizer,
            add_results_root,
            "the producer's tests and a short soak under gcc's sanitizers",
        ),
        (
            "allocator",
            _allocator,
            add_results_root,
            "the same under Python's debug allocator and in its debug modes",
        ),
    ):
        command = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        add(command)
        command.set_defaults(does=does)


def main(args: argparse.Namespace) -> int:
    """Exit status: 0 if it is safe, 1 if not, 2 for input that can't be run, 69 where something is lacking."""
    does: Callable[[argparse.Namespace], int] = args.does
    try:
        return does(args)
    except CanNotRun as error:
        print(f"systest safety: {error}", file=sys.stderr)
        return os.EX_UNAVAILABLE
    except OSError as error:
        print(f"systest safety: {error}", file=sys.stderr)
        return 2


def _soak(args: argparse.Namespace) -> int:
    """A process that has loaded no more than it needs takes this one's place."""
    given = [
        f"--{name.replace('_', '-')}={value}"
        for name in _SOAK_OPTIONS
        if (value := getattr(args, name)) is not None
    ]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "systest.safety", *given])


def _sanitizer(args: argparse.Namespace) -> int:
    return _parts(args, "sanitizer", sanitizer.check)


def _allocator(args: argparse.Namespace) -> int:
    return _parts(args, "allocator", allocator.check)


def _parts(
    args: argparse.Namespace,
    command: str,
    check: Callable[[Path, Path, Callable[[Check], None]], list[Check]],
) -> int:
    directory = new_session(args.results_root, command)
    checks = check(Path(), directory, _show)
    bad = [check.name for check in checks if not check.is_good]
    print(f"NOT CLEAN: see {', '.join(bad)} above." if bad else f"Clean: the {command} found nothing.")
    return end_session(directory, command, checks)


def _show(check: Check) -> None:
    print(f"{'ok ' if check.is_good else 'BAD'} {check.name}: {check.words}", flush=True)
