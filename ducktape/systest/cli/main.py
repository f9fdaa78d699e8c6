"""The command `systest`: what a person at a terminal does with the system tests."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from systest.cli import bare_root, docs, doctor, kafka_up, nightly, provision, run, safety


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status. Bad arguments end in SystemExit(2), as argparse has it."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="systest", description="System tests for producers of Apache Kafka, and what they need."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module, summary in (
        ("run", run, "compare producers, or run system tests"),
        ("nightly", nightly, "run everything that takes long, step by step, with a summary"),
        ("doctor", doctor, "say what this machine can do, and what to do about what it can't"),
        ("provision", provision, "give the nodes of an ssh cluster what tests need there"),
        ("kafka", kafka_up, "start a throw-away Kafka, or fetch what it needs"),
        ("safety", safety, "see that the producer leaks nothing, loses nothing and keeps to its own memory"),
        ("docs", docs, "bring the figures of runs into the README and docs/"),
        ("bare-root", bare_root, "prove that the README's commands need no more of a machine than it says"),
    ):
        command = commands.add_parser(
            name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
        module.add_arguments(command)
        command.set_defaults(main=module.main)
    args, rest = parser.parse_known_args(arguments)
    if args.command == "run":
        args.rest = rest
        args.given = arguments[1:]
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    status: int = args.main(args)
    return status
