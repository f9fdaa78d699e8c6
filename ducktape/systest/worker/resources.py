"""What the worker process used, and how late its event loop ran."""

from __future__ import annotations

import asyncio
import resource
import time
from array import array

import psutil

from systest.worker.protocol import Resources

LAG_EVERY_S = 0.005
"""Between two looks at how late the loop is."""


class ResourceMeter:
    """CPU and memory from `begin` to `end`; memory is the producer's, without the history that the harness keeps.

    Args:
        held_bytes: size of that history, all of it in memory before `begin`.
    """

    def __init__(self, held_bytes: int) -> None:
        self._held_bytes = held_bytes
        self._process = psutil.Process()
        self._cpu_from_s = self._caller_cpu_from_s = 0.0
        self._rss_start_bytes = self._rss_peak_bytes = 0

    def begin(self) -> None:
        """Call it on the thread that sends, as `end`."""
        self._cpu_from_s, self._caller_cpu_from_s = _cpu_s(), time.thread_time()
        self._rss_start_bytes = self._rss_peak_bytes = self._rss()

    def sample(self) -> None:
        """Looks whether memory is at a new peak; call it about ten times a second."""
        self._rss_peak_bytes = max(self._rss_peak_bytes, self._rss())

    def end(self) -> Resources:
        """What was used from `begin` until now."""
        self.sample()
        return Resources(
            cpu_s=_cpu_s() - self._cpu_from_s,
            caller_cpu_s=time.thread_time() - self._caller_cpu_from_s,
            rss_start_bytes=self._rss_start_bytes,
            rss_end_bytes=self._rss(),
            rss_peak_bytes=self._rss_peak_bytes,
        )

    def _rss(self) -> int:
        return max(0, self._process.memory_info().rss - self._held_bytes)


class LagSampler:
    """By how much a timer of the running loop fires late, about every 5 ms.

    `work_ns` says how much of each lateness the loop's thread can have worked itself: no more than the CPU time that it
    used since the timer was set.
    """

    def __init__(self) -> None:
        self.lag_ns = array("q")
        self.work_ns = array("q")
        self._worked_ns = 0
        self._loop = asyncio.get_running_loop()
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._worked_ns = time.thread_time_ns()
        self._due_s = self._loop.time() + LAG_EVERY_S
        self._timer = self._loop.call_at(self._due_s, self._fired)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _fired(self) -> None:
        lag_ns = max(0, round((self._loop.time() - self._due_s) * 1e9))
        self.lag_ns.append(lag_ns)
        self.work_ns.append(min(lag_ns, time.thread_time_ns() - self._worked_ns))
        self.begin()


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
