from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from systest.distribution import lockfile
from systest.distribution.jars import read_lock
from systest.distribution.lockfile import LockedJar
from systest.distribution.pins import ECJ_SET, KAFKA_SET, kafka_jars_of_other_versions

CONTENT = b"not much of a jar"
JAR = LockedJar("org.example", "thing", "1.2", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def test_render__jars_out_of_order__lines_sorted_by_file_name() -> None:
    other = LockedJar("a.group", "zebra", "9", 5, "0" * 64)
    assert lockfile.render([other, JAR], "made by hand") == (
        f"# made by hand\n{JAR.sha256} 17 org.example:thing:1.2\n{'0' * 64} 5 a.group:zebra:9\n"
    )


def test_parse__what_render_wrote__same_jars() -> None:
    assert lockfile.parse(lockfile.render([JAR], "comment")) == (JAR,)


@pytest.mark.parametrize(
    "line", ["nonsense", f"{'0' * 63} 5 g:a:1", f"{'0' * 64} x g:a:1", f"{'0' * 64} 5 g:a"]
)
def test_parse__line_that_is_none__named_by_number(line: str) -> None:
    with pytest.raises(ValueError, match="line 2 is not"):
        lockfile.parse(f"# comment\n{line}\n")


def test_parse__two_jars_of_one_file_name__refused() -> None:
    with pytest.raises(ValueError, match=r"thing-1\.2\.jar comes twice"):
        lockfile.parse(lockfile.render([JAR, JAR], ""))


def test_differs__intact_jar__none(tmp_path: Path) -> None:
    (tmp_path / JAR.file_name).write_bytes(CONTENT)
    assert lockfile.differs_in_content(JAR, tmp_path) is None


def test_differs__one_byte_changed__only_the_full_look_sees_it(tmp_path: Path) -> None:
    (tmp_path / JAR.file_name).write_bytes(b"N" + CONTENT[1:])
    assert lockfile.differs_in_size(JAR, tmp_path) is None
    assert "SHA-256" in (lockfile.differs_in_content(JAR, tmp_path) or "")


def test_differs__truncated_or_missing__the_cheap_look_says_so(tmp_path: Path) -> None:
    assert lockfile.differs_in_size(JAR, tmp_path) == "thing-1.2.jar is missing"
    (tmp_path / JAR.file_name).write_bytes(CONTENT[:-1])
    assert lockfile.differs_in_size(JAR, tmp_path) == "thing-1.2.jar has 16 bytes, the lock file says 17"


def test_committed_lock__kafka__every_jar_of_kafka_in_the_pinned_version_and_logging_bound() -> None:
    jars = read_lock(KAFKA_SET)
    assert kafka_jars_of_other_versions(list(jars)) == []
    assert {"kafka_2.13", "kafka-clients", "kafka-tools", "log4j-slf4j-impl"} <= {
        jar.artifact for jar in jars
    }


def test_other_versions__a_stray_client_jar__named() -> None:
    stray = LockedJar("org.apache.kafka", "kafka-clients", "3.8.0", 1, "0" * 64)
    assert kafka_jars_of_other_versions([stray, JAR]) == ["org.apache.kafka:kafka-clients:3.8.0"]


def test_committed_lock__compiler__one_jar() -> None:
    assert [jar.artifact for jar in read_lock(ECJ_SET)] == ["ecj"]
