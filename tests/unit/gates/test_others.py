"""What others take of a machine is measured only where the nodes are that machine."""

from __future__ import annotations

from pathlib import Path

from systest.clusters.local import LocalAccount
from systest.comparison import is_this_machine


class Elsewhere:
    """A node that answers as another kernel does, or not at all."""

    def __init__(self, says: bytes) -> None:
        self._says = says

    def ssh_output(self, command: str, allow_fail: bool, combine_stderr: bool) -> bytes:
        return self._says


def test_node__of_this_machine__is_known_by_its_kernel(tmp_path: Path) -> None:
    assert is_this_machine(LocalAccount("local1", "127.0.0.1", tmp_path, "run"))


def test_node__of_another_machine__is_not_this_one() -> None:
    assert not is_this_machine(Elsewhere(b"00000000-0000-0000-0000-000000000000\n"))
    assert not is_this_machine(Elsewhere(b""))
