"""What Redis does not hold does not exist only where its sink has written all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from api.cache import RedisCache
from api.stores import StoreDownError, Wanted
from connectors.redis_fence import Mark
from schemas.partitioning import partition_of
from tests.unit.redis_fakes import one_server

PARTITIONS = 8
BOB, ALICE = "bob", "alice"
FILLED = Mark("log", "e", 3, is_filled=True)
BEING_FILLED = Mark("log", "e", 3)

Read = Callable[[RedisCache], Any]


class Redis:
    """A server with nothing but marks, which are all the same but for some."""

    def __init__(self, mark: Mark | None, but: dict[str, Mark | None] | None = None) -> None:
        self._mark = mark
        self._but = but or {}
        self.round_trips: list[list[Sequence[Any]]] = []

    async def ask(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        self.round_trips.append(list(commands))
        return list(map(self._answer, commands))

    def _answer(self, command: Sequence[Any]) -> Any:
        name, key, *rest = command
        match name:
            case "MGET":
                return [self._value(each) for each in (key, *rest)]
            case "GET":
                return self._value(key)
            case "SMISMEMBER":
                return [0] * len(rest)
            case "ZMSCORE" | "HMGET":
                return [None] * len(rest)
        return []

    def _value(self, key: str) -> bytes | None:
        if not key.startswith("pos:"):
            return None
        mark = self._but.get(key, self._mark)
        return None if mark is None else msgspec.json.encode(mark)


def _ask(redis: Redis, read: Read) -> Any:
    cache = RedisCache("redis://nowhere", PARTITIONS)
    cache._redis = one_server(redis.ask)
    return asyncio.run(read(cache))


def _loads(**wanted: Any) -> Read:
    return lambda cache: cache.load(Wanted(viewer=BOB, **wanted))


RELATIONS: dict[str, Read] = {
    "blocks and mutes": _loads(blocks=[f"u:{ALICE}"]),
    "favourites": _loads(favourites=[f"u:{ALICE}"]),
    "follows": _loads(follows=[(BOB, f"u:{ALICE}")]),
    "others' follows": _loads(follows=[(ALICE, f"u:{BOB}")]),
    "what was done with posts": _loads(mine=["p"]),
    "hidden posts": _loads(hidden=["p"]),
    "the timeline": lambda cache: cache.timeline(BOB),
    "the circle": lambda cache: cache.circle(BOB, 1),
}


@pytest.mark.parametrize("read", RELATIONS.values(), ids=RELATIONS)
@pytest.mark.parametrize("mark", [None, BEING_FILLED], ids=["lost", "being filled"])
def test_relations_of_a_redis_that_is_not_filled_are_not_known(
    read: Read, mark: Mark | None
) -> None:
    redis = Redis(mark)
    with pytest.raises(StoreDownError, match="redis: being filled") as raised:
        _ask(redis, read)
    assert not raised.value.is_outage, "the circuit stays closed"


@pytest.mark.parametrize("read", RELATIONS.values(), ids=RELATIONS)
def test_nothing_is_kept_of_a_redis_that_is_not_filled(read: Read) -> None:
    async def often(cache: RedisCache) -> None:
        for _ in range(3):
            with pytest.raises(StoreDownError, match="being filled"):
                await read(cache)

    _ask(Redis(BEING_FILLED), often)


@pytest.mark.parametrize("read", RELATIONS.values(), ids=RELATIONS)
def test_relations_that_are_not_there_do_not_exist_in_a_redis_that_is_filled(read: Read) -> None:
    redis = Redis(FILLED)
    _ask(redis, read)
    *_, commands = redis.round_trips
    assert any(each.startswith("pos:") for each in commands[-1][1:]), "behind what is judged by it"
    assert len([each for each in redis.round_trips if each[0][0] != "SMEMBERS"]) == 1


def test_what_cassandra_has_too_needs_no_mark() -> None:
    redis = Redis(None)
    found = _ask(redis, _loads(posts=["p"], users=[ALICE], counters=["p"], sources=["u:a"]))
    assert found.posts == {}


def test_a_partition_that_is_not_filled_concerns_its_own_users_alone() -> None:
    mine, other = (
        f"pos:{{p{partition_of(user, PARTITIONS)}}}:view.relations" for user in (BOB, ALICE)
    )
    assert mine != other
    redis = Redis(FILLED, {other: None})
    _ask(redis, lambda cache: cache.load(Wanted(viewer=BOB, blocks=["u:x"], mine=["p"])))
    with pytest.raises(StoreDownError):
        _ask(redis, lambda cache: cache.load(Wanted(viewer=ALICE, blocks=["u:x"])))
