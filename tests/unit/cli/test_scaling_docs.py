"""`systest scaling`: a run's curves reach the docs, or one sentence says why not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from systest.cli.main import main
from systest.cli.scaling_docs import BEGIN, CHART, END, PAGE
from systest.scaling import ScalingResult
from tests.unit.scaling.conftest import Make, result

__all__ = ["result"]

PROSE = f"# Speed\n\nBefore.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n"


def written(directory: Path, run: ScalingResult, page: str = PROSE) -> list[str]:
    """Puts a result and a page there; the command's arguments for them."""
    (directory / "scaling.json").write_text(run.to_json(), "utf-8")
    (directory / PAGE).write_text(page, "utf-8")
    return ["scaling", str(directory / "scaling.json"), "--docs", str(directory)]


def test_scaling__a_verified_run__its_chart_and_tables_are_in_the_docs_and_all_else_stays(
    result: Make, tmp_path: Path
) -> None:
    arguments = written(tmp_path, result())
    assert main(arguments) == 0
    page = (tmp_path / PAGE).read_text("utf-8")
    assert page.startswith("# Speed\n\nBefore.\n")
    assert page.endswith("\n\nAfter.\n")
    assert "old" not in page
    assert f"]({CHART})" in page
    assert "| 100k |" in page
    chart = (tmp_path / CHART).read_text("utf-8")
    assert chart.startswith("<svg ")
    assert main(arguments) == 0
    assert (tmp_path / PAGE).read_text("utf-8") == page, "once more makes no difference"


@pytest.mark.parametrize(
    ("page", "words"),
    [("no place", "does not say where the curves go"), (f"{END}{BEGIN}", "does not say where the curves go")],
)
def test_scaling__a_page_without_a_place__is_left_as_it_is(
    result: Make, tmp_path: Path, page: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(written(tmp_path, result(), page)) == 2
    assert words in capsys.readouterr().err
    assert (tmp_path / PAGE).read_text("utf-8") == page
    assert not (tmp_path / CHART).exists()


def test_scaling__a_run_that_is_not_verified__is_refused(
    result: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = result()
    played = tuple(dataclasses.replace(each, verdict="fail") for each in whole.played)
    assert main(written(tmp_path, dataclasses.replace(whole, played=played))) == 2
    assert "some check did not hold" in capsys.readouterr().err


def test_scaling__no_result__says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["scaling"]) == 2
    assert "./run_ducktape.sh tests/ducktape/performance/scaling_test.py" in capsys.readouterr().err


def test_docs__of_this_repository__have_a_place_for_the_curves() -> None:
    page = (Path(__file__).parents[3] / "docs" / PAGE).read_text("utf-8")
    assert (page.count(BEGIN), page.count(END)) == (1, 1)
    assert f"]({CHART})" in page
