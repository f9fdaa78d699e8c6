"""The file system that a root begins as: what debootstrap makes of a suite, kept packed in the per-user cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from systest.bare_root.machine import System
from systest.clusters.place import PlaceUnavailable
from systest.distribution.cache import cache_root, exclusive, partial

Say = Callable[[str], None]

_AGE_MAX_S = 30 * 86_400.0
"""An older one is made anew: its packages would be no machine's of today."""
_WAIT_S = 1200.0
_LIMIT_S = 1200.0
# It mounts things in the root, and they must be nowhere else, nor outlive it.
_ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
# Of no machine: what debootstrap downloaded, its own log, and the name and the resolver of the machine that it ran on.
_LEFT = (
    *("var/cache/apt/archives", "var/lib/apt/lists", "var/log/bootstrap.log"),
    *("etc/hostname", "etc/resolv.conf"),
)


def base(system: System, packages: Sequence[str], say: Say) -> Path:
    """A tar file of the suite with these packages. Raises PlaceUnavailable if it can't be made."""
    facts = repr((system.suite, system.mirror, system.components, tuple(packages)))
    name = f"{system.suite}-{hashlib.sha256(facts.encode()).hexdigest()[:16]}.tar"
    directory = cache_root() / "bare-root"
    file = directory / name
    with exclusive(directory, _WAIT_S):
        if file.exists() and time.time() - file.stat().st_mtime < _AGE_MAX_S:
            return file
        say(f"making a bare {system.suite} with {', '.join(packages)} by debootstrap ...")
        with partial(directory) as work:
            root = work / "root"
            root.mkdir(mode=0o755)
            _debootstrap(system, packages, root)
            for each in _LEFT:
                _empty(root / each)
            packed = work / name
            subprocess.run(["tar", "--numeric-owner", "-cf", packed, "-C", root, "."], check=True)
            packed.rename(file)
    return file


def unpack(file: Path, root: Path) -> None:
    """Into a new directory."""
    root.mkdir(mode=0o755)
    subprocess.run(["tar", "--numeric-owner", "-xpf", file, "-C", root], check=True)


def _debootstrap(system: System, packages: Sequence[str], root: Path) -> None:
    command = [
        *_ALONE,
        "debootstrap",
        *(
            "--variant=minbase",
            f"--include={','.join(packages)}",
            f"--components={','.join(system.components)}",
        ),
        *(system.suite, str(root), system.mirror),
    ]
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT_S,
            check=False,
            env={**os.environ, "PATH": path},
        )
    except subprocess.TimeoutExpired:
        raise PlaceUnavailable(
            f"debootstrap had not ended after {_LIMIT_S:.0f} s; is the mirror slow?"
        ) from None
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("E:", "W:"))]
        said = "; ".join(lines[-2:]) or f"exit status {done.returncode}"
        raise PlaceUnavailable(
            f"debootstrap could not make a bare {system.suite} ({said}); see --suite and --mirror"
        )


def _empty(path: Path) -> None:
    if path.is_dir():
        for each in path.iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
    else:
        path.unlink(missing_ok=True)
