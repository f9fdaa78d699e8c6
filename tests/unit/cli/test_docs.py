"""`systest docs`: figures reach the pages from results that can be made again, or one sentence says why not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from systest.cli.docs import CHART, KNOWN, ends
from systest.cli.main import main
from systest.origin import Origin
from tests.unit.reports.test_reports import ALL_SIX, SIX, parts_of
from tests.unit.scaling.conftest import Make as MakeScaling
from tests.unit.scaling.conftest import result as scaling_result
from tests.unit.speed.conftest import BOTH
from tests.unit.speed.conftest import Make as MakeSpeed
from tests.unit.speed.conftest import result as speed_result

__all__ = ["scaling_result", "speed_result"]

ROOT = Path(__file__).parents[3]
NAMES = tuple(KNOWN)
OLD = "".join(f"{ends(name)[0]}\nold {name}\n{ends(name)[1]}\n\n" for name in NAMES)
PROSE = f"# Speed\n\nBefore.\n\n{OLD}After.\n"


@pytest.fixture
def results(tmp_path: Path, scaling_result: MakeScaling, speed_result: MakeSpeed) -> Path:
    """A checkout's pages, and below `run` a result of each kind."""
    (tmp_path / "run").mkdir()
    (tmp_path / "docs").mkdir()
    for page in ("README.md", "docs/performance.md"):
        (tmp_path / page).write_text(PROSE, "utf-8")
    made = (ALL_SIX.to_json(), speed_result(transports=BOTH).to_json(), scaling_result().to_json())
    for name, text in zip(NAMES, made, strict=True):
        (tmp_path / "run" / name).write_text(text, "utf-8")
    return tmp_path


def command(root: Path, *names: str) -> list[str]:
    return ["docs", "--root", str(root), *(str(root / "run" / name) for name in names)]


def test_docs__results_of_each_kind__stand_in_their_pages_and_all_else_stays(results: Path) -> None:
    assert main(command(results, *NAMES)) == 0
    readme, performance = (
        (results / page).read_text("utf-8") for page in ("README.md", "docs/performance.md")
    )
    for page in (readme, performance):
        assert page.startswith("# Speed\n\nBefore.\n")
        assert page.endswith("\n\nAfter.\n")
    assert "send rate, records/s" in readme
    assert "old comparison.json" not in readme
    assert "old speed.json" in readme, "a page has figures that belong elsewhere"
    assert "a future per record, records/s" in performance
    assert f"]({CHART})" in performance
    assert "| 100k |" in performance
    assert (results / "docs" / CHART).read_text("utf-8").startswith("<svg ")
    assert main(command(results, *NAMES)) == 0
    assert (results / "README.md").read_text("utf-8") == readme, "once more makes no difference"


def test_docs__every_block__tells_date_commit_machine_and_command(results: Path) -> None:
    assert main(command(results, *NAMES)) == 0
    for name, figures in KNOWN.items():
        begin, end = ends(name)
        block = (results / figures.page).read_text("utf-8").partition(begin)[2].partition(end)[0]
        assert f"measured: {ALL_SIX.started[:8]}" in block
        assert ", a clean tree; 2 cores" in block
        assert "command: ./run_ducktape.sh" in block


def test_docs__the_readmes_block__fits_100_columns(results: Path) -> None:
    assert main(command(results, NAMES[0])) == 0
    assert max(map(len, (results / "README.md").read_text("utf-8").splitlines())) <= 100


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (Origin("./run_ducktape.sh", None, is_clean=False), "does not say of which commit it is"),
        (Origin("./run_ducktape.sh", "0" * 40, is_clean=False), "a tree with changes of its own"),
    ],
)
def test_docs__a_result_that_nobody_can_make_again__is_refused(
    results: Path, origin: Origin, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = dataclasses.replace(ALL_SIX, origin=origin).to_json()
    (results / "run" / NAMES[0]).write_text(text, "utf-8")
    assert main(command(results, *reversed(NAMES))) == 2
    assert words in capsys.readouterr().err
    assert (results / "docs" / "performance.md").read_text("utf-8") == PROSE, "half of it was written"


def test_docs__a_run_that_is_not_verified__is_refused(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = SIX[0]
    failed = dataclasses.replace(
        first, rounds=tuple(dataclasses.replace(each, verdict="fail") for each in first.rounds)
    )
    run = dataclasses.replace(ALL_SIX, parts=parts_of(failed, *SIX[1:]))
    (results / "run" / NAMES[0]).write_text(run.to_json(), "utf-8")
    assert main(command(results, NAMES[0])) == 2
    assert "some check did not hold" in capsys.readouterr().err


@pytest.mark.parametrize("page", ["no place", "{1}{0}", "{0}{1}{0}{1}"])
def test_docs__a_page_without_one_place__is_left_as_it_is(
    results: Path, page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = page.format(*ends(NAMES[-1]))
    (results / "docs" / "performance.md").write_text(text, "utf-8")
    assert main(command(results, NAMES[-1])) == 2
    assert "does not say where the figures go" in capsys.readouterr().err
    assert (results / "docs" / "performance.md").read_text("utf-8") == text
    assert not (results / "docs" / CHART).exists()


def test_docs__a_file_of_another_name__is_refused(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(results, "report.json")) == 2
    assert "report.json is none of comparison.json, speed.json, scaling.json" in capsys.readouterr().err


def test_docs__no_result__says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["docs"]) == 2
    assert "make one with ./run_ducktape.sh" in capsys.readouterr().err


def test_docs__of_this_repository__have_a_place_for_each_kind() -> None:
    for name, figures in KNOWN.items():
        page = (ROOT / figures.page).read_text("utf-8")
        assert [page.count(end) for end in ends(name)] == [1, 1], name
