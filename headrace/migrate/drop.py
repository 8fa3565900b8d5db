"""Deletes what an old generation has left, once the new one serves."""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import Any

from msgspec import Struct

from connectors import redis
from connectors.admin import check_topics, partition_counts
from connectors.claim import claimed
from connectors.redis_fence import read_mark
from connectors.redis_keys import Keys
from connectors.redis_servers import Client
from connectors.settings import Settings
from connectors.stack.addresses import Addresses
from headrace.migrate import kept
from headrace.migrate.plan import MigrationError
from headrace.migrate.topics import drop_topics, specs_of
from schemas.generation import name_in
from schemas.topics import IN_REDIS, INTERNAL


class Dropped(Struct):
    """How much of a generation was deleted."""

    topics: int
    keys: int


def check(addresses: Addresses, config: Settings, generation: int) -> None:
    """Return if a generation may be deleted.

    Raises:
        MigrationError: it is not an earlier one, or Redis is not filled yet.
        PartitionCountError: the topics are not those of the settings.
    """
    if not 0 < generation < config.generation:
        raise MigrationError(
            f"generation {generation} is not an earlier one than {config.generation}.\n"
            "hint: run it with the HEADRACE_GENERATION that the workers have now"
        )
    check_topics(partition_counts(addresses.kafka), config)
    with closing(redis.connect(addresses.redis)) as client:
        if empty := _not_filled(client, config.partitions):
            raise MigrationError(
                f"Redis is not filled yet by generation {config.generation}: {empty}.\n"
                "hint: start the workers of `views`, and wait until they have come to the end "
                "(docs/operating.md)"
            )


def drop(addresses: Addresses, config: Settings, generation: int, progress: Any) -> Dropped:
    """Delete a generation's topics, its keys in Redis, and the rows on this machine's disk.

    Raises:
        MigrationError, PartitionCountError: as `check`.
    """
    check(addresses, config, generation)
    progress.step("deleting keys")
    with closing(redis.connect(addresses.redis)) as client:
        keys = kept.drop(client, generation)
    progress.step("deleting topics")
    topics = drop_topics(addresses.kafka, [spec.name for spec in specs_of(generation)])
    for app in claimed(config.data_dir / "state" / "app"):
        for topic in INTERNAL:
            shutil.rmtree(app / name_in(generation, topic), ignore_errors=True)
    return Dropped(topics, keys)


def _not_filled(client: Client, partitions: int) -> str | None:
    """A partition of which Redis has not all, if there is one."""
    for topic in IN_REDIS:
        for partition in range(partitions):
            raw: Any = client.get(Keys.position(topic, partition))
            if raw is None or not read_mark(raw).is_filled:
                return f"{topic}/{partition}"
    return None
