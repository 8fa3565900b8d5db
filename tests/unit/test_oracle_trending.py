"""The oracle of what is trending: it sees what differs, and what is generated has something."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
from msgspec.structs import replace

from connectors.sources import Upheaval, generate_activity, generate_network
from schemas.events import Engagement, Post
from schemas.partitioning import partition_of
from tests.oracle.compare import Tally
from tests.oracle.posts import fold_posts
from tests.oracle.trending import (
    EXACT_UP_TO,
    WINDOWS,
    Entry,
    Found,
    Trending,
    compare_trending,
    fold_acts,
)

END = 1_700_000_000_000
PARTITIONS = 2


def made(post: str, at: int = END, **more: Any) -> Post:
    event = Post(event_id=f"c{post}", action="created", post_id=post, author_id="ann", at=at)
    return replace(event, **more)


def liked(post: str, users: int, at: int = END) -> list[Engagement]:
    return [
        Engagement(event_id=f"l{post}{n}", action="like", user_id=f"u{n}", post_id=post, at=at)
        for n in range(users)
    ]


def folded(posts: list[Post], engagements: list[Engagement]) -> Trending:
    return fold_acts(posts, engagements, fold_posts(posts))


@pytest.fixture
def trending() -> Trending:
    posts = [made("p", language="en-GB", content="#Tea"), made("q")]
    return folded(posts, [*liked("p", 9), *liked("q", 4)])


def right(trending: Trending, at: int = END) -> Found:
    """What must be found: every exact list, in order."""
    found: Found = {}
    for kind in ("posts", "topics"):
        for window in WINDOWS:
            for partition in range(PARTITIONS):
                lists = trending.lists(kind, window, partition, PARTITIONS, at)
                for language, keys in lists.items():
                    entries: list[Entry] = [
                        (key, said.high / 10, int(said.users[0]), int(said.velocity[0]), False)
                        for key, said in keys.items()
                    ]
                    entries.sort(key=lambda entry: (-entry[1], entry[0]))
                    found[kind, window, partition, language] = at, entries[:50]
    return found


def differences(trending: Trending, found: Found, at: int = END) -> list[str]:
    ticks = {(kind, p): at for kind in ("posts", "topics") for p in range(PARTITIONS)}
    tally = compare_trending(Tally("trending", "redis"), trending, found, PARTITIONS, ticks)
    return [each.what for each in tally.differences]


def test_what_is_right(trending: Trending) -> None:
    found = right(trending)
    lists = {(kind, language) for kind, _, _, language in found}
    assert lists == {("posts", ""), ("posts", "en"), ("topics", ""), ("topics", "en")}
    assert differences(trending, found) == []


def test_everything_missing_is_seen(trending: Trending) -> None:
    assert len(differences(trending, {})) == 2 * (2 + 1 + 1 + 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: ("z", *entry[1:]),
        lambda entry: (entry[0], entry[1] + 0.1, *entry[2:]),
        lambda entry: (*entry[:2], entry[2] + 1, *entry[3:]),
        lambda entry: (*entry[:3], entry[3] - 1, entry[4]),
        lambda entry: (*entry[:4], True),
    ],
)
def test_a_wrong_entry_is_seen(trending: Trending, change: Any) -> None:
    found = right(trending)
    place = ("posts", "1h", partition_of("p", PARTITIONS), "en")
    at, [entry] = found[place]
    found[place] = at, [change(entry)]
    assert differences(trending, found)


def test_disorder_and_doubles_are_seen(trending: Trending) -> None:
    posts = [made(f"p{n}") for n in range(9)]
    trending = folded(posts, [each for n in range(9) for each in liked(f"p{n}", 5 + n)])
    found = right(trending)
    place = next(place for place, (_, entries) in found.items() if len(entries) > 1)
    at, entries = found[place]
    found[place] = at, entries[::-1]
    assert any(what.endswith("all") for what in differences(trending, found))
    found[place] = at, [*entries, entries[-1]]
    assert differences(trending, found)


def test_a_list_of_an_earlier_time_is_seen(trending: Trending) -> None:
    assert differences(trending, right(trending), END + 10 * 60_000)
    assert differences(trending, right(trending, END + 10 * 60_000), END) == []


def test_a_list_in_another_partition_is_seen(trending: Trending) -> None:
    found = right(trending)
    place = ("posts", "1h", partition_of("p", PARTITIONS), "en")
    found["posts", "1h", 1 - place[2], "en"] = found.pop(place)
    assert len(differences(trending, found)) == 2
    found = right(trending)
    found["posts", "1h", -1, "trending:{p7}:"] = (END, [])
    assert differences(trending, found)


def test_of_a_sample_only_so_much_may_be_off() -> None:
    users = 4 * EXACT_UP_TO
    trending = folded([made("p")], liked("p", users))
    partition = partition_of("p", PARTITIONS)
    said = trending.lists("posts", "1h", partition, PARTITIONS, END)[""]["p"]
    assert 0.8 * users < said.users[0] < 0.9 * users
    assert 1.1 * users < said.users[1] < 1.2 * users
    assert said.low > 100
    assert said.high - said.low < 10


@pytest.mark.parametrize("mix", ["everyday", "full"])
def test_something_is_trending_at_the_end_of_what_is_generated(mix: str) -> None:
    pairs = generate_network(200, 1)
    people = list(dict.fromkeys(chain.from_iterable(pairs)))
    events = generate_activity(pairs, 6_000, 1, END)
    if mix == "full":
        events = Upheaval(people, 1, 60, 5).among(events)
    all_events = list(events)
    posts = [each for each in all_events if isinstance(each, Post)]
    trending = folded(posts, [each for each in all_events if isinstance(each, Engagement)])
    for kind in ("posts", "topics"):
        for window in WINDOWS:
            lists = [trending.lists(kind, window, p, PARTITIONS, END) for p in range(PARTITIONS)]
            assert sum(len(each.get("", ())) for each in lists) >= 1, (kind, window)
            assert any(name for each in lists for name in each), (kind, window)
