"""Why a post is not in the ranked feed: each step by its name, and nothing said of what the caller
may not see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api.ranking.order import KEPT
from api.stores import Inclinations
from schemas.views import TrendingEntry
from tests.unit.api_fakes import DAY, NOW, Views, World, problem_of

PATH = "/api/v1/feed/why-not"
HOUR = 3_600_000


@pytest.fixture
def world() -> World:
    """Al follows bob, of whom p is on al's timeline."""
    found = World()
    for name in ("al", "bob", "star"):
        found.redis.user(name)
    found.redis.follow("al", "bob")
    found.redis.post("p", "bob", NOW - HOUR)
    found.redis.entry("al", "p", "u:bob", NOW - HOUR)
    return found


def why(world: World, name: str = "p") -> dict[str, Any]:
    response = world.ask("GET", PATH, "al", params={"post_id": name})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    assert found["post_id"] == name
    assert found["detail"]
    return found


def test_a_post_in_the_feed_says_where(world: World) -> None:
    for number in range(3):
        world.redis.post(f"q{number}", "bob", NOW)
        world.redis.counters(f"q{number}", reactions={"like": 90 - number})
        world.redis.entry("al", f"q{number}", "u:bob", NOW)
    world.redis.post("r", "star", NOW - DAY)
    world.redis.entry("al", "r", "s:bob", NOW - DAY)
    found = why(world, "r")
    assert (found["step"], found["reasons"]) == ("ranked", ["s:bob"])
    page = world.feed("al", mode="ranked", explain="true")
    stands = [each["post_id"] for each in page["posts"]].index("r") + 1
    assert (found["position"], found["position_by_score"]) == (3, found["position_by_score"])
    assert found["position"] == stands
    assert found["position_by_score"] > stands, "diversity put it before the third by bob"
    assert found["explanation"] == page["posts"][stands - 1]["explanation"]


def viral(views: Views, author: str = "star") -> None:
    views.post("p", author, NOW - HOUR)
    views.rows.clear()
    views.trend(TrendingEntry("p", 9.0, 90, 60, is_viral=True))


def shared_by_the_muted(views: Views) -> None:
    views.rows.clear()
    views.entry("al", "p", "s:cy")
    views.mute("al", "u:cy")


def old(views: Views) -> None:
    views.rows.clear()
    views.post("p", "bob", NOW - 31 * DAY)


def lost(views: Views) -> None:
    """The timeline, which was read to its end, has newer ones."""
    views.rows.clear()
    for number in range(KEPT + 1):
        views.post(f"q{number}", "bob", NOW)
        views.entry("al", f"q{number}", "u:bob", NOW)


def viral_and_own(views: Views) -> None:
    viral(views, "al")


def unfollowed(views: Views) -> None:
    views.rows.clear()
    views.found.follows.clear()


def disliked(views: Views) -> None:
    viral(views)
    views.inclinations["al"] = Inclinations([], [("u:star", 5.0)])


STEPS: list[tuple[str, Callable[[Views], object]]] = [
    ("ranked", lambda _: None),
    ("ranked", viral),
    ("muted", lambda views: views.mute("al", "u:bob")),
    ("muted", shared_by_the_muted),
    ("hidden", lambda views: views.hidden.add(("al", "p"))),
    ("reply", lambda views: views.post("p", "bob", NOW - HOUR, reply_to="q")),
    ("aversion", disliked),
    ("not_followed", unfollowed),
    ("not_delivered", lambda views: views.rows.clear()),
    ("not_delivered", lost),
    ("not_delivered", viral_and_own),
    ("too_old", old),
    ("deleted", lambda views: views.post("p", "al", is_deleted=True)),
]


@pytest.mark.parametrize(("step", "change"), STEPS)
def test_the_step_is_named(world: World, step: str, change: Callable[[Views], object]) -> None:
    change(world.redis)
    found = why(world)
    assert found["step"] == step
    assert (found["position"] is not None) == (step == "ranked")
    shown = [each["post_id"] for each in world.feed("al", mode="ranked")["posts"]]
    assert ("p" in shown) == (step == "ranked")


def test_a_post_by_nobody_followed_about_a_topic_that_is(world: World) -> None:
    world.redis.rows.clear()
    world.redis.post("p", "star", NOW - HOUR, hashtags=("x",))
    assert why(world)["step"] == "not_followed"
    world.redis.found.follows.add(("al", "t:x"))
    assert why(world)["step"] == "not_delivered"


def test_below_the_newest_and_below_the_cut(world: World) -> None:
    for number in range(501):
        at = NOW - number
        world.redis.post(f"q{number}", f"a{number}", at)
        world.redis.entry("al", f"q{number}", f"u:a{number}", at)
    assert why(world)["step"] == "too_old"
    assert why(world, "q0")["step"] == "ranked"
    assert why(world, "q0")["position"] == 1
    assert why(world, "q499")["step"] == "below_cut"
    assert why(world, "q499")["reasons"] == ["u:a499"]


UNSEEN: list[Callable[[Views], object]] = [
    lambda views: views.found.posts.pop("p"),
    lambda views: views.post("p", "bob", is_deleted=True),
    lambda views: views.post("p", "bob", visibility="private"),
    lambda views: views.post("p", "star", visibility="followers"),
    lambda views: views.post("p", "bob", visibility="friends"),
    lambda views: views.post("p", "bob", hidden_by="reports"),
    lambda views: views.user("bob", status="deactivated"),
    lambda views: views.block("al", "bob"),
    lambda views: (views.post("p", "al"), views.user("al", status="deleted")),
]


@pytest.mark.parametrize("change", UNSEEN)
@pytest.mark.parametrize("is_marked", [False, True])
def test_what_may_not_be_seen_is_as_what_is_not_there(
    world: World, change: Callable[[Views], object], is_marked: bool
) -> None:
    """Also for who muted and hid it."""
    nothing = world.ask("GET", PATH, "al", params={"post_id": "none"})
    change(world.redis)
    if is_marked:
        world.redis.mute("al", "u:bob")
        world.redis.hidden.add(("al", "p"))
    response = world.ask("GET", PATH, "al", params={"post_id": "p"})
    assert problem_of(response, 404) == problem_of(nothing, 404)
    told = {name: value for name, value in response.headers.items() if name != "x-request-id"}
    assert told == {n: v for n, v in nothing.headers.items() if n != "x-request-id"}


def test_without_redis_it_cannot_be_told(world: World) -> None:
    world.cache.is_down = True
    response = world.ask("GET", PATH, "al", params={"post_id": "p"})
    assert problem_of(response, 503)["type"].endswith(":unavailable")


def test_a_ranker_that_fails_is_told(world: World) -> None:
    class Failing:
        name = "failing"

        def scores(self, _rows: Any) -> Any:
            raise ValueError

    world.app.state.services.ranker = Failing()
    found = why(world)
    assert (found["step"], found["position"], found["explanation"]["ranker"]) == ("ranked", 1, None)


@pytest.mark.parametrize("params", [{}, {"post_id": ""}, {"post_id": "x" * 257}])
def test_an_id_that_is_none_is_a_problem(world: World, params: dict[str, str]) -> None:
    assert problem_of(world.ask("GET", PATH, "al", params=params), 422)


def test_nobody_in_particular_has_no_feed(world: World) -> None:
    assert problem_of(world.ask("GET", PATH, params={"post_id": "p"}), 401)
