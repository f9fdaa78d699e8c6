"""The workflows of continuous integration: checked by linters for them, and thin."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from systest.cli.nightly import BUDGET_MIN
from systest.nightly import STEPS

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())
LIMIT_S = 120.0
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def schema(*files: Path) -> subprocess.CompletedProcess[str]:
    """What the schema of workflows says, from the package that holds it: nothing is fetched."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    return subprocess.run(
        [*command, *map(str, files)], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


def zizmor(*files: Path) -> subprocess.CompletedProcess[str]:
    """What zizmor says: untrusted text in commands, permissions, credentials, what is not pinned."""
    command = [
        str(Path(sysconfig.get_path("scripts"), "zizmor")),
        "--offline",
        "--no-progress",
        "--format",
        "plain",
    ]
    return subprocess.run(
        [*command, *map(str, files)], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    for job in yaml.safe_load(workflow.read_text("utf-8"))["jobs"].values():
        assert "timeout-minutes" in job, f"{workflow.name}: a job that hangs would cost six hours"
        yield from job["steps"]


def documented() -> set[str]:
    """Every command of the README and the docs, as it is typed."""
    pages = (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
    blocks = (block for page in pages for block in BLOCK.findall(page.read_text("utf-8")))
    return {line.partition("#")[0].strip() for block in blocks for line in block.splitlines()}


def test_workflows__are_those_of_the_design() -> None:
    assert [each.name for each in WORKFLOWS] == ["ci.yml", "nightly.yml", "wheels.yml"]


@pytest.mark.parametrize("lint", [schema, zizmor])
def test_workflows__linted__have_no_finding(lint: Any) -> None:
    ended = lint(*WORKFLOWS)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("lint", "old", "new", "words"),
    [
        (schema, "timeout-minutes: 60", "timeout-minute: 60", "timeout-minute"),
        (schema, "runs-on: ubuntu-22.04", "runs-no: ubuntu-22.04", "runs-no"),
        (schema, "      - run: ./run_tests.sh", "      - runs: ./run_tests.sh", "steps"),
        (
            zizmor,
            "run: ./run_tests.sh",
            "run: echo ${{ github.event.pull_request.title }}",
            "template-injection",
        ),
        (zizmor, "permissions:\n  contents: read", "permissions: write-all", "excessive-permissions"),
        (zizmor, "        with:\n          persist-credentials: false\n", "", "artipacked"),
        (zizmor, "@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2", "@v6", "unpinned-uses"),
    ],
)
def test_linter__of_a_planted_mistake__names_it(
    tmp_path: Path, lint: Any, old: str, new: str, words: str
) -> None:
    text = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
    assert old in text
    # zizmor knows a workflow by where it is.
    planted = tmp_path / ".github" / "workflows" / "ci.yml"
    planted.parent.mkdir(parents=True)
    planted.write_text(text.replace(old, new, 1), "utf-8")
    ended = lint(planted)
    assert ended.returncode != 0
    assert words in ended.stdout + ended.stderr


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflow__each_command__is_one_that_the_docs_tell_a_person_to_type(workflow: Path) -> None:
    commands = [step["run"] for step in steps(workflow) if "run" in step]
    assert commands
    assert set(commands) <= documented()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflow__each_action__is_pinned_to_a_commit_and_tells_its_version(workflow: Path) -> None:
    uses = re.findall(r"uses: (.+)", workflow.read_text("utf-8"))
    assert uses
    for action in uses:
        assert PINNED.fullmatch(action), f"{action} is not pinned as owner/name@commit # v1.2.3"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflow__may_read_alone_and_keeps_results_of_a_failure(workflow: Path) -> None:
    content = yaml.safe_load(workflow.read_text("utf-8"))
    assert content["permissions"] == {"contents": "read"}
    for job in content["jobs"].values():
        assert "permissions" not in job
        *_, last = job["steps"]
        assert (last["uses"].partition("@")[0], last["if"]) == ("actions/upload-artifact", "always()")


def test_ci__runs_every_python_that_the_package_is_for() -> None:
    content = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    assert content["jobs"]["tests"]["strategy"]["matrix"]["python"] == list(PYTHONS)
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    assert setup["options"]["python_requires"] == f">={PYTHONS[0]}"
    named = re.findall(r"Python :: (3\.\d+)", setup["metadata"]["classifiers"])
    assert named == list(PYTHONS)


def test_ci__tests_with_the_compiled_transport_and_without__and_falls_back_in_neither() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))["jobs"]
    built = {name: job["env"]["PRODUCER_BUILD"] for name, job in jobs.items()}
    assert built == {"tests": "compiled", "pure": "pure", "comparison": "compiled"}
    tested = [name for name, job in jobs.items() if {"run": "./run_tests.sh"} in job["steps"]]
    assert tested == ["tests", "pure"]
    assert "PRODUCER_BUILD=${PRODUCER_BUILD:-compiled}" in (ROOT / ".ci/run").read_text("utf-8")


def test_wheels__are_built_on_every_kind_of_machine_and_each_sends_a_record() -> None:
    job = yaml.safe_load((ROOT / ".github/workflows/wheels.yml").read_text("utf-8"))["jobs"]["wheels"]
    machines = job["strategy"]["matrix"]["machine"]
    assert machines == ["ubuntu-24.04", "ubuntu-24.04-arm", "macos-15", "macos-15-intel"]
    settings = (ROOT / "pyproject.toml").read_text("utf-8")
    [command] = re.findall(r'^test-command = "python {project}/(.+)"$', settings, re.MULTILINE)
    assert (ROOT / command).exists()
    assert 'environment = { PRODUCER_BUILD = "compiled" }' in settings


def test_ci__compares_on_kafka_and_on_no_other_broker() -> None:
    commands = [step["run"] for step in steps(ROOT / ".github/workflows/ci.yml") if "run" in step]
    runs = [command.split() for command in commands if "run_ducktape.sh" in command]
    assert runs
    for words in runs:
        assert words[words.index("--broker") + 1] == "kafka"


def test_nightly__requires_every_step_that_a_machine_may_lack_and_keeps_its_page() -> None:
    [command] = [step["run"] for step in steps(ROOT / ".github/workflows/nightly.yml") if "run" in step]
    required = command.split("--require ")[1].split(",")
    assert sorted(required) == sorted(step.name for step in STEPS if step.may_lack)
    assert command.startswith("sudo --preserve-env=PATH,HOME,GITHUB_STEP_SUMMARY ./run_ducktape.sh")


def test_nightly__has_more_time_than_its_budget() -> None:
    content = yaml.safe_load((ROOT / ".github/workflows/nightly.yml").read_text("utf-8"))
    assert content["jobs"]["night"]["timeout-minutes"] >= BUDGET_MIN + 15
