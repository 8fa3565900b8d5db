"""Pages of a ranked feed for any limits and whatever goes meanwhile: each place once, in order."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from api.cursors import decode_rank
from api.ranked import first_page, next_page
from api.sent_page import as_json
from tests.unit.api_fakes import NOW, World

limits = st.lists(st.sampled_from([1, 2, 5, 20, 100]), min_size=1, max_size=6)


def filled(count: int) -> World:
    world = World()
    world.redis.user("al")
    for number in range(count):
        name, author = f"p{number:02}", f"a{number % 5}"
        world.redis.post(name, author, NOW - number)
        world.redis.counters(name, reactions={"like": number * 7 % 11})
        world.redis.user(author)
        world.redis.entry("al", name, f"u:{author}", NOW - number)
    return world


async def read(world: World, sizes: list[int], gone: list[set[str]]) -> list[list[str]]:
    """The pages by turns of some sizes; before each but the first, some posts are deleted."""
    services: Any = world.app.state.services
    found: list[list[str]] = []
    cursor = None
    while not found or cursor is not None:
        for name in gone[len(found) - 1] if 0 < len(found) <= len(gone) else ():
            world.redis.post(name, "a0", is_deleted=True)
        reader, limit = services.reader_for("al"), sizes[len(found) % len(sizes)]
        if cursor is None:
            page = await first_page(services, reader, limit, explain=False)
        else:
            page = await next_page(services, reader, decode_rank(cursor), limit, explain=False)
        found.append([post["post_id"] for post in msgspec.json.decode(as_json(page))["posts"]])
        cursor = page.next_cursor
    return found


@given(st.integers(0, 60), limits)
def test_pages_are_parts_of_the_ranking(count: int, sizes: list[int]) -> None:
    world = filled(count)
    (whole,) = asyncio.run(read(world, [100], []))
    pages = asyncio.run(read(world, sizes, []))
    assert [name for page in pages for name in page] == whole
    assert sorted(whole) == [f"p{number:02}" for number in range(count)]
    assert all(len(page) == sizes[n % len(sizes)] for n, page in enumerate(pages[:-1]))


@given(
    st.integers(1, 40),
    limits,
    st.lists(st.sets(st.integers(0, 39).map(lambda n: f"p{n:02}"), max_size=8), max_size=4),
)
def test_what_goes_between_pages_is_passed_over(
    count: int, sizes: list[int], gone: list[set[str]]
) -> None:
    """What was shown stays shown; of the rest all is shown but what has gone by then."""
    world = filled(count)
    (whole,) = asyncio.run(read(world, [100], []))
    pages = asyncio.run(read(world, sizes, gone))
    left = whole
    for number, page in enumerate(pages):
        dead = set().union(*gone[:number])
        left = [name for name in left if name not in dead]
        assert page == left[: sizes[number % len(sizes)]]
        left = left[len(page) :]
    assert not left
