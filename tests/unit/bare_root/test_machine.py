"""What a bare root gets of a machine's configuration: the way to the registries, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from systest.bare_root import machine
from systest.bare_root.machine import Endpoint, System

TARGETS = [
    ("http://mirror.example/debian", "trixie", "main"),
    ("http://mirror.example/debian", "trixie", "contrib"),
    ("http://mirror.example/debian", "trixie-updates", "main"),
    ("http://mirror.example/debian-security", "trixie-security", "main"),
    ("https://packages.example/tool", "trixie-tool", "main"),
]
SYSTEM = System(
    "trixie", "http://mirror.example/debian", ("main",), ("deb http://mirror.example/debian trixie main",)
)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("http://mirror.example/debian", Endpoint("mirror.example", 80)),
        ("https://user:secret@index.example:8443/simple", Endpoint("index.example", 8443)),
        ("files.example", Endpoint("files.example", 443)),
        ("files.example:81", Endpoint("files.example", 81)),
        ("http://127.0.0.1:3128", Endpoint("127.0.0.1", 3128)),
    ],
)
def test_endpoint__of_what_settings_hold__is_host_and_port(text: str, endpoint: Endpoint) -> None:
    assert Endpoint.of(text) == endpoint


@pytest.mark.parametrize("text", ["", "https://", "/srv/wheels"])
def test_endpoint__without_a_host__is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"names no host; write HOST or HOST:PORT"):
        Endpoint.of(text)


def test_system__of_the_machine__is_where_apt_looks_for_it_and_nothing_of_others() -> None:
    assert machine.system_of("trixie", "", TARGETS) == System(
        "trixie",
        "http://mirror.example/debian",
        ("main",),
        (
            "deb http://mirror.example/debian trixie main",
            "deb http://mirror.example/debian trixie-updates main",
            "deb http://mirror.example/debian-security trixie-security main",
        ),
    )


@pytest.mark.parametrize("targets", [[], [("mirror+file:/etc/apt/mirrors.txt", "trixie", "main")]])
def test_system__that_apt_has_no_mirror_for__is_where_debootstrap_looks(
    targets: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "mirror_of", lambda suite: f"http://own.example/{suite}")
    found = machine.system_of("trixie", "", targets)
    assert (found.mirror, found.sources) == (
        "http://own.example/trixie",
        ("deb http://own.example/trixie trixie main",),
    )


@pytest.mark.parametrize(
    ("script", "mirror"),
    [
        (
            "case $ARCH in\n  amd64)\n\tdefault_mirror http://own.example/ubuntu\n",
            "http://own.example/ubuntu",
        ),
        ("mirror_style release\n", "http://any.example/debian"),
    ],
)
def test_mirror__of_a_suite__is_as_debootstrap_has_it(
    script: str, mirror: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "debootstrap"
    program.write_text('#!/bin/sh\nDEF_MIRROR="http://any.example/debian"\n')
    monkeypatch.setattr(machine, "_script", lambda suite: script)
    monkeypatch.setattr(machine.shutil, "which", lambda name, path: str(program))
    assert machine.mirror_of("suite") == mirror


def test_mirror__that_nobody_tells__is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.shutil, "which", lambda name, path: None)
    with pytest.raises(ValueError, match="say so by --mirror"):
        machine.mirror_of("no-such-suite")


def test_system__with_a_mirror_named__has_that_one_alone() -> None:
    found = machine.system_of("trixie", "http://other.example/debian", TARGETS)
    assert found.sources == ("deb http://other.example/debian trixie main",)


def test_system__neither_of_the_machine_nor_named__is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_os_release", lambda: {"ID": "fedora"})
    with pytest.raises(ValueError, match="choose one by --suite"):
        machine.system_wanted("", "")


def test_pip__of_files_and_environment__the_environment_wins_and_folders_stay_outside() -> None:
    listed = """\
:env:.find-links='/srv/wheels https://wheels.example/'
:env:.cert='/etc/ssl/own.pem'
:env:.disable-pip-version-check='1'
global.cert='/etc/ssl/other.pem'
global.extra-index-url='\\nhttps://one.example/simple\\nhttps://two.example/simple'
install.user='true'
"""
    assert machine.pip_variables(listed) == {
        "PIP_CERT": "/etc/ssl/own.pem",
        "PIP_EXTRA_INDEX_URL": "https://one.example/simple https://two.example/simple",
        "PIP_FIND_LINKS": "https://wheels.example/",
    }


def test_apt__of_its_settings__those_with_a_value_are_taken() -> None:
    dump = 'Acquire "";\nAcquire::Check-Valid-Until "false";\nAcquire::http::Proxy "http://proxy.example:3128";\n'
    assert machine.apt_settings(dump) == (
        'Acquire::Check-Valid-Until "false";',
        'Acquire::http::Proxy "http://proxy.example:3128";',
    )


def test_registries__behind_proxies_and_mirrors__may_be_reached_with_what_the_settings_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = tmp_path / "authority.pem"
    authority.write_text("")
    said = {
        "apt-config": 'Acquire::http::Proxy "http://apt-proxy.example:3142";\n',
        machine.sys.executable: ":env:.index-url='https://index.example/simple'\n",
    }
    own = "https://own-index.example/simple https://own-files.example"
    monkeypatch.setattr(machine, "_said", lambda *command: own if "-c" in command else said[command[0]])
    monkeypatch.setattr(machine, "MAVEN_CENTRAL_URL", "https://maven.example/maven2")
    monkeypatch.setattr(machine, "_AUTHORITIES", tmp_path / "none")
    for name in machine._VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
    found = machine.registries(SYSTEM, [Endpoint("files.example", 443)])
    assert {str(each.host) for each in found.endpoints} == {
        *("own-index.example", "own-files.example", "maven.example"),
        *("mirror.example", "apt-proxy.example", "index.example", "proxy.example", "files.example"),
    }
    assert Endpoint("proxy.example", 3128) in found.endpoints
    assert found.files == (authority,)
    assert found.environment == {
        "https_proxy": "proxy.example:3128",
        "REQUESTS_CA_BUNDLE": str(authority),
        "PIP_INDEX_URL": "https://index.example/simple",
    }
