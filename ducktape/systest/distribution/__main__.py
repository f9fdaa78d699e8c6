"""`python -m systest.distribution`: the same on a node, from the command line. Progress goes to stderr."""

from __future__ import annotations

import argparse
import sys

from systest.distribution import DistributionUnavailable, ensure, java_compiler
from systest.distribution.pins import ECJ_SET, KAFKA_SET, pin


def main(argv: list[str] | None = None) -> int:
    """Exit status 1, and the reason as the last line of stderr, if it can't be had."""
    parser = argparse.ArgumentParser(
        prog="python -m systest.distribution", description="Where Kafka comes from."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    ensured = commands.add_parser("ensure", help="find or fetch Java and Kafka")
    ensured.add_argument("--json", action="store_true", help="print one line of JSON for a program")
    commands.add_parser("compiler", help="find or fetch the Java compiler; print its jar")
    commands.add_parser("pin", help="for maintainers: resolve anew and write the lock files")
    args = parser.parse_args(argv)
    try:
        if args.command == "pin":
            for name in (KAFKA_SET, ECJ_SET):
                print(pin(name))
        elif args.command == "compiler":
            print(java_compiler(_say))
        else:
            found = ensure(_say)
            print(found.to_json() if args.json else f"Kafka {found.kafka.version}, Java {found.java.version}")
    except DistributionUnavailable as error:
        _say(str(error))
        return 1
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
