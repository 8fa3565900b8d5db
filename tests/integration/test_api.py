"""The API over the real Redis, Cassandra and Kafka, with views as the sinks write them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from random import Random
from typing import Any

import httpx
import msgspec
import pytest
from cassandra.cluster import Session
from confluent_kafka import Consumer, TopicPartition
from msgspec import Struct
from pydantic import SecretStr

import api.app
import api.archive
import api.heavy
from api.app import create_app
from api.auth import issue
from api.cache import RedisCache
from api.cursors import encode_place
from api.stores import StoreDownError, Told
from connectors import cassandra, redis
from connectors.settings import settings
from connectors.stack.addresses import Addresses
from headrace.traces import Traces
from schemas.codec import decode
from schemas.events import Engagement, Event, Follow, Media, Post
from schemas.topics import IN_CASSANDRA, IN_REDIS, Topic
from schemas.views import (
    AffinityView,
    CommentCountsView,
    CommentView,
    CountersView,
    HeavySource,
    MineView,
    OpenTimeline,
    PostView,
    PushEntry,
    RecentActivity,
    RefillTimeline,
    RelationView,
    SourceView,
    TimelineOp,
    TrendingEntry,
    TrendingView,
    UserView,
    decode_view,
)
from streams.archive_sink import CassandraStore
from streams.engine.sink import Write
from streams.views_sink import RedisStore
from tests.filled import fill

KEY = "k" * 40
PARTITION = 9_999
"""Of no topic: the positions of the real sinks stay as they are."""

TOPIC_OF: dict[type[Struct], Topic] = {
    PostView: Topic.VIEW_POSTS,
    CountersView: Topic.VIEW_COUNTERS,
    CommentView: Topic.VIEW_COMMENTS,
    CommentCountsView: Topic.VIEW_COMMENT_COUNTS,
    MineView: Topic.VIEW_MINE,
    UserView: Topic.VIEW_USERS,
    RelationView: Topic.VIEW_RELATIONS,
    AffinityView: Topic.VIEW_AFFINITY,
    SourceView: Topic.VIEW_SOURCES,
    HeavySource: Topic.VIEW_RECENTS,
    RecentActivity: Topic.VIEW_RECENTS,
    TrendingView: Topic.VIEW_TRENDING,
}


class Sinks:
    """Writes views as the sinks do."""

    def __init__(self, addresses: Addresses) -> None:
        self._redis = redis.connect(addresses.redis)
        self._cluster, session = cassandra.connect(
            addresses.cassandra, settings().cassandra_keyspace
        )
        self._views = RedisStore(self._redis, settings().partitions, "log")
        self._archive = CassandraStore(session, "log")
        self.fill()
        for topic in IN_REDIS:
            self._views.open(topic, PARTITION)
        for topic in IN_CASSANDRA:
            self._archive.open(topic, PARTITION)
        self._offset = time.time_ns() // 1_000_000

    def fill(self) -> None:
        """Redis has all that there is."""
        fill(self._redis, settings().partitions)

    def write(self, *views: Struct, redis: bool = True, cassandra: bool = True) -> None:
        """Write view values."""
        for kind in {type(view): None for view in views}:
            raw = [msgspec.msgpack.encode(view) for view in views if type(view) is kind]
            topic = TOPIC_OF[kind]
            self._write(topic, raw, redis and topic in IN_REDIS, cassandra)

    def push(
        self,
        owner: str,
        entries: list[tuple[str, str, int]],
        *,
        redis: bool = True,
        cassandra: bool = True,
    ) -> None:
        """Put entries (post, reason, time) on a timeline, of which Redis keeps the feed."""
        operations: list[TimelineOp] = [
            OpenTimeline(owner, "e", 1),
            RefillTimeline(owner, "e", 0, []),
        ]
        operations += [PushEntry(post, reason, at, [owner]) for post, reason, at in entries]
        self._write(Topic.TIMELINE_WRITES, [msgspec.msgpack.encode(operations)], redis, cassandra)

    def _write(self, topic: Topic, raw: list[bytes], redis: bool, cassandra: bool) -> None:
        writes = []
        for value in raw:
            self._offset += 1
            view = decode_view(topic, value)
            writes.append(Write(self._offset, secrets.token_bytes(8), value, view))
        if redis:
            self._views.write(topic, PARTITION, writes, self._offset)
        if cassandra:
            self._archive.write(topic, PARTITION, writes, self._offset)

    def close(self) -> None:
        self._redis.close()
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def addresses(own_addresses: Addresses) -> Addresses:
    """Parts of this module alone: it writes views that no event implies."""
    return own_addresses


@pytest.fixture(scope="module")
def sinks(addresses: Addresses) -> Iterator[Sinks]:
    sinks = Sinks(addresses)
    yield sinks
    sinks.close()


@pytest.fixture
def name() -> str:
    """A prefix for the ids of one test."""
    return secrets.token_hex(6)


Ask = Callable[..., Awaitable[httpx.Response]]


@asynccontextmanager
async def served(addresses: Addresses) -> AsyncIterator[Ask]:
    """The application over real stores, and what asks it."""
    config = settings().model_copy(update={"jwt_secret": SecretStr(KEY)})
    app = create_app(config, addresses)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client,
    ):

        async def ask(
            method: str, path: str, user: str | None = None, **more: Any
        ) -> httpx.Response:
            headers = {"Authorization": f"Bearer {issue(KEY, user, 60)}"} if user else {}
            return await client.request(method, path, headers=headers, **more)

        yield ask


async def all_pages(ask: Ask, user: str, limit: int = 100) -> tuple[list[str], set[str]]:
    """The posts of all pages of a feed, and what was degraded."""
    posts: list[str] = []
    degraded: set[str] = set()
    cursor = None
    while True:
        params = {"limit": limit, **({"cursor": cursor} if cursor else {})}
        response = await ask("GET", "/api/v1/feed", user, params=params)
        assert response.status_code == 200, response.text
        page = response.json()
        posts += [post["post_id"] for post in page["posts"]]
        degraded |= set(page["degraded"])
        cursor = page["next_cursor"]
        if not page["has_more"]:
            return posts, degraded


def test_a_post_is_the_same_from_redis_and_from_cassandra(
    addresses: Addresses, sinks: Sinks, name: str
) -> None:
    al, bob, post = f"al-{name}", f"bob-{name}", f"post-{name}"
    at = time.time_ns() // 1_000_000
    sinks.write(
        UserView(bob, username="bob", display_name="Bob", avatar="https://x/b.png"),
        PostView(
            post,
            bob,
            at,
            content="hé",
            media=(Media(url="https://x/p.jpg", width=3, height=2, alt="a"),),
            visibility="followers",
            hashtags=("a",),
            reply_to=f"answered-{name}",
        ),
        PostView(f"answered-{name}", bob, at),
        CountersView(post, reactions={"like": 2, "love": 1}, comments=1, shares=3, views=9),
        MineView(al, post, reaction="like", reacted_at=at, is_shared=True, shared_at=at),
        RelationView(al, f"u:{bob}", is_following=True, followed_at=at),
        SourceView(f"u:{bob}", 1),
    )
    sinks.push(al, [(post, f"u:{bob}", at)])

    async def run(where: Addresses) -> tuple[Any, Any, Any]:
        async with served(where) as ask:
            page = (await ask("GET", "/api/v1/feed", al)).json()
            single = (await ask("GET", f"/api/v1/posts/{post}", al)).json()
            profile = (await ask("GET", f"/api/v1/users/{bob}", al)).json()
            assert (await ask("GET", f"/api/v1/posts/{post}")).status_code == 404
            return page, single, profile

    page, single, profile = asyncio.run(run(addresses))
    assert page["degraded"] == []
    shown = page["posts"][0]
    assert shown["my_reaction"] == "like"
    assert shown["is_shared"]
    assert shown["counts"]["reactions"] == {"like": 2, "love": 1}
    assert shown["media_urls"] == ["https://x/p.jpg"]
    assert {key: shown[key] for key in single} == single
    assert profile["followers"] == 1
    assert profile["is_following"]
    other, *rest = asyncio.run(run(replace(addresses, redis="redis://127.0.0.1:9/0")))
    assert other == {**page, "degraded": ["redis"]}
    assert rest == [single, profile]


def test_paging_crosses_from_redis_to_cassandra(
    addresses: Addresses, sinks: Sinks, name: str
) -> None:
    al, bob = f"al-{name}", f"bob-{name}"
    now = time.time_ns() // 1_000_000
    entries = [(f"{name}-{n:04}", f"u:{bob}", now - n * 1_000_000) for n in range(1_700)]
    sinks.write(*(PostView(post, bob, at) for post, _, at in entries))
    sinks.push(al, [*entries, (entries[1_650][0], f"s:cy-{name}", now + 1)])
    wanted = [entries[1_650][0], *(post for post, _, _ in entries if post != entries[1_650][0])]

    async def run(where: Addresses) -> tuple[list[str], set[str]]:
        async with served(where) as ask:
            return await all_pages(ask, al)

    shown, degraded = asyncio.run(run(addresses))
    assert shown == wanted
    assert degraded == set()
    shown, degraded = asyncio.run(run(replace(addresses, redis="redis://127.0.0.1:9/0")))
    assert shown == wanted
    assert degraded == {"redis"}


def test_cassandra_down_serves_what_redis_holds(
    addresses: Addresses, sinks: Sinks, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.app, "CONNECT_SECONDS", 0.5)
    al, bob = f"al-{name}", f"bob-{name}"
    now = time.time_ns() // 1_000_000
    sinks.write(PostView(f"p-{name}", bob, now), CountersView(f"p-{name}"), UserView(bob))
    sinks.push(al, [(f"p-{name}", f"u:{bob}", now)])

    async def run(where: Addresses) -> tuple[httpx.Response, httpx.Response]:
        async with served(where) as ask:
            return await ask("GET", "/api/v1/feed", al), await ask("GET", "/readyz")

    feed, ready = asyncio.run(run(replace(addresses, cassandra="127.0.0.1:9")))
    assert [post["post_id"] for post in feed.json()["posts"]] == [f"p-{name}"]
    assert feed.json()["degraded"] == []
    assert ready.json()["status"] == "degraded"
    nowhere = replace(addresses, cassandra="127.0.0.1:9", redis="redis://127.0.0.1:9/0")
    feed, ready = asyncio.run(run(nowhere))
    assert feed.status_code == ready.status_code == 503


def test_a_comment_is_deleted_by_its_author(addresses: Addresses, sinks: Sinks, name: str) -> None:
    bob, cy, post = f"bob-{name}", f"cy-{name}", f"p-{name}"
    sinks.write(PostView(post, bob, 1), UserView(bob), CommentView(post, "c", cy, 1, "hm"))

    async def run() -> list[int]:
        async with served(addresses) as ask:
            path = f"/api/v1/posts/{post}/engagements"
            body = {"action": "comment_deleted", "comment_id": "c"}
            none = {"action": "comment_deleted", "comment_id": "d"}
            return [
                (await ask("POST", path, f"al-{name}", json=body)).status_code,
                (await ask("POST", path, cy, json=none)).status_code,
                (await ask("POST", path, cy, json=body)).status_code,
            ]

    assert asyncio.run(run()) == [403, 404, 202]


def published(addresses: Addresses, user: str, count: int) -> list[Event]:
    """The events by a user in the external topics."""
    topics = [Topic.POSTS, Topic.ENGAGEMENTS, Topic.FOLLOWS]
    consumer = Consumer(
        {"bootstrap.servers": addresses.kafka, "group.id": "api-test", "auto.offset.reset": "error"}
    )
    consumer.assign(
        [
            TopicPartition(topic, partition, 0)
            for topic in topics
            for partition in range(settings().partitions)
        ]
    )
    found: list[Event] = []
    deadline = time.monotonic() + 30
    try:
        while len(found) < count and time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is None or message.error():
                continue
            event = decode(message.value())
            owner = event.author_id if isinstance(event, Post) else event.user_id
            if owner == user:
                found.append(event)
    finally:
        consumer.close()
    return found


def test_writes_are_in_kafka_when_they_are_accepted(
    addresses: Addresses, sinks: Sinks, name: str
) -> None:
    al, bob, post = f"al-{name}", f"bob-{name}", f"p-{name}"
    sinks.write(PostView(post, bob, 1), UserView(bob))

    async def run() -> list[httpx.Response]:
        async with served(addresses) as ask:
            assert (await ask("GET", "/readyz")).json()["status"] == "ready"
            return [
                await ask("POST", "/api/v1/posts", al, json={"content": "hi", "quote_of": post}),
                await ask("POST", f"/api/v1/posts/{post}/engagements", al, json={"action": "like"}),
                await ask("POST", f"/api/v1/users/{bob}/follow", al),
            ]

    answers = asyncio.run(run())
    assert [answer.status_code for answer in answers] == [202] * 3
    events = {event.event_id: event for event in published(addresses, al, 3)}
    created, liked, followed = (events[answer.json()["event_id"]] for answer in answers)
    assert isinstance(created, Post)
    assert (created.post_id, created.content) == (answers[0].json()["post_id"], "hi")
    assert isinstance(liked, Engagement)
    assert (liked.action, liked.post_id) == ("like", post)
    assert isinstance(followed, Follow)
    assert followed.target == f"u:{bob}"


def test_kafka_down_is_told_in_time(addresses: Addresses) -> None:
    async def run() -> tuple[httpx.Response, float]:
        async with served(replace(addresses, kafka="127.0.0.1:9")) as ask:
            started = time.monotonic()
            response = await ask("POST", "/api/v1/posts", "al", json={"content": "x"})
            return response, time.monotonic() - started

    response, seconds = asyncio.run(run())
    assert response.status_code == 503
    assert seconds < 8


@pytest.mark.parametrize(("authors", "rows_a_page"), [(3, 7), (250, 5_000)])
def test_who_was_dormant_pages_through_the_posts_of_those_followed(
    addresses: Addresses,
    sinks: Sinks,
    name: str,
    authors: int,
    rows_a_page: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever posts much and whoever posts little, and whatever the driver's pages hold: the newest
    of all, each once."""
    monkeypatch.setattr(Session, "default_fetch_size", rows_a_page)
    al, now, rng = f"al-{name}", time.time_ns() // 1_000_000, Random(authors)
    followed = [f"{number}-{name}" for number in range(authors)]
    sinks.write(UserView(al, is_dormant=True))
    sinks.write(*(RelationView(al, f"u:{author}", True, now) for author in followed))
    posts = [
        PostView(f"{number}-{name}", author, now - 1_000 * rng.randrange(500))
        for number, author in enumerate(
            [rng.choice(followed[:2]) for _ in range(150)] + [*followed, f"stranger-{name}"] * 2
        )
    ]
    sinks.write(*posts)
    expected = sorted(
        ((post.at, post.post_id) for post in posts if post.author_id in followed), reverse=True
    )

    async def run() -> list[str]:
        async with served(addresses) as ask:
            found, degraded = await all_pages(ask, al, limit=50)
            assert degraded == set()
            return found

    assert asyncio.run(run()) == [post_id for _, post_id in expected]


@pytest.mark.parametrize("many", [0, 3], ids=["what is followed is read", "asked for by name"])
def test_what_heavy_sources_hold_is_read_of_those_followed(
    addresses: Addresses, sinks: Sinks, name: str, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for store in (api.heavy, api.archive):
        monkeypatch.setattr(store, "MANY_HEAVY", many)
    al, now = f"al-{name}", time.time_ns() // 1_000_000
    stars = [f"star{number}-{name}" for number in range(3)]
    for star in stars:
        sinks.write(
            PostView(f"by-{star}", star, now),
            HeavySource(f"u:{star}", True),
            RecentActivity(f"u:{star}", f"by-{star}", f"u:{star}", now, True),
        )
    sinks.write(*(RelationView(al, f"u:{star}", True, now) for star in stars[:2]))
    sinks.push(al, [])

    async def run(where: Addresses) -> list[str]:
        async with served(where) as ask:
            return (await all_pages(ask, al))[0]

    without_redis = replace(addresses, redis="redis://127.0.0.1:1/0")
    found = [asyncio.run(run(where)) for where in (addresses, without_redis)]
    for star in stars:
        sinks.write(HeavySource(f"u:{star}", False))
    assert found == [[f"by-{star}" for star in reversed(stars[:2])]] * 2


def test_lists_of_users_come_page_by_page(addresses: Addresses, sinks: Sinks, name: str) -> None:
    """In the order of the ids, with topics, former followers and the erased left out."""
    ann, bob, now = f"ann-{name}", f"bob-{name}", time.time_ns() // 1_000_000
    crowd = [f"{letter}{number}-{name}" for letter in "aä日" for number in range(60)]
    left, gone = f"left-{name}", f"gone-{name}"
    sinks.write(
        UserView(ann),
        UserView(gone, status="deleted"),
        *(RelationView(user, f"u:{ann}", True, now) for user in (*crowd, left, gone)),
        *(RelationView(ann, f"u:{user}", True, now) for user in (*crowd[:7], gone)),
        *(RelationView(ann, topic, True, now) for topic in ("t:a", "t:z")),
        *(RelationView(bob, f"u:{user}", True, now) for user in (*crowd[5:9], f"other-{name}")),
    )
    sinks.write(RelationView(left, f"u:{ann}", False))

    async def read(ask: Ask, path: str) -> list[str]:
        found: list[str] = []
        params: dict[str, str] = {"limit": "25"}
        while True:
            response = await ask("GET", f"/api/v1/users/{ann}/{path}", bob, params=params)
            assert response.status_code == 200, response.text
            page = response.json()
            found += [each["user_id"] for each in page["users"]]
            if not page["has_more"]:
                return found
            params["cursor"] = page["next_cursor"]

    async def run() -> list[list[str]]:
        async with served(addresses) as ask:
            return [await read(ask, path) for path in ("followers", "following", "mutuals")]

    followers, following, mutuals = asyncio.run(run())
    assert followers == sorted(crowd)
    assert following == sorted(crowd[:7])
    assert mutuals == sorted(crowd[5:9])


def test_whom_one_mutes_and_blocks_comes_page_by_page(
    addresses: Addresses, sinks: Sinks, name: str
) -> None:
    """Without those who block one, those who are blocked no more, and the erased."""
    ann, eve, left, gone = (f"{each}-{name}" for each in ("ann", "eve", "left", "gone"))
    crowd = [f"{letter}{number}-{name}" for letter in "aä日" for number in range(40)]
    topics = [f"{letter}-{name}" for letter in "aäz"]
    users = [f"u:{user}" for user in (*crowd, left, gone)]
    sinks.write(
        UserView(gone, status="deleted"),
        *(
            RelationView(ann, target, False, is_blocking=target[0] == "u", is_muting=True)
            for target in (*users, *(f"t:{topic}" for topic in topics))
        ),
        RelationView(ann, f"u:{eve}", False, is_blocked=True, has_blocked=False),
        RelationView(eve, f"u:{ann}", False, is_blocking=True),
    )
    sinks.write(RelationView(ann, f"u:{left}", False, is_muting=False))

    async def read(ask: Ask, path: str, user: str) -> tuple[list[str], list[str]]:
        found: tuple[list[str], list[str]] = [], []
        params: dict[str, str] = {"limit": "25"}
        while True:
            response = await ask("GET", f"/api/v1/users/me/{path}", user, params=params)
            assert response.status_code == 200, response.text
            page = response.json()
            found[0].extend(page.get("topics", ()))
            found[1].extend(each["user_id"] for each in page["users"])
            if not page["has_more"]:
                return found
            params["cursor"] = page["next_cursor"]

    async def run() -> list[tuple[list[str], list[str]]]:
        async with served(addresses) as ask:
            asked = (("mutes", ann), ("blocks", ann), ("blocks", eve), ("mutes", eve))
            return [await read(ask, *each) for each in asked]

    mutes, blocks, of_eve, none = asyncio.run(run())
    assert mutes == (sorted(topics), sorted(crowd))
    assert blocks == ([], sorted(crowd))
    assert of_eve == ([], [ann])
    assert none == ([], [])


def test_suggestions_are_the_same_from_redis_and_from_cassandra(
    addresses: Addresses, sinks: Sinks, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Friends of friends, those of close friends first; Redis alone knows blocks and mutes."""
    now = time.time_ns() // 1_000_000
    ann, bob, cat, dan, eve, fay, gus = (f"{each}-{name}" for each in "abcdefg")
    sinks.write(
        *(UserView(user, following=2) for user in (bob, cat)),
        *(UserView(user) for user in (ann, dan, eve)),
        UserView(gus, status="deactivated"),
        SourceView(f"u:{dan}", 9),
        *(RelationView(ann, source, True, now) for source in (f"u:{bob}", f"u:{cat}", "t:a")),
        *(RelationView(bob, f"u:{user}", True, now) for user in (dan, gus)),
        *(RelationView(cat, f"u:{user}", True, now) for user in (eve, ann)),
        AffinityView(ann, cat, 100.0, now - 86_400_000),
        AffinityView(ann, fay, 5.0, now),
    )

    async def read() -> dict[str, Any]:
        async with served(addresses) as ask:
            response = await ask("GET", "/api/v1/users/me/suggestions", ann)
            assert response.status_code == 200, response.text
            found: dict[str, Any] = response.json()
            return found

    found = asyncio.run(read())
    assert [(each["user_id"], each["via"]) for each in found["users"]] == [
        (eve, [cat]),
        (dan, [bob]),
    ]
    near, far = (each["score"] for each in found["users"])
    assert far == 0.5
    assert near == pytest.approx((1 + 0.9) / 2, abs=1e-4)
    assert found["users"][1]["influence"] == 1.0
    assert found["degraded"] == []

    monkeypatch.setattr(api.cache.RedisCache, "_connected", redis_is_down)
    alone = asyncio.run(read())
    assert alone["degraded"] == ["redis"]
    assert [each["user_id"] for each in alone["users"]] == [eve, dan]
    assert alone["users"][1] == found["users"][1]
    assert alone["users"][0]["score"] == pytest.approx(near, abs=1e-4)


def test_what_was_delivered_to_who_is_erased_is_not_kept(
    addresses: Addresses, sinks: Sinks, name: str
) -> None:
    """Neither what was before, nor what is told while the user is being erased."""
    ann, bob = f"ann-{name}", f"bob-{name}"

    async def run() -> list[Told]:
        cache = RedisCache(addresses.redis, settings().partitions)
        sinks.write(UserView(ann), UserView(bob))
        for user_id in (ann, bob):
            await cache.tell(user_id, "like", Told(1, 2))
        found = [await cache.told(ann, "like")]
        sinks.write(UserView(ann, status="deleted"))
        found.append(await cache.told(ann, "like"))
        await cache.tell(ann, "like", Told(3, 4))
        found += [await cache.told(user_id, "like") for user_id in (ann, bob)]
        await cache.close()
        return found

    assert asyncio.run(run()) == [Told(1, 2), Told(), Told(), Told(1, 2)]


async def redis_is_down(*_: object) -> None:
    raise StoreDownError("redis", "TimeoutError")


def test_comments_come_newest_first_with_what_became_of_them(
    addresses: Addresses, sinks: Sinks, name: str
) -> None:
    """One that moved stands once, one that was deleted nowhere."""
    post, now = f"p-{name}", time.time_ns() // 1_000_000
    comments = [CommentView(post, f"c{n}", f"u{n % 3}-{name}", now + n // 2, "") for n in range(60)]
    sinks.write(PostView(post, "ann", now), *comments)
    sinks.write(
        CommentView(post, "c7", "bob", now + 100, "was later"),
        CommentView(post, "c9", "", now + 4, is_deleted=True),
    )
    sinks.write(
        CommentView(post, "c7", "bob", now + 3, "is it", former_times=(now + 100,)),
        CommentCountsView(post, "c7", 2, 1),
    )

    async def run() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        params: dict[str, str] = {"limit": "13"}
        async with served(addresses) as ask:
            while True:
                response = await ask("GET", f"/api/v1/posts/{post}/comments", params=params)
                assert response.status_code == 200, response.text
                page = response.json()
                found += page["comments"]
                if not page["has_more"]:
                    return found
                params["cursor"] = page["next_cursor"]

    found = asyncio.run(run())
    left = [comment for comment in comments if comment.comment_id != "c9"]
    expected = sorted(left, key=lambda each: (each.at, each.comment_id), reverse=True)
    assert [each["comment_id"] for each in found] == [each.comment_id for each in expected]
    (moved,) = (each for each in found if each["comment_id"] == "c7")
    assert (moved["text"], moved["like_count"], moved["reply_count"]) == ("is it", 2, 1)


def test_comments_come_by_their_likes(addresses: Addresses, sinks: Sinks, name: str) -> None:
    post, now = f"p-{name}", time.time_ns() // 1_000_000
    likes = {f"c{n:02}": n % 7 for n in range(60)}
    sinks.write(
        PostView(post, "ann", now),
        *(CommentView(post, each, f"bob-{name}", now, "") for each in likes),
        *(CommentCountsView(post, each, count) for each, count in likes.items()),
    )
    likes |= {"c01": 9, "c06": 0}
    sinks.write(CommentCountsView(post, "c01", 9), CommentCountsView(post, "c06", 0))
    sinks.write(
        CommentView(post, "c13", "", now, is_deleted=True),
        CommentCountsView(post, "c13", is_deleted=True),
    )
    del likes["c13"]

    async def run() -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        params: dict[str, str] = {"limit": "13", "order": "likes"}
        async with served(addresses) as ask:
            while True:
                response = await ask("GET", f"/api/v1/posts/{post}/comments", params=params)
                assert response.status_code == 200, response.text
                page = response.json()
                found += [(each["like_count"], each["comment_id"]) for each in page["comments"]]
                if not page["has_more"]:
                    return found
                params["cursor"] = page["next_cursor"]

    expected = sorted(((count, each) for each, count in likes.items()), reverse=True)
    assert asyncio.run(run()) == expected


def test_a_ranked_feed_is_kept_judged_again_and_erased(
    addresses: Addresses, sinks: Sinks, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the real Redis: a viral post among what was pushed, pages, a view, an erasure."""
    al, star, now = f"al-{name}", f"star-{name}", time.time_ns() // 1_000_000
    posts = [f"p{n:02}-{name}" for n in range(60)]
    authors = [f"a{n % 20}-{name}" for n in range(60)]
    viral = f"v-{name}"
    sinks.write(*map(UserView, {al, star, *authors}))
    sinks.write(*(PostView(p, a, now - 60_000) for p, a in zip(posts, authors, strict=True)))
    sinks.write(PostView(viral, star, now - 60_000), CountersView(viral, {"like": 9_000}))
    sinks.write(*(CountersView(p, {"like": n}, views=90) for n, p in enumerate(posts)))
    sinks.write(AffinityView(al, authors[7], 90.0, now))
    entries = [TrendingEntry(viral, 9.0, 90, 90, is_viral=True)]
    sinks.write(TrendingView("posts", "1h", "", 0, now, tuple(entries)), cassandra=False)
    disliked, liked = posts[58], posts[59]
    sinks.write(MineView(al, disliked, None, hidden_at=now), MineView(al, liked, "love", now))
    sinks.push(al, [(p, f"u:{a}", now) for p, a in zip(posts, authors, strict=True)])
    params = {"mode": "ranked", "limit": 20, "explain": "true"}
    kept = "posts that were seen, ranked feeds (Redis)"
    traces = Traces(addresses, settings().cassandra_keyspace, settings().partitions)

    async def run() -> None:
        async with served(addresses) as ask:

            async def read(**more: Any) -> dict[str, Any]:
                response = await ask("GET", "/api/v1/feed", al, params=params | more)
                assert response.status_code == 200, response.text
                found: dict[str, Any] = response.json()
                assert found["degraded"] == []
                return found

            first = await read()
            best = [each["post_id"] for each in first["posts"]]
            assert viral in best[:3]
            mine = {each["post_id"]: each["my_reaction"] for each in first["posts"]}
            assert mine == {**dict.fromkeys(best), liked: "love"}
            near = next(n for n, p in enumerate(posts) if p in best and authors[n] == authors[7])
            terms = first["posts"][best.index(posts[near])]["explanation"]["first_pass"]["terms"]
            affinity = {term["name"]: term["value"] for term in terms}["affinity"]
            assert affinity == pytest.approx(1.9, abs=1e-3)
            gone = sorted({*posts} - {*best, disliked})[:5]
            sinks.write(*(PostView(post, star, now, is_deleted=True) for post in gone))
            cursor, shown = first["next_cursor"], best
            while cursor:
                page = await read(cursor=cursor)
                shown = shown + [each["post_id"] for each in page["posts"]]
                cursor = page["next_cursor"]
            assert sorted(shown) == sorted({*posts, viral} - {*gone, disliked})
            again = await ask(
                "GET", "/api/v1/feed", star, params=params | {"cursor": first["next_cursor"]}
            )
            assert again.status_code == 410

            path = f"/api/v1/posts/{best[0]}/engagements"
            assert (await ask("POST", path, al, json={"action": "view"})).status_code == 202
            fresh = await read(limit=100)
            seen = next(each for each in fresh["posts"] if each["post_id"] == best[0])
            assert {"name": "seen", "value": 0.3} in seen["explanation"]["demotions"]
            why = await ask("GET", "/api/v1/feed/why-not", al, params={"post_id": best[0]})
            assert why.json()["step"] == "ranked"
            assert why.json()["position"] == fresh["posts"].index(seen) + 1

            cursor = (await read())["next_cursor"]
            assert traces.of(al)[kept] == 3
            sinks.write(UserView(al, status="deleted"))
            assert traces.of(al)[kept] == 0
            erased = await ask("GET", "/api/v1/feed", al, params=params | {"cursor": cursor})
            assert erased.status_code == 410
            sinks.write(UserView(al))
            unseen = await read(limit=100)
            assert not any(
                term["name"] == "seen"
                for each in unseen["posts"]
                for term in each["explanation"]["demotions"]
            )

            monkeypatch.setattr(api.cache.RedisCache, "_connected", redis_is_down)
            page = (await ask("GET", "/api/v1/feed", al, params=params)).json()
            assert page["degraded"] == ["redis"]
            assert len(page["posts"]) == 20
            assert {each["explanation"]["ranker"] for each in page["posts"]} == {"latest"}

    with closing(traces):
        asyncio.run(run())


def test_likes_and_posts_of_a_user_are_the_same_from_redis_and_from_cassandra(
    addresses: Addresses, sinks: Sinks, name: str
) -> None:
    al, bob = f"al-{name}", f"bob-{name}"
    now = time.time_ns() // 1_000_000
    posts = [f"{name}-{n}" for n in range(6)]
    sinks.write(
        UserView(bob, username="bob"),
        *(PostView(post, bob, now - 1_000 * n) for n, post in enumerate(posts)),
        *(MineView(al, post, "like", now + 10) for post in posts[:3]),
        *(MineView(al, post, "wow", now + n) for n, post in enumerate(posts[3:])),
    )
    again = MineView(al, posts[3], "love", now + 20, is_again=True)
    sinks.write(again, MineView(al, posts[1], None, now + 21, is_again=True))
    sinks.push(al, [(post, f"u:{bob}", now - 1_000 * n) for n, post in enumerate(posts)])

    async def listed(ask: Any, path: str) -> list[tuple[str, str | None]]:
        found: list[tuple[str, str | None]] = []
        cursor = ""
        while True:
            page = (await ask("GET", f"/api/v1/users/{path}?limit=2{cursor}", al)).json()
            found += [(post["post_id"], post["my_reaction"]) for post in page["posts"]]
            if not page["has_more"]:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    async def run(where: Addresses) -> tuple[Any, Any, Any]:
        async with served(where) as ask:
            likes, theirs = await listed(ask, "me/likes"), await listed(ask, f"{bob}/posts")
            bottom = encode_place((now - 5_000, posts[5]))
            newer = (await ask("GET", f"/api/v1/feed?since={bottom}", al)).json()
            return likes, theirs, [post["post_id"] for post in newer["posts"]]

    expected = (
        [
            (posts[3], "love"),
            (posts[2], "like"),
            (posts[0], "like"),
            (posts[5], "wow"),
            (posts[4], "wow"),
        ],
        [
            (post, reaction)
            for post, reaction in zip(
                posts, ["like", None, "like", "love", "wow", "wow"], strict=True
            )
        ],
        posts[4::-1],
    )
    assert asyncio.run(run(addresses)) == expected
    assert asyncio.run(run(replace(addresses, redis="redis://127.0.0.1:9/0"))) == expected
