"""What is proven, as data: states of a machine, users, the commands of the README, and how each must close. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from systest.choices import unknown
from systest.reports.words import ALL_FOUND

_Named = TypeVar("_Named")
PROJECT = "kafka-producer-systest"
"""What the folder of the clone is called in a root."""


@dataclass(frozen=True, slots=True)
class User:
    """Who runs the commands.

    Args:
        name: in the root.
        number: its id there, and its group's.
        home: its home.
    """

    name: str
    number: int
    home: str


ROOT = User("root", 0, "/root")
SOMEONE = User("user", 1000, "/home/user")
USERS = (ROOT, SOMEONE)


@dataclass(frozen=True, slots=True)
class State:
    """Of a machine, beside that it has Python and nothing else.

    Args:
        name: on the command line.
        users: who can be in that state.
        folder: where the clone lies, None for the user's home.
        tmp_mib: size of the temporary folder, None for as much as the disk has.
        home_can_be_written: whether the user may write in the home.
        words: what is special about it, in a few words.
    """

    name: str
    users: tuple[User, ...]
    words: str
    folder: str | None = None
    tmp_mib: int | None = None
    home_can_be_written: bool = True

    def checkout(self, user: User) -> str:
        """The clone's folder."""
        return f"{self.folder or user.home}/{PROJECT}"


BARE = State("bare", USERS, "Python and nothing else")
# A user there, since root could install what is lacking, and may write in every home.
NARROW = State(
    "narrow",
    (SOMEONE,),
    "the same without a home to write in, with a temporary folder of 200 MB, in a path with spaces and umlauts",
    folder="/srv/ein Ordner mit Ümläuten",
    tmp_mib=200,
    home_can_be_written=False,
)
STATES = (BARE, NARROW)


@dataclass(frozen=True, slots=True)
class Command:
    """One of the README's.

    Args:
        name: on the command line.
        words: program and arguments.
        closing: patterns of lines, each of which must be in its output: they say that tests passed.
        limit_min: minutes after which it is ended: three times and more what it takes on two cores.
    """

    name: str
    words: tuple[str, ...]
    closing: tuple[str, ...]
    limit_min: float


_VERIFIED = rf"verified: [\d,]+ records {ALL_FOUND}"
_PYTEST = r"=+ (?!.*\b(?:failed|errors?)\b)[1-9]\d* passed.* in .*=+"
COMMANDS = (
    Command("run_ducktape", ("./run_ducktape.sh",), (r"broker: Apache Kafka .*", _VERIFIED), 25),
    Command("run_tests", ("./run_tests.sh",), (_PYTEST, r"passed: +[1-9]\d*", r"failed: +0", _VERIFIED), 75),
)


@dataclass(frozen=True, slots=True)
class Proof:
    """One command, by one user, on a machine in one state."""

    state: State
    user: User
    command: Command

    @property
    def name(self) -> str:
        """For a person, and for the file that has its output."""
        return f"{self.state.name}-{self.user.name}-{self.command.name}"


def proofs(states: Sequence[str], users: Sequence[str], commands: Sequence[str]) -> tuple[Proof, ...]:
    """Those of the names; an empty list stands for all. Raises ValueError that lists the names there are."""
    chosen_states = _named("state", states, {each.name: each for each in STATES})
    chosen_users = _named("user", users, {each.name: each for each in USERS})
    chosen_commands = _named("command", commands, {each.name: each for each in COMMANDS})
    found = tuple(
        Proof(state, user, command)
        for state in chosen_states
        for user in state.users
        if user in chosen_users
        for command in chosen_commands
    )
    if not found:
        raise ValueError(
            f"the state {chosen_states[0].name} is one of {chosen_states[0].users[0].name} alone; "
            "leave --user out"
        )
    return found


def closing_lines(command: Command, output: Iterable[str]) -> list[str]:
    """The lines of its output that say how its tests ended, in their order."""
    patterns = [
        re.compile(pattern) for pattern in (*command.closing, r"=+ .*\b(?:failed|errors?)\b.* in .*=+")
    ]
    lines = (line.strip() for line in output)
    return [line for line in lines if any(pattern.fullmatch(line) for pattern in patterns)]


def lacking(command: Command, closing: Sequence[str]) -> list[str]:
    """The patterns that none of its closing lines matches: so much is not shown."""
    return [
        pattern for pattern in command.closing if not any(re.fullmatch(pattern, line) for line in closing)
    ]


def _named(what: str, names: Sequence[str], there: Mapping[str, _Named]) -> list[_Named]:
    for name in names:
        if name not in there:
            raise ValueError(unknown(what, name, there))
    return [each for name, each in there.items() if not names or name in names]
