"""The producer's tests and a short soak under AddressSanitizer and UndefinedBehaviorSanitizer.

The extension is instrumented: every access to memory in it is looked at. Python, librdkafka and the other libraries are
not, but all of them get their memory from the sanitizer's allocator (Python by PYTHONMALLOC=malloc), so that what the
extension reads of theirs, and what they free twice or read by a function of C's library, is seen too.

The soak's process is also looked at for memory that nothing refers to when it ends. Of that only what the extension
asked for counts, itself or by a call into librdkafka: Python leaves some of its own behind, more or less by version.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from systest.safety.build import build, runtime_library
from systest.safety.parts import CanNotRun, require_checkout, run_part, soak_command, tests_command
from systest.safety.session import Check

_REPORTS = "sanitizer"
"""How the files begin that the sanitizers write when they find something."""
_LEAKS = "detect_leaks=1:exitcode=0"
"""The exit status would not tell whose the leak is; the report does, also of all else that the sanitizers find."""
_LEAK_REPORT, _LEAK, _EXTENSION = "ERROR: LeakSanitizer", "leak of", "_librdkafka"
_NO_LEAKS = ("ERROR: AddressSanitizer", "runtime error:")
_SHOWN_MAX = 30
_WHERE = "import producer._librdkafka as it; print(it.__file__)"
_DOUBLE_FREE = """
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
memory = libc.malloc(8)
libc.free(memory)
libc.free(memory)
"""
_LIMIT_S = 120.0


def check(root: Path, directory: Path, show: Callable[[Check], None]) -> list[Check]:
    """What was found.

    Args:
        root: of the repository.
        directory: where logs and the sanitizers' reports go.
        show: gets each finding when it is there.

    Raises:
        CanNotRun: this machine lacks the compiler or its sanitizers, or this is no checkout.
    """
    require_checkout(root)
    library = runtime_library()
    found = []
    with tempfile.TemporaryDirectory(prefix="sanitized-") as name:
        place = Path(name)
        build(root, place)
        environment = environment_of(library, place, directory / _REPORTS)
        require_in_use(environment, place)
        require_sharp({**environment, **_options(place / "planted")}, place)
        for part, command, options in (
            ("tests", tests_command(root), {}),
            ("soak", soak_command(directory / "soak"), _options(directory / _REPORTS, _LEAKS)),
        ):
            found.append(run_part(part, command, {**environment, **options}, place, directory))
            show(found[-1])
    found.append(reports_in(directory))
    show(found[-1])
    return found


def environment_of(library: str, place: Path, reports: Path) -> dict[str, str]:
    """Of a process whose producer is the instrumented one.

    Args:
        library: the sanitizer's own.
        place: where that producer is.
        reports: how the names of the sanitizers' reports begin.
    """
    return {
        "LD_PRELOAD": library,
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(place),
        **_options(reports),
    }


def reports_in(directory: Path) -> Check:
    """Whether the sanitizers reported anything that counts; the beginning of the first such report if so."""
    texts = {
        file: file.read_text("utf-8", errors="replace") for file in sorted(directory.glob(f"{_REPORTS}.*"))
    }
    told = [(file, finding) for file, text in texts.items() if (finding := finding_in(text))]
    if not told:
        return Check("reports", True, "no report of Address-, UndefinedBehavior- or LeakSanitizer")
    file, finding = told[0]
    first = "\n".join(f"    {line}" for line in finding.splitlines()[:_SHOWN_MAX])
    return Check("reports", False, f"{len(told)} reports, the first of them {file}:\n{first}")


def finding_in(report: str) -> str:
    """What counts of a report: all of it, or of leaks alone the first that is the extension's; "" for nothing."""
    if _LEAK_REPORT not in report or any(words in report for words in _NO_LEAKS):
        return report
    blocks = report.split("\n\n")
    return next((block for block in blocks if _LEAK in block and _EXTENSION in block), "")


def _options(reports: Path, leaks: str = "detect_leaks=0") -> dict[str, str]:
    return {
        "ASAN_OPTIONS": f"{leaks}:log_path={reports}",
        "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={reports}",
    }


def require_in_use(environment: dict[str, str], place: Path) -> None:
    """Raise CanNotRun unless a process in this environment takes its producer from `place`."""
    ran = _run(_WHERE, environment, place)
    if ran.returncode or not Path(ran.stdout.strip()).is_relative_to(place):
        raise CanNotRun(
            f"Python does not load the instrumented extension: {(ran.stdout + ran.stderr).strip()}"
        )


def require_sharp(environment: dict[str, str], place: Path) -> None:
    """Raise CanNotRun unless, in this environment, memory that is freed twice is reported into `place`."""
    if not _run(_DOUBLE_FREE, environment, place).returncode or not list(place.glob("planted.*")):
        raise CanNotRun(
            "the sanitizer does not see memory that is freed twice, so it would prove nothing here"
        )


def _run(program: str, environment: dict[str, str], place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=place,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
    )
