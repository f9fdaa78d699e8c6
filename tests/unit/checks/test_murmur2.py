"""Java's partitioner, by the examples of Kafka's own tests."""

from __future__ import annotations

import pytest

from systest.checks.murmur2 import murmur2, partition_of


@pytest.mark.parametrize(
    ("data", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2__known_key__is_what_java_computes(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed % 2**32


def test_partition_of__negative_hash__drops_the_sign_as_java_does() -> None:
    assert partition_of(b"21", 10) == (-973932308 & 0x7FFFFFFF) % 10
