"""The producer's states, as data: which may follow which, and the one method that moves or raises."""

from __future__ import annotations

from enum import Enum

from producer.errors import ProducerClosedError, ProducerFailedError


class State(Enum):
    """Where a producer is in its life."""

    OPEN = "open"
    FAILED = "failed"
    CLOSING = "closing"
    CLOSED = "closed"


NEXT_STATES: dict[State, frozenset[State]] = {
    State.OPEN: frozenset({State.FAILED, State.CLOSING}),
    State.FAILED: frozenset({State.CLOSING}),  # the first cause is kept and shown to every later caller
    State.CLOSING: frozenset({State.CLOSED}),
    State.CLOSED: frozenset(),
}


class LifeCycle:
    """The state of one producer and, once failed, the cause."""

    def __init__(self) -> None:
        self.state = State.OPEN
        self.cause: BaseException | None = None

    def move(self, state: State, cause: BaseException | None = None) -> None:
        """Go to `state`. Raises RuntimeError where the table has no such step."""
        if state not in NEXT_STATES[self.state]:
            raise RuntimeError(f"A producer that is {self.state.value} cannot become {state.value}.")
        self.state = state
        self.cause = self.cause or cause

    def may_move(self, state: State) -> bool:
        """Whether the table has the step to `state`."""
        return state in NEXT_STATES[self.state]

    def require_open(self) -> None:
        """Raise ProducerClosedError or ProducerFailedError unless records may be produced."""
        if self.state is State.OPEN:
            return
        if self.state is State.FAILED:
            raise ProducerFailedError(
                f"The producer met a fatal error and can send nothing more: {self.cause}. Close it and make "
                "a new one."
            ) from self.cause
        raise ProducerClosedError(f"The producer is {self.state.value}. Make a new one.")
