"""Stores in memory for the tests of the API, and a client that asks the application directly."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import httpx
from fastapi import FastAPI

from api.app import create_app
from api.auth import issue
from api.circle import FOLLOWS_OF_EACH, MAX_FOLLOWS, Circle, Follows
from api.gcra import Limit, Takes
from api.held import Entries, Held
from api.idempotency import Remembered
from api.limits import Limits
from api.reacted import Reacted
from api.seen import BITS, Seen, bits_of
from api.snapshots import Snapshot
from api.state import Services
from api.stores import (
    Found,
    Inclinations,
    Placed,
    StoreDownError,
    Stores,
    Taken,
    TimelineRow,
    Told,
    Wanted,
)
from connectors.redis_keys import member
from connectors.settings import Settings
from schemas.events import Event
from schemas.views import (
    CommentCountsView,
    CommentView,
    CountersView,
    NotificationView,
    PostView,
    SourceView,
    TrendingEntry,
    TrendingView,
    UserView,
)

KEY = "k" * 40
NOW = 1_767_268_800_000  # 2026-01-01T12:00:00Z
DAY = 86_400_000


class Views:
    """What Redis or Cassandra holds; both fakes read one or two of these."""

    def __init__(self) -> None:
        self.rows: dict[str, list[TimelineRow]] = {}
        self.names: dict[str, str] = {}
        self.inclinations: dict[str, Inclinations] = {}
        self.notices: list[NotificationView] = []
        self.seen = 0
        self.devices: dict[str, tuple[str, ...]] = {}
        self.told: dict[tuple[str, str], Told] = {}
        self.hidden: set[tuple[str, str]] = set()
        self.floors: dict[str, int | None] = {}
        self.recents: dict[str, list[TimelineRow]] = {}
        self.found = Found()
        self.mine: dict[str, tuple[dict[str, str], set[str]]] = {}
        self.reacted: dict[str, dict[str, Reacted]] = {}
        self.followed_at: dict[tuple[str, str], int] = {}
        self.affinities: dict[tuple[str, str], float] = {}
        self.blocks: set[tuple[str, str]] = set()
        self.blocked_by: set[tuple[str, str]] = set()  # (who blocks, who is blocked)
        self.mutes: set[tuple[str, str]] = set()
        self.favourites: set[tuple[str, str]] = set()
        self.comments: dict[tuple[str, str], CommentView] = {}
        self.comment_counts: dict[str, CommentCountsView] = {}
        self.left: set[tuple[int, str]] = set()  # places of comments that go just now
        self.trending: list[TrendingView] = []

    def post(self, post_id: str, author: str, at: int = NOW, **fields: Any) -> None:
        self.found.posts[post_id] = PostView(
            post_id, author, at, **{"content": f"text of {post_id}", **fields}
        )

    def user(self, user_id: str, **fields: Any) -> None:
        self.found.users[user_id] = UserView(user_id, **{"username": user_id, **fields})

    def react(self, user_id: str, post_id: str, at: int = NOW, kind: str = "like") -> None:
        self.mine.setdefault(user_id, ({}, set()))[0][post_id] = kind
        self.reacted.setdefault(user_id, {})[post_id] = Reacted(at, post_id, kind)

    def reactions_below(self, user_id: str, below: tuple[int, str], limit: int) -> list[Reacted]:
        held = (each for each in self.reacted.get(user_id, {}).values() if each.place < below)
        return sorted(held, key=lambda each: each.place, reverse=True)[:limit]

    def counters(self, post_id: str, **fields: Any) -> None:
        self.found.counters[post_id] = CountersView(post_id, **fields)

    def source(self, source: str, followers: int, posts: int = 0) -> None:
        self.found.sources[source] = SourceView(source, followers, posts)

    def follow(self, user_id: str, other: str, at: int = NOW) -> None:
        self.found.follows.add((user_id, f"u:{other}"))
        self.followed_at[user_id, f"u:{other}"] = at

    def followed(self, user_id: str) -> list[str]:
        """The sources that a user follows, newest first."""
        sources = [source for user, source in self.found.follows if user == user_id]
        at = self.followed_at
        return sorted(sources, key=lambda each: (at.get((user_id, each), 0), each), reverse=True)

    def circle(self, user_id: str) -> Circle:
        close = {other: s for (user, other), s in self.affinities.items() if user == user_id}
        closest = dict(sorted(close.items(), key=lambda each: -each[1]))
        return Circle(self.followed(user_id)[:MAX_FOLLOWS], closest)

    def block(self, user_id: str, other: str) -> None:
        self.blocks |= {(user_id, f"u:{other}"), (other, f"u:{user_id}")}
        self.blocked_by.add((user_id, other))

    def mute(self, user_id: str, source: str) -> None:
        self.mutes.add((user_id, source))

    def entry(self, owner: str, post_id: str, reason: str, at: int = NOW) -> None:
        self.rows.setdefault(owner, []).append(TimelineRow(at, post_id, reason))

    def inclined(self, user_id: str, limit: int) -> Inclinations:
        held = self.inclinations.get(user_id, Inclinations([], []))
        return Inclinations(held.likes[:limit], held.aversions[:limit])

    def recent(self, source: str, post_id: str, reason: str, at: int = NOW) -> None:
        """A heavy source holds an activity."""
        self.recents.setdefault(source, []).append(TimelineRow(at, post_id, reason))

    def trend(self, *entries: TrendingEntry, partition: int = 0, at: int = NOW, **of: Any) -> None:
        """A partition lists what is on the rise."""
        said = {"kind": "posts", "window": "1h", "language": "", **of}
        view = TrendingView(partition=partition, at=at, entries=entries, **said)
        self.trending.append(view)

    def pulled(self, user_id: str) -> list[list[TimelineRow]]:
        """What the heavy sources hold that a user follows, newest first of each."""
        follows = self.found.follows
        followed = [held for source, held in self.recents.items() if (user_id, source) in follows]
        return [sorted(held, key=lambda row: row.place, reverse=True) for held in followed]

    def newest_first(self, owner: str) -> list[TimelineRow]:
        return sorted(self.rows.get(owner, []), key=lambda row: row.place, reverse=True)

    def select(self, wanted: Wanted, *, has_blocks: bool) -> Found:
        held = self.found
        reactions, shared = self.mine.get(wanted.viewer or "", ({}, set()))
        blocked = {other for user, other in self.blocks if user == wanted.viewer}
        muted = {source for user, source in self.mutes if user == wanted.viewer}
        return Found(
            posts={k: held.posts[k] for k in wanted.posts if k in held.posts},
            counters={k: held.counters[k] for k in wanted.counters if k in held.counters},
            users={k: held.users[k] for k in wanted.users if k in held.users},
            sources={k: held.sources[k] for k in wanted.sources if k in held.sources},
            reactions={k: reactions[k] for k in wanted.mine if k in reactions},
            shared=shared & set(wanted.mine),
            hidden={k for k in (*wanted.mine, *wanted.hidden) if (wanted.viewer, k) in self.hidden},
            follows=held.follows & set(wanted.follows),
            blocked=blocked & set(wanted.blocks) if has_blocks else set(),
            muted=muted & set(wanted.blocks) if has_blocks else set(),
            favourites={k for k in wanted.favourites if (wanted.viewer, k) in self.favourites},
        )


class FakeStore:
    """Counts calls and fails on demand."""

    name = ""

    def __init__(self) -> None:
        self.is_down = False
        self.calls: list[str] = []

    def touch(self, call: str) -> None:
        self.calls.append(call)
        if self.is_down:
            raise StoreDownError(self.name, "TimeoutError")

    async def ping(self) -> None:
        self.touch("ping")

    async def close(self) -> None:
        self.calls.append("close")


class FakeCache(FakeStore):
    """Redis; `is_partial` while what some heavy sources hold cannot be read."""

    name = "redis"

    def __init__(self, views: Views) -> None:
        super().__init__()
        self.views = views
        self.is_partial = False

    async def timeline(self, user_id: str) -> Held:
        self.touch("timeline")
        feed = Entries(_flat(self.views.newest_first(user_id)))
        recents = [Entries(_flat(rows)) for rows in self.views.pulled(user_id)]
        floor = self.views.floors.get(user_id, 0)
        return Held(feed, floor, recents, is_partial=self.is_partial)

    async def load(self, wanted: Wanted) -> Found:
        self.touch("load")
        return self.views.select(wanted, has_blocks=True)

    def kept_posts(self, ids: Iterable[str]) -> Sequence[PostView | None]:
        return [self.views.found.posts.get(name) for name in ids]

    async def followed_heavy(self, user_id: str) -> list[str]:
        self.touch("followed_heavy")
        follows = self.views.found.follows
        return [source for source in self.views.recents if (user_id, source) in follows]

    async def holder(self, name: str) -> str | None:
        self.touch("holder")
        return self.views.names.get(name)

    async def interests(self, user_id: str, limit: int, now: int) -> Inclinations:
        self.touch("interests")
        assert now == NOW
        return self.views.inclined(user_id, limit)

    async def notifications(self, user_id: str, limit: int) -> tuple[list[NotificationView], int]:
        self.touch("notifications")
        held = [view for view in self.views.notices if view.user_id == user_id]
        return sorted(held, key=lambda view: -view.at)[:limit], self.views.seen

    async def devices(self, user_id: str) -> tuple[str, ...]:
        self.touch("devices")
        return self.views.devices.get(user_id, ())

    async def told(self, user_id: str, key: str) -> Told:
        self.touch("told")
        return self.views.told.get((user_id, key), Told())

    async def tell(self, user_id: str, key: str, told: Told) -> None:
        self.touch("tell")
        self.views.told[user_id, key] = told

    async def reacted(self, user_id: str, below: tuple[int, str], limit: int) -> list[Reacted]:
        self.touch("reacted")
        return self.views.reactions_below(user_id, below, limit)

    async def circle(self, user_id: str, now: int) -> Circle:
        assert now == NOW
        self.touch("circle")
        return self.views.circle(user_id)

    async def best_comments(self, post_id: str, limit: int) -> list[tuple[int, str]]:
        self.touch("best_comments")
        held = self.views.comment_counts.values()
        likes = [(each.likes, each.comment_id) for each in held if each.post_id == post_id]
        return sorted(likes, reverse=True)[:limit]

    async def follows_of(self, users: list[str]) -> dict[str, Follows]:
        self.touch("follows_of")
        found = {user_id: self.views.followed(user_id) for user_id in users}
        return {name: Follows(each[:FOLLOWS_OF_EACH], len(each)) for name, each in found.items()}

    async def awaiting(self, limit: int) -> list[str]:
        self.touch("awaiting")
        posts = self.views.found.posts.values()
        held = sorted((p.at, p.post_id) for p in posts if p.hidden_by == "reports")
        return [post_id for _, post_id in held][:limit]

    async def trending(self, kind: str, window: str, language: str) -> list[TrendingView]:
        self.touch("trending")
        asked = (kind, window, language)
        return [v for v in self.views.trending if (v.kind, v.window, v.language) == asked]

    async def viral(self, limit: int) -> list[str]:
        self.touch("viral")
        lists = await self.trending("posts", "1h", "")
        return [entry.key for each in lists for entry in each.entries if entry.is_viral][:limit]


def _flat(rows: list[TimelineRow]) -> list[bytes]:
    """As a sorted set gives them, newest first."""
    pairs = sorted(((row.at, member(row.post_id, row.reason)) for row in rows), reverse=True)
    return [part for at, entry in pairs for part in (entry, str(at).encode())]


class FakeArchive(FakeStore):
    """Cassandra."""

    name = "cassandra"

    def __init__(self, views: Views) -> None:
        super().__init__()
        self.views = views

    async def timeline(
        self, owner: str, below: tuple[int, str, str], oldest: int, limit: int
    ) -> list[TimelineRow]:
        self.touch("timeline")
        rows = self.views.newest_first(owner)
        return [row for row in rows if row.place < below and row.at >= oldest][:limit]

    async def pulled(self, user_id: str) -> list[TimelineRow]:
        self.touch("pulled")
        return [row for rows in self.views.pulled(user_id) for row in rows]

    async def authors(self, user_id: str) -> list[str]:
        self.touch("authors")
        followed = (target for user, target in self.views.found.follows if user == user_id)
        return [user_id, *(target[2:] for target in followed if target.startswith("u:"))]

    async def authored(
        self, authors: list[str], below: tuple[int, str, str], oldest: int, limit: int
    ) -> list[TimelineRow]:
        self.touch("authored")
        posts = (post for post in self.views.found.posts.values() if not post.is_deleted)
        rows = [
            TimelineRow(post.at, post.post_id, f"u:{post.author_id}")
            for post in posts
            if post.author_id in authors and post.at >= oldest
        ]
        rows.sort(key=lambda row: row.place, reverse=True)
        return [row for row in rows if (row.at, row.post_id) < below[:2]][:limit]

    async def load(self, wanted: Wanted) -> Found:
        self.touch("load")
        return self.views.select(wanted, has_blocks=False)

    async def comment(self, post_id: str, comment_id: str) -> CommentView | None:
        self.touch("comment")
        return self.views.comments.get((post_id, comment_id))

    async def comments_named(self, post_id: str, comment_ids: list[str]) -> dict[str, CommentView]:
        self.touch("comments_named")
        held = self.views.comments
        return {k: held[post_id, k] for k in comment_ids if (post_id, k) in held}

    async def comment_counts(
        self, post_id: str, comment_ids: list[str]
    ) -> dict[str, CommentCountsView]:
        self.touch("comment_counts")
        held = self.views.comment_counts
        return {k: held[k] for k in comment_ids if k in held and held[k].post_id == post_id}

    async def comments(self, post_id: str, below: tuple[int, str], limit: int) -> Placed:
        self.touch("comments")
        held = self.views.comments
        found = {(each.at, name): each for (post, name), each in held.items() if post == post_id}
        places = sorted({*found, *self.views.left}, reverse=True)
        return [(place, found.get(place)) for place in places if place < below][:limit]

    async def followers(self, source: str, after: str, limit: int) -> list[str]:
        self.touch("followers")
        follows = self.views.found.follows
        return sorted(user for user, target in follows if target == source and user > after)[:limit]

    async def followers_among(self, source: str, users: list[str]) -> list[str]:
        self.touch("followers_among")
        return [user for user in users if (user, source) in self.views.found.follows]

    async def followed(self, user_id: str, after: str, limit: int) -> list[str]:
        self.touch("followed")
        followed = (target for user, target in self.views.found.follows if user == user_id)
        users = (target[2:] for target in followed if target.startswith("u:"))
        return sorted(user for user in users if user > after)[:limit]

    async def muted(self, user_id: str, after: str, limit: int) -> list[str]:
        self.touch("muted")
        sources = (source for user, source in self.views.mutes if user == user_id)
        return sorted(source for source in sources if source > after)[:limit]

    async def blocked(self, user_id: str, after: str, limit: int) -> list[str]:
        self.touch("blocked")
        users = (other for user, other in self.views.blocked_by if user == user_id)
        return sorted(other for other in users if other > after)[:limit]

    async def holder(self, name: str) -> str | None:
        self.touch("holder")
        return self.views.names.get(name)

    async def interests(self, user_id: str, limit: int, now: int) -> Inclinations:
        self.touch("interests")
        assert now == NOW
        return self.views.inclined(user_id, limit)

    async def circle(self, user_id: str, now: int) -> Circle:
        assert now == NOW
        self.touch("circle")
        return self.views.circle(user_id)

    async def follows_of(self, users: list[str]) -> dict[str, Follows]:
        self.touch("follows_of")
        found = {user_id: sorted(self.views.followed(user_id)) for user_id in users}
        return {name: Follows(each[:FOLLOWS_OF_EACH], len(each)) for name, each in found.items()}

    async def reacted(self, user_id: str, below: tuple[int, str], limit: int) -> list[Reacted]:
        self.touch("reacted")
        return self.views.reactions_below(user_id, below, limit)

    async def has_posts(self, author_id: str) -> bool:
        self.touch("has_posts")
        return any(post.author_id == author_id for post in self.views.found.posts.values())


class FakeWriter(FakeStore):
    """Kafka."""

    name = "kafka"

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.losing: set[str] = set()

    async def publish(self, events: Iterable[Event]) -> None:
        self.touch("publish")
        self.events.extend(events)

    async def publish_each(self, events: Iterable[Event]) -> list[StoreDownError | None]:
        self.calls.append("publish_each")
        errors: list[StoreDownError | None] = []
        for event in events:
            is_lost = self.is_down or event.event_id in self.losing
            errors.append(StoreDownError(self.name, "TimeoutError") if is_lost else None)
            if not is_lost:
                self.events.append(event)
        return errors


class FakeLedger(FakeStore):
    """What the API keeps in Redis."""

    name = "redis"

    def __init__(self, views: Views) -> None:
        super().__init__()
        self.views = views
        self.requests: dict[tuple[str, str], Remembered] = {}
        self.takes = Takes(1_000)
        self.now_us = 1

    async def claim(self, caller: str, key: str, request: Remembered) -> Remembered:
        self.touch("claim")
        return self.requests.setdefault((caller, key), request)

    async def settle(self, caller: str, key: str, request: Remembered) -> None:
        self.touch("settle")
        self.requests[caller, key] = request

    async def forget(self, caller: str, key: str, request: Remembered) -> None:
        self.touch("forget")
        if self.requests.get((caller, key)) == request:
            del self.requests[caller, key]

    async def take(self, kind: str, caller: str, limit: Limit | None) -> Taken:
        self.touch("take")
        user = self.views.found.users.get(caller)
        is_erased = user is not None and user.status == "deleted"
        if limit is None:
            return Taken(None, is_erased)
        return Taken(self.takes.take(f"{kind} {caller}", self.now_us, limit), is_erased)


class FakeRankings:
    """What the API keeps in Redis; counts as calls of that, and is down with it. `kept` has names
    of users and of their feeds."""

    def __init__(self, redis: FakeCache) -> None:
        self._redis = redis
        self.kept: dict[tuple[str, str], Snapshot] = {}
        self.seen_posts: set[tuple[str, str]] = set()

    async def seen(self, user_id: str) -> Seen:
        self._redis.touch("seen")
        bits = bytearray(BITS // 8)
        for user, post_id in self.seen_posts:
            for bit in bits_of(post_id) if user == user_id else ():
                bits[bit // 8] |= 0x80 >> bit % 8
        return Seen([None, bytes(bits)])

    async def see(self, user_id: str, post_id: str) -> None:
        self._redis.touch("see")
        self.seen_posts.add((user_id, post_id))

    async def keep(self, user_id: str, name: str, snapshot: Snapshot) -> None:
        self._redis.touch("keep")
        self.kept[user_id, name] = snapshot

    async def snapshot(self, user_id: str, name: str) -> Snapshot | None:
        self._redis.touch("snapshot")
        return self.kept.get((user_id, name))


@cache
def application() -> FastAPI:
    """An application without stores; building one takes longer than most tests."""
    return create_app(Settings(jwt_secret=KEY))


class World:
    """An application over fakes. `redis` and `cassandra` hold the same views at first.

    Unless `is_shared` is False, all worlds are one application, and the newest has it.
    """

    def __init__(self, *, is_shared: bool = True, limits: Limits | None = None) -> None:
        self.redis = self.cassandra = Views()
        self.cache = FakeCache(self.redis)
        self.archive = FakeArchive(self.cassandra)
        self.writer = FakeWriter()
        self.ledger = FakeLedger(self.redis)
        self.rankings = FakeRankings(self.cache)
        self.now = NOW
        stores = Stores(self.cache, self.archive, self.writer, self.ledger, self.rankings)
        self.app = application() if is_shared else application.__wrapped__()
        self.app.state.services = Services(stores, lambda: self.now, limits or {})

    def split(self) -> None:
        """Give Cassandra views of its own."""
        self.cassandra = self.archive.views = Views()

    def ask(
        self, method: str, path: str, user: str | None = None, **options: Any
    ) -> httpx.Response:
        """One request, by a user or by nobody."""
        headers = dict(options.pop("headers", {}))
        if user is not None:
            headers["Authorization"] = f"Bearer {issue(KEY, user, 60)}"

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                return await client.request(method, path, headers=headers, **options)

        return asyncio.run(send())

    def feed(self, user: str, **params: Any) -> dict[str, Any]:
        """A page of a feed, which must be served."""
        response = self.ask("GET", "/api/v1/feed", user, params=params)
        assert response.status_code == 200, response.text
        page: dict[str, Any] = response.json()
        return page

    def pages(self, user: str, limit: int, **query: Any) -> list[dict[str, Any]]:
        """All pages of a feed."""
        found = [self.feed(user, limit=limit, **query)]
        while found[-1]["has_more"]:
            cursor = found[-1]["next_cursor"]
            found.append(self.feed(user, limit=limit, cursor=cursor, **query))
            assert len(found) < 1_000
        return found


def ids(page: dict[str, Any]) -> list[str]:
    """The posts of a page, in order."""
    return [post["post_id"] for post in page["posts"]]


def problem_of(response: httpx.Response, status: int) -> dict[str, Any]:
    """The body of a problem, checked to be one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:headrace:problem:")
    assert body["title"]
    assert body["detail"]
    return body
