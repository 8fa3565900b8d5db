"""Connections to Cassandra."""

from __future__ import annotations

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy
from cassandra.query import named_tuple_factory

DEFAULT_PORT = 9042


def connect(hosts: str, keyspace: str | None = None) -> tuple[Cluster, Session]:
    """A session with the hosts in `host:port,host:port`; shut the cluster down when done."""
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
    )
    return cluster, cluster.connect(keyspace)
