"""Which of many names a viewer's sets have, whether these are small or large."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from api.cache import RedisCache
from api.of_viewer import FEW
from api.stores import Found, StoreDownError, Wanted
from connectors.redis_fence import Mark
from tests.unit.redis_fakes import one_server

FILLED = msgspec.json.encode(Mark("log", "e", 3, is_filled=True))
SIZES = (0, 1, FEW, FEW + 1, FEW + 50)


class Redis:
    """A server on which bob's sets of blocks, of hidden posts and of reactions have so many members
    (of the posts, those with odd numbers are loved); that loses all after `lives` round trips."""

    def __init__(self, size: int, lives: int = 9) -> None:
        self.blocks = [f"u:{number}" for number in range(size)]
        self.posts = [f"p{number}" for number in range(size)]
        self.lives = lives
        self.trips: list[list[str]] = []

    async def ask(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        self.trips.append([command[0] for command in commands])
        self.lives -= 1
        return [self._answer(*command) for command in commands]

    def _answer(self, name: str, key: str = "", *rest: Any) -> Any:
        if name == "PING":
            return b"PONG"
        if name == "MGET":
            return [FILLED if self.lives >= 0 else None] * (1 + len(rest))
        if name == "HMGET":
            return [b"love" if int(each[1:]) % 2 and each in self.posts else None for each in rest]
        kind = key.partition(":")[0]
        members = {"blocks": self.blocks, "hidden": self.posts, "reacted": self.posts}.get(kind, [])
        if self.lives < 0:
            members = []
        match name:
            case "SMISMEMBER":
                return [int(each in members) for each in rest]
            case "ZMSCORE":
                return [1.0 if each in members else None for each in rest]
            case "SRANDMEMBER":
                return [each.encode() for each in members[::-1][: rest[0]]]
            case "ZRANGE":
                return [each.encode() for each in members[rest[0] : rest[1] + 1]]
        raise AssertionError(name)


def load(redis: Redis, *all_names: range) -> list[Found]:
    """What is found by one who asks once for each of these names."""

    async def run() -> list[Found]:
        cache = RedisCache("redis://nowhere", 8)
        cache._redis = one_server(redis.ask)
        return [await cache.load(wanted(names)) for names in all_names]

    return asyncio.run(run())


def wanted(names: range) -> Wanted:
    return Wanted(
        viewer="bob",
        blocks=[f"u:{number}" for number in names],
        hidden=[f"p{number}" for number in names],
        mine=[f"p{number}" for number in names[:FEW]],
    )


def check(found: Found, names: range, size: int) -> None:
    there = range(names.start, min(names.stop, size))
    assert found.blocked == {f"u:{number}" for number in there}
    assert found.hidden == {f"p{number}" for number in there}
    assert found.reactions == {
        f"p{number}": "love" if number % 2 else "like" for number in there if number in names[:FEW]
    }
    assert found.muted == found.shared == set()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, FEW, FEW + 1, 3 * FEW])
@pytest.mark.parametrize("start", [0, FEW // 2])
def test_those_that_are_members_are_found(size: int, count: int, start: int) -> None:
    redis = Redis(size)
    names = range(start, start + count)
    (found,) = load(redis, names)
    check(found, names, size)
    assert len(redis.trips) == (2 if count > FEW and size > FEW else 1)
    assert all("MGET" in names[-1:] for names in redis.trips), "the marks are behind"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, FEW, FEW + 1, 3 * FEW])
def test_those_of_sets_that_are_kept_are_found(size: int, count: int) -> None:
    redis = Redis(size)
    all_names = [range(start, start + count) for start in (0, FEW // 2, FEW - 1, FEW + 1)]
    for names, found in zip(all_names, load(redis, *all_names), strict=True):
        check(found, names, size)


def test_what_is_kept_is_not_asked_for() -> None:
    redis = Redis(3)
    load(redis, range(5), range(10, 20), range(FEW, 3 * FEW))
    assert redis.trips[1:] == [["PING"], ["PING"]]


def test_a_large_set_is_asked_once_for_as_many_names_as_are_wanted() -> None:
    redis = Redis(FEW + 1)
    load(redis, range(5), range(5), range(2 * FEW))
    for trip in redis.trips[1:]:
        assert "SRANDMEMBER" not in trip
        assert "SMISMEMBER" in trip
    assert len(redis.trips) == 3


def test_a_redis_that_is_emptied_in_between_blocks_nobody_in_silence() -> None:
    redis = Redis(FEW + 1, lives=1)
    with pytest.raises(StoreDownError, match="being filled"):
        load(redis, range(FEW + 1))
