"""The rights of `deploy/rights`, read as an administrator would run them, and given to users."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cassandra.cluster import Session
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from redis import Redis

RIGHTS = Path(__file__).parents[1] / "deploy" / "rights"
PASSWORD = "rain-and-snow"
IN_KAFKA = ("prepare", "app", "views", "archive", "api", "deliver", "producer", "operator")
IN_REDIS = ("views", "api", "deliver", "operator")
IN_CASSANDRA = ("prepare", "archive", "api", "deliver", "operator")


def user_of(process: str) -> str:
    """As whom a process connects to each part."""
    return f"headrace-{process}"


def login(process: str) -> dict[str, str]:
    """The settings by which a process says who it is; whom a part does not know, it refuses."""
    parts = ("KAFKA", "REDIS", "CASSANDRA")
    users = {f"{part}_USER": user_of(process) for part in parts}
    return {
        "KAFKA_SASL_MECHANISM": "PLAIN",
        **users,
        **{f"{part}_PASSWORD": PASSWORD for part in parts},
    }


def kafka_acls(directory: Path) -> list[AclBinding]:
    """What `kafka.sh` has `kafka-acls.sh` do; a stand-in for that is put into a directory."""
    program = directory / "kafka-acls.sh"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    path = f"{directory}{os.pathsep}{os.environ['PATH']}"
    lines = _run("kafka.sh", PATH=path, KAFKA_ADMIN="--bootstrap-server here")
    return [acl for line in lines for acl in _acls_of(line)]


def redis_users() -> list[list[str]]:
    """The commands of `redis.sh`."""
    return _run("redis.sh", REDIS_ADMIN="echo")


def statements(name: str) -> list[str]:
    """The statements of a file for cqlsh."""
    lines = (RIGHTS / name).read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("--"))
    return [each.strip() for each in text.split(";") if each.strip()]


def give_in_kafka(admin: AdminClient, directory: Path) -> None:
    """Give all users their rights in Kafka."""
    for given in admin.create_acls(kafka_acls(directory), request_timeout=10).values():
        given.result()


def take_in_kafka(admin: AdminClient, process: str, right: AclOperation, *names: str) -> None:
    """Take a right on some topics or groups from a process."""
    filters = [
        AclBindingFilter(
            ResourceType.ANY,
            name,
            ResourcePatternType.LITERAL,
            f"User:{user_of(process)}",
            "*",
            right,
            AclPermissionType.ALLOW,
        )
        for name in names
    ]
    for taken in admin.delete_acls(filters, request_timeout=10).values():
        assert len(taken.result()) == 1


def give_in_redis(client: Redis) -> None:
    """Make all users of Redis, with their rights and the password."""
    for command in redis_users():
        client.execute_command(*command)
    for process in IN_REDIS:
        client.execute_command("ACL", "SETUSER", user_of(process), f">{PASSWORD}")


def make_in_cassandra(session: Session) -> None:
    """Make all roles in Cassandra, with the password."""
    for statement in statements("cassandra-roles.cql"):
        session.execute(statement)
    for process in IN_CASSANDRA:
        session.execute(f"ALTER ROLE \"{user_of(process)}\" WITH PASSWORD = '{PASSWORD}'")


def give_in_cassandra(session: Session) -> None:
    """Give the roles their rights, once there are tables."""
    for statement in statements("cassandra.cql"):
        session.execute(statement)


def _run(script: str, **variables: str) -> list[list[str]]:
    done = subprocess.run(
        ["sh", RIGHTS / script],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return [shlex.split(line) for line in done.stdout.splitlines()]


def _acls_of(arguments: list[str]) -> Iterator[AclBinding]:
    parser = argparse.ArgumentParser()
    for flag in ("--add", "--force"):
        parser.add_argument(flag, action="store_true", required=True)
    parser.add_argument("--bootstrap-server", required=True)
    parser.add_argument("--allow-principal", required=True)
    parser.add_argument("--resource-pattern-type", required=True)
    parser.add_argument("--operation", action="append", required=True)
    kinds = {
        "topic": ResourceType.TOPIC,
        "group": ResourceType.GROUP,
        "transactional_id": ResourceType.TRANSACTIONAL_ID,
    }
    for kind in kinds:
        parser.add_argument(f"--{kind.replace('_', '-')}", action="append", default=[])
    found = parser.parse_args(arguments)
    for kind, resource in kinds.items():
        for name in getattr(found, kind):
            for operation in found.operation:
                yield AclBinding(
                    resource,
                    name,
                    ResourcePatternType[found.resource_pattern_type.upper()],
                    found.allow_principal,
                    "*",
                    AclOperation[operation.upper()],
                    AclPermissionType.ALLOW,
                )
