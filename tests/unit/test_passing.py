"""Which errors of the stores pass by themselves."""

from __future__ import annotations

import pytest
from cassandra import (
    AuthenticationFailed,
    InvalidRequest,
    OperationTimedOut,
    ReadTimeout,
    Unavailable,
    WriteTimeout,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionShutdown
from cassandra.protocol import OverloadedErrorMessage
from redis import exceptions as redis_errors

from connectors import cassandra, redis
from connectors.log_id import ForeignStoreError
from connectors.redis_fence import StoreMovedError


def _no_server(cause: Exception) -> Exception:
    """What is raised when no server of a cluster can be asked."""
    error = redis_errors.RedisClusterException("Redis Cluster cannot be connected.")
    error.__cause__ = cause
    return error


PASSES = [
    redis_errors.ConnectionError("Connection refused"),
    redis_errors.TimeoutError("Timeout reading from socket"),
    redis_errors.BusyLoadingError("Redis is loading the dataset in memory"),
    redis_errors.ReadOnlyError("You can't write against a read only replica."),
    redis_errors.TryAgainError("Multiple keys request during rehashing of slot"),
    redis_errors.ClusterDownError("The cluster is down"),
    redis_errors.MasterDownError("Link with MASTER is down"),
    redis_errors.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
    redis_errors.ResponseError("MISCONF Valkey is configured to save RDB snapshots"),
    redis_errors.ResponseError(
        "Command # 1 (SET x y) of pipeline caused error: NOREPLICAS Not enough good replicas"
    ),
    redis_errors.SlotNotCoveredError('Slot "1" is not covered by the cluster.'),
    _no_server(redis_errors.ConnectionError("Connection refused")),
    redis_errors.ResponseError("Attempted to access a non local key in a cluster node script: x"),
    redis_errors.ResponseError("Script attempted to access a non local key in a cluster node"),
]
STAYS = [
    _no_server(redis_errors.AuthenticationError("invalid username-password pair")),
    redis_errors.RedisClusterException("A ``db`` querystring option can only be 0"),
    redis_errors.MovedError("1 127.0.0.1:1"),  # of what is no cluster when it is connected to
    redis_errors.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
    redis_errors.ResponseError(
        "Command # 1 (SET k MISCONF) of pipeline caused error: WRONGTYPE Operation against a key"
    ),
    redis_errors.AuthenticationError("invalid username-password pair"),
    redis_errors.NoPermissionError("this user has no permissions"),
    redis_errors.NoScriptError("No matching script."),
    redis_errors.WatchError("Watched variable changed."),
    StoreMovedError("pos:{p3}:x"),
    ForeignStoreError("Redis", "a", "b"),
    ValueError("x"),
]


@pytest.mark.parametrize("error", PASSES, ids=repr)
def test_what_passes_in_redis(error: Exception) -> None:
    assert redis.is_passing(error)


@pytest.mark.parametrize("error", STAYS, ids=repr)
def test_what_stays_in_redis(error: Exception) -> None:
    assert not redis.is_passing(error)


@pytest.mark.parametrize(
    "error",
    [
        NoHostAvailable("no host", {"127.0.0.1:9042": ConnectionRefusedError(111, "refused")}),
        NoHostAvailable("no host", {}),
        OperationTimedOut(),
        WriteTimeout("x", write_type=0),
        ReadTimeout("x"),
        Unavailable("x"),
        OverloadedErrorMessage(0, "x", None),
        ConnectionShutdown("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_passes_in_cassandra(error: Exception) -> None:
    assert cassandra.is_passing(error)


@pytest.mark.parametrize(
    "error",
    [
        NoHostAvailable("no host", {"127.0.0.1:9042": AuthenticationFailed("bad password")}),
        AuthenticationFailed("bad password"),
        InvalidRequest("unconfigured table"),
        ForeignStoreError("Cassandra", "a", "b"),
        ValueError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_stays_in_cassandra(error: Exception) -> None:
    assert not cassandra.is_passing(error)
