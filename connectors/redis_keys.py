"""The names of the keys in Redis, and how entries are packed into them.

All keys that one partition writes carry its number as their hash tag, so that they share a
slot in a cluster; of generations after the first also that of the generation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from math import exp, log

from connectors.packed_ids import FIRST_LEAD, PACKED_BYTES, pack_id, unpack_id
from schemas.generation import hash_tag, tag_prefix
from schemas.partitioning import partition_of
from schemas.views import CLOSENESS_PER_DAY

DAY_MS = 86_400_000
SEPARATOR = b"\0"
_P = tag_prefix()

API_KEPT = frozenset(
    ("told", "request", "limit", "viewed", "viewed_before", "rankings", "ranked"),
)
"""The kinds of keys that no sink fills from a log, each a user's."""


class Keys:
    """Key names of a deployment with `partitions` partitions per topic."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions

    def _key(self, kind: str, entity: str) -> str:
        return f"{kind}:{{{_P}{partition_of(entity, self.partitions)}}}:{entity}"

    @staticmethod
    def position(topic: str, partition: int) -> str:
        """String: JSON of where a topic's partition stands, and who writes it."""
        return f"pos:{hash_tag(partition)}:{topic}"

    def feed(self, user_id: str) -> str:
        """Sorted set of `member(post, reason)` by time in ms: the newest 1,000 entries."""
        return self._key("feed", user_id)

    def floor(self, user_id: str) -> str:
        """String: the time (ms) at or below which entries may be missing in `feed`, 0 if none are;
        with a `?` before it while the feed is being opened. Absent: there is no feed."""
        return self._key("floor", user_id)

    @staticmethod
    def opened(partition: int) -> str:
        """Hash of the owners of feeds: msgpack of the epoch, and how many answers are missing."""
        return f"opened:{hash_tag(partition)}"

    def post(self, post_id: str) -> str:
        """String: msgpack of `PostView`."""
        return self._key("post", post_id)

    def counters(self, post_id: str) -> str:
        """String: msgpack of `CountersView`."""
        return self._key("counters", post_id)

    def best_comments(self, post_id: str) -> str:
        """Sorted set of the comments on a post by their likes: the 2,000 with most, and those with
        the greatest ids among equals."""
        return self._key("best_comments", post_id)

    def user(self, user_id: str) -> str:
        """String: msgpack of `UserView`."""
        return self._key("user", user_id)

    def name(self, key: str) -> str:
        """String: the user whose a user name is, of the name in its common form."""
        return f"name:{{{_P}{partition_of('@' + key, self.partitions)}}}:{key}"

    def devices(self, user_id: str) -> str:
        """String: msgpack of `DevicesView`; absent for who has none."""
        return self._key("devices", user_id)

    def told(self, user_id: str) -> str:
        """Hash of notifications (kind NUL subject): how many acts had been delivered, and the time
        of the newest; written by who delivers, and deleted with the user."""
        return self._key("told", user_id)

    def source(self, source: str) -> str:
        """String: msgpack of `SourceView`."""
        return self._key("source", source)

    @staticmethod
    def heavy(partition: int) -> str:
        """Set of the heavy sources of a partition."""
        return f"heavy:{hash_tag(partition)}"

    def recent(self, source: str) -> str:
        """Sorted set of `member(post, reason)` by time in ms: what a heavy source holds."""
        return self._key("recent", source)

    @staticmethod
    def awaiting(partition: int) -> str:
        """Sorted set of the posts of a partition that await a moderator, by their time in ms."""
        return f"awaiting:{hash_tag(partition)}"

    @staticmethod
    def trending(partition: int, kind: str, window: str, language: str) -> str:
        """String: msgpack of a partition's `TrendingView`."""
        return f"trending:{hash_tag(partition)}:{kind}/{window}/{language}"

    def following(self, user_id: str) -> str:
        """Sorted set of the sources that a user follows, by the time of the follow in ms."""
        return self._key("following", user_id)

    def favourites(self, user_id: str) -> str:
        """Set of those of them that are favourites: of their posts the user is told."""
        return self._key("favourites", user_id)

    def blocks(self, user_id: str) -> str:
        """Set of the sources that a user blocks or is blocked by."""
        return self._key("blocks", user_id)

    def mutes(self, user_id: str) -> str:
        """Set of the sources that a user mutes."""
        return self._key("mutes", user_id)

    def affinity(self, user_id: str) -> str:
        """Sorted set of the users to whom a user is close, by `fading_rank`."""
        return self._key("affinity", user_id)

    def interests(self, user_id: str) -> str:
        """Sorted set of the topics, languages and kinds of media that a user likes, by
        `fading_rank`."""
        return self._key("interests", user_id)

    def aversions(self, user_id: str) -> str:
        """Sorted set of users (`u:`), topics, languages and kinds of media of which a user wants to
        see less, by `fading_rank` at the rate of aversions."""
        return self._key("aversions", user_id)

    def notifications(self, user_id: str) -> str:
        """Sorted set of a user's notifications (kind NUL subject) by time in ms: the newest 500."""
        return self._key("notifications", user_id)

    def notices(self, user_id: str) -> str:
        """Hash of those: msgpack of `NotificationView`."""
        return self._key("notices", user_id)

    def seen(self, user_id: str) -> str:
        """String: the time (ms) up to which a user has seen the notifications."""
        return self._key("seen", user_id)

    def hidden(self, user_id: str) -> str:
        """Sorted set of the posts that a user hides, by time in ms: the newest 10,000."""
        return self._key("hidden", user_id)

    def reacted(self, user_id: str) -> str:
        """Sorted set of the posts that a user reacted to, by time in ms: the newest 10,000."""
        return self._key("reacted", user_id)

    def kinds(self, user_id: str) -> str:
        """Hash of those of `reacted` that the user did not like: the kind of reaction."""
        return self._key("kinds", user_id)

    def shared(self, user_id: str) -> str:
        """Sorted set of the posts that a user shared, by time in ms: the newest 10,000."""
        return self._key("shared", user_id)

    def request(self, user_id: str, key: str) -> str:
        """String: msgpack of what was asked with a user's idempotency key; kept by the API."""
        return f"{self._key('request', user_id)}\0{key}"

    def limit(self, user_id: str, kind: str) -> str:
        """String: the TAT (µs) of a user's writes of a class (`api.gcra`); kept by the API."""
        return f"{self._key('limit', user_id)}\0{kind}"

    def viewed(self, user_id: str) -> str:
        """String: a Bloom filter of the posts that a user has seen lately; kept by the API."""
        return self._key("viewed", user_id)

    def viewed_before(self, user_id: str) -> str:
        """String: the filter that was full before it."""
        return self._key("viewed_before", user_id)

    def rankings(self, user_id: str) -> str:
        """Sorted set of the ids of a user's ranked feeds by time in ms; kept by the API."""
        return self._key("rankings", user_id)

    def ranked(self, user_id: str) -> str:
        """Hash of those: msgpack of `Snapshot`."""
        return self._key("ranked", user_id)

    def of_ranking(self, user_id: str) -> tuple[str, ...]:
        """All that the API keeps to rank a user's feed."""
        return (
            *(self.viewed(user_id), self.viewed_before(user_id)),
            *(self.rankings(user_id), self.ranked(user_id)),
        )


def by_hash_tag(names: Iterable[str]) -> list[list[str]]:
    """Key names in groups that share a slot in a cluster."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[name[name.index("{") : name.index("}")]].append(name)
    return list(groups.values())


def member(post_id: str, reason: str) -> bytes:
    """An entry as a member of a feed's sorted set: the packed post id, NUL if it is a text, and the
    reason."""
    packed = pack_id(post_id)
    return packed + (b"" if packed[0] >= FIRST_LEAD else SEPARATOR) + pack_reason(reason)


def pack_reason(reason: str) -> bytes:
    """A reason as it ends a member: what it begins with (`u:`, `t:`, `s:`), and the packed id."""
    return reason[:2].encode(errors="surrogateescape") + pack_id(reason[2:])


def halves_of(entry: bytes) -> tuple[bytes, bytes]:
    """A member's packed post id, the same of all entries of a post, and its packed reason."""
    if entry[0] >= FIRST_LEAD:
        return entry[:PACKED_BYTES], entry[PACKED_BYTES:]
    post, _, reason = entry.partition(SEPARATOR)
    return post, reason


def unpack_reason(packed: bytes) -> str:
    """The reason that was packed."""
    return packed[:2].decode(errors="surrogateescape") + unpack_id(packed[2:])


def split_member(entry: bytes) -> tuple[str, str]:
    """(post id, reason) of a member of a feed's sorted set."""
    post, reason = halves_of(entry)
    return unpack_id(post), unpack_reason(reason)


def floor_of(raw: bytes | None) -> int | None:
    """The floor of a feed in ms; None when there is no feed yet."""
    return None if raw is None or raw.startswith(b"?") else int(raw)


def fading_rank(score: float, at: int, per_day: float = CLOSENESS_PER_DAY) -> float:
    """Where a score that fades to `per_day` in a day stands among others that do, at whatever time
    they are compared.

    The logarithm of what the score at `at` (ms) would have been in 1970: all fade at one rate, so
    their order never changes while nothing is added. `score` must be positive.
    """
    return log(score) - at / DAY_MS * log(per_day)


def faded_score(rank: float, now: int, per_day: float = CLOSENESS_PER_DAY) -> float:
    """The score at the time `now` (ms) of a rank made by `fading_rank`."""
    return exp(rank + now / DAY_MS * log(per_day))
