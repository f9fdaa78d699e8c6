"""A cluster that wants to know who comes: the main job with the right credentials, and with others."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from ducktape.mark import parametrize
from ducktape.mark.resource import cluster
from ducktape.tests.test import Test

from systest.services.kafka import KafkaService
from systest.services.kafka_config import Login

ROOT = Path(__file__).parents[3]
RUN_LIMIT_S = 120.0
SOON_S = 15.0
AT_ONCE_S = 7.0  # less than an address that doesn't answer takes
# One for each library that signs in.
STRATEGIES = ("async", "aiokafka", "java")


class CredentialsTest(Test):  # type: ignore[misc]  # ducktape has no types
    """`systest run --broker external` as a user types it, against SASL."""

    @cluster(num_nodes=1)
    def test_run__right_credentials__is_verified_and_no_file_tells_the_password(self) -> None:
        kafka = self.started()
        with tempfile.TemporaryDirectory() as directory:
            options = ["--strategies", ",".join(STRATEGIES), "--rounds", "1", "--duration", "0.3"]
            done = run(kafka, Path(directory), kafka.client_properties(), *options)
            assert done.returncode == 0, done.stderr
            assert all(name in done.stdout for name in STRATEGIES), done.stdout
            assert "\nverified: " in done.stdout, done.stdout
            assert "SASL_PLAINTEXT" in done.stdout, done.stdout
            assert_untold(kafka, Path(directory, "results"), done)

    @cluster(num_nodes=1)
    @parametrize(wrong={"sasl.password": "guessed"})
    @parametrize(wrong={"sasl.username": "nobody"})
    def test_run__wrong_credentials__ends_at_once_in_one_sentence(self, wrong: Mapping[str, str]) -> None:
        sentence, took_s = self.refusal(wrong)
        assert "Authentication failed" in sentence, sentence
        assert took_s < AT_ONCE_S, f"it took {took_s:.1f} s"

    @cluster(num_nodes=1)
    def test_run__no_credentials__ends_soon_in_one_sentence(self) -> None:
        sentence, took_s = self.refusal({"security.protocol": "plaintext"})
        assert "see that security.protocol is what it wants" in sentence, sentence
        assert took_s < SOON_S, f"it took {took_s:.1f} s"

    def refusal(self, wrong: Mapping[str, str]) -> tuple[str, float]:
        """What the main job says, and after how many seconds, when these client properties are wrong."""
        kafka = self.started()
        with tempfile.TemporaryDirectory() as directory:
            began_s = time.monotonic()
            done = run(kafka, Path(directory), {**kafka.client_properties(), **wrong})
            took_s = time.monotonic() - began_s
        assert done.returncode == 2, done
        assert done.stdout == "", done.stdout
        (sentence,) = done.stderr.splitlines()
        return sentence, took_s

    def started(self) -> KafkaService:
        kafka = KafkaService(self.test_context, login=Login())
        kafka.start()
        return kafka


def run(
    kafka: KafkaService, directory: Path, properties: Mapping[str, str], *options: str
) -> subprocess.CompletedProcess[str]:
    """The comparison on this Kafka, with these client properties; its results are in `directory`/results."""
    file = directory / "client.properties"
    file.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
    broker = [
        "--broker",
        "external",
        "--bootstrap-server",
        kafka.bootstrap_servers(),
        "--client-config",
        str(file),
    ]
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "systest",
            "run",
            *broker,
            *options,
            "--results-root",
            str(directory / "results"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT_S,
        check=False,
    )


def assert_untold(kafka: KafkaService, results: Path, done: subprocess.CompletedProcess[str]) -> None:
    """The password is in no output, in no result, and in nothing that is collected from the broker."""
    assert kafka.login is not None
    password = kafka.login.password
    assert password not in done.stdout + done.stderr
    search = f"grep -rlF -e {shlex.quote(password)} "
    account = kafka.nodes[0].account
    for directory in (str(results), *(each["path"] for each in kafka.logs.values())):
        assert account.ssh_output(f"ls {shlex.quote(directory)}")
        found = account.ssh_output(search + shlex.quote(directory), allow_fail=True).decode()
        assert found == "", f"the password is in {found}"
