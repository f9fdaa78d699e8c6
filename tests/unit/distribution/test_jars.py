"""Fetching, against a Maven repository of our own on the loopback."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import jgo.maven._core as jgo_core
import pytest

from systest.distribution import jars
from systest.distribution.errors import DistributionUnavailable
from systest.distribution.lockfile import LockedJar

CONTENTS = {"one": b"first jar", "two": b"second jar"}
LOCKED = tuple(
    LockedJar("org.example", name, "1.0", len(content), hashlib.sha256(content).hexdigest())
    for name, content in CONTENTS.items()
)


class Repository:
    """What it serves can be changed; what was asked of it can be counted."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.asked: list[str] = []
        for jar in LOCKED:
            self.put(jar, CONTENTS[jar.artifact])

    def put(self, jar: LockedJar, content: bytes) -> None:
        place = self.directory / "org" / "example" / jar.artifact / jar.version
        place.mkdir(parents=True, exist_ok=True)
        (place / jar.file_name).write_bytes(content)
        (place / f"{jar.file_name}.sha1").write_text(hashlib.sha1(content).hexdigest())


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    served = Repository(tmp_path / "repository")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, *args: Any) -> None:
            served.asked.append(self.path)

        def log_message(self, *args: Any) -> None:
            pass

    handler = partial(Handler, directory=str(served.directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(jgo_core, "DEFAULT_REMOTE_REPOS", {"central": url})
        monkeypatch.setattr(jars, "read_lock", lambda _: LOCKED)
        yield served
        server.shutdown()
        thread.join()


def quiet(_: str) -> None:
    pass


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_locked_jars__empty_cache__exactly_the_locked_jars_and_nothing_else_left(
    repository: Repository, cache: Path
) -> None:
    said: list[str] = []
    directory = jars.locked_jars("example", said.append)
    assert names(directory) == {"one-1.0.jar", "two-1.0.jar"}
    assert (directory / "two-1.0.jar").read_bytes() == CONTENTS["two"]
    assert names(cache / "jars") == {"example", ".lock"}
    assert said[-1] == "fetched 2 of 2 jars"


def test_locked_jars__cached__nothing_is_asked(repository: Repository) -> None:
    jars.locked_jars("example", quiet)
    repository.asked.clear()
    jars.locked_jars("example", quiet)
    assert repository.asked == []


def test_locked_jars__cached_jar_truncated__fetched_again(repository: Repository) -> None:
    damaged = jars.locked_jars("example", quiet) / "one-1.0.jar"
    damaged.write_bytes(b"first")
    jars.locked_jars("example", quiet)
    assert damaged.read_bytes() == CONTENTS["one"]


def test_locked_jars__repository_serves_another_content__refused_and_not_kept(
    repository: Repository, cache: Path
) -> None:
    repository.put(LOCKED[0], b"First jar")
    with pytest.raises(DistributionUnavailable, match=r"not what was pinned: one-1\.0\.jar has SHA-256"):
        jars.locked_jars("example", quiet)
    assert names(cache / "jars") == {".lock"}


def test_locked_jars__asked_for_twice_at_once__fetched_once(repository: Repository) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: jars.locked_jars("example", quiet), range(2)))
    assert len([path for path in repository.asked if path.endswith(".jar")]) == len(LOCKED)


def test_locked_jars__nobody_listens__one_plain_sentence(
    repository: Repository, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jgo_core, "DEFAULT_REMOTE_REPOS", {"central": "http://127.0.0.1:1"})
    sentence = r"Maven Central could not be reached for example \(\w+\); set KAFKA_HOME .*--broker embedded\."
    with pytest.raises(DistributionUnavailable, match=f"^{sentence}$"):
        jars.locked_jars("example", quiet)
    assert names(cache / "jars") == {".lock"}


def test_locked_jars__leftover_of_a_killed_process__removed(repository: Repository, cache: Path) -> None:
    (cache / "jars" / "partial-killed").mkdir(parents=True)
    jars.locked_jars("example", quiet)
    assert "partial-killed" not in names(cache / "jars")
