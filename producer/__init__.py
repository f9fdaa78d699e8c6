"""An asyncio producer for Apache Kafka. The public names; everything else is private.

A record's story, the same for every shape of it and over both transports:

1. `AIOProducer.produce()` gives what it was given to `Records.accept` (`producer.transport`; its twins are
`producer._librdkafka` and `producer.pure_records`). While there is *room*, nobody else is asked: the record is
checked, made bytes, given a future, and put into the *buffer*, which is in call order. 2. Where there is none,
`ProducerBatchManager.enter` asks whether the caller may produce, makes room up to the next look at the clock, and
lets the loop breathe. While the queue is full, callers stand in *line* with records already made. 3. The buffer is
handed over at the end of the loop's tick (`BufferTimeoutManager`), when a *burst* is full, or at once for a record
that is alone. `ProducerBatchExecutor` has `Records.hand_over` walk it: neighbours of one partition go in one call,
records with headers or a timestamp by themselves, and the first that finds librdkafka's queue full stays, with all
behind it. So order needs no further thought. What librdkafka refuses gets its error as a report. 4. The *transport*
notices reports (a file descriptor, or a thread that waits) and has `Records.drain` settle them within a budget of
time: the record's future, or its place in a `BatchReport`; then its on_delivery is called, and what that raises or
returns is `CallbackManager`'s to follow. 5. After each serving `ProducerBatchManager.make_progress` admits the
line, and wakes flushes. A flush begins a new *epoch*: it is over when all records of older ones are settled.

The counts (accepted, handed over, settled) are the Records' alone. `AIOProducer` has the life cycle and transactions.
"""

from producer.aio_producer import AIOProducer
from producer.callbacks import BatchFailedError, BatchResult
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
    "BatchFailedError",
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
