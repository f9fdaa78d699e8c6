"""Every error the producer raises of its own, with when it is raised and what to do about it.

Delivery failures are not here: a record's future raises `confluent_kafka.KafkaException`, as confluent's own
clients do.
"""

from __future__ import annotations

import copyreg

from confluent_kafka import KafkaError, KafkaException


def _kafka_exception(*args: object) -> KafkaException:
    return KafkaException(*args)


# It says that it is of a module which can't be imported. Process pools and task queues send errors as pickles.
copyreg.pickle(KafkaException, lambda raised: (_kafka_exception, raised.args))


class ProducerClosedError(RuntimeError):
    """The producer is closing or closed, or was dropped while this call waited. Make a new one."""


class ProducerFailedError(RuntimeError):
    """librdkafka met a fatal error, which is the cause of this one. Close the producer and make a new one."""


class WrongLoopError(RuntimeError):
    """Called from another event loop, thread or process than the one that made the producer."""


class TransactionError(KafkaException):
    """A transaction call failed; `args[0]` is the KafkaError. The classes below say what may be done."""


class TransactionStateError(TransactionError):
    """The call does not fit where the producer's transactions stand: a mistake in the program. The message
    says what to call instead. Nothing was changed, and nothing was sent.
    """


class RetriableTransactionError(TransactionError):
    """Nothing was decided. Make the same call again: it goes on where it is."""


class AbortableTransactionError(TransactionError):
    """This transaction cannot be committed. Abort it, then begin another."""


class FatalTransactionError(TransactionError, ProducerFailedError):
    """The producer can do no more. Close it and make a new one, which takes up where this one's last commit
    was.
    """


class ProducerFencedError(FatalTransactionError):
    """A newer producer with the same transactional.id has taken over, or the transaction took longer than
    transaction.timeout.ms. Close this one; make a new one only if no other is meant to do the work.
    """


_FENCED_BY = (
    "Another producer with this transactional.id has taken over, or the transaction took longer than "
    "transaction.timeout.ms. Close this one."
)
_FENCED = (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH)


def transaction_error(cause: KafkaException) -> KafkaException:
    """The error of a failed transaction call, told apart where librdkafka does; else the cause itself."""
    error: KafkaError = cause.args[0]
    if error.fatal() and error.code() in _FENCED:
        sentence = f"{_FENCED_BY} librdkafka: {error.str()}"
        return ProducerFencedError(KafkaError(error.code(), sentence, fatal=True))
    if error.fatal():
        return FatalTransactionError(error)
    if error.txn_requires_abort():
        return AbortableTransactionError(error)
    if error.retriable():
        return RetriableTransactionError(error)
    return cause


def never_fits() -> KafkaError:
    """Of a record that finds librdkafka's queue full while nothing else is in it."""
    return KafkaError(
        KafkaError.MSG_SIZE_TOO_LARGE,
        "The record is larger than the whole queue. Raise queue.buffering.max.kbytes, or send less at once.",
    )


def state_refusal() -> KafkaError:
    """Of a record that librdkafka refuses for the state of the transaction, with a code that explains nothing."""
    return KafkaError(
        KafkaError._STATE, "Not sent: an earlier record of the transaction failed, or it had ended."
    )
