"""Both of this project's strategies run where they are two, and one of them where they are one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from producer import transport
from systest import strategies
from systest.strategies.transports import why_pure, without_twin


def test_strategies__compiled_transport_there__all_play() -> None:
    assert without_twin(strategies.NAMES, lambda: None) == (strategies.NAMES, ())


def test_strategies__async_is_the_pure_one__it_plays_alone_and_a_note_says_why() -> None:
    names, notes = without_twin(strategies.NAMES, lambda: "no C compiler was found.")
    assert names == tuple(name for name in strategies.NAMES if name != "async-pure")
    assert notes == (
        "async runs on the pure transport, and async-pure, which would be the same, is left out: "
        "no C compiler was found.",
    )


@pytest.mark.parametrize("names", [("sync", "async"), ("async-pure", "sync")])
def test_strategies__one_of_the_two__plays_as_the_user_has_it_and_nobody_is_asked(
    names: tuple[str, ...],
) -> None:
    def asked() -> str:
        raise AssertionError("nobody need ask")

    assert without_twin(names, asked) == (names, ())


@pytest.mark.parametrize(
    ("chosen", "there", "said"),
    [
        ("compiled", ("compiled", "pure"), None),
        ("pure", ("pure",), "transport is 'compiled'"),
        ("pure", ("compiled", "pure"), "PRODUCER_TRANSPORT is 'pure'"),
    ],
)
def test_why_pure__is_the_producers_own_reason_or_that_somebody_asked_for_it(
    chosen: str, there: tuple[str, ...], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(requested: str | None) -> str:
        if requested not in (None, *there):
            raise ValueError(f"transport is {requested!r}; this installation has: pure.")
        return requested or chosen

    monkeypatch.setattr("systest.strategies.transports.choose_transport", choose)
    monkeypatch.setenv(transport.TRANSPORT_VARIABLE, "pure")
    why = why_pure()
    assert why is None if said is None else said in (why or "")


def test_module__run_on_a_node__says_what_why_pure_says() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "systest.strategies.transports"], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, why_pure() or "")
