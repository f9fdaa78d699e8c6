"""Whose something is: the owner is known again by every process, whatever happens to clocks, and nobody else is."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from systest.clusters.belongings import Belongings, remove_abandoned
from systest.clusters.owner import Owner

ENDED = Owner.this().began - 10_000


def test_owner__is_known_by_its_label() -> None:
    this = Owner.this()
    assert this.pid == os.getpid()
    assert Owner.from_label(this.label()) == this


def test_owner__that_runs__is_not_gone() -> None:
    assert not Owner.this().is_gone()


def test_owner__that_ended__is_gone_also_before_its_parent_knows() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        owner = Owner.of(process.pid)
        assert not owner.is_gone()
        assert process.stdin is not None
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert owner.is_gone(), "it is a zombie"
    assert owner.is_gone()


def test_owner__whose_number_another_process_has__is_gone() -> None:
    assert replace(Owner.this(), began=ENDED).is_gone()


def test_owner__on_another_machine__is_nobody_elses_business() -> None:
    assert not Owner("elsewhere", 999_999, 0).is_gone()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place for belongings, with none of other runs."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left_by(owner: str, temporary: Path) -> Path:
    """What an owner left in its place."""
    directory = temporary / "systest-run-left"
    directory.mkdir()
    (directory / "owner.json").write_text(json.dumps({"run_id": "none", "owner": owner}))
    return directory


def test_belongings__whose_owner_lives__stay_when_the_clock_is_set(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    belongings = Belongings(reaper=False)
    before = psutil.Process.create_time
    # An hour forward: what psutil says in a process that began after it, since it adds up the time of day.
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: before(process) + 3_600)
    try:
        remove_abandoned()
        assert belongings.directory.exists()
    finally:
        belongings.close()
    assert list(temporary.iterdir()) == []


def test_belongings__whose_owner_is_gone__are_removed(temporary: Path) -> None:
    directory = left_by(replace(Owner.this(), began=ENDED).label(), temporary)
    remove_abandoned()
    assert not directory.exists()


def test_belongings__of_a_container_that_shares_the_place__stay(temporary: Path) -> None:
    directory = left_by(Owner(f"{socket.gethostname()}/pid:[1]", 999_999, 0).label(), temporary)
    remove_abandoned()
    assert directory.exists()
