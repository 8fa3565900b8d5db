"""Trending as the API gives it: all partitions' lists as one, and only what the caller may see."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.views import TrendingEntry
from tests.unit.api_fakes import NOW, World, problem_of

PATH = "/api/v1/trending"
MINUTE = 60_000


@pytest.fixture
def world() -> World:
    """Some public posts by ann."""
    found = World()
    found.redis.user("ann")
    for post in "pqr":
        found.redis.post(post, "ann")
    return found


def entry(key: str, score: float = 3.0, users: int = 5, **more: Any) -> TrendingEntry:
    return TrendingEntry(key, score, users, **{"velocity": 2, **more})


def read(world: World, user: str | None = None, **params: Any) -> dict[str, Any]:
    response = world.ask("GET", PATH, user, params=params)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def ids(page: dict[str, Any]) -> list[str]:
    return [each["post"]["post_id"] for each in page["posts"]]


def test_posts_of_all_partitions_by_score(world: World) -> None:
    world.redis.trend(entry("p", 4.0), entry("q", 2.5), at=NOW - MINUTE)
    world.redis.trend(entry("r", 3.0, 40, velocity=31, is_viral=True), partition=1)
    page = read(world)
    assert ids(page) == ["p", "r", "q"]
    last = page["posts"][1]
    assert {k: v for k, v in last.items() if k != "post"} == {
        "score": 3.0,
        "user_count": 40,
        "velocity": 31,
        "is_viral": True,
    }
    assert last["post"]["content"] == "text of r"
    assert {k: v for k, v in page.items() if k != "posts"} == {
        "kind": "posts",
        "window": "1h",
        "language": None,
        "as_of": "2026-01-01T12:00:00.000Z",
        "topics": [],
        "degraded": [],
    }
    assert world.cache.calls.count("trending") == 1


def test_topics(world: World) -> None:
    world.redis.trend(entry("t:tea", 4.0, 9), kind="topics", window="24h", language="en")
    page = read(world, kind="topics", window="24h", language="EN")
    assert page["topics"] == [{"topic": "tea", "score": 4.0, "user_count": 9}]
    assert (page["posts"], page["language"]) == ([], "en")
    assert read(world, kind="topics", window="24h")["topics"] == []


def test_a_muted_topic_is_left_out(world: World) -> None:
    world.redis.trend(entry("t:tea"), entry("t:oil"), kind="topics")
    world.redis.mute("bob", "t:tea")
    assert [each["topic"] for each in read(world, "bob", kind="topics")["topics"]] == ["oil"]
    assert len(read(world, "cy", kind="topics")["topics"]) == 2


def test_nothing_is_listed(world: World) -> None:
    page = read(world)
    assert (page["posts"], page["as_of"]) == ([], None)


def test_stale_lists_are_none(world: World) -> None:
    world.redis.trend(entry("p"), at=NOW - 15 * MINUTE)
    assert read(world)["as_of"] is None
    world.redis.trend(entry("q"), at=NOW - 15 * MINUTE + 1)
    assert ids(read(world)) == ["q"]


@pytest.mark.parametrize(
    "how",
    ["deleted", "not public", "absent", "deactivated", "reported", "blocked", "muted", "hidden"],
)
def test_what_the_caller_may_not_see_is_left_out(world: World, how: str) -> None:
    world.redis.user("dan", status="deactivated" if how == "deactivated" else "active")
    if how != "absent":
        visibility = "followers" if how == "not public" else "public"
        hidden_by = "reports" if how == "reported" else None
        fields = {"visibility": visibility, "hidden_by": hidden_by}
        world.redis.post("s", "dan", is_deleted=how == "deleted", **fields)
    if how == "blocked":
        world.redis.block("bob", "dan")
    if how == "hidden":
        world.redis.hidden.add(("bob", "s"))
    if how == "muted":
        world.redis.mute("bob", "u:dan")
    world.redis.trend(entry("s", 9.0), entry("p"))
    assert ids(read(world, "bob", limit=1)) == ["p"]
    if how not in ("blocked", "muted", "hidden"):
        assert ids(read(world, limit=1)) == ["p"]


def test_a_list_is_filled_up_within_a_bound(world: World) -> None:
    gone = [entry(f"gone{n:03}", 9.0) for n in range(199)]
    for first in range(0, 199, 50):
        world.redis.trend(*gone[first : first + 50], partition=first)
    world.redis.trend(entry("p"), entry("q"), entry("r"), partition=300)
    assert ids(read(world)) == ["p"], "200 are looked at"
    assert world.cache.calls.count("load") <= 8


def test_as_many_as_are_asked_for(world: World) -> None:
    world.redis.trend(*(entry(post) for post in "pqr"))
    assert ids(read(world, limit=2)) == ["p", "q"]


def test_without_redis_nothing_is_known_to_trend(world: World) -> None:
    world.redis.trend(entry("p"))
    world.cache.is_down = True
    page = read(world)
    assert (page["posts"], page["degraded"]) == ([], ["redis"])


@pytest.mark.parametrize(
    "params",
    [
        *({"kind": "users"}, {"window": "7d"}, {"limit": 0}, {"limit": 51}),
        *({"language": "english"}, {"language": "e1"}, {"language": "en-GB"}),
    ],
)
def test_parameters_are_bounded(world: World, params: dict[str, Any]) -> None:
    problem_of(world.ask("GET", PATH, params=params), 422)


def test_a_bad_token_is_refused(world: World) -> None:
    problem_of(world.ask("GET", PATH, headers={"Authorization": "Bearer x.y.z"}), 401)
