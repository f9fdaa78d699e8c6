"""A start-up cache for the JVM, made at first use: three brokers start in 3 s with it instead of 8 s.

Java 25 and newer record an AOT cache, 17 to 24 a class-data archive; both are made from one training start of
a broker that is stopped again at once. A cache belongs to one Java and one list of jars, which is its name.
If it can't be made, brokers start without one; the reason is remembered and told, never an error.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from systest.distribution.cache import cache_root, exclusive, key_of, partial
from systest.distribution.jars import Say
from systest.distribution.java import JavaRuntime
from systest.distribution.jvm import JavaCommandFailed, environment, last_lines, run_java
from systest.distribution.properties import render_properties
from systest.distribution.storage import META_FILE, meta_properties, random_id
from systest.ports import first_of_free_ports

_FIRST_AOT_VERSION = 25
_TRAINING_START_LIMIT_S = 60.0
_TRAINING_STOP_LIMIT_S = 90.0
_STARTED = b"Kafka Server started"

# Keeps the training broker no longer than this process lives: the shell reads its standard input, whose other
# end only this process holds. A word means an orderly stop, the end of the file means that we are gone.
_KEEPER = (
    '"$@" </dev/null & pid=$!; exec >/dev/null 2>&1; if read -r word; then kill -TERM $pid; '
    "else kill -KILL $pid; fi; wait $pid"
)


@dataclass(frozen=True)
class StartupCache:
    """Flags that make a JVM use the cache, none if there is none, and a phrase on what it is or why not."""

    flags: tuple[str, ...]
    note: str


def startup_cache(java: JavaRuntime, class_path: Sequence[str], storage: Path, say: Say) -> StartupCache:
    """The cache for this Java and these jars, made now if it is not there yet; takes some 15 s then."""
    directory = cache_root() / "startup"
    file = directory / f"{_key(java, class_path)}.cache"
    failure = file.with_suffix(".failed")
    if not file.exists() and not failure.exists():
        with exclusive(directory):
            if not file.exists() and not failure.exists():  # another process may have been faster
                _make(java, class_path, storage, file, failure, say)
    if file.exists():
        return StartupCache(_use_flags(java, file), _name(java))
    return StartupCache((), f"no start-up cache: {failure.read_text('utf-8')} (remembered in {failure})")


def _name(java: JavaRuntime) -> str:
    return "AOT cache" if java.feature_version >= _FIRST_AOT_VERSION else "class-data archive"


def _use_flags(java: JavaRuntime, file: Path) -> tuple[str, ...]:
    if java.feature_version >= _FIRST_AOT_VERSION:
        return (f"-XX:AOTCache={file}",)
    return (f"-XX:SharedArchiveFile={file}",)


def _record_flag(java: JavaRuntime, file: Path) -> str:
    if java.feature_version >= _FIRST_AOT_VERSION:
        return f"-XX:AOTCacheOutput={file}"
    return f"-XX:ArchiveClassesAtExit={file}"


def _insist_flag(java: JavaRuntime) -> str:
    """Makes a JVM refuse to start with a cache that does not fit, instead of going on without."""
    return "-XX:AOTMode=on" if java.feature_version >= _FIRST_AOT_VERSION else "-Xshare:on"


def _key(java: JavaRuntime, class_path: Sequence[str]) -> str:
    """Changes with whatever would make the JVM refuse the cache."""
    key = key_of(class_path, str(Path(java.path).resolve()), java.version)
    return f"java-{java.feature_version}-{key}"


def _make(
    java: JavaRuntime, class_path: Sequence[str], storage: Path, file: Path, failure: Path, say: Say
) -> None:
    say(f"making the {_name(java)} for Java {java.version}; once, some 15 s")
    with partial(file.parent) as work:
        made = work / "made.cache"
        try:
            shutil.copytree(storage, work / "data")
            _train(java, class_path, made, work)
            _check(java, class_path, made)
        except JavaCommandFailed as error:
            failure.write_text(str(error), "utf-8")
            say(f"no start-up cache: {error}")
        else:
            made.rename(file)


def _train(java: JavaRuntime, class_path: Sequence[str], made: Path, work: Path) -> None:
    (work / "data" / META_FILE).write_text(meta_properties(random_id(), kafka_id=1), "utf-8")
    client_port = first_of_free_ports(2)
    controller_port = client_port + 1
    properties = work / "server.properties"
    settings = {
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{client_port}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "listeners": f"PLAINTEXT://127.0.0.1:{client_port},CONTROLLER://127.0.0.1:{controller_port}",
        "log.dirs": str(work / "data"),
        "node.id": "1",
        "process.roles": "broker,controller",
    }
    properties.write_text(render_properties(settings), "ascii")
    logging = work / "log4j2.properties"
    logging.write_text(
        """\
appender.out.layout.type=PatternLayout
appender.out.name=out
appender.out.type=Console
rootLogger.appenderRef.out.ref=out
rootLogger.level=INFO
""",
        "utf-8",
    )
    flags = ["-Xmx512m", f"-Dlog4j2.configurationFile={logging}", _record_flag(java, made)]
    with _kept([java.path, *flags, "kafka.Kafka", str(properties)], class_path) as broker:
        _await_started(broker)
        assert broker.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            broker.stdin.write(b"stop\n")
            broker.stdin.flush()
        _drain(broker, _TRAINING_STOP_LIMIT_S)
        try:
            broker.wait(_TRAINING_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise JavaCommandFailed(
                f"the training broker did not end in {_TRAINING_STOP_LIMIT_S:.0f} s"
            ) from None
    if not made.exists():
        raise JavaCommandFailed("the training broker ended without writing it")


def _check(java: JavaRuntime, class_path: Sequence[str], made: Path) -> None:
    """The JVM itself says whether the cache fits; asked now, since later it keeps quiet about it."""
    command = [java.path, *_use_flags(java, made), _insist_flag(java), "-version"]
    run_java(command, class_path, "starting with the new cache")


@contextlib.contextmanager
def _kept(command: Sequence[str], class_path: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `command` under the keeper; nothing of it is left afterwards, nor if this process is killed."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", _KEEPER, "keeper", *command],
        env={**os.environ, **environment(class_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def _await_started(broker: subprocess.Popen[bytes]) -> None:
    seen = b""
    for block in _blocks(broker, _TRAINING_START_LIMIT_S):
        seen += block
        if _STARTED in seen:
            return
    raise JavaCommandFailed(f"the training broker did not start: {last_lines(seen.decode(errors='replace'))}")


def _drain(broker: subprocess.Popen[bytes], limit_s: float) -> None:
    for _ in _blocks(broker, limit_s):
        pass


def _blocks(broker: subprocess.Popen[bytes], limit_s: float) -> Iterator[bytes]:
    """What the broker prints, until it is gone or the time is up."""
    assert broker.stdout is not None
    deadline_s = time.monotonic() + limit_s
    with selectors.DefaultSelector() as selector:
        selector.register(broker.stdout, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline_s - time.monotonic())):
            block = os.read(broker.stdout.fileno(), 1 << 16)
            if not block:
                return
            yield block
