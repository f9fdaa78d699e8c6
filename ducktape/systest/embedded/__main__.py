"""`python -m systest.embedded`: brokers without Kafka, for as long as whoever started them lives.

Prints one line of JSON once they listen (`systest.embedded.control.Ready`), and nothing else on stdout.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from systest.embedded.mock_cluster import MockClusterError
from systest.embedded.server import serve


def main() -> int:
    """Exit status 0 after an ordered end, 1 with one sentence on stderr if the brokers could not start."""
    parser = argparse.ArgumentParser(prog="python -m systest.embedded", description=__doc__)
    parser.add_argument("--brokers", type=int, default=1, metavar="N", help="how many (default 1)")
    parser.add_argument(
        "--starter",
        type=int,
        metavar="PID",
        help="end when this process is gone (default: at the end of stdin)",
    )
    options = parser.parse_args()
    try:
        asyncio.run(serve(options.brokers, options.starter))
    except MockClusterError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
