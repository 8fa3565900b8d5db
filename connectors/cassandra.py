"""Connections to Cassandra."""

from __future__ import annotations

import logging
from typing import Any

from cassandra import (
    AuthenticationFailed,
    OperationTimedOut,
    Timeout,
    Unavailable,
    UnresolvableContactPoints,
)
from cassandra.auth import PlainTextAuthProvider
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

from connectors.security import RefusedError, causes, is_untrusting
from connectors.settings import settings

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

    Raises:
        RefusedError: no host is trusted and takes the password.
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
        **security_options(),
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        protocol_version=5,
        connect_timeout=10,
        reconnection_policy=ExponentialReconnectionPolicy(0.5, 2.0, max_attempts=None),
    )
    try:
        return cluster, cluster.connect(keyspace)
    except NoHostAvailable as error:
        cluster.shutdown()
        if refused := _refusal(error, hosts):
            raise refused from error
        raise
    except BaseException:
        cluster.shutdown()
        raise


def security_options() -> dict[str, Any]:
    """The options of a client by which it trusts and says who it is, as the settings want it."""
    config = settings()
    security = config.cassandra_security
    options: dict[str, Any] = {}
    if security.is_tls:
        options["ssl_context"] = context = security.context()
        context.check_hostname = config.cassandra_check_hostname
    if security.user:
        options["auth_provider"] = PlainTextAuthProvider(
            security.user, security.password.get_secret_value()
        )
    return options


def _refusal(error: NoHostAvailable, hosts: str) -> RefusedError | None:
    security = settings().cassandra_security
    for reason in _reasons(error):
        for cause in causes(reason):
            if is_untrusting(cause) or "[SSL: " in str(cause):  # the driver keeps its text alone
                return security.untrusted(f"Cassandra at {hosts}", cause)
            if isinstance(cause, AuthenticationFailed):
                return security.unknown(f"Cassandra at {hosts}", cause)
    return None


def _reasons(error: NoHostAvailable) -> list[Any]:
    """Why each host is not available."""
    return list(dict(getattr(error, "errors", None) or {}).values())


def is_passing(error: Exception) -> bool:
    """Whether what Cassandra could not do now may succeed later, without anything changed here."""
    if isinstance(error, NoHostAvailable):
        return not any(isinstance(reason, _LASTING) for reason in _reasons(error))
    return isinstance(error, _PASSING) and not isinstance(error, _LASTING)
