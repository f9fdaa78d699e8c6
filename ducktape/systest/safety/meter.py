"""Takes a sample of what this process holds."""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections import Counter

import psutil
from confluent_kafka import KafkaError

from systest.safety.judgement import Sample

_QUIET_S_MAX = 30.0
"""How long the threads of producers that are gone may take to end before they are taken for leaked."""
_LOOK_S = 0.02
_MIB = 1 << 20
_OWN = "producer."
_ERROR = f"{KafkaError.__module__}.{KafkaError.__qualname__}"


class _MallocInformation(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


class Meter:
    """Made before the first producer; the threads that there are by then count as the process's own."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._threads = self._process.num_threads()
        self._began_s = time.monotonic()
        of_process = ctypes.CDLL(None)
        self._is_sanitized = hasattr(of_process, "__asan_init")
        self._malloc_trim = getattr(of_process, "malloc_trim", None)
        self._malloc_information = getattr(of_process, "mallinfo2", None)
        if self._malloc_information is not None:
            self._malloc_information.restype = _MallocInformation

    def sample(self, records: int, producers: int) -> Sample:
        """Of now, once what ends on its own has ended.

        Args:
            records: sent so far.
            producers: made so far.
        """
        self._wait_for_quiet()
        types = Counter(_type_name(each) for each in gc.get_objects())
        return Sample(
            records=records,
            producers=producers,
            at_s=time.monotonic() - self._began_s,
            rss_mib=None if self._is_sanitized else self._process.memory_info().rss / _MIB,
            heap_mib=self._heap_mib(),
            blocks=sys.getallocatedblocks() or None,
            objects=types.total(),
            objects_but_errors=types.total() - types[_ERROR],
            own_objects=sum(number for name, number in types.items() if name.startswith(_OWN)),
            none_references=sys.getrefcount(None),
            threads=self._process.num_threads(),
            descriptors=self._process.num_fds(),
            types=types,
        )

    def _wait_for_quiet(self) -> None:
        until_s = time.monotonic() + _QUIET_S_MAX
        gc.collect()
        while self._process.num_threads() > self._threads and time.monotonic() < until_s:
            time.sleep(_LOOK_S)
        gc.collect()
        if self._malloc_trim is not None:
            self._malloc_trim(
                0
            )  # what the allocator keeps for later, of each thread's, wanders by tens of MiB

    def _heap_mib(self) -> float | None:
        if self._malloc_information is None or self._is_sanitized:
            return None
        found = self._malloc_information()
        return float(found.uordblks + found.hblkhd) / _MIB


def _type_name(each: object) -> str:
    """Of an object that may be of any kind: a type's own `__module__` need not be a string."""
    kind = type(each)
    if issubclass(kind, type) and str(module := getattr(each, "__module__", "")).startswith(_OWN):
        return f"{module}.{getattr(each, '__qualname__', '')} (the type)"
    return f"{kind.__module__}.{kind.__qualname__}"
