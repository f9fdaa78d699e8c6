"""A root: a file system of its own, and processes that see it and nothing of this machine.

They are in mount, process, network, name and communication namespaces of their own, under a first process that ends
with the one which started it. All mounts are in that mount namespace: nothing of them is ever to be seen in the
directory from outside, so that the directory can be removed at any time, and the kernel takes them down with the last
process. Nothing leads out but the relay.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from systest.bare_root.base import unpack
from systest.bare_root.machine import Registries, System
from systest.bare_root.relay import Relay, hosts_file
from systest.bare_root.states import State, User
from systest.clusters.place import PlaceUnavailable
from systest.clusters.reaper import RUN_VARIABLE

_ALONE = ("unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child")
_UP_LIMIT_S = 20.0
_POLL_S = 0.01
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1

# The first process. It stays to see to it that no dead process does, so it runs the command as a child.
_INIT = """\
set -eu
root=$1 addresses=$2 tmp_mib=$3 id=$4 input=$5
shift 5
ip link set lo up
for address in $addresses; do ip address add "$address" dev lo; done
hostname bare
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t tmpfs -o mode=755,nosuid dev dev
for device in null zero full random urandom tty; do
    : >"dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev shm dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for stream in 0/stdin 1/stdout 2/stderr; do ln -s "/proc/self/fd/${stream%/*}" "dev/${stream#*/}"; done
mount -t tmpfs -o mode=755,nosuid,nodev run run
[ "$tmp_mib" = 0 ] || mount -t tmpfs -o "mode=1777,nosuid,nodev,size=${tmp_mib}m" tmp tmp
mkdir .outside
pivot_root . .outside
cd /
umount -l /.outside
rmdir /.outside
read -r _
setpriv --reuid "$id" --regid "$id" --init-groups -- env -i "$@" <"$input"
"""
_IN_PLACE = 'cd -- "$1" && shift && exec "$@"'


@dataclass(frozen=True, slots=True)
class Root:
    """One that is ready for commands.

    Args:
        directory: its file system.
        state: of the machine that it stands for.
        user: who runs commands there.
        registries: that it may reach.
        run_id: by which its processes are known to belong to a run.
    """

    directory: Path
    state: State
    user: User
    registries: Registries
    run_id: str

    def run(self, command: Sequence[str], log: Path | None, limit_s: float) -> int:
        """Runs it in the clone; the exit status, or minus SIGKILL's number if it was ended at its limit.

        Args:
            command: program and arguments.
            log: gets its output; None for this process's own input and output.
            limit_s: after which it is ended, with all that it started.

        Raises PlaceUnavailable where the namespaces can't be had.
        """
        relay = Relay(self.registries.endpoints)
        # A terminal is opened anew in the root, as the first process needs the input that it is given for itself.
        stdin = "/dev/tty" if log is None and sys.stdin.isatty() else os.devnull
        with contextlib.ExitStack() as ends:
            output = ends.enter_context(log.open("wb")) if log is not None else None
            self._write("etc/hosts", hosts_file(relay.addresses))
            process = subprocess.Popen(
                self._words(command, relay.addresses.values(), stdin),
                env={**os.environ, "PATH": _path(), RUN_VARIABLE: self.run_id},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=output is not None,
                preexec_fn=_end_with_this_process,
            )
            ends.callback(_end, process)
            ends.callback(relay.close)
            _await_network(process)
            try:
                relay.start(process.pid)
            except OSError as error:
                raise PlaceUnavailable(f"there is no way to the registries ({error})") from error
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # its end says why
                process.stdin.write(b"go\n")
                process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(limit_s)
            return -signal.SIGKILL

    def _words(self, command: Sequence[str], addresses: Iterable[str], stdin: str) -> list[str]:
        own = [address for address in addresses if not address.startswith("127.")]
        environment = {**self._environment(), **self.registries.environment}
        return [
            *(*_ALONE, "sh", "-c", _INIT, "init"),
            *(str(self.directory), " ".join(own), str(self.state.tmp_mib or 0), str(self.user.number), stdin),
            *(f"{name}={value}" for name, value in environment.items()),
            *("sh", "-c", _IN_PLACE, "sh", self.state.checkout(self.user), *command),
        ]

    def _environment(self) -> dict[str, str]:
        """As a login has it, and no more."""
        own = "/usr/local/bin:/usr/bin:/bin"
        return {
            "HOME": self.user.home,
            "USER": self.user.name,
            "LOGNAME": self.user.name,
            "SHELL": "/bin/sh",
            "PATH": own if self.user.number else f"/usr/local/sbin:/usr/sbin:/sbin:{own}",
            "TERM": os.environ.get("TERM", "dumb"),
        }

    def _write(self, name: str, text: str) -> None:
        file = self.directory / name
        file.unlink(missing_ok=True)
        file.write_text(text, "utf-8")


def made(
    base: Path,
    where: Path,
    source: Path,
    proof_of: tuple[State, User],
    system: System,
    registries: Registries,
    run_id: str,
) -> Root:
    """A new root with a clone of the source's HEAD in it.

    Args:
        base: the tar file that it begins as.
        where: its directory, not there yet.
        source: a repository.
        proof_of: state and user.
        system: which Debian or Ubuntu it is.
        registries: that it may reach.
        run_id: of the run that it belongs to.

    Raises PlaceUnavailable if it can't be cloned.
    """
    state, user = proof_of
    unpack(base, where)
    root = Root(where, state, user, registries, run_id)
    root._write("etc/apt/sources.list", "".join(f"{line}\n" for line in system.sources))
    root._write("etc/apt/apt.conf.d/90registries", "".join(f"{line}\n" for line in registries.apt_settings))
    root._write("etc/hostname", "bare\n")
    root._write("etc/resolv.conf", "")
    for file in registries.files:
        copy = where / file.relative_to("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
        copy.chmod(0o644)
    if user.number:
        _add_user(root)
    checkout = where / state.checkout(user).removeprefix("/")
    checkout.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["git", "clone", "--quiet", "--no-hardlinks", str(source), str(checkout)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise PlaceUnavailable(f"{source} can't be cloned ({done.stderr.strip()})")
    _own(checkout, user)
    return root


def _add_user(root: Root) -> None:
    user, etc = root.user, root.directory / "etc"
    for name, line in (
        ("passwd", f"{user.name}:x:{user.number}:{user.number}::{user.home}:/bin/sh"),
        ("group", f"{user.name}:x:{user.number}:"),
        ("shadow", f"{user.name}:*:19000:0:99999:7:::"),
    ):
        with (etc / name).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    home = root.directory / user.home.removeprefix("/")
    home.mkdir(mode=0o755, parents=True)
    if root.state.home_can_be_written:
        os.chown(home, user.number, user.number)


def _own(directory: Path, user: User) -> None:
    subprocess.run(["chown", "-R", "--no-dereference", f"{user.number}:{user.number}", directory], check=True)


def _end_with_this_process() -> None:
    """In the new one, whatever this one ends by."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _await_network(process: subprocess.Popen[bytes]) -> None:
    ours = Path("/proc/self/ns/net").readlink()
    deadline_s = time.monotonic() + _UP_LIMIT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{process.pid}/ns/net").readlink() != ours:
                return
        time.sleep(_POLL_S)
    raise PlaceUnavailable(
        "the system gives no namespaces, not even to root; a container may need --privileged"
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """With its first process the kernel ends all in the root."""
    process.kill()
    process.wait()
