"""Redis as one server, or as a cluster of servers that share the slots of the keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from redis import Redis, RedisCluster
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,
    MovedError,
    ReadOnlyError,
    RedisClusterException,
    SlotNotCoveredError,
    TimeoutError,
    TryAgainError,
)

Client = Redis | RedisCluster

_MAY_HAVE_CHANGED = (
    ConnectionError,
    TimeoutError,
    ClusterDownError,
    ReadOnlyError,  # of a server that became a replica
    SlotNotCoveredError,
)


@contextmanager
def server_of(client: Client, key: str) -> Iterator[Redis]:
    """The server that has a key, to be used for its slot.

    Nothing is sent a second time here. What a cluster cannot do within the context is raised, and
    what is known of its servers is renewed for the next time.

    Raises:
        TryAgainError: another server of the cluster has the key, or part of its slot.
    """
    if not isinstance(client, RedisCluster):
        yield client
        return
    servers = client.nodes_manager
    name = None
    try:
        node = servers.get_node_from_slot(key_slot(key.encode()))
        name = node.name
        yield client.get_redis_connection(node)
    except MovedError as error:
        servers.move_slot(error)
        raise TryAgainError(f"the slot of {key} has moved: {error}") from error
    except AskError as error:
        raise TryAgainError(f"the slot of {key} is moving: {error}") from error
    except _MAY_HAVE_CHANGED:
        with suppress(RedisClusterException):  # none answers: what was known stays
            servers.initialize(last_failed_node_name=name)
        raise
