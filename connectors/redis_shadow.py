"""Feeds read beside the mark that says where they stand, and put in place of others at once.

A feed is built under another name, its *shadow*, and takes the feed's name if the mark is still as
it was read: what was written since would be lost. Everything of a partition is in one slot.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from connectors.redis_keys import Keys, floor_of, member, split_member
from connectors.redis_servers import Client
from schemas.generation import hash_tag, tag_prefix
from schemas.topics import Topic

SHADOW_SECONDS = 600
"""How long what a process that was killed has built stays."""

SCANNED = 10_000
_TAG = b":{" + tag_prefix().encode()

_READ = """
-- KEYS: mark, then feed and floor of each.
local found = {redis.call('GET', KEYS[1])}
for n = 2, #KEYS, 2 do
  found[#found + 1] = redis.call('ZRANGE', KEYS[n], 0, -1, 'WITHSCORES')
  found[#found + 1] = redis.call('GET', KEYS[n + 1])
end
return found
"""

_SWAP = """
-- KEYS: mark, then shadow, feed and floor of each. ARGV: the mark as it was read, then how many
-- entries each shadow has, and its floor.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 1 end
for n = 2, #KEYS, 3 do
  if redis.call('ZCARD', KEYS[n]) ~= tonumber(ARGV[(n - 2) / 3 * 2 + 2]) then return 2 end
end
for n = 2, #KEYS, 3 do
  local entries, floor = ARGV[(n - 2) / 3 * 2 + 2], ARGV[(n - 2) / 3 * 2 + 3]
  if tonumber(entries) == 0 then
    redis.call('DEL', KEYS[n + 1])
  else
    redis.call('RENAME', KEYS[n], KEYS[n + 1])
    redis.call('PERSIST', KEYS[n + 1])
  end
  redis.call('SET', KEYS[n + 2], floor)
end
return 0
"""


class Swap(IntEnum):
    """What came of a swap: only when it is done was anything changed."""

    DONE = 0
    MOVED = 1
    """The mark is another."""
    LOST = 2
    """A shadow is not what was built: it was there for too long."""


class Feed(NamedTuple):
    """A feed: (post id, reason) to time in ms, and the floor in ms; None where there is no feed, or
    it is being opened."""

    entries: dict[tuple[str, str], int]
    floor: int | None


class Snapshot(NamedTuple):
    """The mark, and feeds by owner as they were at that moment."""

    mark: bytes | None
    feeds: dict[str, Feed]


class ShadowFeeds:
    """The feeds of one partition; `discard` when done."""

    def __init__(self, client: Client, keys: Keys, partition: int) -> None:
        self._client: Any = client
        self._keys = keys
        self._mark = keys.position(Topic.TIMELINE_WRITES, partition)
        self._prefix = f"shadow:{hash_tag(partition)}:{uuid.uuid4().hex}"
        self._built: dict[str, Feed] = {}

    def read(self, owners: Sequence[str]) -> Snapshot:
        """The mark and the feeds of owners, all at one moment; O(entries)."""
        keys = [self._mark]
        for owner in owners:
            keys += [self._keys.feed(owner), self._keys.floor(owner)]
        mark, *found = self._client.eval(_READ, len(keys), *keys)
        pairs = zip(found[::2], found[1::2], strict=True)
        feeds = {
            owner: Feed(_entries(flat), floor_of(floor))
            for owner, (flat, floor) in zip(owners, pairs, strict=True)
        }
        return Snapshot(mark, feeds)

    def build(self, feeds: Mapping[str, Feed]) -> None:
        """Build shadows, each anew; they go by themselves after 10 min."""
        pipe = self._client.pipeline(transaction=False)
        for owner, feed in feeds.items():
            shadow = self._shadow(owner)
            pipe.delete(shadow)
            if feed.entries:
                pipe.zadd(shadow, {member(*entry): at for entry, at in feed.entries.items()})
                pipe.expire(shadow, SHADOW_SECONDS)
        pipe.execute()
        self._built.update(feeds)

    def swap(self, owners: Collection[str], mark: bytes) -> Swap:
        """Put the shadows of owners in place of their feeds, all at once, if the mark is that."""
        keys = [self._mark]
        arguments: list[bytes | str | int] = [mark]
        for owner in owners:
            feed = self._built[owner]
            keys += [self._shadow(owner), self._keys.feed(owner), self._keys.floor(owner)]
            assert feed.floor is not None
            arguments += [len(feed.entries), feed.floor]
        outcome = Swap(self._client.eval(_SWAP, len(keys), *keys, *arguments))
        if outcome == Swap.DONE:
            for owner in owners:
                del self._built[owner]
        return outcome

    def discard(self, owners: Iterable[str] | None = None) -> None:
        """Drop the shadows of owners, or all."""
        for owner in list(self._built if owners is None else owners):
            if self._built.pop(owner, None) is not None:
                self._client.delete(self._shadow(owner))

    def _shadow(self, owner: str) -> str:
        return f"{self._prefix}:{owner}"


def scan_owners(client: Client, keys: Keys, partitions: Collection[int]) -> dict[int, set[str]]:
    """The owners that have a feed or a floor, by partition; one pass over all keys."""
    found: dict[int, set[str]] = {partition: set() for partition in partitions}
    scanned: Iterable[Any] = client.scan_iter(count=SCANNED)
    for raw in scanned:
        kind, _, rest = raw.partition(_TAG)
        number, _, name = rest.partition(b"}:")
        if kind not in (b"feed", b"floor") or not number.isdigit() or int(number) not in found:
            continue
        try:
            owner = name.decode()
        except UnicodeDecodeError:
            continue  # no user's
        if raw.decode() in (keys.feed(owner), keys.floor(owner)):
            found[int(number)].add(owner)
    return found


def _entries(flat: Sequence[bytes]) -> dict[tuple[str, str], int]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return {split_member(entry): int(float(at)) for entry, at in pairs}
