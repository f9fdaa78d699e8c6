"""DaemonThreads, an executor whose threads never keep the interpreter from exiting; `call_apart` has one for a call.

`ThreadPoolExecutor` joins its threads at exit, also one that waits for a broker which never answers; here
such a thread is left behind with the process.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any, TypeVar

_T = TypeVar("_T")
_Job = tuple["Future[Any]", Callable[[], Any]] | None


def call_apart(fn: Callable[..., _T], /, *args: Any) -> Future[_T]:
    """Call on a new daemon thread, which ends with the call."""
    threads = DaemonThreads(1)
    outcome = threads.submit(fn, *args)
    threads.shutdown()
    return outcome


class DaemonThreads(Executor):
    """Up to `max_workers` daemon threads, started as calls need them."""

    def __init__(self, max_workers: int) -> None:
        self._max_workers = max_workers
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._lock = threading.Lock()
        # Guarded by the lock:
        self._threads = 0
        self._unfinished = 0
        self._closed = False

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """Queue a call. Raises RuntimeError after shutdown."""
        future: Future[_T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("The producer's threads have been stopped; make a new producer.")
            self._jobs.put((future, lambda: fn(*args, **kwargs)))
            self._unfinished += 1
            if self._threads < min(self._unfinished, self._max_workers):
                self._threads += 1
                threading.Thread(target=self._work, name="producer-call", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads end when they have done what is queued. Never waits for a stuck call."""
        if sys.is_finalizing():
            return  # the process takes them all, and one may be gone already that held the lock
        with self._lock:
            if not self._closed:
                self._closed = True
                for _ in range(self._threads):
                    self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, call = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as raised:  # noqa: BLE001 (it belongs to whoever awaits the future)
                    future.set_exception(raised)
            del future, call, job
            with self._lock:
                self._unfinished -= 1
