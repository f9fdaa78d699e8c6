"""`python -m systest.safety`: the soak, behind `systest safety soak`.

A process that has loaded little else: what it holds is the producer's, and nothing in it minds a sanitizer.
"""

from __future__ import annotations

import argparse
import sys

from producer.transports import choose_transport
from systest.safety import report
from systest.safety.broker import BrokerDied, embedded_broker
from systest.safety.judgement import Sample, bounds_of, judge
from systest.safety.session import add_results_root, end_session, new_session
from systest.safety.soak import Plan, SoakHangs, soak

RECORDS = 50_000_000
_LOG = "soak.txt"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the soak."""
    add = parser.add_argument
    add("--records", type=int, metavar="N", default=RECORDS, help=f"how many to send (default: {RECORDS:,})")
    add("--seconds", type=float, metavar="S", help="end after so many, whatever was sent by then")
    add("--transport", metavar="NAME", help="compiled or pure (default: the one that a program gets)")
    add(
        "--seed",
        type=int,
        metavar="N",
        default=1,
        help="of all that is left to chance (default: %(default)s)",
    )
    add_results_root(parser)


def main() -> int:
    """Exit status: 0 if it is safe, 1 if not, 2 for input that can't be run."""
    parser = argparse.ArgumentParser(prog="systest safety soak", description=__doc__)
    add_arguments(parser)
    args = parser.parse_args()
    try:
        plan = Plan(args.records, args.seconds, choose_transport(args.transport), args.seed)
        return _run(plan, args.results_root)
    except (ValueError, OSError) as error:
        return _failed(error, 2)
    except (BrokerDied, SoakHangs) as error:
        return _failed(error, 1)


def _failed(error: Exception, status: int) -> int:
    print(f"systest safety: {error}", file=sys.stderr)
    return status


def _run(plan: Plan, results_root: str) -> int:
    directory = new_session(results_root, "soak")
    with (directory / _LOG).open("w", encoding="utf-8") as file:

        def show(line: str) -> None:
            print(line, flush=True)
            print(line, file=file, flush=True)

        def show_sample(sample: Sample) -> None:
            show(report.row(sample))

        show(f"{plan.records:,} records over the {plan.transport} transport, seed {plan.seed}")
        show(report.header())
        with embedded_broker() as (address, broker):
            samples, outcomes = soak(plan, address, broker, show_sample)
        findings = judge(samples, bounds_of(plan.transport))
        checks = report.checks(findings, outcomes)
        for line in (*report.growth_rows(findings), *report.outcome_lines(outcomes)):
            show(line)
        show(report.verdict(checks, samples))
    return end_session(directory, "soak", checks)


if __name__ == "__main__":
    sys.exit(main())
