"""Builds the producer with its extension instrumented by gcc's sanitizers, in a directory of its own.

Cython's lists of freed objects are left out: an object in such a list is no freed memory to a sanitizer.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from systest.safety.parts import CanNotRun

SANITIZE = "-fsanitize=address,undefined"
CFLAGS = f"{SANITIZE} -fno-omit-frame-pointer -O1 -g -DCYTHON_USE_FREELISTS=0"
_SOURCES = "producer"
_LIMIT_S = 600.0


def compiler() -> list[str]:
    """The command that setuptools compiles with."""
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")


def runtime_library(name: str = "libasan.so") -> str:
    """The sanitizer's own library, which a process must load first. Raises CanNotRun where there is none."""
    command = [*compiler(), f"-print-file-name={name}"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S).stdout.strip()
    except OSError as error:
        raise CanNotRun(
            f"no C compiler ({command[0]}) was found; install gcc (Debian: apt-get install gcc)"
        ) from error
    if not Path(found).is_absolute() or not Path(found).exists():
        raise CanNotRun(
            f"{command[0]} has no {name}; install gcc with its sanitizers (Debian: apt-get install gcc), or set CC=gcc"
        )
    return found


def build(root: Path, place: Path) -> None:
    """Make `place`, a directory from which Python imports the producer with an instrumented extension.

    Raises:
        CanNotRun: it can't be compiled; the message has the compiler's last words.
    """
    shutil.copytree(
        root / _SOURCES,
        place / _SOURCES,
        ignore=shutil.ignore_patterns("*.so", "_not_built.txt", "__pycache__"),
    )
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--build-lib", str(place)]
    command += ["--build-temp", str(place / "temporary")]
    environment = {**os.environ, "PRODUCER_BUILD": "compiled", "CFLAGS": CFLAGS, "LDFLAGS": SANITIZE}
    built = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=_LIMIT_S
    )
    if built.returncode:
        raise CanNotRun(f"the extension can't be built with {SANITIZE}:\n{built.stdout}{built.stderr}")
