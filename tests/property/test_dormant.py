"""Who was dormant misses nothing: above its floor, a feed is that of a world without any sleep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Follow, FollowAction, User
from schemas.topics import Topic
from schemas.views import TimelineOp
from streams import fan_out, users
from streams import sources as sources_module
from streams.facts import Activity, Dormant, Removal, Tick
from streams.sources import SourceFold
from streams.users import UserFold
from tests.unit.folds import DAY, NOW, Feed, Folded, feeds

AUTHORS, READERS, POSTS = "yz", "abc", "pqrst"
HELD = 3
LOTS = 1_000

authors, readers = st.sampled_from(AUTHORS), st.sampled_from(READERS)
steps = st.one_of(
    st.tuples(st.just("post"), authors, st.sampled_from(POSTS)),
    st.tuples(st.just("post"), authors, st.sampled_from(POSTS)),
    st.tuples(st.just("delete"), authors, st.sampled_from(POSTS)),
    st.tuples(st.just("follow"), readers, authors),
    st.tuples(st.just("unfollow"), readers, authors),
    st.tuples(st.just("read"), readers),
    st.tuples(st.just("days"), st.sampled_from([1, 29, 30, 31, 40])),
    st.tuples(st.just("work"), st.integers(1, 3)),
)


class World:
    """A partition of users and one of sources, and what both put out for timelines, in order."""

    def __init__(self) -> None:
        self.users, self.sources = Folded(UserFold), Folded(SourceFold)
        self.operations: list[TimelineOp] = []
        self._told = self._from_users = self._from_sources = 0
        self._at = NOW
        self._days = 0
        self.slept = 0

    def take(self, step: Sequence[Any]) -> None:
        self._at += 1
        match step:
            case ("post", author, post):
                source = f"u:{author}"
                self.sources.add(
                    Activity(source, source, f"{author}{post}", self._at, "public", (), author)
                )
            case ("delete", author, post):
                self.sources.add(Removal(f"u:{author}", f"u:{author}", f"{author}{post}", self._at))
            case ("read", reader):
                self.users.add(
                    User(event_id=f"e{self._at}", action="active", user_id=reader, at=self._at)
                )
            case ("days", days):
                self._days += days
                self.users.add(Tick(NOW + self._days * DAY))
            case ("work", limit):
                self.sources.fold.work(limit)
            case (action, reader, author):
                self._follow(action, reader, author)
        self._pass_on()

    def feeds(self) -> dict[str, Feed]:
        while self.sources.fold.backlog:
            self.take(("work", LOTS))
        return feeds(self.operations)

    def _follow(self, action: FollowAction, reader: str, author: str) -> None:
        event_id, target = f"e{self._at}", f"u:{author}"
        self.users.add(
            Follow(event_id=event_id, action=action, user_id=reader, target=target, at=self._at)
        )

    def _pass_on(self) -> None:
        """What the users' log says to the sources, and what both put out."""
        told = self.users.facts(Topic.BY_SOURCE)
        self.slept += sum(isinstance(fact, Dormant) for fact in told[self._told :])
        self.sources.add(*told[self._told :])
        self._told = len(told)
        self.users.checkpoint()
        self.sources.checkpoint()
        of_users, of_sources = self.users.operations(), self.sources.operations()
        self.operations += of_users[self._from_users :] + of_sources[self._from_sources :]
        self._from_users, self._from_sources = len(of_users), len(of_sources)


def _above(feed: Feed) -> dict[tuple[str, str], int]:
    return {entry: at for entry, at in feed.entries.items() if at > feed.floor}


def _run(history: list[Sequence[Any]], awake_days: int) -> World:
    world = World()
    with mock.patch.object(users, "AWAKE_DAYS", awake_days):
        world.take(("days", 1))
        for step in history:
            world.take(step)
    return world


@settings(max_examples=300)
@given(st.lists(steps, max_size=40), st.sampled_from([1, LOTS]))
def test_who_was_dormant_misses_nothing(history: list[Sequence[Any]], at_once: int) -> None:
    with (
        mock.patch.object(sources_module, "RECENT_ACTIVITIES", HELD),
        mock.patch.object(fan_out, "DELIVERIES_AT_ONCE", at_once),
    ):
        found = _run(history, 30).feeds()
        awake = _run(history, LOTS).feeds()
    assert found.keys() == awake.keys()
    for reader, feed in found.items():
        assert (feed.floor, feed.missing) == (awake[reader].floor, 0)
        assert _above(feed) == _above(awake[reader])


def test_such_a_history_has_someone_sleep() -> None:
    world = _run([("follow", "a", "z"), ("days", 31), ("post", "z", "p"), ("read", "a")], 30)
    assert world.slept == 1
    assert _above(world.feeds()["a"]) == {("zp", "u:z"): NOW + 4}
