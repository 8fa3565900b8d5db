"""Heavy sources: what they hold, and what becomes of one that cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from api import heavy
from api.heavy import Commands, HeavySources
from api.stores import REDIS, StoreDownError
from connectors.redis_keys import Keys, member

KEYS = Keys(4)
SOURCES = ["u:ann", "u:bob", "t:rust"]


class Redis:
    """Holds an entry of each source, and fails for those that are `failing`."""

    def __init__(self, *failing: str) -> None:
        self.failing = {KEYS.recent(source) for source in failing}
        self.trips: list[list[str]] = []

    async def ask(self, commands: Commands) -> list[Any]:
        raise AssertionError(f"{commands}")

    async def ask_within(self, commands: Commands, seconds: float) -> list[Any]:
        assert 0 < seconds < 1
        keys = [command[1] for command in commands]
        self.trips.append(keys)
        if self.failing.intersection(keys):
            raise StoreDownError(REDIS, "TimeoutError")
        return [[member(f"of {key}", "u:ann"), b"7"] for key in keys]


def read(redis: Redis, *times: Sequence[str]) -> list[tuple[list[str], bool]]:
    """The posts of sources, and whether some are missing, one time after the other."""

    async def main() -> list[tuple[list[str], bool]]:
        sources = HeavySources(KEYS, redis.ask, redis.ask_within)
        found = [await sources.held(wanted) for wanted in times]
        posts = [[row.post_id for each in pulled.entries for row in each.rows] for pulled in found]
        return list(zip(posts, (pulled.is_partial for pulled in found), strict=True))

    return asyncio.run(main())


def posts_of(*sources: str) -> list[str]:
    return [f"of {KEYS.recent(source)}" for source in sources]


def test_all_are_read_at_once() -> None:
    redis = Redis()
    assert read(redis, SOURCES) == [(posts_of(*SOURCES), False)]
    assert len(redis.trips) == 1


def test_one_that_cannot_be_read_costs_the_others_nothing() -> None:
    redis = Redis("u:bob")
    assert read(redis, SOURCES) == [(posts_of("u:ann", "t:rust"), True)]


def test_it_is_left_out_for_some_time() -> None:
    redis = Redis("u:bob")
    found = read(redis, SOURCES, SOURCES, ["u:bob"])
    assert found[1:] == [(posts_of("u:ann", "t:rust"), True), ([], True)]
    assert len(redis.trips) == 1 + len(SOURCES) + 1


def test_it_is_asked_again_after_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heavy, "LEFT_OUT_SECONDS", -1.0)
    redis = Redis("u:bob")
    assert read(redis, ["u:bob"], ["u:bob"]) == [([], True)] * 2
    assert len(redis.trips) == 4


def test_without_sources_nothing_is_asked() -> None:
    redis = Redis()
    assert read(redis, []) == [([], False)]
    assert not redis.trips
