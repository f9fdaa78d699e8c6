"""From how a step ended and what it left to its verdict, and the summary of a night."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import pytest

from systest.metrics.verdict import Bound
from systest.nightly import STEPS, Night, Step, markdown, steps_named, terminal, to_json
from systest.nightly.outcome import End, Ended, Left, Outcome, StepVerdict, not_begun, outcome_of
from tests.unit.gates.test_judgement import GATES, MEASURED, ROOT

STEP = Step("delivery", "./run_ducktape.sh tests/ducktape/delivery", 30)
DOCKER = Step("docker", "./run_ducktape.sh --cluster docker", 30, may_lack=True)
EXITED = Ended(End.EXITED, 0, 61.0, 1_800.0, "the last words")
NO_DOCKER = dataclasses.replace(
    EXITED, exit_status=os.EX_UNAVAILABLE, last_line="run_ducktape: no Docker engine answers; start one"
)


def a_test(name: str, status: str = "PASS", summary: str = "", **arguments: Any) -> dict[str, Any]:
    """A test as ducktape's report has it."""
    names = {"cls_name": "DeliveryTest", "function_name": name}
    return {**names, "injected_args": arguments or None, "test_status": status, "summary": summary}


GOOD = Left(tests=(a_test("one"), a_test("two")))
LOST = a_test(
    "one", "FAIL", "AssertionError('async: fail\\nlost-write (1): record 7')\nTraceback ...", brokers=3
)


def judged(
    ended: Ended = EXITED, left: Left = GOOD, step: Step = STEP, *, is_required: bool = False
) -> Outcome:
    return outcome_of(step, step.command, "results/x", ended, left, is_required=is_required)


def test_step__ended_well_with_tests_that_passed__is_passed() -> None:
    outcome = judged()
    assert (outcome.verdict, outcome.is_failure, outcome.tests_passed) == (StepVerdict.PASSED, False, 2)


def test_step__with_a_failed_test__names_it_with_its_reason() -> None:
    outcome = judged(dataclasses.replace(EXITED, exit_status=1), Left(tests=(a_test("two"), LOST)))
    assert (outcome.verdict, outcome.is_failure) == (StepVerdict.FAILED, True)
    assert outcome.failures == ("DeliveryTest.one (brokers=3): async: fail lost-write (1): record 7",)


@pytest.mark.parametrize(
    ("summary", "words"),
    [
        ("", "DeliveryTest.one: "),
        ("TimeoutError()", "DeliveryTest.one: TimeoutError()"),
        ("<NodeError: gone>", "DeliveryTest.one: <NodeError: gone>"),
        ("WorkerFailed('it hung', 7)", "DeliveryTest.one: WorkerFailed('it hung', 7)"),
        ("x" * 9_000, "DeliveryTest.one: " + "x" * 500 + "..."),
    ],
)
def test_failure__whatever_ducktape_says_of_it__is_a_line(summary: str, words: str) -> None:
    outcome = judged(
        dataclasses.replace(EXITED, exit_status=1), Left(tests=(a_test("one", "FAIL", summary),))
    )
    assert outcome.failures == (words,)


@pytest.mark.parametrize(
    ("ended", "left", "why"),
    [
        (EXITED, Left(), "its exit status is 0, and it shows no test that passed"),
        (
            EXITED,
            Left(tests=(a_test("one", "IGNORE"),)),
            "its exit status is 0, and it shows no test that passed",
        ),
        (EXITED, Left(tests=(a_test("two"), LOST)), "its exit status is 0 all the same"),
        (dataclasses.replace(EXITED, exit_status=1), GOOD, "exit status 1: the last words"),
        (dataclasses.replace(EXITED, exit_status=-9), GOOD, "exit status -9: the last words"),
        (
            dataclasses.replace(EXITED, exit_status=-9),
            Left(tests=(a_test("two"), LOST)),
            "exit status -9: the last words",
        ),
        (dataclasses.replace(EXITED, exit_status=2), GOOD, "exit status 2: the last words"),
        (dataclasses.replace(EXITED, end=End.LIMIT), GOOD, "it was ended after 30 minutes, its limit"),
        (
            dataclasses.replace(EXITED, end=End.BUDGET),
            GOOD,
            "the night's budget ended it after 30 minutes",
        ),
        (dataclasses.replace(EXITED, left_behind=("java -x",)), GOOD, "it left processes behind: java -x"),
        (
            dataclasses.replace(EXITED, end=End.LIMIT, left_behind=("java -x", "sh")),
            GOOD,
            "it was ended after 30 minutes, its limit; it left processes behind: java -x, sh",
        ),
        (
            dataclasses.replace(EXITED, exit_status=3, left_behind=("java -x",)),
            GOOD,
            "exit status 3: the last words; it left processes behind: java -x",
        ),
        (
            dataclasses.replace(EXITED, exit_status=1, left_behind=("java -x",)),
            Left(tests=(a_test("two"), LOST)),
            "it left processes behind: java -x",
        ),
        (
            dataclasses.replace(NO_DOCKER, left_behind=("java -x",)),
            Left(),
            "exit status 69: run_ducktape: no Docker engine answers; start one; it left processes behind: java -x",
        ),
    ],
)
def test_step__that_looks_well_and_is_not__is_failed_with_the_reason(
    ended: Ended, left: Left, why: str
) -> None:
    outcome = judged(ended, left)
    assert (outcome.verdict, outcome.is_failure, outcome.why) == (StepVerdict.FAILED, True, why)


@pytest.mark.parametrize(
    ("step", "is_required", "is_failure"), [(DOCKER, False, False), (DOCKER, True, True), (STEP, False, True)]
)
def test_step__that_can_not_run_here__is_a_failure_unless_a_machine_may_lack_what_it_needs(
    step: Step, is_required: bool, is_failure: bool
) -> None:
    outcome = judged(NO_DOCKER, Left(), step, is_required=is_required)
    assert (outcome.verdict, outcome.is_failure) == (StepVerdict.NOT_RUN, is_failure)
    assert outcome.why == "no Docker engine answers; start one"


@pytest.mark.parametrize(
    "last_line",
    [
        "__main__.py: error: unrecognized arguments: --nods",
        "run_ducktape: 12 MiB are free in /tmp, and a run needs 2048 MiB; make room, or set TMPDIR",
    ],
)
def test_step__whose_input_can_not_be_run__is_failed_wherever_it_may_lack_something(last_line: str) -> None:
    refused = dataclasses.replace(NO_DOCKER, exit_status=2, last_line=last_line)
    outcome = judged(refused, Left(), DOCKER)
    assert (outcome.verdict, outcome.is_failure) == (StepVerdict.FAILED, True)
    assert outcome.why == f"exit status 2: {last_line}"


def test_step__interrupted_and_with_something_left__says_so() -> None:
    outcome = judged(dataclasses.replace(EXITED, end=End.INTERRUPTED, left_behind=("java -x",)))
    assert (outcome.verdict, outcome.why) == (StepVerdict.INTERRUPTED, "it left processes behind: java -x")


def test_step__with_a_report_that_can_not_be_read__says_so_and_is_judged_by_all_else() -> None:
    outcome = judged(left=dataclasses.replace(GOOD, unreadable=("its comparison.json can't be read",)))
    assert (outcome.verdict, outcome.why) == (StepVerdict.PASSED, "its comparison.json can't be read")


def test_step__for_which_no_time_is_left__is_not_run_and_a_failure() -> None:
    outcome = not_begun(DOCKER, 90.0)
    assert (outcome.verdict, outcome.is_failure) == (StepVerdict.NOT_RUN, True)
    assert outcome.why == "the budget of 90 minutes left it no time"


def test_step__with_gates_that_the_noise_left_open__names_them() -> None:
    pure = next(each for each in GATES if each.name == "async-pure-throughput")
    named = dataclasses.replace(pure, name="near", bound=Bound(0.95, at_least=True))
    result = dataclasses.replace(MEASURED, gates=(*GATES, named))
    assert judged(left=dataclasses.replace(GOOD, comparisons=(result,))).undecided == ("near",)


NIGHT = Night(
    "2026-11-25T01:00:00+00:00",
    3_661.0,
    180.0,
    None,
    (
        judged(),
        judged(
            dataclasses.replace(EXITED, exit_status=1),
            Left(tests=(a_test("two"), LOST)),
            Step("faults", "x", 1),
        ),
        judged(NO_DOCKER, Left(), DOCKER),
        not_begun(Step("speed", "y", 1), 180.0),
    ),
)


def test_night__exit_status__is_0_only_if_nothing_failed() -> None:
    assert NIGHT.exit_status == 1
    fine = dataclasses.replace(NIGHT, outcomes=(NIGHT.outcomes[0], NIGHT.outcomes[2]))
    assert fine.exit_status == 0
    assert dataclasses.replace(fine, signal=2).exit_status == 130


@pytest.mark.parametrize("width", [70, 200])
def test_summary__in_a_terminal__has_every_step_and_what_failed(width: int) -> None:
    text = " ".join(terminal(NIGHT, width).split())
    assert "1:01:01: 2 of 4 steps failed: faults, speed" in text
    assert "delivery 0:01:01 passed 2 passed" in text
    assert (
        "faults 0:01:01 failed 1 passed, 1 failed DeliveryTest.one (brokers=3): async: fail lost-write"
        in text
    )
    assert "docker 0:01:01 not run, no failure no Docker engine answers; start one" in text
    assert "speed 0:00:00 not run the budget of 180 minutes left it no time" in text


def test_summary__in_markdown__is_a_table_and_the_commands() -> None:
    text = markdown(NIGHT)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {6}
    assert "| `faults` | **failed** | 0:01:01 | 1 passed, 1 failed |" in text
    assert "| `docker` | not run |" in text
    assert "\n./run_ducktape.sh tests/ducktape/delivery\n" in text


def test_summary__in_json__has_all_of_it() -> None:
    document = json.loads(to_json(NIGHT))
    assert (document["exit_status"], len(document["outcomes"])) == (1, 4)
    assert document["outcomes"][1]["failures"] == list(NIGHT.outcomes[1].failures)
    assert [each["verdict"] for each in document["outcomes"]] == ["passed", "failed", "not run", "not run"]


def test_steps__are_named_once_and_are_commands_of_this_repository() -> None:
    assert len({step.name for step in STEPS}) == len(STEPS)
    for step in STEPS:
        words = step.command.split()
        assert words[0] == "./run_ducktape.sh"
        # Of safety no figure and no guarantee is told but the process's own; a bare root has to show that it had Kafka.
        if words[1] not in ("safety", "bare-root"):
            assert words[words.index("--broker") + 1] == "kafka", (
                f"{step.name} may fall back to another broker"
            )
        for path in (word for word in words if word.startswith("tests/")):
            assert (ROOT / path).exists(), f"{step.name} runs {path}, which is not there"


def test_steps_named__keep_the_nights_order_and_know_no_others() -> None:
    assert [step.name for step in steps_named(["speed", "comparison"])] == ["comparison", "speed"]
    with pytest.raises(ValueError, match="unknown step 'sped', did you mean 'speed'"):
        steps_named(["sped"])
