"""Deliveries: what is sent to whom, and how often."""

from __future__ import annotations

import asyncio

import pytest

from api.deliveries import DAY_MS, HOUR_MS, Deliveries, is_news
from api.state import Services
from api.stores import StoreDownError, Told
from connectors.push.address import Address
from connectors.push.connector import DELIVERED, Connector, Outcome, RetryLaterError, gone
from connectors.push.gateway import Gateway
from connectors.push.notice import Notice
from connectors.push.retry import RetryPolicy
from schemas.views import NotificationView
from tests.unit.api_fakes import NOW, World

TOKEN = "fcm:0123456789abcdef0123456789abcdef"


class Phone(Connector):
    """Takes notices, or fails as it is told."""

    def __init__(self) -> None:
        self.got: list[Notice] = []
        self.answers: list[Outcome | Exception] = []

    async def deliver(self, address: Address, notice: Notice) -> Outcome:
        assert address.service == "fcm"
        answer = self.answers.pop(0) if self.answers else DELIVERED
        if isinstance(answer, Exception):
            raise answer
        self.got.append(notice)
        return answer

    async def aclose(self) -> None:
        """There is nothing to close."""


class Desk:
    """Deliveries to the phone of al, over fakes."""

    def __init__(self) -> None:
        self.world = World()
        self.views = self.world.redis
        for user_id in ("al", "ann", "bob"):
            self.views.user(user_id)
        self.views.post("mine", "al")
        self.views.devices["al"] = (TOKEN, "no token", "apns:of nobody")
        self.phone = Phone()
        services: Services = self.world.app.state.services
        gateway = Gateway({"fcm": self.phone}, policy=RetryPolicy(attempts=2), sleep=self._sleep)
        self.deliveries = Deliveries(services, gateway, lambda: NOW)

    async def _sleep(self, seconds: float) -> None:
        assert seconds >= 0

    def hand(self, *groups: NotificationView) -> list[Notice]:
        """What the phone has after these records."""
        asyncio.run(self.deliveries.deliver(groups))
        return self.phone.got


def group(count: int = 1, at: int = NOW, kind: str = "like", who: str = "ann") -> NotificationView:
    return NotificationView("al", kind, "mine", count, ((at, who, "c1"),))  # type: ignore[arg-type]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_notice_says_what_the_list_says(desk: Desk) -> None:
    desk.views.notices += [group(2), group(kind="share", at=NOW - 5)]
    (notice,) = desk.hand(group(2))
    assert notice == Notice(
        notice_id=f"like:mine:{NOW}:2",
        user_id="al",
        group="like\0mine",
        kind="like",
        actors=("ann",),
        actor_count=2,
        at=NOW,
        unread=2,
        post_id="mine",
    )


@pytest.mark.parametrize("kind", ["comment", "comment_reply"])
def test_a_comment_is_named(desk: Desk, kind: str) -> None:
    (notice,) = desk.hand(group(kind=kind))
    assert (notice.post_id, notice.comment_id) == ("mine", "c1")


def test_a_comment_of_who_is_not_welcome_is_not_named(desk: Desk) -> None:
    desk.views.mute("al", "u:ann")
    named = ((NOW, "ann", "c1"), (NOW - 1, "bob", "c2"))
    (notice,) = desk.hand(NotificationView("al", "comment", "mine", 2, named))
    assert (notice.actors, notice.comment_id) == (("bob",), "c2")


def test_a_post_of_a_favourite_is_named(desk: Desk) -> None:
    desk.views.post("p", "ann")
    (notice,) = desk.hand(NotificationView("al", "favourite_post", "ann", 1, ((NOW, "ann", "p"),)))
    assert (notice.post_id, notice.actors, notice.comment_id) == ("p", ("ann",), None)
    desk.views.post("q", "ann", visibility="private")
    later = NOW + HOUR_MS
    group = NotificationView("al", "favourite_post", "ann", 1, ((later, "ann", "q"),))
    assert desk.hand(group) == [notice]


def test_a_record_that_comes_again_is_not_delivered_again(desk: Desk) -> None:
    desk.hand(group(), group())
    assert len(desk.hand(group())) == 1


@pytest.mark.parametrize(
    ("group_", "told", "is_it"),
    [
        (group(1), Told(), True),
        (group(2, NOW), Told(1, NOW - 1), True),
        (group(3, NOW), Told(2, NOW - 1), False),
        (group(4, NOW), Told(2, NOW - 1), True),
        (group(3, NOW), Told(2, NOW - HOUR_MS), True),
        (group(9, NOW), Told(2, NOW), False),
        (group(9, NOW - 1), Told(2, NOW), False),
        (NotificationView("al", "like", "mine", 0), Told(), False),
    ],
)
def test_what_is_news(group_: NotificationView, told: Told, is_it: bool) -> None:
    assert is_news(group_, told) is is_it


@pytest.mark.parametrize("why", ["mute", "block", "reply"])
def test_what_one_may_not_see_is_not_told_by_when_it_comes(desk: Desk, why: str) -> None:
    """Ann's act was told, and read; then bob's comes, who must not be seen."""
    kind = "reply" if why == "reply" else "like"
    desk.views.post("r1", "ann")
    desk.views.post("r2", "bob", visibility="custom", audience=("cy",))
    if why == "mute":
        desk.views.mute("al", "u:bob")
    elif why == "block":
        desk.views.block("bob", "al")
    first = (NOW - 2 * HOUR_MS, "ann", "r1")
    (notice,) = desk.hand(NotificationView("al", kind, "mine", 1, (first,)))  # type: ignore[arg-type]
    both = NotificationView("al", kind, "mine", 2, ((NOW, "bob", "r2"), first))  # type: ignore[arg-type]
    desk.views.notices[:] = [both]
    assert desk.hand(both) == [notice]
    desk.views.told.clear()  # it was told too long ago to be known
    assert desk.hand(both) == [notice, notice]
    desk.views.told.clear()
    desk.views.seen = NOW - HOUR_MS
    assert desk.hand(both) == [notice, notice]
    desk.views.notices[:] = [both, NotificationView("al", "follow", "", 1, ((NOW, "ann", ""),))]
    (*_, follow) = desk.hand(desk.views.notices[1])
    assert follow.unread == 1


def test_what_is_seen_of_a_group_is_old_though_the_group_is_not(desk: Desk) -> None:
    desk.views.mute("al", "u:bob")
    named = ((NOW, "bob", ""), (NOW - DAY_MS - 1, "ann", ""))
    assert desk.hand(NotificationView("al", "like", "mine", 2, named)) == []


def test_those_who_are_not_known_by_name_are_no_news(desk: Desk) -> None:
    desk.views.mute("al", "u:ann")
    assert desk.hand(group(100)) == []


def test_what_was_read_or_is_old_is_not_delivered(desk: Desk) -> None:
    assert desk.hand(group(at=NOW - DAY_MS - 1)) == []
    desk.views.seen = NOW
    assert desk.hand(group()) == []


@pytest.mark.parametrize("why", ["block", "mute", "silenced", "deleted post", "gone"])
def test_nothing_is_delivered_that_would_not_be_shown(desk: Desk, why: str) -> None:
    match why:
        case "block":
            desk.views.block("ann", "al")
        case "mute":
            desk.views.mute("al", "u:ann")
        case "silenced":
            desk.views.user("al", silenced=("like",))
        case "deleted post":
            desk.views.post("mine", "al", is_deleted=True)
        case "gone":
            desk.views.user("ann", status="deactivated")
    follow = NotificationView("al", "follow", "", 1, ((NOW, "bob", ""),))
    assert [notice.kind for notice in desk.hand(group(), follow)] == ["follow"]


def test_who_has_no_device_costs_one_read(desk: Desk) -> None:
    desk.views.devices.clear()
    desk.hand(group())
    assert desk.world.cache.calls == ["told", "devices"]


def test_it_is_tried_again_and_then_left(desk: Desk) -> None:
    desk.phone.answers = [RetryLaterError("busy"), DELIVERED]
    assert len(desk.hand(group())) == 1
    desk.phone.answers = [RetryLaterError("busy"), RetryLaterError("busy")]
    assert len(desk.hand(group(2, NOW + 1))) == 1
    assert desk.deliveries.outcomes == {"delivered": 1, "failed": 1}


def test_outcomes_are_counted(desk: Desk) -> None:
    desk.phone.answers = [gone("UNREGISTERED")]
    desk.hand(group())
    assert desk.deliveries.outcomes == {"gone": 1}


def test_without_redis_it_ends(desk: Desk) -> None:
    """So nothing is committed that was not delivered."""
    desk.world.cache.is_down = True
    with pytest.raises(StoreDownError):
        desk.hand(group())


def test_where_it_cannot_be_known_who_may_see_it_it_ends(desk: Desk) -> None:
    """Rather than leave out what could be shown later."""
    desk.world.split()
    desk.world.archive.is_down = True
    absent = NotificationView("al", "like", "long-ago", 1, ((NOW, "ann", ""),))
    with pytest.raises(StoreDownError):
        desk.hand(absent)
    assert desk.phone.got == []
