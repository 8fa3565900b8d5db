"""How long an event takes until it can be read: from `publish` to an entry in a feed in Redis."""

from __future__ import annotations

import time
from collections.abc import Sequence

from msgspec import Struct

from connectors import redis
from connectors.publisher import Publisher
from connectors.redis_keys import Keys, member
from connectors.redis_servers import Client
from connectors.settings import settings
from connectors.stack.addresses import Addresses
from schemas.events import Post

POLL_SECONDS = 0.002
WAIT_SECONDS = 30.0


class Freshness(Struct, frozen=True):
    """Event-to-feed times of a series of posts, in ms; `lost` never came within 30 s."""

    posts: int
    lost: int
    p50_ms: float
    p99_ms: float


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the sorted values do not exceed."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    rank = -int(-share * len(ordered) // 1)
    return ordered[max(0, min(len(ordered) - 1, rank - 1))]


def measure(
    addresses: Addresses,
    partitions: int,
    pairs: Sequence[tuple[str, str]],
    *,
    posts: int = 100,
    pause_s: float = 0.05,
) -> Freshness:
    """Publish posts, one after the other, each by the followed of a pair (follower, followed) of
    which the follow is in force; wait for each to stand in the follower's feed.

    What is waited for is the feed's own key in Redis, read every 2 ms.
    """
    keys = Keys(partitions)
    client = redis.connect(addresses.redis)
    times: list[float] = []
    lost = 0
    run = time.time_ns()
    try:
        in_force = [
            (follower, author)
            for follower, author in pairs[:: max(1, len(pairs) // (4 * posts))]
            if client.zscore(keys.following(follower), f"u:{author}") is not None
        ]
        registry_url = settings().registry_address
        with Publisher(addresses.kafka, linger_ms=0, registry_url=registry_url) as publisher:
            for number in range(posts):
                follower, author = in_force[number * len(in_force) // posts]
                post_id = f"probe:{run}:{number}"
                feed, entry = keys.feed(follower), member(post_id, f"u:{author}")
                began = time.perf_counter()
                publisher.publish(
                    Post(
                        event_id=f"{post_id}:e",
                        action="created",
                        post_id=post_id,
                        author_id=author,
                        at=time.time_ns() // 1_000_000,
                        content="How long does this take?",
                    )
                )
                publisher.poll()
                took = _wait(client, feed, entry, began)
                if took is None:
                    lost += 1
                else:
                    times.append(took * 1000)
                time.sleep(pause_s)
    finally:
        client.close()
    return Freshness(
        posts, lost, round(percentile(times, 0.5), 1), round(percentile(times, 0.99), 1)
    )


def _wait(client: Client, feed: str, entry: bytes, began: float) -> float | None:
    while True:
        if client.zscore(feed, entry) is not None:
            return time.perf_counter() - began
        if time.perf_counter() - began > WAIT_SECONDS:
            return None
        time.sleep(POLL_SECONDS)
