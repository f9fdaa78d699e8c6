"""Both of this project's strategies run where they are two, and one of them where they are one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from producer.transports import TRANSPORT_VARIABLE
from systest import strategies
from systest.strategies.transports import without_twin
from systest.transport import WHY_PURE, in_use, why_pure


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
    ("asked_for", "not_built", "said"),
    [
        (None, None, None),
        (None, "It was not built: no compiler.", "It was not built: no compiler."),
        ("compiled", None, None),
        ("pure", None, "It was asked for by the environment: PRODUCER_TRANSPORT=pure."),
        (
            "pure",
            "It was not built: no compiler.",
            "It was asked for by the environment: PRODUCER_TRANSPORT=pure.",
        ),
    ],
)
def test_why_pure__is_the_producers_own_reason_or_that_somebody_asked_for_it(
    asked_for: str | None, not_built: str | None, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("systest.transport.why_not_compiled", lambda: not_built)
    monkeypatch.setattr("producer.transports.why_not_compiled", lambda: not_built)
    monkeypatch.delenv(TRANSPORT_VARIABLE, raising=False)
    if asked_for is not None:
        monkeypatch.setenv(TRANSPORT_VARIABLE, asked_for)
    assert why_pure() == said
    assert in_use() == ("compiled" if said is None else f"pure; i{said[1:]}")


def test_why_pure__one_was_asked_for_that_can_not_run_here__is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(TRANSPORT_VARIABLE, "nonsense")
    with pytest.raises(ValueError, match="PRODUCER_TRANSPORT is 'nonsense'"):
        why_pure()


def test_module__run_on_a_node__says_what_why_pure_says() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "systest.transport", WHY_PURE], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, why_pure() or "")
