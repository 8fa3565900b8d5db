"""What the views hold that is a user's, counted before and after an erasure."""

from __future__ import annotations

import time
from typing import Any

from cassandra.cluster import Cluster, Session

from connectors import cassandra, redis
from connectors.cassandra_tables import TIMELINE_TTL_SECONDS, months_back
from connectors.redis_keys import Keys
from connectors.redis_servers import Client
from connectors.stack.addresses import Addresses

_TABLES = {
    "posts": "SELECT count(*) FROM posts_by_author WHERE author_id = %s",
    "reactions and shares": "SELECT count(*) FROM mine WHERE user_id = %s",
    "list of reactions": "SELECT count(*) FROM reactions_by_time WHERE user_id = %s",
    "follows": "SELECT count(*) FROM following WHERE user_id = %s",
    "mutes": "SELECT count(*) FROM muted WHERE user_id = %s",
    "blocks": "SELECT count(*) FROM blocked WHERE user_id = %s",
    "interests": "SELECT count(*) FROM interests WHERE user_id = %s",
    "affinity": "SELECT count(*) FROM affinity WHERE user_id = %s",
}
_FOLLOWERS = "SELECT count(*) FROM followers WHERE source = %s"
_TIMELINE = "SELECT count(*) FROM timeline WHERE owner = %s AND bucket = %s"
_PROFILE = "SELECT username, display_name, bio, avatar, status FROM users WHERE user_id = %s"


class Traces:
    """Counts of what Cassandra and Redis hold of users; close it when done.

    A count costs O(rows of the user). What others' rows say of a user is not found by the user, and
    not counted: their affinity, and comments.
    """

    def __init__(self, addresses: Addresses, keyspace: str, partitions: int) -> None:
        self._redis: Client = redis.connect(addresses.redis)
        self._keys = Keys(partitions)
        cluster, session = cassandra.connect(addresses.cassandra, keyspace)
        self._cluster: Cluster = cluster
        self._session: Session = session

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
        self._cluster.shutdown()

    def status(self, user_id: str) -> str | None:
        """The status of a user in Cassandra; None when nothing is known of the user."""
        row = self._session.execute(_PROFILE, (user_id,)).one()
        return None if row is None else row.status

    def of(self, user_id: str) -> dict[str, int]:
        """Kind of row to how many there are, in Cassandra and in Redis."""
        source = f"u:{user_id}"
        found = {f"{kind} (Cassandra)": self._count(q, user_id) for kind, q in _TABLES.items()}
        found["followers (Cassandra)"] = self._count(_FOLLOWERS, source)
        found["timeline (Cassandra)"] = sum(
            self._count(_TIMELINE, user_id, bucket)
            for bucket in months_back(int(time.time() * 1000), TIMELINE_TTL_SECONDS // 86_400)
        )
        found["profile (Cassandra)"] = self._profile_fields(user_id)
        return found | self._in_redis(user_id)

    def _count(self, query: str, *key: Any) -> int:
        return int(self._session.execute(query, key).one()[0])

    def _profile_fields(self, user_id: str) -> int:
        row = self._session.execute(_PROFILE, (user_id,)).one()
        return 0 if row is None else sum(field is not None for field in row[:-1])

    def _in_redis(self, user_id: str) -> dict[str, int]:
        keys = self._keys
        sizes = {
            "timeline": self._redis.zcard(keys.feed(user_id)),
            "floor of the timeline": self._redis.exists(keys.floor(user_id)),
            "follows": self._redis.zcard(keys.following(user_id)),
            "favourites": self._redis.scard(keys.favourites(user_id)),
            "blocks": self._redis.scard(keys.blocks(user_id)),
            "mutes": self._redis.scard(keys.mutes(user_id)),
            "affinity": self._redis.zcard(keys.affinity(user_id)),
            "reactions": self._redis.zcard(keys.reacted(user_id)),
            "kinds of reactions": self._redis.hlen(keys.kinds(user_id)),
            "shares": self._redis.zcard(keys.shared(user_id)),
            "hidden posts": self._redis.zcard(keys.hidden(user_id)),
            "interests": self._redis.zcard(keys.interests(user_id)),
            "aversions": self._redis.zcard(keys.aversions(user_id)),
            "devices": self._redis.exists(keys.devices(user_id)),
            "notifications": self._redis.zcard(keys.notifications(user_id)),
            "notices": self._redis.hlen(keys.notices(user_id)),
            "notifications that were delivered": self._redis.hlen(keys.told(user_id)),
            "notifications that were read": self._redis.exists(keys.seen(user_id)),
            "posts that were seen, ranked feeds": self._redis.exists(*keys.of_ranking(user_id)),
        }
        return {f"{kind} (Redis)": int(size) for kind, size in sizes.items()}
