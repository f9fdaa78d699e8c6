"""Nodes that are virtual machines, as far as none is needed: what Vagrant says, and what is made of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from systest.clusters import vagrant
from systest.clusters.place import PlaceUnavailable

ROOT = Path(__file__).parents[3]
LIMIT_S = 120.0
needs_vagrant = pytest.mark.skipif(
    shutil.which("vagrant") is None,
    reason="there is no vagrant command here; run as root: apt-get install vagrant",
)

STATUS = """\
1795578455,node1,metadata,provider,virtualbox
1795578455,node2,metadata,provider,virtualbox
1795578455,node1,provider-name,virtualbox
1795578455,node1,state,running
1795578455,node1,state-human-short,running
1795578455,node1,state-human-long,The VM is running. To stop this VM%!(VAGRANT_COMMA) run `vagrant halt`.
1795578455,node2,provider-name,virtualbox
1795578455,node2,state,not_created
1795578455,,ui,info,Current machine states:\\n\\nnode1   running (virtualbox)
"""
SSH_CONFIG = """\
Host node1
  HostName 127.0.0.1
  User vagrant
  Port 2222
  UserKnownHostsFile /dev/null
  StrictHostKeyChecking no
  PasswordAuthentication no
  IdentityFile "/home/me/my work/.vagrant/machines/node1/virtualbox/private_key"
  IdentitiesOnly yes
  LogLevel FATAL

Host node2
  HostName 127.0.0.1
  User vagrant
  Port 2200
  IdentityFile /home/me/.vagrant/machines/node2/virtualbox/private_key
"""


def test_states__are_those_of_each_machine() -> None:
    assert vagrant.states_of(STATUS) == {"node1": "running", "node2": "not_created"}


def test_addresses__are_those_that_the_vagrantfile_gives() -> None:
    assert vagrant.addresses({"network": "192.168.56.0/24"}, 2) == {
        "node1": "192.168.56.11",
        "node2": "192.168.56.12",
    }


@pytest.mark.parametrize(
    ("own", "count"),
    [(None, 5), ("", 5), ("# count: 2\n", 5), ("count: 2\n", 2)],
    ids=["none", "empty", "comments", "two"],
)
def test_settings__of_ones_own__come_before_those_of_the_checkout(
    own: str | None, count: int, tmp_path: Path
) -> None:
    shutil.copy(ROOT / "vagrant/machines.yaml", tmp_path)
    if own is not None:
        (tmp_path / "machines.local.yaml").write_text(own)
    settings = vagrant.settings(tmp_path)
    assert settings["count"] == count
    assert "network" in settings


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("cpus: 2\ncount: [\n", r"machines.local.yaml is not YAML in line 3"),
        ("count\n", r"machines.local.yaml has no settings; write lines like `count: 3`"),
    ],
)
def test_settings__that_are_none__are_named_with_the_file(own: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "machines.local.yaml").write_text(own)
    with pytest.raises(PlaceUnavailable, match=words):
        vagrant.settings(tmp_path)


def test_cluster_file__has_vagrants_way_in_and_the_shared_networks_addresses() -> None:
    entries = vagrant.cluster_file(SSH_CONFIG, {"node1": "192.168.56.11", "node2": "192.168.56.12"})
    assert entries == {
        "nodes": [
            {
                "externally_routable_ip": "192.168.56.11",
                "ssh_config": {
                    "host": "node1",
                    "hostname": "127.0.0.1",
                    "identityfile": "/home/me/my work/.vagrant/machines/node1/virtualbox/private_key",
                    "port": 2222,
                    "user": "vagrant",
                },
            },
            {
                "externally_routable_ip": "192.168.56.12",
                "ssh_config": {
                    "host": "node2",
                    "hostname": "127.0.0.1",
                    "identityfile": "/home/me/.vagrant/machines/node2/virtualbox/private_key",
                    "port": 2200,
                    "user": "vagrant",
                },
            },
        ]
    }


@pytest.mark.parametrize(
    ("stdout", "stderr", "reason"),
    [
        (
            "1,,ui,error,No usable provider%!(VAGRANT_COMMA) sorry.\\n\\nMore.\n",
            "",
            "No usable provider, sorry.",
        ),
        ("", "The machine is not ready.\n\nMore.\n", "The machine is not ready."),
        ("", "", "it said nothing"),
    ],
)
def test_complaint__is_its_first_line(stdout: str, stderr: str, reason: str) -> None:
    assert vagrant.reason_of(stdout, stderr) == reason


def test_run__without_vagrant__says_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "systest", "run", "--cluster", "vagrant"],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == os.EX_UNAVAILABLE
    assert done.stderr.splitlines()[-1] == (
        "run_ducktape: there is no vagrant command here; install Vagrant, see vagrant/README.md"
    )


def validated(vagrantfile: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Vagrant's own word on a Vagrantfile; no provider needs to be here."""
    return subprocess.run(
        ["vagrant", "validate", "--ignore-provider"],
        cwd=vagrantfile.parent,
        env={**os.environ, "VAGRANT_HOME": str(home), "VAGRANT_DOTFILE_PATH": str(home / "dot")},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@needs_vagrant
def test_vagrantfile__is_valid(tmp_path: Path) -> None:
    done = validated(ROOT / "vagrant" / "Vagrantfile", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Vagrantfile validated successfully" in done.stdout


@needs_vagrant
def test_vagrantfile__of_a_script_that_is_gone__is_seen_through(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "vagrant", tmp_path / "vagrant")
    done = validated(tmp_path / "vagrant" / "Vagrantfile", tmp_path / "home")
    assert done.returncode != 0
    assert "provision.sh" in done.stdout + done.stderr


@needs_vagrant
@pytest.mark.parametrize(("own", "count"), [("count: 2\n", 2), ("# count: 2\n", 5)], ids=["two", "comments"])
def test_machines__by_ones_own_settings__are_so_many(own: str, count: int, tmp_path: Path) -> None:
    (tmp_path / "ducktape").mkdir()
    shutil.copy(ROOT / "ducktape" / "provision.sh", tmp_path / "ducktape")
    shutil.copytree(ROOT / "vagrant", tmp_path / "vagrant")
    (tmp_path / "vagrant" / "machines.local.yaml").write_text(own)
    done = validated(tmp_path / "vagrant" / "Vagrantfile", tmp_path / "home")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"node{count}" in done.stdout
    assert f"node{count + 1}" not in done.stdout
