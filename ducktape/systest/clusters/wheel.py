"""The harness as a wheel, for nodes that have no checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_LIMIT_S = 300.0
_PACKAGES = ("producer", "ducktape/systest")
_FILES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")


class NoWheel(Exception):
    """The wheel could not be made; one sentence."""


def build_wheel(checkout: Path, into: Path) -> Path:
    """Builds it from a copy: a build in the checkout would take in what an earlier one left, and leave its own.

    Raises NoWheel.
    """
    if lacking := [name for name in (*_PACKAGES, *_FILES) if not (checkout / name).exists()]:
        raise NoWheel(
            f"there is no {lacking[0]} in {checkout.resolve()}; run this in the repository's root directory"
        )
    with tempfile.TemporaryDirectory(prefix="systest-wheel-") as copy:
        for name in _PACKAGES:
            shutil.copytree(checkout / name, Path(copy, name), ignore=shutil.ignore_patterns("__pycache__"))
        for name in _FILES:
            shutil.copy(checkout / name, copy)
        command = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            str(into),
            copy,
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise NoWheel(f"the harness's wheel was not built after {_LIMIT_S:.0f} s") from error
    if done.returncode != 0:
        last = (done.stderr.strip() or "pip said nothing").splitlines()[-1]
        raise NoWheel(f"the harness's wheel can't be built: {last}")
    [wheel] = into.glob("*.whl")
    return wheel
