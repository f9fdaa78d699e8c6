"""A harness is another one after any change of it, its requirements included."""

from __future__ import annotations

import importlib.metadata

import pytest

from systest.clusters.harness import harness_id, requirements_text


def test_harness__that_requires_another_client__is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def one_that_requires(*requirements: str) -> str:
        monkeypatch.setattr(importlib.metadata, "requires", lambda _: list(requirements))
        harness_id.cache_clear()
        return harness_id()

    before = one_that_requires("confluent-kafka<3,>=2.11")
    assert one_that_requires("confluent-kafka<3,>=2.12") != before
    assert one_that_requires("confluent-kafka<3,>=2.11") == before
    monkeypatch.undo()
    harness_id.cache_clear()


@pytest.mark.parametrize(
    "requirement",
    [
        "uvloop (<1,>=0.20) ; (sys_platform != 'win32') and extra == 'node'",
        'uvloop >=0.20, <1; extra == "node" and sys_platform != "win32"',
    ],
)
def test_requirement__that_another_build_tool_wrote__is_the_same(requirement: str) -> None:
    written = 'uvloop<1,>=0.20; sys_platform != "win32" and extra == "node"'
    assert requirements_text([requirement, "one"]) == requirements_text(["one", written])
    assert requirements_text([requirement]) != requirements_text([written.replace("0.20", "0.21")])
