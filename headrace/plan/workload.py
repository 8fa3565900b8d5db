"""What a deployment is to carry."""

from __future__ import annotations

from msgspec import Struct

DAY_S = 24 * 3600


class Workload(Struct, frozen=True, kw_only=True):
    """Users and what they do, on average; the defaults are those of 002, for 1,000 times fewer
    users.

    `heavy_share` is the part of deliveries that are none, since their sources are heavy; `peak` how
    many times the average rate must be carried.
    """

    users: int = 1_000_000
    dau: int = 100_000
    follows: float = 200.0
    posts_per_day: float = 0.5
    """Of an active user, as the next two."""
    reads_per_day: float = 10.0
    engagements_per_day: float = 20.0
    heavy_share: float = 0.0
    post_bytes: int = 1024
    image_bytes: int = 200 * 1024
    image_share: float = 0.3
    """Of posts that have an image."""
    peak: float = 3.0


class Hardware(Struct, frozen=True, kw_only=True):
    """What nodes have, and how far they are to be used."""

    replicas: int = 3
    """Copies in Kafka and in Cassandra."""
    utilization: float = 0.5
    """The part of a processor, of memory and of a disk that is used at the peak."""
    worker_cores: int = 4
    worker_tib: float = 1.0
    redis_gib: float = 64.0
    cassandra_tib: float = 2.0
