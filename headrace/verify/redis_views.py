"""Reads every view in Redis: all keys by SCAN, so that those too many are seen too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from connectors import redis
from connectors.redis_keys import Keys, faded_score, floor_of, split_member
from headrace.verify import rows
from schemas.generation import tag_prefix
from schemas.partitioning import partition_of
from schemas.views import (
    AVERSION_PER_DAY,
    CLOSENESS_PER_DAY,
    CountersView,
    DevicesView,
    Notification,
    PostView,
    SourceView,
    TrendingView,
    UserView,
)

CHUNK = 500
SCANNED = 10_000
KINDS = (
    *("feed", "floor", "post", "counters", "best_comments", "user", "name", "devices", "source"),
    *(
        "interests",
        "aversions",
        "notifications",
        "notices",
        "seen",
        "following",
        "favourites",
        "blocks",
        "mutes",
        "affinity",
        "reacted",
        "kinds",
        "shared",
        "recent",
        "hidden",
    ),
)
TRENDING = "trending"

Scored = list[tuple[str, float]]

assert (CLOSENESS_PER_DAY, AVERSION_PER_DAY) == (0.9, 0.72)  # as the oracle has it


def _text(member: bytes) -> str:
    return member.decode(errors="surrogateescape")


def _entry(member: bytes) -> str:
    """Post id NUL reason, as what is expected is named."""
    return "\0".join(split_member(member))


class RedisViews:
    """The views in Redis; close it when done."""

    def __init__(self, url: str, partitions: int) -> None:
        self.client = redis.connect(url)
        self.keys = Keys(partitions)
        self._found: dict[str, list[str]] = {}

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def scan(self) -> None:
        """Find the entities of each kind; a key that no reader would look up keeps its name."""
        found: dict[str, list[str]] = {kind: [] for kind in (*KINDS, TRENDING)}
        for raw in self.client.scan_iter(count=SCANNED):
            key = raw.decode(errors="surrogateescape")
            kind, _, rest = key.partition(":{" + tag_prefix())
            if kind == TRENDING:
                found[kind].append(key)
            elif kind in found:
                entity = rest.partition("}:")[2]
                is_where_sought = getattr(self.keys, kind)(entity) == key
                found[kind].append(entity if is_where_sought else key)
        self._found = {kind: sorted(set(entities)) for kind, entities in found.items()}

    def entities(self, kind: str) -> list[str]:
        """The entities that have a key of a kind."""
        return self._found[kind]

    def _values(self, kind: str, command: Callable[[Any, str], Any]) -> Iterator[tuple[str, Any]]:
        """Each entity of a kind with the answer to a command on its key, in large pipelines."""
        name: Callable[[str], str] = getattr(self.keys, kind)
        entities = self._found[kind]
        for first in range(0, len(entities), CHUNK):
            chunk = entities[first : first + CHUNK]
            pipe = self.client.pipeline(transaction=False)
            for entity in chunk:
                command(pipe, name(entity))
            yield from zip(chunk, pipe.execute(), strict=True)

    def _structs(self, kind: str, struct: type[Any]) -> Iterator[tuple[str, Any]]:
        decode = msgspec.msgpack.Decoder(struct).decode
        for entity, raw in self._values(kind, lambda pipe, key: pipe.get(key)):
            if raw is not None:
                yield entity, decode(raw)

    def _scored(
        self, kind: str, decode: Callable[[bytes], str] = _text
    ) -> Iterator[tuple[str, Scored]]:
        for entity, found in self._values(
            kind, lambda pipe, key: pipe.zrevrange(key, 0, -1, withscores=True)
        ):
            yield entity, [(decode(member), score) for member, score in found]

    def posts(self) -> dict[str, rows.Row]:
        """Post id to its row."""
        return rows.present((k, rows.post_row(v)) for k, v in self._structs("post", PostView))

    def counters(self) -> dict[str, rows.Row]:
        """Post id to its counts."""
        return rows.present(
            (k, rows.counters_row(v)) for k, v in self._structs("counters", CountersView)
        )

    def best_comments(self) -> dict[tuple[str, str], int]:
        """(post, comment id) to the likes."""
        return {
            (post_id, comment_id): _whole(likes)
            for post_id, found in self._scored("best_comments")
            for comment_id, likes in found
        }

    def users(self) -> dict[str, rows.Row]:
        """User id to the profile."""
        return rows.present((k, rows.user_row(v)) for k, v in self._structs("user", UserView))

    def devices(self) -> dict[str, tuple[str, ...]]:
        """User to the tokens of the devices."""
        return {user_id: view.tokens for user_id, view in self._structs("devices", DevicesView)}

    def names(self) -> dict[str, str]:
        """User name to whose it is."""
        found = self._values("name", lambda pipe, key: pipe.get(key))
        return {name: raw.decode() for name, raw in found if raw is not None}

    def sources(self) -> dict[str, tuple[int, int]]:
        """Source to its followers and live posts, where there are some."""
        found = self._structs("source", SourceView)
        return {k: (v.followers, v.posts) for k, v in found if v.followers or v.posts}

    def recents(self) -> dict[tuple[str, str, str], int]:
        """(source, post, reason) to the time of what a heavy source holds."""
        return {
            (source, post_id, reason): _whole(at)
            for source, found in self._scored("recent", _entry)
            for entry, at in found
            for post_id, _, reason in (entry.partition("\0"),)
        }

    def heavy(self) -> dict[str, bool]:
        """The heavy sources, by the sets of all partitions."""
        found: dict[str, bool] = {}
        for partition in range(self.keys.partitions):
            members: Any = self.client.smembers(self.keys.heavy(partition))
            for raw in members:
                source = raw.decode(errors="surrogateescape")
                found[source] = partition_of(source, self.keys.partitions) == partition
        return found

    def awaiting(self) -> dict[str, int]:
        """Post id to the time of the posts that await a moderator, of all partitions."""
        found: dict[str, int] = {}
        for partition in range(self.keys.partitions):
            held: Any = self.client.zrange(self.keys.awaiting(partition), 0, -1, withscores=True)
            found.update((_text(member), _whole(at)) for member, at in held)
        return found

    def trending(self) -> dict[tuple[str, str, int, str], rows.Trend]:
        """(kind, window, partition, language) to a list; one under another's name is of partition
        -1."""
        decode = msgspec.msgpack.Decoder(TrendingView).decode
        found: dict[tuple[str, str, int, str], rows.Trend] = {}
        for key in self._found[TRENDING]:
            raw: Any = self.client.get(key)
            if raw is None:  # it has expired
                continue
            view = decode(raw)
            place = (view.kind, view.window, view.partition, view.language)
            is_where_sought = self.keys.trending(place[2], place[0], *place[1::2]) == key
            entries = [msgspec.structs.astuple(entry) for entry in view.entries]
            found[place if is_where_sought else (*place[:2], -1, key)] = view.at, entries
        return found

    def following(self) -> dict[tuple[str, str], int]:
        """(user, source) to the time of the follow."""
        return {
            (user_id, source): _whole(at)
            for user_id, found in self._scored("following")
            for source, at in found
        }

    def favourites(self) -> dict[tuple[str, str], bool]:
        """(user, source) where the user is told of what the source posts."""
        return self._sets("favourites")

    def blocks(self) -> dict[tuple[str, str], bool]:
        """(user, source) where either blocks the other."""
        return self._sets("blocks")

    def mutes(self) -> dict[tuple[str, str], bool]:
        """(user, source) where the user mutes the source."""
        return self._sets("mutes")

    def _sets(self, kind: str) -> dict[tuple[str, str], bool]:
        return {
            (user_id, source.decode()): True
            for user_id, found in self._values(kind, lambda pipe, key: pipe.smembers(key))
            for source in found
        }

    def affinity(self, now_ms: int) -> dict[tuple[str, str], float]:
        """(user, the other) to the score at a time."""
        return {
            (user_id, other): faded_score(rank, now_ms)
            for user_id, found in self._scored("affinity")
            for other, rank in found
        }

    def interests(self, now_ms: int) -> dict[tuple[str, str], float]:
        """(user, subject) to the score at a time."""
        return {
            (user_id, subject): faded_score(rank, now_ms)
            for user_id, found in self._scored("interests")
            for subject, rank in found
        }

    def aversions(self, now_ms: int) -> dict[tuple[str, str], float]:
        """(user, subject) to the aversion at a time; also to users, as `u:`."""
        return {
            (user_id, subject): faded_score(rank, now_ms, AVERSION_PER_DAY)
            for user_id, found in self._scored("aversions")
            for subject, rank in found
        }

    def notifications(self) -> dict[tuple[str, str, str], tuple[int, tuple[Any, ...]]]:
        """(user, kind, subject) to the count and the known acts; nothing for one whose time is
        another in the sorted set."""
        decode = msgspec.msgpack.Decoder(Notification).decode
        times = {
            (user_id, entry): _whole(at)
            for user_id, found in self._scored("notifications")
            for entry, at in found
        }
        shown: dict[tuple[str, str, str], tuple[int, tuple[Any, ...]]] = {}
        for user_id, found in self._values("notices", lambda pipe, key: pipe.hgetall(key)):
            for raw_entry, raw in found.items():
                entry, view = _text(raw_entry), decode(raw)
                kind, _, subject = entry.partition("\0")
                if times.pop((user_id, entry), None) == view.at:
                    shown[user_id, kind, subject] = view.count, view.named
        return shown | {
            (user_id, entry, "alone"): (at, ()) for (user_id, entry), at in times.items()
        }

    def notices_seen(self) -> dict[str, int]:
        """User to the time up to which the notifications have been seen."""
        found = self._values("seen", lambda pipe, key: pipe.get(key))
        return {user_id: int(raw) for user_id, raw in found if raw is not None and int(raw)}

    def mine(self) -> dict[tuple[str, str, str], tuple[int, str]]:
        """(`reacted`, `shared` or `hidden`, user, post) to the time and the kind of reaction."""
        kinds = {
            (user_id, _text(post_id)): _text(kind)
            for user_id, found in self._values("kinds", lambda pipe, key: pipe.hgetall(key))
            for post_id, kind in found.items()
        }
        mine = {
            ("reacted", user_id, post_id): (_whole(at), kinds.pop((user_id, post_id), "like"))
            for user_id, found in self._scored("reacted")
            for post_id, at in found
        }
        left = {("kind", *key): (0, kind) for key, kind in kinds.items()}
        rest = {
            (what, user_id, post_id): (_whole(at), "")
            for what in ("shared", "hidden")
            for user_id, found in self._scored(what)
            for post_id, at in found
        }
        return mine | left | rest

    def floor(self, user_id: str) -> int | None:
        """The floor of a user's feed as it is now; None when there is none."""
        raw: Any = self.client.get(self.keys.floor(user_id))
        return floor_of(raw)

    def feeds(self) -> Iterator[tuple[str, Scored, int | None]]:
        """Each user's feed, newest first, with its floor; None while it is being opened."""
        floors = {
            user_id: floor_of(raw)
            for user_id, raw in self._values("floor", lambda pipe, key: pipe.get(key))
        }
        for user_id, found in self._scored("feed", _entry):
            found.sort(key=lambda row: (row[1], row[0]), reverse=True)
            yield user_id, found, floors.pop(user_id, None)
        for user_id, floor in floors.items():
            yield user_id, [], floor


def _whole(at: float) -> Any:
    """A time as a whole number; one that is not whole stays as it is, and differs."""
    return int(at) if at == int(at) else at
