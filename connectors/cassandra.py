"""Connections to Cassandra."""

from __future__ import annotations

import logging

from cassandra import (
    AuthenticationFailed,
    OperationTimedOut,
    Timeout,
    Unavailable,
    UnresolvableContactPoints,
)
from cassandra.cluster import (
    EXEC_PROFILE_DEFAULT,
    Cluster,
    ExecutionProfile,
    NoHostAvailable,
    Session,
)
from cassandra.connection import ConnectionBusy, ConnectionException, ProtocolVersionUnsupported
from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    ExponentialReconnectionPolicy,
    TokenAwarePolicy,
)
from cassandra.pool import NoConnectionsAvailable
from cassandra.protocol import IsBootstrappingErrorMessage, OverloadedErrorMessage
from cassandra.query import named_tuple_factory

DEFAULT_PORT = 9042

_PASSING = (
    ConnectionBusy,
    ConnectionException,
    IsBootstrappingErrorMessage,
    NoConnectionsAvailable,
    NoHostAvailable,
    OperationTimedOut,
    OverloadedErrorMessage,
    Timeout,
    Unavailable,
    UnresolvableContactPoints,
)
_LASTING = (AuthenticationFailed, ProtocolVersionUnsupported)


def connect(hosts: str, keyspace: str | None = None) -> tuple[Cluster, Session]:
    """A session with the hosts in `host:port,host:port`; shut the cluster down when done.

    The driver's own log is silenced: it tells of every try to connect, with a traceback.
    """
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)
    points, port = [], DEFAULT_PORT
    for host in hosts.split(","):
        name, _, number = host.strip().rpartition(":")
        points.append(name or number)
        port = int(number) if name else DEFAULT_PORT
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy()),
        request_timeout=30,
        row_factory=named_tuple_factory,
    )
    cluster = Cluster(
        points,
        port=port,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        protocol_version=5,
        connect_timeout=10,
        reconnection_policy=ExponentialReconnectionPolicy(0.5, 2.0, max_attempts=None),
    )
    try:
        return cluster, cluster.connect(keyspace)
    except BaseException:
        cluster.shutdown()
        raise


def is_passing(error: Exception) -> bool:
    """Whether what Cassandra could not do now may succeed later, without anything changed here."""
    if isinstance(error, NoHostAvailable):
        hosts = getattr(error, "errors", None) or {}
        return not any(isinstance(reason, _LASTING) for reason in dict(hosts).values())
    return isinstance(error, _PASSING) and not isinstance(error, _LASTING)
