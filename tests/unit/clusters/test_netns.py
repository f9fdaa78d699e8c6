"""Nodes in network namespaces that do not come up: a sentence with the reason, and nothing that is left."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from systest.clusters import netns
from systest.clusters.place import PlaceUnavailable

needs_nodes = pytest.mark.skipif(netns.why_not() is not None, reason=netns.why_not() or "")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gets as far as this; run as root")


@needs_nodes
@pytest.mark.parametrize("moment", ["at once", "in a moment", "after its sshd"])
def test_nodes__whose_first_process_ends__are_told_with_its_last_words(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {"at once": "", "in a moment": "sleep 0.1", "after its sshd": netns._INIT.partition("while")[0]}
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(netns, "_INIT", f"{before[moment]}\necho bad luck >&2\nexit 3")
    with (
        pytest.raises(PlaceUnavailable, match=r"^netns1 ended as it came up; it said: bad luck$"),
        netns.NetnsNodes(1).opened(print),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@needs_nodes
def test_nodes__whose_sshd_ends__are_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(netns, "_UP_LIMIT_S", 1.0)
    monkeypatch.setattr(netns, "_SSHD_CONFIG", "NoSuchOption {directory} {environment}\n")
    with (
        pytest.raises(
            PlaceUnavailable, match=r"the sshd of netns1 is not up after 1 s; .* bad configuration"
        ),
        netns.NetnsNodes(1).opened(print),
    ):
        pass


def test_process__that_ended_before_it_was_looked_at__is_told_with_its_last_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = netns._spawn(["sh", "-c", "echo no room >&2; exit 1"], {}, log)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(PlaceUnavailable, match="netns1 ended as it came up; it said: no room"):
        netns._await_namespace("netns1", process, log)


@needs_root
@pytest.mark.parametrize("tools", [("sh",), ("sh", "no-such-tool")], ids=["with sshd", "without"])
@pytest.mark.parametrize(
    ("unshare", "reason"),
    [
        (("sh", "-c", "echo not permitted >&2; exit 1"), "not permitted"),
        (("sh", "-c", "exec sleep 10"), "it had not ended after 0 s"),
    ],
)
def test_namespaces__that_the_system_does_not_give__are_told_before_what_could_be_installed(
    unshare: tuple[str, ...], reason: str, tools: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netns, "_UNSHARE_NODE", unshare)
    monkeypatch.setattr(netns, "_COMMAND_LIMIT_S", 0.2)
    monkeypatch.setattr(netns, "_TOOLS", tools)
    assert f"the system allows no new namespaces, not even root's ({reason})" in str(netns.why_not())


@needs_root
def test_tools__that_are_lacking__are_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "_UNSHARE_NODE", ("true",))
    monkeypatch.setattr(netns, "_TOOLS", ("no-such-tool",))
    assert "need no-such-tool; run ducktape/provision.sh system" in str(netns.why_not())


@needs_root
@pytest.mark.parametrize(
    ("unshare", "is_installed"), [(("false",), False), (("true",), True)], ids=["refused", "given"]
)
def test_tools__that_are_lacking__are_installed_only_where_the_system_gives_namespaces(
    unshare: tuple[str, ...], is_installed: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if is_installed and (shutil.which("apt-get") is None or Path("/run/systemd/system").exists()):
        pytest.skip("packages are installed only by apt-get, where no init system would start their services")
    installed = tmp_path / "installed"
    script = tmp_path / "provision"
    script.write_text(f"touch {installed}")
    monkeypatch.setattr(netns, "_PROVISION", str(script))
    monkeypatch.setattr(netns, "_TOOLS", ("no-such-tool",))
    monkeypatch.setattr(netns, "_UNSHARE_NODE", unshare)
    with pytest.raises(PlaceUnavailable), netns.NetnsNodes(1).opened(print):
        pass
    assert installed.exists() is is_installed
