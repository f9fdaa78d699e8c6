"""Whether the installed package can send a record by its compiled transport; its exit status tells.

cibuildwheel runs it for each wheel. The broker is the embedded one, so that it needs nothing but the wheel.
"""

from __future__ import annotations

import asyncio

from producer import AIOProducer
from systest.embedded.mock_cluster import MockCluster

LIMIT_S = 60.0


async def send(address: str) -> str:
    """The transport that a record went by."""
    async with AIOProducer({"bootstrap.servers": address}, transport="compiled") as producer:
        delivery = await producer.produce("wheels", value=b"1")
        message = await delivery
        assert message.error() is None, message.error()
        return producer.transport


if __name__ == "__main__":
    with MockCluster() as cluster:
        transport = asyncio.run(asyncio.wait_for(send(cluster.bootstrap_servers), LIMIT_S))
    assert transport == "compiled", transport
    print(f"Sent and acknowledged by the {transport} transport.")
