"""What the API needs of Redis, Cassandra and Kafka; tests put others in their place."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

from msgspec import Struct, field

from api.circle import Circle, Follows
from api.gcra import Limit, Standing
from api.held import Held, TimelineRow
from api.idempotency import Remembered
from api.reacted import Reacted
from api.seen import Seen
from api.snapshots import Snapshot
from schemas.codec import Published
from schemas.events import Event
from schemas.views import (
    CommentCountsView,
    CommentView,
    CountersView,
    NotificationView,
    PostView,
    SourceView,
    TrendingKind,
    TrendingView,
    TrendingWindow,
    UserView,
)

REDIS = "redis"
CASSANDRA = "cassandra"
KAFKA = "kafka"
REGISTRY = "registry"
USER = "u:"
NEGLIGIBLE = 0.01
"""A score below it and no score are the same."""

Degraded = Literal["cassandra", "redis"]


MANY_HEAVY = 200
"""Up to so many heavy sources are asked for by name whether a user follows them; if there are more,
what the user follows is read."""


Placed = list[tuple[tuple[int, str], CommentView | None]]
"""Places (time in ms, comment id), newest first, with what stands there."""


class StoreDownError(Exception):
    """A store did not answer in time; `store` is its name. `is_outage` unless that says nothing of
    how the store is: it was not asked, or given little time, or refuses what was asked."""

    def __init__(self, store: str, reason: str, *, is_outage: bool = True) -> None:
        super().__init__(f"{store}: {reason}")
        self.store = store
        self.reason = reason
        self.is_outage = is_outage


class NotFilledError(StoreDownError):
    """A store answers, and does not have all yet: it has lost what it had, and is being filled."""

    def __init__(self, store: str) -> None:
        super().__init__(store, "being filled", is_outage=False)


class Wanted(Struct):
    """What to load in one go. `mine` are posts to which the viewer may have reacted, or that are
    shared or hidden, `hidden` those of which only the last is asked; `follows` pairs (user,
    target); `blocks` the sources that may be blocked or muted, `favourites` those that may be the
    viewer's favourites. It must be as it is at `since`, a time of `time.monotonic`, or later; by
    default, when it is asked for."""

    viewer: str | None = None
    posts: list[str] = field(default_factory=list)
    counters: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    mine: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    follows: list[tuple[str, str]] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    favourites: list[str] = field(default_factory=list)
    since: float = math.inf


class Found(Struct):
    """What was found of what was wanted; what is absent was not there.

    `reactions` are the viewer's, by post; `blocked` those of the wanted sources that block the
    viewer or are blocked, `muted` those that the viewer mutes, `favourites` those that are
    favourites.
    """

    posts: dict[str, PostView] = field(default_factory=dict)
    counters: dict[str, CountersView] = field(default_factory=dict)
    users: dict[str, UserView] = field(default_factory=dict)
    sources: dict[str, SourceView] = field(default_factory=dict)
    reactions: dict[str, str] = field(default_factory=dict)
    shared: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    follows: set[tuple[str, str]] = field(default_factory=set)
    blocked: set[str] = field(default_factory=set)
    muted: set[str] = field(default_factory=set)
    favourites: set[str] = field(default_factory=set)


class Inclinations(Struct):
    """Subjects with their scores of now, strongest first."""

    likes: list[tuple[str, float]]
    aversions: list[tuple[str, float]]


class Told(Struct, frozen=True, array_like=True):
    """What of a notification was delivered last: how many acts, and the time (ms) of the newest."""

    count: int = 0
    at: int = 0


class Cache(Protocol):
    """The views in Redis. Every call may raise `StoreDownError`."""

    async def timeline(self, user_id: str) -> Held:
        """All entries that are held, those of the heavy sources that the user follows among
        them."""

    async def followed_heavy(self, user_id: str) -> list[str]:
        """The heavy sources that a user follows."""

    async def load(self, wanted: Wanted) -> Found:
        """What is there of `wanted`, in one round trip; in none when it is all kept."""

    def kept_posts(self, ids: Iterable[str]) -> Sequence[PostView | None]:
        """What is known of posts without asking; they may have changed."""

    async def holder(self, name: str) -> str | None:
        """Whose a user name is, in its common form."""

    async def interests(self, user_id: str, limit: int, now: int) -> Inclinations:
        """What a user likes and not at a time (ms), at most so many each; users as `u:`."""

    async def notifications(self, user_id: str, limit: int) -> tuple[list[NotificationView], int]:
        """The newest notifications of a user, and the time (ms) up to which they were seen."""

    async def devices(self, user_id: str) -> tuple[str, ...]:
        """The tokens of a user's devices."""

    async def told(self, user_id: str, key: str) -> Told:
        """What of a notification was delivered last."""

    async def tell(self, user_id: str, key: str, told: Told) -> None:
        """Keep for two days what of a notification was delivered."""

    async def awaiting(self, limit: int) -> list[str]:
        """The oldest posts that await a moderator, at most so many."""

    async def reacted(self, user_id: str, below: tuple[int, str], limit: int) -> list[Reacted]:
        """The newest reactions of a user below a place (time in ms, post id), at most so many, of
        the newest 10,000."""

    async def best_comments(self, post_id: str, limit: int) -> list[tuple[int, str]]:
        """The comments on a post with most likes: likes and id, both descending."""

    async def circle(self, user_id: str, now: int) -> Circle:
        """The newest follows of a user, and who is closest at a time (ms); one round trip."""

    async def follows_of(self, users: list[str]) -> dict[str, Follows]:
        """The newest 100 sources that each of some users follows; one round trip."""

    async def trending(
        self, kind: TrendingKind, window: TrendingWindow, language: str
    ) -> list[TrendingView]:
        """The lists of all partitions, in one round trip; the language `""` stands for all."""

    async def viral(self, limit: int) -> list[str]:
        """The posts that are viral, at most `limit`, first those upon which most users have
        acted in the last hour; in one round trip. Who asks judges who may see them."""

    async def ping(self) -> None:
        """Return if the store answers."""

    async def close(self) -> None:
        """Close the connections."""


class Archive(Protocol):
    """The views in Cassandra. Every call may raise `StoreDownError`."""

    async def timeline(
        self, owner: str, below: tuple[int, str, str], oldest: int, limit: int
    ) -> Sequence[TimelineRow]:
        """The newest rows below a place and not before `oldest` (ms); fewer than `limit` only
        when there are no more."""

    async def pulled(self, user_id: str) -> Sequence[TimelineRow]:
        """What is held by the heavy sources that a user follows, in no set order."""

    async def authors(self, user_id: str) -> list[str]:
        """The user and the users that this one follows, up to a bound."""

    async def authored(
        self, authors: list[str], below: tuple[int, str, str], oldest: int, limit: int
    ) -> Sequence[TimelineRow]:
        """The newest posts of authors, as `timeline` of one on which they all stand."""

    async def load(self, wanted: Wanted) -> Found:
        """What is there of `wanted`, all but the blocks, read concurrently."""

    async def comment(self, post_id: str, comment_id: str) -> CommentView | None:
        """A comment that was not deleted."""

    async def comments_named(self, post_id: str, comment_ids: list[str]) -> dict[str, CommentView]:
        """Those of some comments on a post that were not deleted, by id."""

    async def comment_counts(
        self, post_id: str, comment_ids: list[str]
    ) -> dict[str, CommentCountsView]:
        """Comment id to the counts, of those of some comments on a post that have any."""

    async def comments(self, post_id: str, below: tuple[int, str], limit: int) -> Placed:
        """The newest places of comments on a post below one (time in ms, id), with the comments;
        None for one that goes or moves just now."""

    async def followers(self, source: str, after: str, limit: int) -> list[str]:
        """The users behind one who follow a source, in the order of their ids."""

    async def followers_among(self, source: str, users: list[str]) -> list[str]:
        """Those of some users, at most a few hundred, who follow a source."""

    async def followed(self, user_id: str, after: str, limit: int) -> list[str]:
        """The users behind one whom a user follows, in the order of their ids."""

    async def muted(self, user_id: str, after: str, limit: int) -> list[str]:
        """The sources behind one that a user mutes, in the order of their names."""

    async def blocked(self, user_id: str, after: str, limit: int) -> list[str]:
        """The users behind one whom a user blocks, in the order of their ids; not who blocks the
        user."""

    async def holder(self, name: str) -> str | None:
        """Whose a user name is, in its common form."""

    async def interests(self, user_id: str, limit: int, now: int) -> Inclinations:
        """What a user likes and not at a time (ms), at most so many each; users as `u:`."""

    async def circle(self, user_id: str, now: int) -> Circle:
        """Follows of a user, up to a bound, newest first, and who is closest at a time (ms)."""

    async def follows_of(self, users: list[str]) -> dict[str, Follows]:
        """100 sources that each of some users follows, in the order of their ids."""

    async def reacted(self, user_id: str, below: tuple[int, str], limit: int) -> list[Reacted]:
        """The newest reactions of a user below a place (time in ms, post id), at most so many;
        fewer only when there are no more."""

    async def has_posts(self, author_id: str) -> bool:
        """Whether there is any post of an author."""

    async def ping(self) -> None:
        """Return if the store answers."""

    async def close(self) -> None:
        """Close the connections."""


class Writer(Protocol):
    """Publishes events to Kafka."""

    async def publish(self, events: Iterable[Published]) -> None:
        """Return when Kafka has all events on disk, else raise `StoreDownError`."""

    async def publish_each(self, events: Iterable[Event]) -> list[StoreDownError | None]:
        """Return when it is known of each event whether Kafka has it on disk: else, the error."""

    async def ping(self) -> None:
        """Return if Kafka answers."""

    async def close(self) -> None:
        """Send what is under way and stop."""


class Taken(Struct, frozen=True):
    """How a caller stands who writes: with the limit, None without one, and whether the account is
    erased, as far as the views show it."""

    standing: Standing | None
    is_erased: bool = False


class Ledger(Protocol):
    """What the API itself keeps in Redis of who writes. Every call may raise `StoreDownError`."""

    async def claim(self, caller: str, key: str, request: Remembered) -> Remembered:
        """What is kept under a caller's idempotency key for a day: `request`, unless there was
        something."""

    async def settle(self, caller: str, key: str, request: Remembered) -> None:
        """Keep for a day how a request was answered."""

    async def forget(self, caller: str, key: str, request: Remembered) -> None:
        """Keep nothing of a request that came to nothing, unless another has settled it."""

    async def take(self, kind: str, caller: str, limit: Limit | None) -> Taken:
        """Take one write of a class from a caller's limit, if there is one, and see whether the
        caller's account is erased."""


class Rankings(Protocol):
    """What the API itself keeps in Redis to rank feeds. Every call may raise `StoreDownError`."""

    async def seen(self, user_id: str) -> Seen:
        """The posts that a user has seen lately."""

    async def see(self, user_id: str, post_id: str) -> None:
        """A user has seen a post."""

    async def keep(self, user_id: str, name: str, snapshot: Snapshot) -> None:
        """Keep a ranked feed of a user for some minutes."""

    async def snapshot(self, user_id: str, name: str) -> Snapshot | None:
        """A ranked feed of a user; None when it is not there, or not any more."""


class Stores(Struct, frozen=True):
    """The three stores; the ledger and the rankings are in the cache's."""

    cache: Cache
    archive: Archive
    writer: Writer
    ledger: Ledger
    rankings: Rankings

    async def close(self) -> None:
        """Close all three."""
        await self.writer.close()
        await self.cache.close()
        await self.archive.close()
