"""The speed table as it is read."""

from __future__ import annotations

import dataclasses

import pytest

from systest.speed import SpeedResult, markdown, terminal
from systest.speed.rows import ROWS
from tests.unit.speed.conftest import BOTH, Make


@pytest.mark.parametrize("width", [110, 160])
def test_terminal__keeps_to_its_width_and_shows_every_row_and_peer(result: Make, width: int) -> None:
    lines = terminal(result(), width).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0] == "broker: Apache Kafka 4.3.0, 1 broker"
    for row in ROWS:
        assert any(line.startswith(f"  {row.label}") for line in lines)
    assert any("aiokafka" in line.split() for line in lines)


def test_terminal__a_line__has_figure_ratio_interval_goal_and_verdict(result: Make) -> None:
    text = terminal(result({("async", "saturate"): lambda _: 1.25}), 160)
    [line] = [each for each in text.splitlines() if "a future per record" in each]
    assert line.split("records/s")[1].split() == [
        *("1,000,000", "800,000", "0.80x", "0.80", "to", "0.80", ">=", "0.9x", "not", "met", "1x", "1x", "1x")
    ]


@pytest.mark.parametrize("width", [110, 160, 240])
def test_terminal__both_transports__each_has_its_columns_in_every_row(result: Make, width: int) -> None:
    costs = {("async", "saturate"): lambda _: 0.5, ("async-pure", "saturate"): lambda _: 1.25}
    lines = terminal(result(costs, transports=BOTH), width).splitlines()
    assert max(map(len, lines)) <= width
    assert sum("async (compiled)" in each for each in lines) == 1
    assert sum("async-pure (pure)" in each for each in lines) == 1
    cells = " ".join(each for each in lines if "a future per record" in each)
    assert "2x" in cells
    assert "0.80x" in cells
    assert ">= 1.5x" in cells
    assert ">= 0.9x" in cells


def test_markdown__both_transports__stand_in_one_table(result: Make) -> None:
    table = [each for each in markdown(result(transports=BOTH)).splitlines() if each.startswith("|")]
    assert len({each.count("|") for each in table}) == 1
    assert "async (compiled) | ratio" in table[0]
    assert "async-pure (pure) | ratio" in table[0]


def test_report__tells_the_machines_own_part_notes_and_plays_that_do_not_count(result: Make) -> None:
    whole = result()
    played = [
        dataclasses.replace(each, verdict="fail", problems=("lost-write (1): record 7 of producer 0",))
        if each.strategy == "java" and each.case == "saturate"
        else each
        for each in whole.played
    ]
    for report in (markdown, lambda result: terminal(result, 1_000)):
        text = report(dataclasses.replace(whole, played=tuple(played)))
        assert "an event loop with nothing to do runs up to 1 ms late at p99" in text
        assert "note: Kafka can't be had." in text
        assert "3 plays do not count" in text
        assert "java, saturate: lost-write (1): record 7 of producer 0" in text
        assert "all found in the log, no anomaly" in report(whole)


def test_markdown__every_row_has_every_column(result: Make) -> None:
    table = [line for line in markdown(result()).splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert len(table) > len(ROWS)


def test_terminal__a_part_of_the_table__shows_no_other(result: Make) -> None:
    part: SpeedResult = result(groups=("open",))
    text = terminal(part, 160)
    assert "open loop" in text
    assert "at saturation" not in text
