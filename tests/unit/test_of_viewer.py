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
    """A server on which bob's sets of blocks and of hidden posts have so many members; that loses
    all after `lives` round trips."""

    def __init__(self, size: int, lives: int = 9) -> None:
        self.blocks = [f"u:{number}" for number in range(size)]
        self.hidden = [f"p{number}" for number in range(size)]
        self.lives = lives
        self.trips: list[list[str]] = []

    async def ask(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        self.trips.append([command[0] for command in commands])
        self.lives -= 1
        return [self._answer(*command) for command in commands]

    def _answer(self, name: str, key: str, *rest: Any) -> Any:
        if name == "MGET":
            return [FILLED if self.lives >= 0 else None] * (1 + len(rest))
        members = {"blocks": self.blocks, "hidden": self.hidden}.get(key.partition(":")[0], [])
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


def load(redis: Redis, names: range) -> Found:
    cache = RedisCache("redis://nowhere", 8)
    cache._redis = one_server(redis.ask)
    wanted = Wanted(
        viewer="bob",
        blocks=[f"u:{number}" for number in names],
        hidden=[f"p{number}" for number in names],
    )
    return asyncio.run(cache.load(wanted))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("wanted", [1, FEW, FEW + 1, 3 * FEW])
@pytest.mark.parametrize("start", [0, FEW // 2])
def test_those_that_are_members_are_found(size: int, wanted: int, start: int) -> None:
    redis = Redis(size)
    found = load(redis, range(start, start + wanted))
    assert found.blocked == {f"u:{number}" for number in range(start, min(start + wanted, size))}
    assert found.hidden == {f"p{number}" for number in range(start, min(start + wanted, size))}
    assert found.muted == set()
    assert len(redis.trips) == (2 if wanted > FEW and size > FEW else 1)
    assert all("MGET" in names[-1:] for names in redis.trips), "the marks are behind"


def test_a_redis_that_is_emptied_in_between_blocks_nobody_in_silence() -> None:
    redis = Redis(FEW + 1, lives=1)
    with pytest.raises(StoreDownError, match="being filled"):
        load(redis, range(FEW + 1))
