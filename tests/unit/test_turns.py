"""What takes long lets other requests have their turn between its parts."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from api import ranked
from api.cache import RedisCache
from api.ranked import first_page
from api.stores import Wanted
from api.timeline import Timeline
from api.turns import AT_A_TURN, in_turns, turn
from tests.unit.api_fakes import NOW, World
from tests.unit.redis_fakes import one_server

POSTS = 500


class Beat:
    """Counts the turns that others have, and notes in which of them what was called."""

    def __init__(self) -> None:
        self.number = 0
        self.calls: defaultdict[str, list[int]] = defaultdict(list)

    def noting(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*given: Any, **named: Any) -> Any:
            self.calls[name].append(self.number)
            return call(*given, **named)

        return noted

    async def beside(self, work: Awaitable[Any]) -> Any:
        """What comes of work, counting beside it."""

        async def count() -> None:
            while True:
                self.number += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        try:
            return await work
        finally:
            counting.cancel()


def fill(world: World) -> None:
    """A timeline of al's with enough posts."""
    world.redis.user("al")
    world.redis.follow("al", "bob")
    world.redis.user("bob")
    for number in range(POSTS):
        world.redis.post(f"p{number:03}", "bob", NOW - number)
        world.redis.counters(f"p{number:03}")
        world.redis.entry("al", f"p{number:03}", "u:bob", NOW - number)


def test_a_new_ranked_feed_lets_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each 100 posts, and between the stages: no turn has two of them."""
    world, beat = World(), Beat()
    fill(world)
    services = world.app.state.services
    monkeypatch.setattr(Timeline, "take", beat.noting("take", Timeline.take))
    monkeypatch.setattr(world.cache, "load", beat.noting("load", world.cache.load))
    for name in ("hydrate", "judge", "features_of", "choose", "arrange", "ranked"):
        monkeypatch.setattr(ranked, name, beat.noting(name, getattr(ranked, name)))

    reading = first_page(services, services.reader_for("al"), 20, explain=False)
    page = asyncio.run(beat.beside(reading))

    assert len(page.posts) == 20
    counts = {name: Counter(turns) for name, turns in beat.calls.items()}
    assert sum(counts["judge"].values()) == sum(counts["features_of"].values()) == POSTS
    for name in ("judge", "features_of"):
        assert max(counts[name].values()) <= AT_A_TURN
    assert max(counts["take"].values()) == 1
    assert len(counts["take"]) == POSTS // AT_A_TURN
    stages = [set(counts[name]) for name in ("judge", "features_of", "choose", "arrange", "ranked")]
    stages += [{beat.calls[name][0]} for name in ("hydrate", "load")]  # of the first of them
    assert len(set.union(*stages)) == sum(map(len, stages))


def test_loading_many_lets_others_have_their_turn_before_and_after_the_round_trip() -> None:
    beat = Beat()

    async def ask(commands: Sequence[Sequence[Any]]) -> list[Any]:
        beat.calls["ask"].append(beat.number)
        return [[None] * (len(command) - 1) for command in commands]

    async def load(count: int) -> None:
        cache = RedisCache("redis://nowhere", 8)
        cache._redis = one_server(ask)
        await beat.beside(cache.load(Wanted(posts=[f"p{number}" for number in range(count)])))

    asyncio.run(load(AT_A_TURN - 1))
    assert (beat.calls["ask"], beat.number) == ([0], 0)
    asyncio.run(load(AT_A_TURN))
    assert beat.calls["ask"][1] >= 1
    assert beat.number > beat.calls["ask"][1]


def test_all_things_come_in_their_order() -> None:
    async def listed(count: int) -> list[Sequence[int]]:
        return [some async for some in in_turns(range(count))]

    for count in (0, 1, AT_A_TURN, AT_A_TURN + 1, 5 * AT_A_TURN):
        found = asyncio.run(listed(count))
        assert [each for some in found for each in some] == list(range(count))
        assert all(0 < len(some) <= AT_A_TURN for some in found)


def test_who_is_cancelled_ends_at_a_turn() -> None:
    ended: list[str] = []

    async def work() -> None:
        async with asyncio.timeout(0):
            await turn()
            ended.append("went on")

    with pytest.raises(TimeoutError):
        asyncio.run(work())
    assert not ended
