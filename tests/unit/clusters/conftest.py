"""A real sshd on this machine's loopback, run by whoever runs the tests; nothing here needs root."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from ducktape.cluster.remoteaccount import RemoteAccountSSHConfig

from systest.clusters.ssh import SshAccount
from systest.distribution.cache import cache_root
from systest.ports import ADDRESS, first_of_free_ports

UP_LIMIT_S = 20.0
PASSED_ON = ("PATH", "PYTHONPATH", "JAVA_HOME", "KAFKA_HOME")

CONFIG = """\
Port {port}
ListenAddress {address}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/authorized_keys
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile none
MaxStartups 100
Subsystem sftp internal-sftp
SetEnv {environment}
"""


class Sshd:
    """One node: an sshd with a home and a temporary directory of its own, and the harness of these tests."""

    def __init__(self, program: str, directory: Path, name: str = "node") -> None:
        self.directory = directory
        self.home, self.temporary = directory / "home", directory / "tmp"
        self.key = directory / "key"
        self.name = name
        self._program = program
        (self.home / ".systest").mkdir(parents=True)
        self.temporary.mkdir()
        (self.home / ".systest/venv").symlink_to(sys.prefix)
        for key in (self.key, directory / "host_key"):
            make_key(key)
        shutil.copy(self.key.with_suffix(".pub"), directory / "authorized_keys")
        self.port = first_of_free_ports(1)

    def start(self, **environment: str) -> None:
        """Returns once it answers; its sessions get these variables."""
        passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        own = {"HOME": str(self.home), "TMPDIR": str(self.temporary), "SYSTEST_CACHE": str(cache_root())}
        there = {**passed_on, **own, **environment}
        quoted = " ".join(f'"{name}={value}"' for name, value in there.items())
        config = self.directory / "sshd_config"
        config.write_text(
            CONFIG.format(port=self.port, address=ADDRESS, directory=self.directory, environment=quoted)
        )
        with (self.directory / "log").open("wb") as log:
            self.process = psutil.Popen([self._program, "-D", "-e", "-f", str(config)], stderr=log)
        deadline_s = time.monotonic() + UP_LIMIT_S
        while not self.answers():
            assert time.monotonic() < deadline_s, (self.directory / "log").read_text()
            time.sleep(0.02)

    def answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((ADDRESS, self.port), timeout=5.0) as connection,
        ):
            return connection.recv(4) == b"SSH-"
        return False

    def sessions(self) -> list[psutil.Process]:
        """The processes that serve its connections; one may end while it is looked at."""
        serving = []
        for each in self.process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if each.name().startswith("sshd"):  # from OpenSSH 9.8 on they are sshd-session
                    serving.append(each)
        return serving

    def cut(self) -> None:
        """Kills it with all of its sessions, and what these serve goes on."""
        for process in (self.process, *self.sessions()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process.is_running():
            self.cut()

    def entry(self) -> dict[str, object]:
        """The node as a cluster file has it."""
        return {
            "ssh_config": {
                "host": self.name,
                "hostname": ADDRESS,
                "port": self.port,
                "user": getpass.getuser(),
                "identityfile": str(self.key),
            }
        }

    def account(self, **changes: object) -> SshAccount:
        return SshAccount(RemoteAccountSSHConfig(**{**self.entry()["ssh_config"], **changes}), ADDRESS)  # type: ignore[dict-item]

    def homes(self) -> list[Path]:
        """What connections have there."""
        return list(self.temporary.iterdir())


def make_key(file: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(file)], check=True)


@pytest.fixture(scope="session")
def sshd_program() -> str:
    """Its path."""
    program = find_sshd()
    if program is None:
        pytest.skip("there is no sshd here; run as root: apt-get install openssh-server")
    return program


def find_sshd() -> str | None:
    return shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@pytest.fixture
def sshd(sshd_program: str, tmp_path: Path) -> Iterator[Sshd]:
    """A node that is up."""
    node = Sshd(sshd_program, tmp_path / "node")
    node.start()
    try:
        yield node
    finally:
        node.stop()
