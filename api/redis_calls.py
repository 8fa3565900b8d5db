"""Round trips to Redis: in the time that is left of the request, or `StoreDownError`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from api.deadline import time_left
from api.stores import REDIS, StoreDownError
from connectors.redis import GREETING, is_of_cluster, is_passing

TIMEOUT_SECONDS = 0.5
MAX_CONNECTIONS = 512

Client = Redis | RedisCluster


async def connect(url: str) -> Client:
    """A client of the server at `url`, or of the cluster that it is of.

    Raises:
        StoreDownError: it does not answer.
    """
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 1),
        "max_connections": MAX_CONNECTIONS,
    }
    client = Redis.from_url(url, **options)
    try:
        async with _in_time():
            is_cluster = is_of_cluster(await client.execute_command(*GREETING))  # type: ignore[no-untyped-call]
    except BaseException:
        await client.aclose()
        raise
    if not is_cluster:
        return client
    await client.aclose()
    return RedisCluster.from_url(url, require_full_coverage=False, **options)


async def ask(client: Client, commands: Sequence[Sequence[Any]]) -> list[Any]:
    """The answers to commands, in one round trip to each server.

    Raises:
        StoreDownError: one does not answer in time, or refuses.
    """
    async with _in_time(), client.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        return list(await pipe.execute())


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    limit = asyncio.timeout(time_left())
    try:
        async with limit:
            yield
    except (RedisError, RedisClusterException, OSError) as error:
        is_outage = not limit.expired() and (isinstance(error, OSError) or is_passing(error))
        raise StoreDownError(REDIS, type(error).__name__, is_outage=is_outage) from error
