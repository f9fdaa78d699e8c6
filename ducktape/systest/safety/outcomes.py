"""What became of every record, counted: none may stay without an outcome, and none may have two.

Owned by one thread; those of several are added up when they have ended.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaException

from producer import BatchResult

_NAMED_MAX = 5


@dataclass
class Outcomes:
    """Counts.

    Args:
        producers: that were made.
        sent: records given to a producer, whatever it did with them.
        acknowledged: by the broker.
        failed: by the name of the error.
        given_up: whose caller cancelled the future, and so would not hear.
        refused: whose caller was told at once, by an exception, or did not wait: bad, cancelled, never awaited ones.
        unheard: whose loop was closed before their outcome came: nobody is left to tell.
        pending: whose future had no outcome although their producer had ended. A defect.
        callbacks: calls of on_delivery that were due.
        callbacks_missing: records whose on_delivery never ran. A defect.
        callbacks_doubled: records whose on_delivery ran more than once. A defect.
        trouble: whatever else went wrong, a sentence each, with how often. A defect.
    """

    producers: int = 0
    sent: int = 0
    acknowledged: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    given_up: int = 0
    refused: int = 0
    unheard: int = 0
    pending: int = 0
    callbacks: int = 0
    callbacks_missing: int = 0
    callbacks_doubled: int = 0
    trouble: Counter[str] = field(default_factory=Counter)

    def add(self, other: Outcomes) -> None:
        """Add those of another thread."""
        for name, theirs in vars(other).items():
            if isinstance(theirs, Counter):
                getattr(self, name).update(theirs)
            else:
                setattr(self, name, getattr(self, name) + theirs)

    def count(self, futures: Iterable[asyncio.Future[Any]]) -> None:
        """Count the outcomes of records, or of whole batches."""
        for future in futures:
            if not future.done():
                self.pending += 1
            elif future.cancelled():
                self.given_up += 1
            elif (error := future.exception()) is not None:
                self.failed[error_name(error)] += 1
            elif isinstance(result := future.result(), BatchResult):
                self.acknowledged += result.acknowledged
                self.failed.update(error_name(each) for each in result.failures.values())
            else:
                self.acknowledged += 1

    def count_callbacks(self, told: Iterable[int]) -> None:
        """Count the calls of on_delivery, given how often that of each record ran."""
        for times in told:
            self.callbacks += 1
            self.callbacks_missing += times == 0
            self.callbacks_doubled += times > 1

    def defects(self) -> list[str]:
        """What may not be, a clause each; empty if every record had one outcome."""
        told = (
            self.acknowledged
            + self.failed.total()
            + self.given_up
            + self.refused
            + self.unheard
            + self.pending
        )
        found = [
            (self.pending, "records stayed without an outcome"),
            (self.sent - told, "records are missing among the outcomes"),
            (told - self.sent, "outcomes are of no record"),
            (self.callbacks_missing, "calls of on_delivery never came"),
            (self.callbacks_doubled, "records had their on_delivery called twice"),
        ]
        clauses = [f"{number:,} {words}" for number, words in found if number > 0]
        named = [f"{words} ({times:,} times)" for words, times in self.trouble.most_common(_NAMED_MAX)]
        return [*clauses, *named]


def error_name(error: BaseException) -> str:
    """librdkafka's name of the error, or the exception's."""
    if isinstance(error, KafkaException):
        name: str = error.args[0].name()
        return name
    return type(error).__name__
