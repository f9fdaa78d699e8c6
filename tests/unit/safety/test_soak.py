"""The soak as it is run, short: clean as it is, and not with a leak or a loss planted into what it plays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from producer.transports import transports
from systest.safety.soak import Plan

LIMIT_S = 120.0
SOAK = [sys.executable, "-m", "systest.safety", "--records", "40000", "--seconds", "60"]


def run(command: list[str], results: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, "--results-root", str(results)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env={**os.environ},
    )


def statuses_in(results: Path) -> dict[str, str]:
    """The status of each check in the report, which is in a directory of the run's own."""
    [report] = results.glob("*-safety-soak/report.json")
    found: list[dict[str, Any]] = json.loads(report.read_text("utf-8"))["results"]
    return {test["function_name"]: test["test_status"] for test in found}


def with_planted(lines: str) -> list[str]:
    """The soak after these lines."""
    program = (
        f"import sys\n{textwrap.dedent(lines)}\nfrom systest.safety.__main__ import main\nsys.exit(main())"
    )
    return [sys.executable, "-c", program, *SOAK[3:]]


@pytest.mark.parametrize("transport", transports())
def test_soak__as_it_is__is_safe_and_leaves_its_report(tmp_path: Path, transport: str) -> None:
    ended = run([*SOAK, "--transport", transport], tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    assert f"over the {transport} transport, seed 1" in ended.stdout.splitlines()[0]
    assert ended.stdout.splitlines()[-2].startswith("Safe: each of ")
    objects = "objects" if transport == "compiled" else "objects_but_errors"
    assert {"outcomes", objects, "threads", "descriptors"} <= set(statuses_in(tmp_path))
    assert set(statuses_in(tmp_path).values()) == {"PASS"}


@pytest.mark.parametrize(
    ("planted", "figures"),
    [
        (
            """
            from systest.safety.outcomes import Outcomes
            kept, count = [], Outcomes.count
            Outcomes.count = lambda self, futures: (kept.extend(futures), count(self, futures))
            """,
            {"objects", "blocks"},
        ),
        (
            """
            import os
            from producer.compiled_transport import _WakeUp
            _WakeUp.close = lambda self: None
            """,
            {"descriptors"},
        ),
        (
            """
            from systest.safety import scenes
            hear = scenes.hear
            scenes.hear = lambda *told: (hear(*told), hear(*told))
            """,
            {"outcomes"},
        ),
    ],
    ids=["futures that somebody keeps", "descriptor that is not closed", "callback that runs twice"],
)
@pytest.mark.skipif("compiled" not in transports(), reason="a defect is planted into the compiled transport")
def test_soak__with_a_planted_defect__is_not_safe_and_names_it(
    tmp_path: Path, planted: str, figures: set[str]
) -> None:
    ended = run(with_planted(planted), tmp_path)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert ended.stdout.splitlines()[-2].startswith("NOT SAFE: ")
    assert {name for name, status in statuses_in(tmp_path).items() if status == "FAIL"} >= figures


def test_soak__a_round_that_hangs__ends_with_the_stacks_of_all_threads(tmp_path: Path) -> None:
    hangs_at_once = """
        from systest.safety import soak
        soak._ROUND_S_MAX = 0.01
        """
    ended = run([*with_planted(hangs_at_once), "--records", "4000000"], tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "systest safety: round 1 did not end within 0.01 s; see the stacks above"
    )
    assert "in _lives" in ended.stderr or "in work" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--records", "5"], "5 records are too few to soak with; send 40 or more"),
        (["--seconds", "0"], "a soak can't end after 0 seconds; give it more than 0"),
        (["--transport", "quick"], "transport is 'quick'"),
    ],
)
def test_option__that_cannot_be__is_told_in_a_sentence(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    ended = run([sys.executable, "-m", "systest", "safety", "soak", *arguments], tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert words in ended.stderr


def test_plan__with_rounds_too_few_to_judge__is_refused() -> None:
    with pytest.raises(ValueError, match="15 rounds are too few"):
        Plan(1_000_000, None, "pure", 1, 15)
