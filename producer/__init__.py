"""An asyncio producer for Apache Kafka. The public names; everything else is private."""

from producer.aio_producer import AIOProducer
from producer.callbacks import BatchResult
from producer.errors import (
    AbortableTransactionError,
    FatalTransactionError,
    ProducerClosedError,
    ProducerFailedError,
    ProducerFencedError,
    RetriableTransactionError,
    TransactionError,
    TransactionStateError,
    WrongLoopError,
)
from producer.message import Message
from producer.message_batch import MessageBatch
from producer.statistics import LatencyHistogram, ProducerStatistics

__all__ = [
    "AIOProducer",
    "AbortableTransactionError",
    "BatchResult",
    "FatalTransactionError",
    "LatencyHistogram",
    "Message",
    "MessageBatch",
    "ProducerClosedError",
    "ProducerFailedError",
    "ProducerFencedError",
    "ProducerStatistics",
    "RetriableTransactionError",
    "TransactionError",
    "TransactionStateError",
    "WrongLoopError",
]
