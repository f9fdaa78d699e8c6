"""`systest run`, behind `./run_ducktape.sh`: the comparison of producers, or any ducktape tests, in one command.

It checks what can be checked before anything starts, so that bad input ends in one sentence; hands the options
to ducktape as globals and becomes its runner; and prints the tables that the tests wrote. ducktape's own
arguments pass through; without a test path among them, the main job runs and only its progress shows.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ducktape.command_line import main as ducktape
from ducktape.command_line.parse_args import create_ducktape_parser

from systest import comparison, disk, not_run, reports, scaling, speed
from systest.cli import pruning
from systest.cli.closing import closing
from systest.cli.loader import assert_loadable
from systest.cli.runner import Runner
from systest.clusters.place import Opened, Place, PlaceUnavailable
from systest.clusters.places import place_named
from systest.distribution import DistributionUnavailable, ensure
from systest.gates import load_gates
from systest.options import RunOptions, broker_kind
from systest.origin import command_line
from systest.progress import say
from systest.services.broker import BrokerError, BrokerKind
from systest.services.external import ExternalKafka
from systest.strategies import JAVA, java
from systest.workloads.shapes import SHAPES
from systest.workloads.workload import FORMS
from systest.yaml_file import NotYaml, read_yaml

MAIN_JOB = "tests/ducktape/performance/comparison_test.py"

_EPILOG = f"""\
Whatever else is given goes to ducktape: test paths, suites, --max-parallel, --repeat, --results-root ...
Without a test path the main job runs: {MAIN_JOB}.

examples:
  ./run_ducktape.sh
      compare all strategies on a real Kafka that this starts itself
  ./run_ducktape.sh --strategies sync,async --workload one-at-a-time --rounds 6
      two of them, each record awaited before the next, six rounds each
  ./run_ducktape.sh --records service,all --strategies sync,async
      what a service sends, and records with everything that one can have
  ./run_ducktape.sh --broker external --bootstrap-server broker:9092 --client-config client.properties
      on a cluster that is there already; the file holds librdkafka's settings, such as sasl.password=...
  ./run_ducktape.sh tests/ducktape/delivery
      the system tests of one area instead
  TMPDIR=/dev/shm ./run_ducktape.sh tests/ducktape/performance/speed_test.py
      the producer's speed, row by row, beside its goals; an hour, with the broker's log in memory
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `systest run`; ducktape's come beside them."""
    defaults = RunOptions()
    parser.usage = "./run_ducktape.sh [options] [ducktape's arguments]"
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("--broker", metavar="KIND", help="kafka (default), embedded (inside librdkafka) or external")
    add("--bootstrap-server", metavar="HOST:PORT", default="", help="address of an external cluster")
    add("--client-config", metavar="FILE", default="", help="client properties for an external cluster")
    add("--brokers", metavar="N", type=int, default=defaults.brokers, help="brokers to start (default: 1)")
    add(
        "--cluster",
        metavar="WHERE",
        default="local",
        help="local (default), netns (namespaces here), docker, vagrant, a JSON file of ssh accounts, or a class",
    )
    add(
        "--nodes", metavar="N", type=int, help="how many nodes to make, where the cluster is made for the run"
    )
    add(
        "--strategies",
        metavar="A,B,...",
        default=",".join(defaults.strategies),
        help="producers to compare (default: %(default)s)",
    )
    add(
        "--workload",
        metavar="NAME",
        default=defaults.workload,
        help=f"{FORMS}; default: saturate",
    )
    add(
        "--records",
        metavar="A,B,...",
        default=",".join(defaults.records),
        help=f"what they send: {', '.join(SHAPES)}; each named is measured (default: %(default)s)",
    )
    add(
        "--duration",
        metavar="SECONDS",
        type=float,
        default=defaults.duration_s,
        help="measured time of a round (default: %(default)s)",
    )
    add(
        "--rounds",
        metavar="N",
        type=int,
        default=defaults.rounds,
        help="how often each strategy is measured, interleaved (default: %(default)s)",
    )
    add(
        "--gates",
        metavar="FILE",
        default=defaults.gates,
        help="bounds that the comparison must keep to, see docs/gates.md (default: %(default)s)",
    )
    add(
        "--keep-results",
        metavar="GIB",
        type=float,
        default=pruning.KEPT_GIB,
        help="of earlier runs; when there are more, the oldest go (default: %(default)g)",
    )
    add("--seed", metavar="N", type=int, help="decides the order within each round (default: a new one)")


def main(args: argparse.Namespace) -> int:
    """Exit status: 0 only if every test passed and so every check held; 2 for input that can't be run, 69 (sysexits'
    EX_UNAVAILABLE) if nodes can't be had there.
    """
    try:
        return _run_somewhere(args)
    except KeyboardInterrupt:
        say("run_ducktape: ended by Ctrl-C")
        return 128 + signal.SIGINT


def _run_somewhere(args: argparse.Namespace) -> int:
    rest = create_ducktape_parser().parse_args(args.rest)
    with contextlib.ExitStack() as stack:
        # ducktape's runner has a handler of its own; before it is there, what was opened must be left in order too.
        stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, _end))
        try:
            _check_files(rest)
            if args.cluster == "docker":
                return _run_in_docker(args, rest)
            place = place_named(args.cluster, args.nodes)
            options = _options(args)
            _check_tests(rest)
            options = _prepared(options, place, broker_chosen=args.broker is not None)
            opened = stack.enter_context(place.opened(say))
        except (ValueError, BrokerError, DistributionUnavailable, PlaceUnavailable) as error:
            print(*(f"run_ducktape: {line}" for line in str(error).splitlines()), sep="\n", file=sys.stderr)
            return os.EX_UNAVAILABLE if isinstance(error, PlaceUnavailable) else 2
        for note in opened.notes:
            options = _noted(options, note)
        if (removed := pruning.prune(Path(rest.results_root), args.keep_results)) is not None:
            say(f"run_ducktape: {removed}")
        return _run_tests(args.rest, rest, opened, options)


def _end(signum: int, frame: object) -> None:
    del frame
    sys.exit(128 + signum)


def _run_in_docker(args: argparse.Namespace, rest: argparse.Namespace) -> int:
    """The same command in a container, beside nodes that are containers; what can be checked here is."""
    from systest.clusters import docker

    nodes = docker.nodes_wanted(args.nodes)
    options = _options(args)
    if options.broker is BrokerKind.EMBEDDED:
        raise ValueError(
            "the embedded broker serves the processes of its own machine only; use --cluster local"
        )
    _check_tests(rest)
    results = Path(rest.results_root)
    results.resolve().mkdir(parents=True, exist_ok=True)
    read = tuple(Path(file) for file in (args.client_config, args.gates) if file)
    for file in read:
        if not file.is_file():
            raise ValueError(f"there is no file {file}")
    files = docker.Files(written=(results,), read=read)
    return nodes.run(_without_place(args.given), files, say)


def _without_place(arguments: Sequence[str]) -> list[str]:
    """The arguments but for those that say where the nodes come from."""
    place = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    place.add_argument("--cluster")
    place.add_argument("--nodes")
    return place.parse_known_args(arguments)[1]


def _run_tests(
    arguments: Sequence[str], rest: argparse.Namespace, opened: Opened, options: RunOptions
) -> int:
    is_main_job = _is_main_job(rest)
    user_globals = {**options.to_globals(), **_user_globals(rest.globals)}
    command = [*arguments, *opened.arguments, "--globals", json.dumps(user_globals)]
    latest = Path(rest.results_root, "latest")
    latest_before = latest.resolve()
    words = io.StringIO()
    with contextlib.redirect_stdout(words) if is_main_job else contextlib.nullcontext():
        status = _run([MAIN_JOB, *command] if is_main_job else command)
    session = latest.resolve()
    if session == latest_before:  # it ended before its first test
        if status and status < 128:
            sys.stdout.write(words.getvalue())
        return status
    shown = [
        (report, show) for name, show in _REPORTS.items() for report in sorted(session.glob(f"**/{name}"))
    ]
    for report, show in shown:
        _show(report, show)
    end = closing(json.loads((session / "report.json").read_text("utf-8"))["results"], status)
    if is_main_job and not shown:
        print(*end.failures, sep="\n")
    for test in end.not_run:
        not_run.note(test.test, test.reason)
    for sentence in end.sentences:
        say(f"run_ducktape: {sentence}")
    return end.status


def _options(args: argparse.Namespace) -> RunOptions:
    return RunOptions(
        broker=broker_kind(args.broker or BrokerKind.KAFKA.value),
        brokers=args.brokers,
        bootstrap_server=args.bootstrap_server,
        client_config=str(Path(args.client_config).resolve()) if args.client_config else "",
        strategies=_names(args.strategies),
        records=_names(args.records),
        workload=args.workload,
        duration_s=args.duration,
        rounds=args.rounds,
        gates=_gates(Path(args.gates)),
        command=command_line(["./run_ducktape.sh", *args.given]),
        **({} if args.seed is None else {"seed": args.seed}),
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _gates(file: Path) -> str:
    """The file's path for tests, which read it themselves. Raises GatesError if it can't be judged by."""
    load_gates(file)
    return str(file.resolve())


def _check_files(rest: argparse.Namespace) -> None:
    if not Path(MAIN_JOB).exists():
        raise ValueError(f"there is no {MAIN_JOB} here; run this in the repository's root directory")
    for directory in (tempfile.gettempdir(), rest.results_root):
        if (reason := disk.shortage(Path(directory))) is not None:
            raise ValueError(reason)
    for suite in rest.test_path:
        if suite.endswith((".yml", ".yaml")):
            _check_suite(Path(suite))


def _is_main_job(rest: argparse.Namespace) -> bool:
    return bool(rest.test_path == create_ducktape_parser().get_default("test_path"))


def _check_tests(rest: argparse.Namespace) -> None:
    """Raises ValueError unless all that is to be run is there, a line for each thing that is not."""
    try:
        parameters = None if rest.parameters is None else json.loads(rest.parameters)
    except ValueError as error:
        raise ValueError(f"--parameters {rest.parameters} is not JSON: {error}") from error
    assert_loadable([MAIN_JOB] if _is_main_job(rest) else rest.test_path, rest.exclude or [], parameters)


def _check_suite(suite: Path) -> None:
    if suite.suffix == ".yaml":
        raise ValueError(f"ducktape knows a suite by its suffix .yml; rename {suite}")
    try:
        content = read_yaml(suite)
    except NotYaml as error:
        raise ValueError(f"the suite {error}") from error
    match content:
        case dict():
            return
        case _:
            raise ValueError(f"the suite {suite} names no tests; write `name: [path, ...]`")


def _prepared(options: RunOptions, place: Place, broker_chosen: bool) -> RunOptions:
    """The options that can be run there, with everything fetched and every address tried.

    Falls back to the embedded broker if Kafka can't be had and the user did not insist on it, and says so here
    and in the result. Raises DistributionUnavailable, BrokerError or PlaceUnavailable if there is no such way out.
    """
    if options.broker is BrokerKind.EXTERNAL:
        ExternalKafka(options.bootstrap_server, options.client_config or None)
    if options.broker is BrokerKind.EMBEDDED and not place.is_local:
        raise ValueError(
            "the embedded broker serves the processes of its own machine only; use --cluster local"
        )
    if (reason := place.refused()) is not None:  # before anything is fetched, which would be for nothing
        raise PlaceUnavailable(reason)
    if not place.shares_files:
        return options
    if options.broker is BrokerKind.KAFKA:
        try:
            ensure(say)
        except DistributionUnavailable as error:
            if broker_chosen or not place.is_local:
                raise
            options = _noted(
                replace(options, broker=BrokerKind.EMBEDDED, brokers=1),
                f"Kafka can't be had, so this runs on the embedded broker: {error}",
            )
    if JAVA in options.strategies and (reason := _no_java(options.broker)) is not None:
        left = tuple(name for name in options.strategies if name != JAVA)
        if not left:
            raise ValueError(f"the strategy {JAVA} can't run: {reason}")
        options = _noted(replace(options, strategies=left), f"The strategy {JAVA} is left out: {reason}")
    return options


def _no_java(broker: BrokerKind) -> str | None:
    if broker is BrokerKind.EMBEDDED:
        return "the embedded broker does not answer Apache Kafka's own client."
    try:
        java.prepare(say)
    except DistributionUnavailable as error:
        return str(error)
    return None


def _noted(options: RunOptions, note: str) -> RunOptions:
    """With a sentence that the user reads now and that stands in the result."""
    say(note)
    return replace(options, notes=(*options.notes, note))


def _user_globals(text: str | None) -> dict[str, Any]:
    return dict(ducktape.get_user_defined_globals(text))


def _run(command: list[str]) -> int:
    """ducktape, in this process: it is the runner that a signal to this command must reach."""
    ducktape.TestRunner = Runner  # its main has no argument for that
    argv, sys.argv = sys.argv, ["ducktape", *command]
    try:
        ducktape.main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        say(f"run_ducktape: the results can't be written: {error}; choose a larger disk with --results-root")
        return 1
    finally:
        sys.argv = argv
    return 0


_REPORTS: Mapping[str, Callable[[str, int], str]] = {
    comparison.REPORT: lambda text, width: reports.terminal(reports.RunResult.from_json(text), width),
    speed.REPORT: lambda text, width: speed.terminal(speed.SpeedResult.from_json(text), width),
    scaling.REPORT: lambda text, width: scaling.terminal(scaling.ScalingResult.from_json(text), width),
}
"""The files in which tests leave results, and what a terminal shows of them."""


def _show(report: Path, shown: Callable[[str, int], str]) -> None:
    print(shown(report.read_text("utf-8"), shutil.get_terminal_size((160, 24)).columns))
    endings = sorted(file.suffix.removeprefix(".") for file in report.parent.glob(f"{report.stem}.*"))
    print(f"{os.path.relpath(report.with_suffix(''))}.{{{','.join(endings)}}}")
