"""Redis as a sink leaves it that has caught up, for tests that write views without one."""

from __future__ import annotations

from connectors.redis_fence import Fence
from connectors.redis_keys import Keys
from connectors.redis_servers import Client
from schemas.topics import IN_REDIS


def fill(client: Client, partitions: int, log_id: str = "log") -> None:
    """Say of all partitions that they are filled; their positions stay."""
    fence = Fence(client, log_id)
    for topic in IN_REDIS:
        for partition in range(partitions):
            key = Keys.position(topic, partition)
            fence.take_over(key)
            fence.fill(key)
