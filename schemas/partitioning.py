"""Which partition an entity lives in: murmur2, as Kafka's Java client does it."""

from __future__ import annotations

from functools import lru_cache

from murmurhash2 import murmurhash2

KAFKA_SEED = 0x9747B28C


@lru_cache(maxsize=1 << 18)
def partition_of(entity: str, partitions: int) -> int:
    """The partition, 0 to `partitions - 1`, of an entity's log and views."""
    hashed: int = murmurhash2(entity.encode(), KAFKA_SEED)
    return (hashed & 0x7FFFFFFF) % partitions
