"""`systest doctor` on machines whose disks have room in some places only."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from systest import disk
from systest.cli import doctor
from systest.cli.doctor import Mark


@pytest.mark.parametrize(
    ("temporary_gib", "here_gib", "mark", "remedy"),
    [
        (5.0, 5.0, Mark.GOOD, ""),
        (5.0, 0.1, Mark.GOOD, ""),
        (0.2, 5.0, Mark.LACKING, "use .scratch here instead; for other commands set TMPDIR"),
        (0.2, 0.1, Mark.FATAL, "choose a larger disk with TMPDIR"),
    ],
)
def test_disk__with_room_somewhere__is_fatal_only_where_no_command_could_run(
    monkeypatch: pytest.MonkeyPatch, temporary_gib: float, here_gib: float, mark: Mark, remedy: str
) -> None:
    temporary = Path(tempfile.gettempdir())
    monkeypatch.setattr(disk, "free_gib", lambda there: temporary_gib if there == temporary else here_gib)
    found = doctor._disk()
    assert found.mark is mark
    assert remedy in found.remedy
