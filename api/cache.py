"""Reads of the views in Redis: few commands, one round trip a call, to each server of a cluster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from api.cached_likes import read_reacted
from api.circle import FOLLOWS_OF_EACH, MAX_CLOSE, MAX_FOLLOWS, Circle, Follows
from api.circuit import Breaker
from api.heavy import HeavySources
from api.held import Entries, Held
from api.kept_views import Lookup, Question
from api.lately import Lately
from api.memo import Memo
from api.of_viewer import sets_of_viewer
from api.reacted import Reacted
from api.recents import Recents
from api.redis_answers import decode, faded, filled, in_order, scored
from api.redis_calls import Client, OneServer, ask, ask_flat, connect, entries, look_up
from api.stores import (
    REDIS,
    USER,
    Found,
    Inclinations,
    Told,
    Wanted,
)
from connectors.redis_keys import Keys, by_hash_tag, faded_score, floor_of
from schemas.partitioning import partition_of
from schemas.topics import Topic
from schemas.views import (
    AVERSION_PER_DAY,
    CLOSENESS_PER_DAY,
    DELETED,
    CountersView,
    DevicesView,
    NotificationView,
    PostView,
    SourceView,
    TrendingKind,
    TrendingView,
    TrendingWindow,
    UserView,
)

VIRAL_SECONDS = 1.0
"""The lists are made anew every 10 s, and are the same for all who read."""

TOLD_SECONDS = 2 * 24 * 60 * 60
MAX_ENTRIES = 5_000
"""Feeds hold about 1,000 entries; of a larger one the rest is read from the archive."""

T = TypeVar("T")

_POST = msgspec.msgpack.Decoder(PostView)
_COUNTERS = msgspec.msgpack.Decoder(CountersView)
_USER = msgspec.msgpack.Decoder(UserView)
_SOURCE = msgspec.msgpack.Decoder(SourceView)
_DEVICES = msgspec.msgpack.Decoder(DevicesView)
_TOLD = msgspec.msgpack.Decoder(Told)
_NOTICE = msgspec.msgpack.Decoder(NotificationView)
_TRENDING = msgspec.msgpack.Decoder(TrendingView)


class RedisCache:
    """The views in Redis, in one server or in a cluster.

    That something is not there means that there is none only where the sink has filled the
    partition: of relations that is looked at in the same round trip, behind them. Until it has, as
    after Redis has lost all, who asks for relations is told that Redis is down.
    """

    def __init__(self, url: str, partitions: int) -> None:
        self._url = url
        self._keys = keys = Keys(partitions)
        self._post_key = Memo(keys.post)
        self._counters_key = Memo(keys.counters)
        self._user_key = Memo(keys.user)
        self._source_key = Memo(keys.source)
        self._heavy = HeavySources(self._keys, self.run, self._ask_within)
        self._viral = Lately(self._ask_viral, VIRAL_SECONDS)
        self._redis: Client | None = None
        self._circuit = Breaker(REDIS, self._ping)

    async def timeline(self, user_id: str) -> Held:
        """All entries that are held, and what the heavy sources hold that the user follows: one
        round trip, or two if some of it is not kept. O(entries) if they have changed since the last
        read, and O(heavy sources) of which there are few, else O(sources followed).

        The floor is read after the entries: what a trim takes away in between is then below it.
        """
        names = await self._heavy.names()
        commands: list[Sequence[Any]] = [("GET", self._keys.floor(user_id))]
        if names:
            commands.append(self._heavy.question(user_id, names))
        commands.append(("GET", self._mark(Topic.VIEW_RELATIONS, user_id)))
        # Without redis-py's own option the answer stays flat: member, score, member, score.
        newest = ("ZREVRANGE", self._keys.feed(user_id), 0, MAX_ENTRIES - 1, "WITHSCORES")
        feed, (raw_floor, *found, mark) = await self._entries(newest, commands)
        filled([mark])
        followed = self._heavy.answer(names, found[0]) if names else []
        pulled = await self._heavy.held(followed)
        floor = floor_of(raw_floor)
        if floor is None:
            return Held(Entries(()), None, pulled.entries, is_partial=pulled.is_partial)
        if len(feed) == MAX_ENTRIES:
            floor = max(floor, feed.time_of(-1))
        return Held(feed, floor, pulled.entries, is_partial=pulled.is_partial)

    async def followed_heavy(self, user_id: str) -> list[str]:
        """The heavy sources that a user follows, in one round trip. O(heavy sources), or O(sources
        followed) if those are many."""
        return await self._heavy.followed(user_id)

    async def load(self, wanted: Wanted) -> Found:
        """What is there of `wanted`, in one round trip; in none when it is all kept, and in one
        more if many names are wanted, and the viewer's sets in which they may be are large."""
        keys, found = self._keys, Found()
        lookups = [
            Lookup(ids, list(map(key_of.__getitem__, ids)), decoder, into)
            for ids, key_of, decoder, into in (
                (wanted.posts, self._post_key, _POST, found.posts),
                (wanted.counters, self._counters_key, _COUNTERS, found.counters),
                (wanted.users, self._user_key, _USER, found.users),
                (wanted.sources, self._source_key, _SOURCE, found.sources),
            )
            if ids
        ]
        targets: dict[str, list[str]] = defaultdict(list)
        for user_id, target in wanted.follows:
            targets[user_id].append(target)
        question = Question(
            sets_of_viewer(keys, wanted, found),
            [("ZMSCORE", keys.following(each), *followed) for each, followed in targets.items()],
        )
        if question.sets or question.commands:
            groups = await self._groups(self._marks(wanted))
            question.marks = [("MGET", *group) for group in groups]
        elif not lookups:
            return found
        answers = await self._look_up(lookups, question, wanted.since)
        for (user_id, followed), answer in zip(targets.items(), answers, strict=True):
            found.follows.update([(user_id, target) for target in scored(followed, answer)])
        return found

    def kept_posts(self, ids: Iterable[str]) -> Sequence[PostView | None]:
        """What is kept of posts; they may have changed."""
        if not isinstance(self._redis, OneServer):
            return [None for _ in ids]
        return self._redis.views.views(map(self._post_key.__getitem__, ids))

    async def holder(self, name: str) -> str | None:
        """Whose a user name is, in its common form."""
        (raw,) = await self._pipeline([("GET", self._keys.name(name))])
        return None if raw is None else raw.decode()

    async def interests(self, user_id: str, limit: int, now: int) -> Inclinations:
        """What a user likes and not at a time (ms), in one round trip; users as `u:`."""
        keys = self._keys
        wanted = keys.affinity(user_id), keys.interests(user_id), keys.aversions(user_id)
        near, likes, far = await self.run(
            [("ZREVRANGE", key, 0, limit - 1, "WITHSCORES") for key in wanted]
        )
        liked = {
            **{f"{USER}{name}": score for name, score in faded(near, now, CLOSENESS_PER_DAY)},
            **dict(faded(likes, now, CLOSENESS_PER_DAY)),
        }
        return Inclinations(
            sorted(liked.items(), key=lambda each: -each[1])[:limit],
            faded(far, now, AVERSION_PER_DAY),
        )

    async def notifications(self, user_id: str, limit: int) -> tuple[list[NotificationView], int]:
        """The newest notifications, and the time (ms) up to which they were seen: two round
        trips."""
        keys = self._keys
        entries, seen = await self._pipeline(
            [
                ("ZREVRANGE", keys.notifications(user_id), 0, limit - 1),
                ("GET", keys.seen(user_id)),
            ]
        )
        if not entries:
            return [], int(seen or 0)
        (found,) = await self._pipeline([("HMGET", keys.notices(user_id), *entries)])
        views: dict[str, NotificationView] = {}
        decode(_NOTICE, map(str, range(len(entries))), found, views)
        return list(views.values()), int(seen or 0)

    async def devices(self, user_id: str) -> tuple[str, ...]:
        """The tokens of a user's devices."""
        (raw,) = await self._pipeline([("GET", self._keys.devices(user_id))])
        return () if raw is None else _DEVICES.decode(raw).tokens

    async def told(self, user_id: str, key: str) -> Told:
        """What of a notification was delivered last."""
        (raw,) = await self._pipeline([("HGET", self._keys.told(user_id), key)])
        return Told() if raw is None else _TOLD.decode(raw)

    async def tell(self, user_id: str, key: str, told: Told) -> None:
        """Keep for two days what of a notification was delivered, but nothing of who is erased:
        the sink takes that key away with the profile, so it is looked at after the write."""
        name = self._keys.told(user_id)
        raw = msgspec.msgpack.encode(told)
        *_, user = await self._pipeline(
            [
                ("HSET", name, key, raw),
                ("EXPIRE", name, TOLD_SECONDS),
                ("GET", self._keys.user(user_id)),
            ]
        )
        if user is not None and _USER.decode(user).status == DELETED:
            await self._pipeline([("DEL", name)])

    async def awaiting(self, limit: int) -> list[str]:
        """The oldest posts that await a moderator, in one round trip. O(partitions · limit)."""
        keys = map(self._keys.awaiting, range(self._keys.partitions))
        found = await self._pipeline([("ZRANGE", key, 0, limit - 1, "WITHSCORES") for key in keys])
        posts = [
            (float(at), post.decode())
            for flat in found
            for post, at in zip(flat[::2], flat[1::2], strict=True)
        ]
        return [post_id for _, post_id in sorted(posts)[:limit]]

    async def reacted(self, user_id: str, below: tuple[int, str], limit: int) -> list[Reacted]:
        """The newest reactions of a user below a place (time in ms, post id), at most so many."""
        return await read_reacted(self._pipeline, self._keys, user_id, below, limit)

    async def best_comments(self, post_id: str, limit: int) -> list[tuple[int, str]]:
        """The comments on a post with most likes: likes and id, both descending; O(limit)."""
        command = ("ZREVRANGE", self._keys.best_comments(post_id), 0, limit - 1, "WITHSCORES")
        (flat,) = await self._pipeline([command])
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return [(int(float(likes)), name.decode()) for name, likes in pairs]

    async def circle(self, user_id: str, now: int) -> Circle:
        """The newest follows of a user, and who is closest at a time (ms); one round trip."""
        following, affinity = self._keys.following(user_id), self._keys.affinity(user_id)
        followed, close, mark = await self._pipeline(
            [
                ("ZREVRANGE", following, 0, MAX_FOLLOWS - 1),
                ("ZREVRANGE", affinity, 0, MAX_CLOSE - 1, "WITHSCORES"),
                ("GET", self._mark(Topic.VIEW_RELATIONS, user_id)),
            ]
        )
        filled([mark])
        ranks = zip(close[::2], close[1::2], strict=True)
        return Circle(
            [source.decode() for source in followed],
            {other.decode(): faded_score(float(rank), now) for other, rank in ranks},
        )

    async def follows_of(self, users: list[str]) -> dict[str, Follows]:
        """The newest 100 sources that each of some users follows; one round trip."""
        keys = list(map(self._keys.following, users))
        newest = [("ZREVRANGE", key, 0, FOLLOWS_OF_EACH - 1) for key in keys]
        found = await self._pipeline([*newest, *(("ZCARD", key) for key in keys)])
        return {
            user_id: Follows([source.decode() for source in sources], count)
            for user_id, sources, count in zip(
                users, found[: len(users)], found[len(users) :], strict=True
            )
        }

    async def trending(
        self, kind: TrendingKind, window: TrendingWindow, language: str
    ) -> list[TrendingView]:
        """The lists of all partitions, in one round trip; the language `""` stands for all."""
        keys = self._keys
        names = [keys.trending(p, kind, window, language) for p in range(keys.partitions)]
        groups = await self._groups(names)
        answers = iter(await self._pipeline([("MGET", *group) for group in groups]))
        found: dict[str, TrendingView] = {}
        decode(_TRENDING, names, in_order(names, groups, answers), found)
        return list(found.values())

    async def viral(self, limit: int) -> list[str]:
        """The posts that are viral, at most `limit`, first those upon which most users have
        acted in the last hour, as they were a second ago at most; in one round trip."""
        return (await self._viral.get())[:limit]

    async def ping(self) -> None:
        """Return if Redis answers, every server of a cluster that has a partition."""
        await self._ping()
        self._circuit.answered()

    async def _ping(self) -> None:
        partitions = range(self._keys.partitions)
        client = self._redis or await self._connect()
        await ask(client, [("EXISTS", self._keys.heavy(p)) for p in partitions])

    async def close(self) -> None:
        """Close the connections."""
        await self._circuit.close()
        await self._heavy.close()
        await self._viral.close()
        if self._redis is not None:
            await self._redis.aclose()

    async def run(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """The answers to commands whose keys are known elsewhere, in one round trip."""
        return await self._reached(lambda client: ask_flat(client, commands))

    async def _ask_viral(self) -> list[str]:
        lists = await self.trending("posts", "1h", "")
        found = [entry for each in lists for entry in each.entries if entry.is_viral]
        found.sort(key=lambda entry: (-entry.velocity, entry.key))
        return [entry.key for entry in found]

    def _marks(self, wanted: Wanted) -> list[str]:
        """The marks of the partitions in which what is not there is taken for none."""
        users = {user_id for user_id, _ in wanted.follows}
        if wanted.viewer and (wanted.blocks or wanted.favourites):
            users.add(wanted.viewer)
        marks = {self._mark(Topic.VIEW_RELATIONS, user_id) for user_id in users}
        if wanted.viewer and (wanted.mine or wanted.hidden):
            marks.add(self._mark(Topic.VIEW_MINE, wanted.viewer))
        return list(marks)

    def _mark(self, topic: Topic, user_id: str) -> str:
        return self._keys.position(topic, partition_of(user_id, self._keys.partitions))

    async def _groups(self, names: list[str]) -> list[list[str]]:
        """Names that one command may have together: all, but in a cluster those of a slot.

        On one server a command for each partition takes 1.4 times as long, with 256 partitions
        3.5 times.
        """
        if not names:
            return []
        is_one_server = isinstance(await self._connected(), OneServer)
        return [names] if is_one_server else by_hash_tag(names)

    async def _look_up(
        self, lookups: Sequence[Lookup], question: Question, since: float
    ) -> list[Any]:
        """Look views up, and give the answers to a question's commands, in two round trips at
        most."""
        return await self._reached(lambda client: look_up(client, lookups, question, since))

    async def _entries(
        self, question: Sequence[Any], commands: Sequence[Sequence[Any]]
    ) -> tuple[Entries, list[Any]]:
        """A sorted set, and the answers to commands behind it, in one round trip or two."""
        return await self._reached(lambda client: entries(client, question, commands))

    async def _pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        return await self._reached(lambda client: ask(client, commands))

    async def _reached(self, call: Callable[[Client], Awaitable[T]]) -> T:
        """What a call gives. Of a cluster one server may fail, and the others are asked on."""
        client = await self._connected()
        if not isinstance(client, OneServer):
            return await call(client)
        return await self._circuit.run(lambda: call(client))

    async def _ask_within(self, commands: Sequence[Sequence[Any]], seconds: float) -> list[Any]:
        """Answers that may fail without Redis being taken for down."""
        return await ask(await self._connected(), commands, seconds)

    async def _connected(self) -> Client:
        if self._redis is None:
            return await self._circuit.run(self._connect)
        return self._redis

    async def _connect(self) -> Client:
        client = await connect(self._url)
        faster = self._redis
        if faster is not None:  # another request
            await client.aclose()
            return faster
        self._redis = client
        if isinstance(client, OneServer):
            self._heavy.keep(Recents(client.connection))
        return client
