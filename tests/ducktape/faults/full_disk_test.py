"""A disk that is really full: a tmpfs in a mount namespace of its own, small from the start or shrunk at work."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from ducktape.mark import parametrize
from ducktape.mark.resource import cluster
from ducktape.tests.test import Test

from systest import not_run
from systest.processes import words

ROOT = Path(__file__).parents[3]
SMALL_BYTES = 64 << 20
AMPLE_BYTES = 4 << 30  # a tmpfs takes the memory of what is in it, not of what could be
AT_ONCE_S = 10.0
NOTICED_S = 19.0  # less than a worker may be silent, and no less than a busy machine needs
STARTED_LIMIT_S = 60.0
RUN_LIMIT_S = 120.0
IN_THE_MIDDLE_S = 2.0


class FullDiskTest(Test):  # type: ignore[misc]  # ducktape has no types
    """`systest run` as a user types it, with nowhere to write to."""

    @cluster(num_nodes=0)
    @parametrize(what="TMPDIR")
    @parametrize(what="--results-root")
    def test_run__no_room_at_start__ends_at_once_in_one_sentence(self, what: str) -> dict[str, str] | None:
        if (reason := why_no_disk()) is not None:
            return not_run.data(reason)
        began_s = time.monotonic()
        with Disk(SMALL_BYTES) as disk, disk.run(what, "--broker", "embedded") as run:
            said = run.communicate(timeout=RUN_LIMIT_S)
            assert run.returncode == 2, said
            (sentence,) = said[1].splitlines()
            assert f"{disk.directory} has 0.1 GiB free and a run needs 2" in sentence, sentence
            assert said[0] == "", said
        assert time.monotonic() - began_s < AT_ONCE_S
        return None

    @cluster(num_nodes=0)
    @parametrize(broker="kafka", work="saturate", duration_s=60, left_mib=24)  # its log fills the disk
    @parametrize(broker="embedded", work="saturate", duration_s=3, left_mib=24)  # the history finds no room
    @parametrize(
        broker="embedded", work="one-at-a-time", duration_s=60, left_mib=0
    )  # silence, and nobody dies
    def test_run__no_more_room_at_work__ends_soon_with_the_reason(
        self, broker: str, work: str, duration_s: int, left_mib: int
    ) -> dict[str, str] | None:
        if (reason := why_no_disk()) is not None:
            return not_run.data(reason)
        options = ["--broker", broker, "--workload", work, "--duration", str(duration_s), "--rounds", "1"]
        with Disk(AMPLE_BYTES) as disk, disk.run("TMPDIR", "--strategies", "sync", *options) as run:
            await_worker(run)
            time.sleep(IN_THE_MIDDLE_S)
            disk.shrink(run.pid, left_mib << 20)
            shrunk_s = time.monotonic()
            said = run.communicate(timeout=RUN_LIMIT_S)
            took_s = time.monotonic() - shrunk_s
            assert run.returncode == 1, said
            broker_line, sentence = said[1].splitlines()
            assert broker_line.startswith("broker: "), said
            assert f"the disk of {disk.directory}" in sentence, said
            assert "is full" in sentence, said
        assert took_s < NOTICED_S, f"it took {took_s:.1f} s: {sentence}"
        return None

    @cluster(num_nodes=0)
    def test_run__no_more_room_for_results_at_work__ends_soon_with_the_reason(self) -> dict[str, str] | None:
        if (reason := why_no_disk()) is not None:
            return not_run.data(reason)
        options = ["--strategies", "sync", "--broker", "embedded", "--duration", "60", "--rounds", "1"]
        with Disk(AMPLE_BYTES) as disk, disk.run("--results-root", *options) as run:
            await_worker(run)
            time.sleep(IN_THE_MIDDLE_S)
            disk.shrink(run.pid, 0)
            shrunk_s = time.monotonic()
            said = run.communicate(timeout=RUN_LIMIT_S)
            took_s = time.monotonic() - shrunk_s
            assert run.returncode == 1, said
            assert f"the disk of the results, {disk.directory}" in said[1], said
            assert "choose a larger disk with --results-root" in said[1].splitlines()[-1], said
        assert took_s < NOTICED_S, f"it took {took_s:.1f} s: {said[1]}"
        return None


def why_no_disk() -> str | None:
    """Why no such disk can be had here, and what to do; None if it can."""
    with Disk(SMALL_BYTES) as disk:
        tried = subprocess.run(disk.mounted("true"), capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return None
    return (
        "a disk that is full needs a mount namespace with a tmpfs of its own, and the system refuses it "
        f"({tried.stderr.strip()}); run as root, or where user namespaces are allowed"
    )


class Disk:
    """A tmpfs on an empty directory that only the processes of the run on it see; it goes with them."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._directories = contextlib.ExitStack()
        # Who is not root becomes so in a user namespace.
        self._enter_options, self._make_options = ["--mount"], ["--mount"]
        if os.geteuid() != 0:
            self._enter_options += ["--user", "--preserve-credentials"]
            self._make_options += ["--user", "--map-root-user"]

    def __enter__(self) -> Disk:
        self.directory = self._directories.enter_context(tempfile.TemporaryDirectory())
        self._elsewhere = self._directories.enter_context(tempfile.TemporaryDirectory())
        return self

    def __exit__(self, *error: object) -> None:
        self._directories.close()

    @contextlib.contextmanager
    def run(self, what: str, *options: str) -> Iterator[subprocess.Popen[str]]:
        """The main job with this disk for `what`, TMPDIR or --results-root."""
        places = {"TMPDIR": self._elsewhere, "--results-root": self._elsewhere, what: self.directory}
        command = [
            sys.executable,
            "-m",
            "systest",
            "run",
            *options,
            "--results-root",
            places["--results-root"],
        ]
        with subprocess.Popen(
            self.mounted(*command),
            cwd=ROOT,
            env={**os.environ, "TMPDIR": places["TMPDIR"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as run:
            try:
                yield run
            finally:
                run.kill()

    def shrink(self, pid: int, left_bytes: int) -> None:
        """Takes all room but `left_bytes` from the disk of the run with this pid."""
        disk = os.statvfs(f"/proc/{pid}/root{self.directory}")
        size_bytes = (disk.f_blocks - disk.f_bfree) * disk.f_frsize + left_bytes
        # With type and source, so that mount adds no present option: a user namespace may not know the owner's.
        remount = ["mount", "-t", "tmpfs", "-o", f"remount,size={size_bytes}", "tmpfs", self.directory]
        subprocess.run(["nsenter", "--target", str(pid), *self._enter_options, *remount], check=True)

    def mounted(self, *command: str) -> list[str]:
        """A command with the disk in place."""
        script = f'mount -t tmpfs -o size={self._size_bytes} tmpfs "$0" && exec "$@"'
        return ["unshare", *self._make_options, "sh", "-c", script, self.directory, *command]


def await_worker(run: subprocess.Popen[str]) -> None:
    """Returns once a producer is at work."""
    deadline_s = time.monotonic() + STARTED_LIMIT_S
    while not any(
        "systest.worker" in " ".join(words(child))
        for child in psutil.Process(run.pid).children(recursive=True)
    ):
        assert time.monotonic() < deadline_s, "the run has not come to its first round"
        time.sleep(0.1)
