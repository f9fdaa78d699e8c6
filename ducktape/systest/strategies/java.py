"""`java`: Apache Kafka's own producer, in a program that speaks the worker protocol (`java_producer/`).

Idiom: `send()` with a callback for each record from one thread, a semaphore as the window, `flush()` and `close()` at
the end. Its client settings are librdkafka's, translated; `batch.size` means memory for each partition's batch there.
The warm-up counts from the first call, as this client is at work at once, and is two seconds at the least, for its JIT
compiler, or a third of the records if they are sent sooner.

Not in its figures: poll() (it has none), an event loop's lag (likewise), whose record a report carries (its reports
carry none, so the check wrong-future judges it by places alone).

`python -m systest.strategies.java SPEC` finds Java and the client, compiles the program once and becomes it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from systest.distribution import DistributionUnavailable, java_compiler
from systest.distribution.cache import cache_root, exclusive, key_of, partial
from systest.distribution.distribution import find_kafka
from systest.distribution.java import JavaRuntime, find_java
from systest.distribution.jvm import JavaCommandFailed, environment, run_java
from systest.worker.protocol import Error, line_of

Say = Callable[[str], None]

_SOURCES = Path(__file__).with_name("java_producer")
_MAIN = "systest.Main"
# Kafka's tools give a producer 512 MB; the history of three million records takes another hundred.
_FLAGS = ("-Xms640m", "-Xmx640m", "-XX:+UseG1GC", "-XX:+ExitOnOutOfMemoryError", "-Xlog:disable")


def command(python: str, spec_path: str) -> list[str]:
    """The command line that runs the strategy on a node."""
    return [python, "-m", "systest.strategies.java", spec_path]


def prepare(say: Say) -> tuple[JavaRuntime, tuple[str, ...]]:
    """Finds, fetches and compiles what the strategy needs; a moment when that was done before.

    Returns the Java runtime and the class path. Raises DistributionUnavailable with what to do about it.
    """
    java = find_java()
    kafka = find_kafka(say)
    sources = sorted(str(path) for path in _SOURCES.glob("*.java"))
    directory = cache_root() / "java-producer"
    classes = directory / key_of([*sources, *kafka.class_path])
    if not classes.exists():
        compiler = java_compiler(say)
        with exclusive(directory):
            if not classes.exists():
                _compile(java, compiler, kafka.class_path, sources, directory, classes)
    return java, (str(classes), *kafka.class_path)


def _compile(
    java: JavaRuntime,
    compiler: Path,
    class_path: tuple[str, ...],
    sources: list[str],
    directory: Path,
    classes: Path,
) -> None:
    with partial(directory) as unfinished:
        made = unfinished / "classes"
        joined = os.pathsep.join(class_path)
        arguments = (
            "-17",
            "-classpath",
            joined,
            "-encoding",
            "UTF-8",
            "-nowarn",
            "-proc:none",
            "-d",
            str(made),
            *sources,
        )
        try:
            run_java(
                (java.path, "-jar", str(compiler), *arguments), class_path, "compiling the Java producer"
            )
        except JavaCommandFailed as error:
            raise DistributionUnavailable(f"{error}.") from error
        made.rename(classes)


def main(spec_path: str) -> NoReturn:
    """Becomes the worker."""
    try:
        java, class_path = prepare(_say)
    except DistributionUnavailable as error:
        sys.stdout.write(line_of(Error(f"the strategy java can't run here: {error}")))
        sys.stdout.flush()
        sys.exit(1)
    # It ends at once, and leaves the libraries that it unpacked: here, they go with the spec.
    temporary = f"-Djava.io.tmpdir={Path(spec_path).parent.absolute()}"
    arguments = [java.path, *_FLAGS, temporary, _MAIN, spec_path]
    os.execve(java.path, arguments, {**os.environ, **environment(class_path)})


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m systest.strategies.java SPEC")
    main(sys.argv[1])
