"""Sets of jars from Maven Central, pinned by a committed lock file and kept in the per-user cache.

`locked_jars` is what everything else calls: the directory of a set, fetched if it is not there yet. Every
jar's SHA-256 is checked when it is fetched, name and size each time after. The PyPI package `jgo` does the
fetching, into a directory of ours that goes away again: nothing is left in the user's Maven repository.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from systest.distribution import lockfile
from systest.distribution.cache import cache_root, exclusive, partial
from systest.distribution.errors import DistributionUnavailable
from systest.distribution.lockfile import LockedJar

Say = Callable[[str], None]

_FETCH_LIMIT_S = 240.0
_FETCH_THREADS = 8
_REACH_LIMIT_S = 5.0
_ADVICE = "set KAFKA_HOME to an unpacked Kafka, or use --broker embedded"


def locked_jars(set_name: str, say: Say) -> Path:
    """Directory that holds exactly the jars of `<set_name>.lock`, such as "kafka-4.3.0".

    Calls `say` with lines of progress while it fetches. Raises DistributionUnavailable if it can't.
    """
    locked = read_lock(set_name)
    directory = cache_root() / "jars" / set_name
    if why_incomplete(locked, directory) is None:
        return directory
    with exclusive(directory.parent):
        if why_incomplete(locked, directory) is not None:  # another process may have been faster
            _replace(directory, locked, set_name, say)
    return directory


def read_lock(set_name: str) -> tuple[LockedJar, ...]:
    """The committed jars of a set."""
    return lockfile.parse(resources.files(__package__).joinpath(f"{set_name}.lock").read_text("utf-8"))


def why_incomplete(locked: tuple[LockedJar, ...], directory: Path) -> str | None:
    """The first jar that is missing or has another size; None if the set is there."""
    return next(filter(None, (lockfile.differs_in_size(jar, directory) for jar in locked)), None)


def why_unreachable() -> str | None:
    """Why nothing could be fetched now; None if Maven Central answers. Takes some seconds at most."""
    try:
        import requests  # type: ignore[import-untyped]
        from jgo.maven import MavenContext

        for repository in MavenContext().remote_repos.values():
            requests.head(repository, timeout=_REACH_LIMIT_S)
    except (ImportError, OSError) as error:
        return type(error).__name__
    return None


def _replace(directory: Path, locked: tuple[LockedJar, ...], set_name: str, say: Say) -> None:
    size_mib = sum(jar.size_bytes for jar in locked) >> 20
    say(f"fetching {set_name} from Maven Central: {len(locked)} jars, {size_mib} MiB")
    with partial(directory.parent) as work:
        fetched = work / "jars"
        fetched.mkdir()
        _fetch(locked, work / "maven", fetched, set_name, say)
        for jar in locked:
            if (reason := lockfile.differs_in_content(jar, fetched)) is not None:
                raise DistributionUnavailable(
                    f"{set_name} was fetched but is not what was pinned: {reason}; {_ADVICE}."
                )
        if directory.exists():
            directory.rename(work / "replaced")
        fetched.rename(directory)


def _fetch(locked: tuple[LockedJar, ...], repository: Path, into: Path, set_name: str, say: Say) -> None:
    """Puts every jar in `into`, several at a time.

    The threads are daemons and the results come by a queue: a server that trickles can't hold up the end of
    this function or of the process, whatever jgo waits for.
    """
    todo: queue.SimpleQueue[LockedJar | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def work() -> None:
        while (jar := todo.get()) is not None:
            try:
                _fetch_one(jar, repository, into)
            except Exception as error:  # noqa: BLE001 - whatever jgo raises is judged by the waiting side
                done.put(error)
            else:
                done.put(None)

    for jar in locked:
        todo.put(jar)
    for _ in range(_FETCH_THREADS):
        todo.put(None)
        threading.Thread(target=work, daemon=True, name="fetch-jar").start()
    deadline_s = time.monotonic() + _FETCH_LIMIT_S
    for count in range(1, len(locked) + 1):
        try:
            error = done.get(timeout=max(0.0, deadline_s - time.monotonic()))
        except queue.Empty:
            raise DistributionUnavailable(
                f"{set_name} could not be fetched in {_FETCH_LIMIT_S:.0f} s (Maven Central sent {count - 1} "
                f"of {len(locked)} jars); try again, {_ADVICE}."
            ) from None
        if error is not None:
            raise DistributionUnavailable(_unreachable(set_name, error)) from error
        if count % 20 == 0 or count == len(locked):
            say(f"fetched {count} of {len(locked)} jars")


def _unreachable(set_name: str, error: BaseException) -> str:
    if isinstance(error, OSError):  # every error of the network is one; requests' errors too
        return f"Maven Central could not be reached for {set_name} ({type(error).__name__}); {_ADVICE}."
    return f"{set_name} could not be fetched from Maven Central ({error}); {_ADVICE}."


def _fetch_one(jar: LockedJar, repository: Path, into: Path) -> None:
    try:
        from jgo.maven import MavenContext
    except ImportError as error:
        raise RuntimeError("the Python package jgo is not installed") from error
    # One context a jar: jgo makes no promise about threads.
    context = MavenContext(repo_cache=repository, local_repos=[])
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    Path(artifact.resolve()).rename(into / jar.file_name)
