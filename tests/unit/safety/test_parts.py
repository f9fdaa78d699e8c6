"""The parts that run under a sanitizer or the debug allocator: how their end is judged, and what they need."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from systest.cli.main import main
from systest.processes import pid_lives
from systest.safety import sanitizer
from systest.safety.build import runtime_library
from systest.safety.parts import CanNotRun, run_part
from systest.safety.session import Check, end_session

Fails = pytest.CaptureFixture[str]


def part(tmp_path: Path, program: str) -> Check:
    return run_part("part", [sys.executable, "-c", program], {"PLANTED": "yes"}, tmp_path, tmp_path)


def test_part__that_ends_well__says_its_last_sentence_and_leaves_its_log(tmp_path: Path) -> None:
    found = part(
        tmp_path, "import os; print(os.environ['PLANTED']); print('12 passed in 3 s'); print('results/x')"
    )
    assert (found.name, found.is_good) == ("part", True)
    assert found.words.startswith("12 passed in 3 s (")
    assert (tmp_path / "part.log").read_text("utf-8") == "yes\n12 passed in 3 s\nresults/x\n"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import sys; print('1 failed'); sys.exit(3)", "exit status 3 after"),
        (
            "import os, signal; print('1 failed', flush=True); os.kill(os.getpid(), signal.SIGSEGV)",
            "exit status -11",
        ),
    ],
)
def test_part__that_fails__shows_the_end_of_its_log(tmp_path: Path, program: str, words: str) -> None:
    found = part(tmp_path, program)
    assert not found.is_good
    assert words in found.words
    assert found.words.endswith("    1 failed")


def test_part__that_leaves_a_process__takes_it_along(tmp_path: Path) -> None:
    program = "import subprocess; print('left', subprocess.Popen(['sleep', '60']).pid, flush=True)"
    found = part(tmp_path, program)
    pid = int(found.words.split()[1])
    deadline_s = time.monotonic() + 10
    while pid_lives(pid):
        assert time.monotonic() < deadline_s, "it lives on"
        time.sleep(0.05)


def test_reports__of_a_sanitizer__make_a_clean_run_a_bad_one(tmp_path: Path) -> None:
    assert sanitizer.reports_in(tmp_path).is_good
    (tmp_path / "sanitizer.4711").write_text(
        "==4711==ERROR: AddressSanitizer: heap-use-after-free\n", "utf-8"
    )
    found = sanitizer.reports_in(tmp_path)
    assert not found.is_good
    assert "1 reports" in found.words
    assert "heap-use-after-free" in found.words


LEAK = """
==7==ERROR: LeakSanitizer: detected memory leaks

Direct leak of 40 byte(s) in 1 object(s) allocated from:
    #0 0x7f in __interceptor_malloc
    #1 0x7f in PyMem_RawMalloc
{}
SUMMARY: AddressSanitizer: 40 byte(s) leaked in 1 allocation(s).
"""
OWN_LEAK = """
Indirect leak of 8 byte(s) in 1 object(s) allocated from:
    #0 0x7f in __interceptor_realloc
    #1 0x7f in __pyx_f_8producer_11_librdkafka_6Client__messages_for
"""


@pytest.mark.parametrize(
    ("report", "beginning"),
    [
        (LEAK.format(""), ""),
        (LEAK.format(OWN_LEAK), "Indirect leak of 8"),
        ("==7==ERROR: AddressSanitizer: SEGV", "==7==ERROR: AddressSanitizer"),
        ("==7==ERROR: AddressSanitizer: SEGV" + LEAK.format(""), "==7==ERROR: AddressSanitizer"),
        ("it.c:3:1: runtime error: signed integer overflow", "it.c:3:1: runtime error"),
    ],
)
def test_report__of_anything_but_another_s_leak__counts(report: str, beginning: str) -> None:
    found = sanitizer.finding_in(report).strip()
    assert found.startswith(beginning)
    assert bool(found) == bool(beginning)


def test_session__its_report__is_one_that_the_night_reads(tmp_path: Path, capsys: Fails) -> None:
    assert end_session(tmp_path, "soak", [Check("a", True, "yes")]) == 0
    assert end_session(tmp_path, "soak", [Check("a", True, "yes"), Check("b", False, "no")]) == 1
    results = json.loads((tmp_path / "report.json").read_text("utf-8"))["results"]
    assert [(each["function_name"], each["test_status"], each["summary"]) for each in results] == [
        ("a", "PASS", "yes"),
        ("b", "FAIL", "no"),
    ]


@pytest.mark.parametrize("command", ["sanitizer", "allocator"])
def test_place__without_the_producer_s_tests__is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Fails, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["safety", command]) == os.EX_UNAVAILABLE
    assert "run this in the repository's root directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("compiler", "words"),
    [
        ("no-such-compiler", r"no C compiler \(no-such-compiler\) was found; install gcc"),
        ("echo", "echo has no libasan.so; install gcc with its sanitizers"),
    ],
)
def test_compiler__that_is_missing_or_has_no_sanitizer__is_told(
    monkeypatch: pytest.MonkeyPatch, compiler: str, words: str
) -> None:
    monkeypatch.setenv("CC", compiler)
    with pytest.raises(CanNotRun, match=words):
        runtime_library()


@pytest.fixture
def library() -> str:
    try:
        return runtime_library()
    except CanNotRun as reason:
        pytest.skip(str(reason))


def test_sanitizer__in_its_environment__sees_a_planted_double_free_and_without_it_nothing_is_trusted(
    library: str, tmp_path: Path
) -> None:
    environment = sanitizer.environment_of(library, tmp_path, tmp_path / "planted")
    require: Callable[[dict[str, str], Path], None] = sanitizer.require_sharp
    require(environment, tmp_path)
    assert "attempting double-free" in next(tmp_path.glob("planted.*")).read_text("utf-8")
    for report in tmp_path.glob("planted.*"):
        report.unlink()
    with pytest.raises(CanNotRun, match="does not see memory that is freed twice"):
        require({**environment, "LD_PRELOAD": ""}, tmp_path)


def test_sanitizer__with_an_extension_that_is_not_the_instrumented_one__does_not_begin(
    tmp_path: Path,
) -> None:
    with pytest.raises(CanNotRun, match="Python does not load the instrumented extension"):
        sanitizer.require_in_use(dict(os.environ), tmp_path)
