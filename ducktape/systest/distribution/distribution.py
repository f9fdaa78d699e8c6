"""Puts the parts together: `ensure()` gives a `Distribution` to start brokers from, or says why not."""

from __future__ import annotations

import dataclasses
import enum
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from systest.distribution import jvm
from systest.distribution.aot import StartupCache, startup_cache
from systest.distribution.errors import DistributionUnavailable
from systest.distribution.jars import Say, locked_jars
from systest.distribution.java import JavaRuntime, JavaSource, find_java
from systest.distribution.pins import ECJ_SET, KAFKA_SET, KAFKA_VERSION
from systest.distribution.storage import formatted_storage

_OLDEST_KAFKA_MAJOR = 4
_CLIENTS_PREFIX = "kafka-clients-"
_HEAP_MB = 512

# Correctness runs: what starts fastest. Performance runs: what the JVM would choose on a server.
_FAST_START_FLAGS = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_PERFORMANCE_FLAGS = ("-XX:+UseG1GC",)

_logger = logging.getLogger(__name__)


class JarsSource(enum.Enum):
    """Where Kafka's jars come from."""

    KAFKA_HOME = "KAFKA_HOME"
    MAVEN_CENTRAL = "Maven Central"


@dataclass(frozen=True)
class KafkaJars:
    """Kafka's jars, in class path order."""

    version: str
    source: JarsSource
    class_path: tuple[str, ...]


@dataclass(frozen=True)
class Distribution:
    """All that it takes to start Kafka on this machine."""

    java: JavaRuntime
    kafka: KafkaJars
    startup: StartupCache
    storage: str  # a formatted directory to copy; see storage.py

    def java_command(self, *, performance: bool, heap_mb: int = _HEAP_MB) -> tuple[str, ...]:
        """`java` with its flags; main class and arguments are to follow, `environment()` is to be set."""
        return (
            self.java.path,
            f"-Xms{heap_mb // 2}m",
            f"-Xmx{heap_mb}m",
            "-XX:+ExitOnOutOfMemoryError",
            # A start-up cache that doesn't fit any more is no news worth a line in every broker's log.
            "-Xlog:disable",
            "-Xlog:all=error:stderr",
            *(_PERFORMANCE_FLAGS if performance else _FAST_START_FLAGS),
            *self.startup.flags,
        )

    def environment(self) -> dict[str, str]:
        """What `java_command` needs in its environment."""
        return jvm.environment(self.kafka.class_path)

    def to_json(self) -> str:
        """One line; `from_json` reads it."""
        return json.dumps(dataclasses.asdict(self), default=lambda value: value.value, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Distribution:
        """Raises ValueError, KeyError or TypeError if `text` is not what `to_json` writes."""
        parts = json.loads(text)
        java, kafka, startup = parts["java"], parts["kafka"], parts["startup"]
        return cls(
            JavaRuntime(
                **{**java, "source": JavaSource(java["source"]), "passed_over": tuple(java["passed_over"])}
            ),
            KafkaJars(kafka["version"], JarsSource(kafka["source"]), tuple(kafka["class_path"])),
            StartupCache(tuple(startup["flags"]), startup["note"]),
            parts["storage"],
        )


def ensure(say: Say = _logger.info) -> Distribution:
    """Finds or fetches what Kafka needs; the first call on a machine may take a minute, later ones a moment.

    Calls `say` with lines of progress. Raises DistributionUnavailable with what to do about it.
    """
    java = find_java()
    for reason in java.passed_over:
        say(f"not used: {reason}")
    kafka = find_kafka(say)
    storage = formatted_storage(java.path, kafka.class_path)
    return Distribution(java, kafka, startup_cache(java, kafka.class_path, storage, say), str(storage))


def find_kafka(say: Say = _logger.info, environ: Mapping[str, str] | None = None) -> KafkaJars:
    """Kafka's jars from KAFKA_HOME if that is set, else the pinned ones. Raises DistributionUnavailable."""
    home = (os.environ if environ is None else environ).get("KAFKA_HOME")
    if home:
        return _from_kafka_home(Path(home).expanduser())
    directory = locked_jars(KAFKA_SET, say)
    return KafkaJars(KAFKA_VERSION, JarsSource.MAVEN_CENTRAL, _sorted_jars(directory))


def java_compiler(say: Say = _logger.info) -> Path:
    """The jar of Eclipse's Java compiler, for a Java without javac: `java -jar <it> -17 ...`.

    Not `--release`: the wheel's runtime lacks the file of older signatures that this needs. Raises
    DistributionUnavailable if it is not cached and can't be fetched.
    """
    return locked_jars(ECJ_SET, say) / f"{ECJ_SET}.jar"


def _from_kafka_home(home: Path) -> KafkaJars:
    jars = _sorted_jars(home / "libs")
    versions = [
        Path(jar).stem.removeprefix(_CLIENTS_PREFIX)
        for jar in jars
        if Path(jar).name.startswith(_CLIENTS_PREFIX)
    ]
    if len(versions) != 1:
        raise DistributionUnavailable(
            f"KAFKA_HOME is {home}, but {home / 'libs'} holds {len(versions)} {_CLIENTS_PREFIX}*.jar "
            "where one is expected; point it at an unpacked Kafka, or unset it."
        )
    if _major(versions[0]) < _OLDEST_KAFKA_MAJOR:
        raise DistributionUnavailable(
            f"KAFKA_HOME is Kafka {versions[0]}, but {_OLDEST_KAFKA_MAJOR}.0 or newer is needed; "
            f"unset it to use the pinned {KAFKA_VERSION}."
        )
    return KafkaJars(versions[0], JarsSource.KAFKA_HOME, jars)


def _major(version: str) -> int:
    first = version.partition(".")[0]
    return int(first) if first.isdigit() else 0


def _sorted_jars(directory: Path) -> tuple[str, ...]:
    return tuple(sorted(str(path) for path in directory.glob("*.jar")))
