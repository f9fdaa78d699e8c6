"""Every error the producer raises of its own, with when it is raised and what to do about it.

Delivery failures are not here: a record's future raises `confluent_kafka.KafkaException`, as confluent's own
clients do.
"""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException


class ProducerClosedError(RuntimeError):
    """The producer is closing or closed, or was dropped while this call waited. Make a new one."""


class ProducerFailedError(RuntimeError):
    """librdkafka met a fatal error, which is the cause of this one. Close the producer and make a new one."""


class WrongLoopError(RuntimeError):
    """Called from another event loop, thread or process than the one that made the producer."""


class TransactionError(KafkaException):
    """A transaction call failed; `args[0]` is the KafkaError. The classes below say what may be done."""


class RetriableTransactionError(TransactionError):
    """Nothing was decided. Make the same call again."""


class AbortableTransactionError(TransactionError):
    """This transaction cannot be committed. Abort it, then begin another."""


class FatalTransactionError(TransactionError):
    """The producer can do no more: most often a newer one with its transactional.id fenced it. Close it."""


def transaction_error(cause: KafkaException) -> KafkaException:
    """The error of a failed transaction call, told apart where librdkafka does; else the cause itself."""
    error: KafkaError = cause.args[0]
    if error.fatal():
        return FatalTransactionError(error)
    if error.txn_requires_abort():
        return AbortableTransactionError(error)
    if error.retriable():
        return RetriableTransactionError(error)
    return cause
