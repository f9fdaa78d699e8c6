"""An asyncio producer for Apache Kafka. The public names; everything else is private."""

from producer.aio_producer import AIOProducer
from producer.callbacks import BatchResult, DeliveryFuture
from producer.errors import (
    AbortableTransactionError,
    FatalTransactionError,
    ProducerClosedError,
    ProducerFailedError,
    RetriableTransactionError,
    TransactionError,
    WrongLoopError,
)
from producer.message_batch import MessageBatch

__all__ = [
    "AIOProducer",
    "AbortableTransactionError",
    "BatchResult",
    "DeliveryFuture",
    "FatalTransactionError",
    "MessageBatch",
    "ProducerClosedError",
    "ProducerFailedError",
    "RetriableTransactionError",
    "TransactionError",
    "WrongLoopError",
]
