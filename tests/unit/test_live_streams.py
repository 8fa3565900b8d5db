"""Streams: what a client is told, and what it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, get_args

import pytest

from api.errors import ProblemError
from api.live import hub, inbox, session
from api.live.hub import Room
from schemas.events import Visibility
from schemas.topics import Topic
from schemas.views import (
    CountersView,
    FillTimeline,
    HeavySource,
    HiddenBy,
    MineView,
    NoticeKind,
    NotificationView,
    OpenTimeline,
    PushEntry,
    RecentActivity,
    RefillTimeline,
    RelationView,
    RemoveEntry,
    RemoveSource,
)
from tests.unit.api_fakes import NOW, World
from tests.unit.live_fakes import LIMITS, Live, live


@pytest.fixture
def world() -> World:
    """Ann, who follows bob, who has written p1 to p9."""
    world = World()
    for user in ("ann", "bob", "cy"):
        world.redis.user(user)
    world.redis.follow("ann", "bob")
    for number in range(1, 10):
        world.redis.post(f"p{number}", "bob", NOW - number)
    return world


def run(world: World, test: Callable[[Live], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with live(world, **options) as found:
            await test(found)

    asyncio.run(main())


def test_entries_come_in_the_order_of_the_log_as_the_feed_shows_them(world: World) -> None:
    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            live.logs.push("ann", "p9", "u:bob")
            live.logs.operate(
                "ann",
                PushEntry("p1", "u:bob", NOW, ["ann", "cy"]),
                PushEntry("p2", "u:bob", NOW, ["cy"]),
                FillTimeline("ann", [("p3", "u:bob", NOW), ("p4", "u:bob", NOW)]),
            )
            found = await ann.wait("entry", "entry", "entry", "entry")
            assert [each["post_id"] for each in found] == ["p9", "p1", "p3", "p4"]
            assert found[0]["reasons"] == ["u:bob"]
            assert found[0]["content"] == "text of p9"
            assert found[0]["entry_at"] == "2026-01-01T12:00:00.000Z"

    run(world, test)


def test_what_may_not_be_seen_is_not_sent(world: World) -> None:
    world.redis.post("secret", "cy", NOW, visibility="followers")
    world.redis.post("blocked", "dan", NOW)
    world.redis.block("ann", "dan")
    world.redis.post("gone", "bob", NOW, is_deleted=True)
    world.redis.post("muted", "eve", NOW)
    world.redis.mute("ann", "u:eve")
    world.redis.hidden.add(("ann", "p2"))

    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            for post, by in (("secret", "cy"), ("blocked", "dan"), ("muted", "eve"), ("p2", "bob")):
                live.logs.push("ann", post, f"u:{by}")
            live.logs.push("ann", "gone", "u:bob")
            live.logs.push("ann", "p1", "u:bob")
            assert await ann.posts(1) == ["p1"]

    run(world, test)


def test_what_redis_has_not_yet_is_waited_for_in_order(world: World) -> None:
    async def test(live: Live) -> None:
        live.clock = NOW + 100
        async with live.client("ann") as ann:
            await ann.wait("hello")
            live.logs.push("ann", "late", "u:bob")
            live.logs.push("ann", "p1", "u:bob")
            asking = asyncio.ensure_future(ann.next())
            await asyncio.sleep(0.25)
            assert not asking.done()
            world.redis.post("late", "bob", NOW)
            assert (await asking)[1]["post_id"] == "late"
            assert await ann.posts(1) == ["p1"]

    run(world, test)


def test_a_follow_that_redis_does_not_have_yet_hides_nothing(world: World) -> None:
    world.redis.post("q", "cy", NOW, visibility="followers")

    async def test(live: Live) -> None:
        live.clock = NOW + 100
        async with live.client("ann") as ann:
            await ann.wait("hello")
            live.logs.operate("ann", FillTimeline("ann", [("q", "u:cy", NOW)]))
            asking = asyncio.ensure_future(ann.next())
            await asyncio.sleep(0.25)
            assert not asking.done()
            world.redis.follow("ann", "cy")
            assert (await asking)[1]["post_id"] == "q"

    run(world, test)


def test_an_entry_is_sent_once_unless_it_went_meanwhile(world: World) -> None:
    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            live.logs.push("ann", "p1", "u:bob")
            live.logs.push("ann", "p1", "u:bob")
            live.logs.operate("ann", RemoveEntry("p1", "u:bob", NOW, ["ann"]))
            live.logs.push("ann", "p1", "u:bob")
            assert await ann.posts(1) == ["p1"]
            (gone,) = await ann.wait("remove")
            assert gone == {"post_id": "p1", "reasons": ["u:bob"]}
            assert await ann.posts(1) == ["p1"]
            live.logs.operate("ann", RemoveSource("ann", ["u:bob", "s:bob"]))
            assert await ann.wait("remove") == [{"reasons": ["u:bob", "s:bob"]}]

    run(world, test)


@pytest.mark.parametrize("field", ["is_blocking", "is_blocked", "is_muting"])
def test_what_is_blocked_or_muted_goes(world: World, field: str) -> None:
    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            view = RelationView("ann", "u:cy", False, **{field: True})
            live.logs.show(Topic.VIEW_RELATIONS, "ann", view, "u:cy")
            assert await ann.wait("remove") == [{"author_id": "cy"}]
            view = RelationView("ann", "u:cy", True)
            live.logs.show(Topic.VIEW_RELATIONS, "ann", view, "u:cy")
            live.logs.push("ann", "p1", "u:bob")
            assert await ann.posts(1) == ["p1"]

    run(world, test)


def test_counts_follow_for_what_was_sent_once_a_second(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "COUNTS_SECONDS", 0.2)

    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            live.logs.push("ann", "p1", "u:bob")
            await ann.posts(1)
            await asyncio.sleep(0.01)
            for likes in range(1, 20):
                live.logs.show(
                    Topic.VIEW_COUNTERS, "p1", CountersView("p1", {"like": likes}, comments=2)
                )
            live.logs.show(Topic.VIEW_COUNTERS, "p2", CountersView("p2", {"like": 1}))
            (said,) = await ann.wait("counts")
            counts = {"reactions": {"like": 19}, "comments": 2, "shares": 0, "views": 0}
            assert said == {"post_id": "p1", "counts": counts}
            started = asyncio.get_running_loop().time()
            live.logs.show(Topic.VIEW_COUNTERS, "p1", CountersView("p1", {"like": 30}))
            (said,) = await ann.wait("counts")
            assert asyncio.get_running_loop().time() - started > 0.1
            assert said["counts"]["reactions"] == {"like": 30}
            live.logs.operate("ann", RemoveEntry("p1", "u:bob", NOW, ["ann"]))
            await ann.wait("remove")
            live.logs.show(Topic.VIEW_COUNTERS, "p1", CountersView("p1", {"like": 31}))
            live.logs.push("ann", "p3", "u:bob")
            assert await ann.posts(1) == ["p3"]

    run(world, test)


def test_notifications_come_as_their_list_shows_them(world: World) -> None:
    world.redis.post("mine", "ann", NOW)
    world.redis.block("ann", "dan")

    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            for count in (1, 2):
                view = NotificationView("ann", "like", "mine", count, ((NOW, "bob", ""),))
                live.logs.show(Topic.VIEW_NOTIFICATIONS, "ann", view, view.key)
            unwanted = NotificationView("ann", "follow", "", 1, ((NOW, "dan", ""),))
            live.logs.show(Topic.VIEW_NOTIFICATIONS, "ann", unwanted, unwanted.key)
            (said,) = await ann.wait("notification")
            assert said["kind"] == "like"
            assert said["count"] == 2
            assert said["is_unread"] is True
            assert [actor["user_id"] for actor in said["actors"]] == ["bob"]
            token = ann.token
            live.logs.push("ann", "p1", "u:bob")
            await ann.posts(1)
        async with live.client("ann", token) as ann:
            await ann.wait("hello")
            assert await ann.posts(1) == ["p1"]  # and no notification again

    run(world, test)


@pytest.mark.parametrize("kind", get_args(NoticeKind))
def test_each_kind_comes_as_its_list_shows_it(world: World, kind: NoticeKind) -> None:
    world.redis.post("mine", "ann", NOW)
    subject = {"follow": "", "favourite_post": "bob"}.get(kind, "mine")
    item = {"comment": "c1", "comment_reply": "c1", "reply": "p1", "favourite_post": "p1"}
    acts = ((NOW, "bob", item.get(kind, "")), (NOW - 1, "cy", item.get(kind, "")))
    view = NotificationView("ann", kind, subject, 2, acts)
    world.redis.notices.append(view)
    (listed,) = world.ask("GET", "/api/v1/notifications", "ann").json()["notifications"]

    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            live.logs.show(Topic.VIEW_NOTIFICATIONS, "ann", view, view.key)
            assert await ann.wait("notification") == [listed]

    run(world, test)


def test_what_one_may_not_see_is_not_told_by_when_it_comes(world: World) -> None:
    world.redis.post("mine", "ann", NOW)
    world.redis.block("ann", "dan")

    async def test(live: Live) -> None:
        def show(kind: NoticeKind, count: int, *named: tuple[int, str]) -> None:
            acts = tuple((at, user_id, "") for at, user_id in named)
            view = NotificationView("ann", kind, "mine", count, acts)
            live.logs.show(Topic.VIEW_NOTIFICATIONS, "ann", view, view.key)

        async def counts(*kinds: str) -> dict[str, int]:
            """What is told until these kinds have come: kind to count."""
            found: dict[str, int] = {}
            while not found.keys() >= set(kinds):
                (said,) = await ann.wait("notification")
                found[said["kind"]] = said["count"]
            return found

        async with live.client("ann") as ann:
            await ann.wait("hello")
            show("share", 2, (NOW, "dan"), (NOW - 1, "bob"))  # the first of it that comes
            show("like", 1, (NOW, "bob"))
            assert await counts("like") == {"like": 1}
            show("like", 2, (NOW + 1, "dan"), (NOW, "bob"))
            show("like", 3, (NOW + 1, "dan"), (NOW, "bob"), (NOW - 1, "dan"))
            show("share", 1, (NOW - 1, "bob"))
            world.redis.seen = NOW
            show("comment", 1, (NOW, "bob"))
            assert await counts("comment") == {"comment": 1}
            show("like", 4, (NOW + 1, "dan"), (NOW, "bob"), (NOW - 1, "dan"), (NOW - 2, "cy"))
            show("share", 2, (NOW, "cy"), (NOW - 1, "bob"))
            assert await counts("like", "share") == {"like": 2, "share": 2}

    run(world, test)


@pytest.mark.parametrize(
    ("visibility", "is_friend", "is_told"),
    [
        ("public", False, True),
        ("followers", False, True),
        ("friends", False, False),
        ("friends", True, True),
        ("custom", False, True),  # it is for the owners that the record names
    ],
)
def test_that_a_post_is_gone_is_told_to_who_could_see_it(
    world: World, visibility: Visibility, is_friend: bool, is_told: bool
) -> None:
    world.redis.post("gone", "bob", is_deleted=True)
    if is_friend:
        world.redis.follow("bob", "ann")

    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            live.logs.operate("ann", RemoveEntry("gone", "u:bob", NOW, ["ann"], visibility))
            live.logs.operate("ann", RemoveEntry("p1", "u:bob", NOW, ["ann"]))
            said = {"post_id": "p1", "reasons": ["u:bob"]}
            told = {"post_id": "gone", "reasons": ["u:bob"]}
            expected = [told, said] if is_told else [said]
            assert await ann.wait(*["remove"] * len(expected)) == expected

    run(world, test)


def test_what_was_sent_is_taken_back_whoever_may_see_it_now(world: World) -> None:
    world.redis.post("f", "bob", NOW, visibility="friends")
    world.redis.follow("bob", "ann")

    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            live.logs.push("ann", "f", "u:bob")
            assert await ann.posts(1) == ["f"]
            world.redis.found.follows.remove(("bob", "u:ann"))
            live.logs.operate("ann", RemoveEntry("f", "u:bob", NOW, ["ann"], "friends"))
            assert await ann.wait("remove") == [{"post_id": "f", "reasons": ["u:bob"]}]

    run(world, test)


@pytest.mark.parametrize("hidden_by", ["reports", "moderator"])
def test_a_post_that_is_hidden_goes_from_who_was_sent_it(world: World, hidden_by: HiddenBy) -> None:
    world.redis.post("p1", "bob")
    world.redis.post("p2", "bob")
    world.redis.post("p3", "bob")

    def hide(live: Live, post_id: str) -> None:
        world.redis.post(post_id, "bob", hidden_by=hidden_by)
        live.logs.show(Topic.VIEW_POSTS, post_id, world.redis.found.posts[post_id])

    async def test(live: Live) -> None:
        async with live.client("ann") as ann, live.client("bob") as bob:
            for user in (ann, bob):
                await user.wait("hello")
                live.logs.push(user.stream.user_id, "p1", "u:bob")
                live.logs.push(user.stream.user_id, "p1", "s:cy")
                assert await user.posts(2) == ["p1", "p1"]
            await asyncio.sleep(0.01)
            live.logs.show(Topic.VIEW_POSTS, "p1", world.redis.found.posts["p1"])
            hide(live, "p2")  # which nobody was sent
            hide(live, "p1")
            assert await ann.wait("remove") == [{"post_id": "p1"}]
            hide(live, "p1")  # once more, as by an edit
            for user in (ann, bob):
                live.logs.push(user.stream.user_id, "p1", "t:x")
                live.logs.push(user.stream.user_id, "p3", "u:bob")
            assert await ann.posts(1) == ["p3"]
            assert await bob.posts(2) == ["p1", "p3"], "who wrote it has it still"

    run(world, test)


def test_what_is_watched_no_longer_is_not_taken_away(world: World) -> None:
    world.redis.post("p1", "bob")

    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            live.logs.push("ann", "p1", "u:bob")
            await ann.posts(1)
            await asyncio.sleep(0.01)
            assert any(topic == Topic.VIEW_POSTS for topic, _ in live.logs.followed)
            live.logs.operate("ann", RemoveSource("ann", ["u:bob"]))
            await ann.wait("remove")
        assert not any(live.hub._wanted[log] for log in live.logs.followed)

    run(world, test)


def test_what_one_hides_goes_from_all_of_one_s_streams(world: World) -> None:
    world.redis.post("p1", "bob")
    world.redis.post("p2", "bob")

    def mine(live: Live, user_id: str, hidden_at: int | None) -> None:
        view = MineView(user_id, "p1", "like", NOW, hidden_at=hidden_at)
        live.logs.show(Topic.VIEW_MINE, user_id, view, "p1")

    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            live.logs.push("ann", "p1", "u:bob")
            await ann.posts(1)
            async with live.client("ann") as other:
                await other.wait("hello")
                mine(live, "ann", None)
                mine(live, "ann", 0)
                mine(live, "cy", NOW)
                mine(live, "ann", NOW)
                for each in (ann, other):  # which may have it from the feed
                    assert await each.wait("remove") == [{"post_id": "p1"}]
                live.logs.push("ann", "p2", "u:bob")
                assert await ann.posts(1) == ["p2"]
                assert await other.posts(1) == ["p2"]
                token = other.token
            mine(live, "ann", NOW + 1)
            async with live.client("ann", token) as back:
                await back.wait("hello")
                assert await back.wait("remove") == [{"post_id": "p1"}]

    run(world, test)


def test_of_a_heavy_source_only_what_followers_see_is_told_to_be_gone(world: World) -> None:
    world.redis.follow("ann", "star")
    world.redis.recent("u:star", "p9", "u:star")

    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            for post, visibility in (("c", "custom"), ("x", "private"), ("f", "followers")):
                view = RecentActivity("u:star", post, "u:star", NOW, False, True, visibility)
                live.logs.show(Topic.VIEW_RECENTS, "u:star", view, post, "u:star")
            assert await ann.wait("remove") == [{"post_id": "f", "reasons": ["u:star"]}]

    run(world, test)


def test_heavy_sources_reach_who_follows_them(world: World) -> None:
    world.redis.follow("ann", "star")
    world.redis.recent("u:star", "p9", "u:star")
    world.redis.post("s1", "star", NOW)
    world.redis.post("s2", "star", NOW)

    async def test(live: Live) -> None:
        def spread(post: str, *, is_news: bool = True, is_held: bool = True) -> None:
            view = RecentActivity("u:star", post, "u:star", NOW, is_held, is_news)
            live.logs.show(Topic.VIEW_RECENTS, "u:star", view, post, "u:star")

        async with live.client("ann") as ann, live.client("cy") as cy:
            await ann.wait("hello")
            await cy.wait("hello")
            spread("p1", is_news=False)  # it was pushed before
            spread("s1")
            assert await ann.posts(1) == ["s1"]
            spread("p2", is_held=False, is_news=False)  # newer ones have taken its place
            spread("s1", is_held=False)
            assert await ann.wait("remove") == [{"post_id": "s1", "reasons": ["u:star"]}]
            token = ann.token
        spread("s2")
        async with live.client("ann", token) as ann:
            await ann.wait("hello")
            assert await ann.posts(1) == ["s2"]

    run(world, test)


def test_a_source_that_becomes_heavy_goes_on_reaching_its_followers(world: World) -> None:
    async def test(live: Live) -> None:
        async with live.client("ann") as ann, live.client("cy") as cy:
            await ann.wait("hello")
            await cy.wait("hello")
            live.logs.show(Topic.VIEW_RECENTS, "u:bob", HeavySource("u:bob", True))
            view = RecentActivity("u:bob", "p1", "u:bob", NOW, True, True)
            live.logs.show(Topic.VIEW_RECENTS, "u:bob", view, "p1", "u:bob")
            assert await ann.posts(1) == ["p1"]
            live.logs.push("cy", "p2", "u:bob")
            assert await cy.posts(1) == ["p2"]

    run(world, test)


def test_a_heavy_source_followed_while_away_is_read_from_then_on(world: World) -> None:
    world.redis.post("s1", "star", NOW)

    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            token = ann.token
        world.redis.follow("ann", "star")
        world.redis.recent("u:star", "p9", "u:star")
        view = RecentActivity("u:star", "s1", "u:star", NOW, True, True)
        live.logs.show(Topic.VIEW_RECENTS, "u:star", view, "s1", "u:star")
        async with live.client("ann", token) as ann:
            await ann.wait("hello")
            assert await ann.posts(1) == ["s1"]
            assert live.logs.asked_at == live.clock - hub.SLACK_MS

    run(world, test)


def test_a_heavy_source_followed_while_there(world: World) -> None:
    world.redis.post("s1", "star", NOW)

    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            relation = RelationView("ann", "u:star", True)
            live.logs.show(Topic.VIEW_RELATIONS, "ann", relation, "u:star")
            live.logs.push("ann", "p1", "u:bob")
            await ann.posts(1)
            view = RecentActivity("u:star", "s1", "u:star", NOW, True, True)
            live.logs.show(Topic.VIEW_RECENTS, "u:star", view, "s1", "u:star")
            assert await ann.posts(1) == ["s1"]

    run(world, test)


def test_who_wakes_up_is_told_to_read_the_feed(world: World) -> None:
    world.redis.user("ann", is_dormant=True)

    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            (hello,) = await ann.wait("hello")
            assert hello["is_opening"] is True
            live.logs.operate(
                "ann",
                OpenTimeline("ann", "e", 2),
                RefillTimeline("ann", "e", 0, [("p1", "u:bob", NOW)]),
                RefillTimeline("ann", "e", 0, [("p2", "u:bob", NOW)]),
            )
            assert await ann.wait("gap") == [{"reason": "opening"}]

    run(world, test)


def test_resuming_goes_on_within_a_record(world: World) -> None:
    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            entries = [(f"p{n}", "u:bob", NOW) for n in (1, 2, 3)]
            live.logs.operate("ann", FillTimeline("ann", entries))
            assert await ann.posts(2) == ["p1", "p2"]
            token = ann.token
        live.logs.push("ann", "p9", "u:bob", NOW - 10**9)
        async with live.client("ann", token) as ann:
            await ann.wait("hello")
            live.logs.push("ann", "p4", "u:bob")
            assert await ann.posts(3) == ["p3", "p9", "p4"]

    run(world, test)


def test_what_is_on_its_way_when_another_stream_begins_comes_once(world: World) -> None:
    async def test(live: Live) -> None:
        async with live.client("ann") as first, live.client("ann") as second:
            await first.wait("hello")
            live.logs.held = []
            live.logs.push("ann", "p1", "u:bob")
            await second.wait("hello")
            live.logs.push("ann", "p2", "u:bob")
            live.logs.release()
            assert await first.posts(2) == ["p1", "p2"]
            assert await second.posts(1) == ["p2"]

    run(world, test)


def test_a_process_that_is_behind_another_sends_nothing_twice(world: World) -> None:
    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            live.logs.push("ann", "p1", "u:bob")
            await ann.posts(1)
            token = ann.token
            log = (Topic.TIMELINE_WRITES, next(iter(live.logs.followed))[1])
            live.logs.followed[log] -= 2  # this process has not read p1 yet
            async with live.client("ann", token) as again:
                await again.wait("hello")
                live.logs.push("ann", "p2", "u:bob")
                assert await again.posts(1) == ["p2"]

    run(world, test)


@pytest.mark.parametrize("reason", ["expired", "too_much", "log"])
def test_what_cannot_be_had_is_a_gap_and_it_goes_on(world: World, reason: str) -> None:
    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            live.logs.push("ann", "p1", "u:bob")
            await ann.posts(1)
            token = ann.token
        for _ in range(20):
            live.logs.push("ann", "p2", "u:bob")
        log = next(log for log in live.logs.records if log[0] == Topic.TIMELINE_WRITES)
        if reason == "expired":
            live.logs.begins[log] = 10
        if reason == "log":
            live.logs.leave(list(live.logs.followed))
            live.logs.records[log].clear()
        async with live.client("ann", token) as ann:
            await ann.wait("hello")
            assert await ann.wait("gap") == [{"reason": reason}]
            live.logs.push("ann", "p3", "u:bob")
            assert await ann.posts(1) == ["p3"]

    run(world, test, room=Room(10, 3, 10 if reason == "too_much" else 1_000))


def test_a_token_that_is_none_is_refused(world: World) -> None:
    async def test(live: Live) -> None:
        for token in ("", "%%%", "abcd", "A" * 9_000):
            with pytest.raises(ProblemError) as refused:
                live.hub.admit("ann", token)
            assert refused.value.status == 400

    run(world, test)


def test_a_slow_client_is_told_of_the_gap_and_dropped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "ROOM", 5)

    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            for _ in range(3):
                for number in range(1, 4):
                    live.logs.push("ann", f"p{number}", "u:bob")
                    await asyncio.sleep(0)
            await asyncio.sleep(0.01)
            gap, end = await ann.wait("gap", "end")
            assert gap == end == {"reason": "slow"}
            token = ann.token
        live.logs.push("ann", "p5", "u:bob")
        async with live.client("ann", token) as ann:
            await ann.wait("hello")
            assert await ann.posts(1) == ["p5"]

    run(world, test)


def test_there_is_room_for_so_many(world: World) -> None:
    async def test(live: Live) -> None:
        async with live.client("ann"), live.client("ann"):
            with pytest.raises(ProblemError) as refused:
                live.hub.admit("ann", None)
            assert refused.value.status == 429
            async with live.client("bob"):
                with pytest.raises(ProblemError) as refused:
                    live.hub.admit("cy", None)
                assert refused.value.status == 503
            async with live.client("cy"):
                pass
        async with live.client("ann"):
            pass

    run(world, test, room=Room(3, 2, 10))


def test_an_outage_of_kafka_is_said_and_nothing_lost(world: World) -> None:
    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            live.logs.set_down(True)
            assert await ann.wait("degraded", "heartbeat") == [
                {"degraded": ["kafka"]},
                {"degraded": ["kafka"]},
            ]
            live.logs.push("ann", "p1", "u:bob")
            live.logs.set_down(False)
            found = dict([await ann.next(), await ann.next()])
            assert found["degraded"] == {"degraded": []}
            assert found["entry"]["post_id"] == "p1"

    run(world, test, limits=LIMITS._replace(heartbeat_seconds=0.3))


def test_who_comes_in_an_outage_waits_and_misses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.live.hub.AGAIN_SECONDS", 0.05)

    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            token = ann.token
        live.logs.push("ann", "p1", "u:bob")
        live.logs.set_down(True)
        async with live.client("ann", token) as ann:
            await ann.wait("degraded", "heartbeat")
            live.logs.set_down(False)
            await ann.wait("degraded", "hello", "entry")

    run(world, test, limits=LIMITS._replace(heartbeat_seconds=0.2))


def test_an_outage_of_both_stores_is_said_and_nothing_lost(world: World) -> None:
    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            world.cache.is_down = world.archive.is_down = True
            live.logs.push("ann", "p1", "u:bob")
            assert await ann.wait("degraded") == [{"degraded": ["cassandra", "redis"]}]
            world.cache.is_down = world.archive.is_down = False
            assert await ann.posts(1) == ["p1"]
            assert await ann.wait("degraded") == [{"degraded": []}]

    run(world, test)


@pytest.mark.parametrize(
    ("expires_in", "longest", "reason"), [(0.2, 60, "token"), (60, 0.2, "time")]
)
def test_a_stream_ends_with_its_token_or_its_time(
    world: World, expires_in: float, longest: float, reason: str
) -> None:
    async def test(live: Live) -> None:
        async with live.client("ann", expires_in=expires_in) as ann:
            await ann.wait("hello")
            assert await ann.wait("end") == [{"reason": reason}]

    run(world, test, limits=LIMITS._replace(longest_seconds=longest))


def test_closing_ends_streams_and_admits_none(world: World) -> None:
    async def test(live: Live) -> None:
        async def follow() -> list[dict[str, Any]]:
            async with live.client("ann") as ann:
                return await ann.wait("hello", "end")

        following = asyncio.create_task(follow())
        await asyncio.sleep(0.05)
        await live.hub.close()
        assert (await following)[1] == {"reason": "restart"}
        with pytest.raises(ProblemError):
            live.hub.admit("ann", None)

    run(world, test)


def test_a_log_that_cannot_be_read_on_ends_streams(world: World) -> None:
    async def test(live: Live) -> None:
        async with live.client("ann") as ann:
            await ann.wait("hello")
            live.logs.lose((Topic.TIMELINE_WRITES, 0))
            assert await ann.wait("end") == [{"reason": "log"}]

    run(world, test)
