"""Feeds in Redis: which are there, and what a batch of timeline operations changes in them.

Redis keeps the timelines of who reads. One is opened by its user's log; every source that brings
entries answers with what it holds, and with the last answer the feed is there. All of that comes in
the order of the log, together with what the sources spread meanwhile: so nothing is missing above
the floor, and nothing is there that was taken away.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from connectors.redis import RAISE_FLOOR, REMOVE_REASONS, TRIM_FEED, digest_of
from connectors.redis_fence import FencedPipeline
from connectors.redis_keys import Keys, member, pack_reason
from schemas.views import (
    CloseTimeline,
    FillTimeline,
    OpenTimeline,
    PushEntry,
    RefillTimeline,
    RemoveEntry,
    RemoveSource,
    TimelineOp,
)

FEED_ENTRIES = 1_000
ENTRIES_PER_TRIM = 200
SCRIPTS = (TRIM_FEED, REMOVE_REASONS, RAISE_FLOOR)
_TRIM, _REMOVE, _RAISE = map(digest_of, SCRIPTS)


class Feed(Struct, frozen=True, array_like=True, gc=False):
    """A feed that Redis keeps: what it was opened by, and how many answers to that are missing."""

    epoch: str
    missing: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Feed).decode

Feeds = dict[str, Feed]
"""The feeds of one partition, by owner."""


def decode_feeds(found: dict[bytes, bytes]) -> Feeds:
    """The feeds in the hash that stands beside them."""
    return {owner.decode(): _decode(raw) for owner, raw in found.items()}


class FeedChanges:
    """The timeline operations of a batch, folded to one net change per entry and feed.

    The order of operations on one feed is kept: an entry's last operation counts, and what a
    `RemoveSource` meets is what stood before it. What is for feeds that are not there is dropped.

    One in `ENTRIES_PER_TRIM` entries, by chance, has its feed trimmed. So nothing is kept for each
    feed, and one grows beyond `FEED_ENTRIES` by 200 entries on average, by 2,000 once in 20,000
    times.
    """

    def __init__(
        self,
        pipe: FencedPipeline,
        keys: Keys,
        partition: int,
        feeds: Feeds,
        chance: Callable[[], float],
    ) -> None:
        self._pipe = pipe
        self._keys = keys
        self._opened = keys.opened(partition)
        self._chance = chance
        self._before = feeds
        self._changed: dict[str, Feed | None] = {}
        self._net: defaultdict[str, dict[bytes, int | None]] = defaultdict(dict)
        self._floors: dict[str, int] = {}
        self._to_trim: set[str] = set()

    def apply(self, operation: TimelineOp) -> None:
        """Take an operation in."""
        match operation:
            case PushEntry(post_id, reason, at, owners):
                self._set(owners, member(post_id, reason), at)
            case RemoveEntry(post_id, reason, _, owners):
                self._set(owners, member(post_id, reason), None)
            case FillTimeline(owner, entries):
                self._fill(owner, entries)
            case RemoveSource(owner, reasons):
                if self._feed(owner) is not None:
                    self._write(owner)
                    packed = map(pack_reason, reasons)
                    self._pipe.add("EVALSHA", _REMOVE, 1, self._keys.feed(owner), *packed)
            case OpenTimeline(owner, epoch, answers):
                self._open(owner, Feed(epoch, answers))
            case RefillTimeline(owner, epoch, floor, entries):
                self._fill(owner, entries)
                self._answer(owner, epoch, floor)
            case CloseTimeline(owner):
                self._drop(owner)
                self._changed[owner] = None

    def flush(self) -> None:
        """Write what was not written yet, and which feeds there are."""
        for owner in list(self._net):
            self._write(owner)
        for owner, floor in self._floors.items():
            self._raise_floor(owner, floor)
        for owner in self._to_trim:
            feed, floor_key = self._keys.feed(owner), self._keys.floor(owner)
            self._pipe.add("EVALSHA", _TRIM, 2, feed, floor_key, FEED_ENTRIES)
        for owner, changed in self._changed.items():
            if changed is None:
                self._pipe.add("HDEL", self._opened, owner)
            else:
                self._pipe.add("HSET", self._opened, owner, _encode(changed))

    def take_effect(self) -> None:
        """All is written: the feeds are what the batch has made of them."""
        for owner, changed in self._changed.items():
            if changed is None:
                self._before.pop(owner, None)
            else:
                self._before[owner] = changed

    def _feed(self, owner: str) -> Feed | None:
        return self._changed[owner] if owner in self._changed else self._before.get(owner)

    def _set(self, owners: list[str], entry: bytes, at: int | None) -> None:
        for owner in owners:
            if self._feed(owner) is not None:
                self._net[owner][entry] = at

    def _fill(self, owner: str, entries: list[tuple[str, str, int]]) -> None:
        if self._feed(owner) is not None:
            net = self._net[owner]
            for post_id, reason, at in entries:
                net[member(post_id, reason)] = at

    def _open(self, owner: str, feed: Feed) -> None:
        """A feed that is there stays as it is; one that is still being opened waits for the answers
        to the newer opening alone."""
        before = self._feed(owner)
        if before is None:
            self._drop(owner)
            self._pipe.add("SET", self._keys.floor(owner), "?0")
        if before is None or before.missing:
            self._changed[owner] = feed

    def _answer(self, owner: str, epoch: str, floor: int) -> None:
        feed = self._feed(owner)
        if feed is not None and feed.missing and feed.epoch == epoch:
            self._changed[owner] = replace(feed, missing=feed.missing - 1)
            self._floors[owner] = max(floor, self._floors.get(owner, 0))

    def _drop(self, owner: str) -> None:
        self._net.pop(owner, None)
        self._floors.pop(owner, None)
        self._to_trim.discard(owner)
        self._pipe.add("DEL", self._keys.feed(owner), self._keys.floor(owner))

    def _raise_floor(self, owner: str, floor: int) -> None:
        feed = self._feed(owner)
        assert feed is not None
        is_last = 0 if feed.missing else 1
        self._pipe.add("EVALSHA", _RAISE, 1, self._keys.floor(owner), floor, is_last)
        if is_last:
            self._to_trim.add(owner)

    def _write(self, owner: str) -> None:
        net = self._net.pop(owner, None)
        if not net:
            return
        feed = self._keys.feed(owner)
        added: dict[bytes, int] = {entry: at for entry, at in net.items() if at is not None}
        removed = [entry for entry, at in net.items() if at is None]
        if added:
            self._pipe.add("ZADD", feed, *_scored(added))
            if self._chance() * ENTRIES_PER_TRIM < len(added):
                self._to_trim.add(owner)
        if removed:
            self._pipe.add("ZREM", feed, *removed)


def _scored(entries: dict[bytes, int]) -> Iterator[bytes | int]:
    """Score and member of each, as ZADD takes them."""
    for entry, at in entries.items():
        yield at
        yield entry
