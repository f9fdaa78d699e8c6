"""Transaction: `async with producer.transaction():`, where leaving decides between commit and abort."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Protocol

from producer.errors import FatalTransactionError, RetriableTransactionError, TransactionError

COMMIT_ATTEMPTS_MAX = 5


class TransactionalProducer(Protocol):
    """What a transaction needs of its producer."""

    async def begin_transaction(self) -> None: ...
    async def commit_transaction(self, timeout: float = -1) -> None: ...
    async def abort_transaction(self, timeout: float = -1) -> None: ...


class Transaction:
    """One transaction as a block.

    Left normally it commits, repeating a commit that may be repeated; when that fails it aborts and raises
    the commit's error. Left by an exception or a cancellation it aborts and lets that go on. After a fatal
    error neither is tried.
    """

    def __init__(self, producer: TransactionalProducer) -> None:
        self._producer = producer

    async def __aenter__(self) -> None:
        await self._producer.begin_transaction()

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        if raised is None:
            try:
                await self._commit()
            except FatalTransactionError:
                raise
            except BaseException:
                await self._abort()
                raise
        elif not isinstance(raised, FatalTransactionError):
            await self._abort()

    async def _commit(self) -> None:
        for attempts_left in reversed(range(COMMIT_ATTEMPTS_MAX)):
            try:
                await self._producer.commit_transaction()
            except RetriableTransactionError:
                if not attempts_left:
                    raise
            else:
                return

    async def _abort(self) -> None:
        """Abort to the end, also while being cancelled. The block's own error is the one to be raised."""
        aborting = asyncio.ensure_future(self._producer.abort_transaction())
        try:
            await asyncio.shield(aborting)
        except TransactionError:
            return
        except asyncio.CancelledError:
            await asyncio.wait([aborting])
            raise
