"""Notifications over HTTP: what is shown to whom, and what not."""

from __future__ import annotations

from typing import Any

import pytest

from api.render import rfc3339
from schemas.events import User
from schemas.views import NotificationView
from tests.unit.api_fakes import NOW, World, problem_of

PATH = "/api/v1/notifications"


@pytest.fixture
def world() -> World:
    world = World()
    for user_id in ("al", "ann", "bob", "cy", "dan", "eve"):
        world.redis.user(user_id)
    world.redis.post("mine", "al")
    world.redis.post("theirs", "bob")
    return world


def group(world: World, kind: str, subject: str, count: int, *named: tuple[int, str, str]) -> None:
    """A group of the notifications of al."""
    view = NotificationView("al", kind, subject, count, named)  # type: ignore[arg-type]
    world.redis.notices.append(view)


def shown(world: World) -> list[dict[str, Any]]:
    response = world.ask("GET", PATH, "al")
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["notifications"]
    return found


def test_groups_newest_first(world: World) -> None:
    named = [(NOW - n, user_id, "") for n, user_id in enumerate(("ann", "bob", "cy", "dan"))]
    group(world, "like", "mine", 9, *named)
    group(world, "follow", "", 1, (NOW + 5, "eve", ""))
    world.redis.seen = NOW
    answer = world.ask("GET", PATH, "al").json()
    follow, like = answer["notifications"]
    assert (follow["kind"], follow["post_id"], follow["count"]) == ("follow", None, 1)
    assert [actor["user_id"] for actor in like["actors"]] == ["ann", "bob", "cy"]
    assert (like["post_id"], like["count"]) == ("mine", 9)
    assert (follow["is_unread"], like["is_unread"]) == (True, False)
    assert answer["unread_count"] == 1


def test_they_are_ones_own(world: World) -> None:
    group(world, "follow", "", 1, (NOW, "eve", ""))
    problem_of(world.ask("GET", PATH), 401)
    assert world.ask("GET", PATH, "bob").json()["notifications"] == []


@pytest.mark.parametrize("why", ["block", "mute", "deactivated", "deleted"])
def test_who_is_not_welcome_is_not_named_nor_counted(world: World, why: str) -> None:
    match why:
        case "block":
            world.redis.block("ann", "al")
        case "mute":
            world.redis.mute("al", "u:ann")
        case _:
            world.redis.user("ann", status=why)
    group(world, "like", "mine", 3, (NOW, "ann", ""), (NOW - 1, "bob", ""))
    group(world, "follow", "", 1, (NOW, "ann", ""))
    (like,) = shown(world)
    assert (like["count"], [a["user_id"] for a in like["actors"]]) == (2, ["bob"])


def test_what_one_may_not_see_does_not_show_by_its_time(world: World) -> None:
    """Neither where a group stands, nor whether it is unread."""
    world.redis.seen = NOW - 100
    world.redis.mute("al", "u:bob")
    world.redis.post("hidden", "cy", visibility="custom", audience=("dan",))
    group(world, "like", "mine", 2, (NOW, "bob", ""), (NOW - 300, "ann", ""))
    group(world, "reply", "mine", 2, (NOW, "cy", "hidden"), (NOW - 400, "bob", "theirs"))
    group(world, "reply", "theirs", 2, (NOW, "cy", "hidden"), (NOW - 200, "ann", "other"))
    world.redis.post("other", "ann")
    answer = world.ask("GET", PATH, "al").json()
    reply, like = answer["notifications"]
    assert (reply["kind"], reply["at"], reply["is_unread"]) == ("reply", rfc3339(NOW - 200), False)
    assert (like["kind"], like["at"], like["is_unread"]) == ("like", rfc3339(NOW - 300), False)
    assert answer["unread_count"] == 0


def test_those_who_are_not_known_by_name_remain(world: World) -> None:
    """With nothing of the time at which others acted; it is no news."""
    world.redis.post("mine", "al", NOW - 1000)
    names = ("ann", "bob", "cy", "dan", "eve")
    group(world, "like", "mine", 100, *((NOW - n, name, "") for n, name in enumerate(names)))
    group(
        world, "reply", "mine", 100, *((NOW - n, name, "unknown") for n, name in enumerate(names))
    )
    group(world, "follow", "", 5, *((NOW - n, name, "") for n, name in enumerate(names)))
    for name in names:
        world.redis.mute("al", f"u:{name}")
    answer = world.ask("GET", PATH, "al").json()
    (like,) = answer["notifications"]
    assert (like["kind"], like["actors"], like["count"]) == ("like", [], 95)
    assert (like["at"], like["is_unread"]) == (rfc3339(NOW - 1000), False)
    assert answer["unread_count"] == 0


def test_a_kind_that_is_turned_off_is_not_shown(world: World) -> None:
    world.redis.user("al", silenced=("like",))
    group(world, "like", "mine", 1, (NOW, "ann", ""))
    group(world, "share", "mine", 1, (NOW, "ann", ""))
    assert [each["kind"] for each in shown(world)] == ["share"]


@pytest.mark.parametrize(
    "post",
    [
        {"visibility": "private"},
        {"visibility": "followers"},
        {"visibility": "custom", "audience": ("cy",)},
        {"is_deleted": True},
        {"hidden_by": "reports"},
    ],
    ids=str,
)
def test_nothing_is_told_of_a_post_that_one_may_not_see(world: World, post: dict[str, Any]) -> None:
    group(world, "mention", "theirs", 1, (NOW, "bob", ""))
    group(world, "reply", "mine", 2, (NOW, "bob", "theirs"), (NOW - 1, "ann", "other"))
    world.redis.post("other", "ann")
    counts = {each["kind"]: each["count"] for each in shown(world)}
    assert counts == {"mention": 1, "reply": 2}
    world.redis.post("theirs", "bob", **post)
    (reply,) = shown(world)
    assert (reply["kind"], reply["count"]) == ("reply", 1)
    assert [actor["user_id"] for actor in reply["actors"]] == ["ann"]


def test_a_favourite_s_posts_are_those_that_one_may_see(world: World) -> None:
    world.redis.post("newest", "bob", visibility="private")
    posts = ((NOW, "bob", "newest"), (NOW - 1, "bob", "theirs"))
    group(world, "favourite_post", "bob", 3, *posts)
    group(world, "favourite_post", "ann", 1, (NOW - 2, "ann", "unknown"))
    (favourite,) = shown(world)
    assert (favourite["kind"], favourite["post_id"]) == ("favourite_post", "theirs")
    assert (favourite["count"], [a["user_id"] for a in favourite["actors"]]) == (2, ["bob"])


@pytest.mark.parametrize("is_friend", [True, False])
def test_a_post_for_friends_is_told_to_friends(world: World, is_friend: bool) -> None:
    world.redis.follow("al", "bob")
    if is_friend:
        world.redis.follow("bob", "al")
    world.redis.post("theirs", "bob", visibility="friends")
    group(world, "favourite_post", "bob", 1, (NOW, "bob", "theirs"))
    assert len(shown(world)) == is_friend


def test_of_a_deleted_post_nothing_is_told(world: World) -> None:
    group(world, "like", "mine", 1, (NOW, "ann", ""))
    world.redis.post("mine", "al", is_deleted=True)
    assert shown(world) == []


def test_without_redis_they_are_unavailable(world: World) -> None:
    world.cache.is_down = True
    problem_of(world.ask("GET", PATH, "al"), 503)


@pytest.mark.parametrize(
    ("body", "seen_to"),
    [
        ({}, NOW),
        ({"seen_to": "2026-01-01T11:59:59.500Z"}, NOW - 500),
        ({"seen_to": "2099-01-01T00:00:00Z"}, NOW),
    ],
)
def test_they_are_marked_as_read(world: World, body: dict[str, str], seen_to: int) -> None:
    answer = world.ask("POST", f"{PATH}/seen", "al", json=body)
    assert answer.status_code == 202, answer.text
    event_id = answer.json()["event_id"]
    assert world.writer.events == [
        User(event_id=event_id, action="active", user_id="al", at=NOW, seen_to=seen_to)
    ]


@pytest.mark.parametrize("seen_to", ["yesterday", "2023-11-14T22:13:20", "", [], True, 0])
def test_a_time_must_be_one(world: World, seen_to: object) -> None:
    problem_of(world.ask("POST", f"{PATH}/seen", "al", json={"seen_to": seen_to}), 422)
    assert world.writer.events == []


def test_what_cannot_be_known_now_is_told(world: World) -> None:
    """A post that Redis holds no more, while Cassandra is away."""
    group(world, "like", "long-ago", 1, (NOW, "ann", ""))
    group(world, "follow", "", 1, (NOW, "ann", ""))
    world.split()
    world.archive.is_down = True
    answer = world.ask("GET", PATH, "al").json()
    assert [each["kind"] for each in answer["notifications"]] == ["follow"]
    assert answer["degraded"] == ["cassandra"]
