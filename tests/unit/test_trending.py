"""Trending: who counts, when, for which posts and topics, and in which order they are listed."""

from __future__ import annotations

from random import Random
from typing import Any
from unittest import mock

import pytest

from schemas.events import Engagement, Event, Post
from schemas.topics import Topic
from schemas.views import TrendingEntry, TrendingView
from streams import trend_scores, trends
from streams.facts import Fact, Tick, TopicActs
from streams.posts import PostFold
from streams.sources import SourceFold
from streams.trend_scores import (
    BUCKET_MS,
    act_of,
    after,
    deeper,
    depth_at,
    is_sampled,
    language_of,
    rise,
    score,
)
from tests.unit.folds import MINUTE, NOW, Folded, created, deleted, edited, engaged, judged, time

MINUTES_A_DAY = 24 * 60
START = NOW - NOW % BUCKET_MS
"""When five minutes begin: `time` counts from NOW."""
OFFSET = (START - NOW) / MINUTE + 1e-5  # no rounding goes below a ms


def tick(minutes: float = 0) -> Tick:
    """The clock, in minutes after START."""
    return Tick(at(minutes))


def at(minutes: float) -> int:
    return time(OFFSET + minutes)


def acted(users: int, minutes: float = 0, *, post: str = "p", first: int = 0) -> list[Engagement]:
    """Users like a post, in minutes after START."""
    return [
        engaged("like", f"u{n}", OFFSET + minutes, post=post) for n in range(first, first + users)
    ]


def made(post: str = "p", minutes: float = 0, **more: Any) -> Post:
    return created("ann", OFFSET + minutes, post=post, **more)


class World:
    """The two folds that trends are kept in, topics told as they come."""

    def __init__(self) -> None:
        self.posts, self.sources = Folded(PostFold), Folded(SourceFold)
        self._told = 0

    def add(self, *events: Event | Fact) -> World:
        for event in events:
            if isinstance(event, Tick):
                self._tell()
                self.sources.add(event)
            self.posts.add(event)
        self._tell()
        return self

    def _tell(self) -> None:
        self.posts.checkpoint()
        told = self.posts.topic_acts()
        self.sources.add(*told[self._told :]).checkpoint()
        self._told = len(told)

    def lists(self, kind: str) -> dict[str, TrendingView]:
        """The newest lists by window and language."""
        folded = self.posts if kind == "posts" else self.sources
        views = folded.views(Topic.VIEW_TRENDING)
        return {name.partition("/")[2]: view for name, view in views.items()}

    def entries(self, name: str, kind: str = "posts") -> list[TrendingEntry]:
        view = self.lists(kind).get(name)
        return [] if view is None else list(view.entries)

    def keys(self, name: str, kind: str = "posts") -> list[str]:
        return [entry.key for entry in self.entries(name, kind)]


# Who counts


def test_distinct_users_make_a_post_trend() -> None:
    world = World().add(made(), *acted(2), tick())
    (entry,) = world.entries("1h/")
    assert (entry.key, entry.users, entry.velocity, entry.is_viral) == ("p", 3, 3, False)
    assert entry.score == int(score(3, 0) * 10) / 10


def test_two_users_do_not() -> None:
    world = World().add(made(), *acted(1), *acted(1, 6), *acted(1, 12), tick(20))
    assert world.entries("1h/") == []


@pytest.mark.parametrize(
    "more", [{"action": "react", "kind": "wow"}, {"action": "comment"}, {"action": "share"}]
)
def test_what_counts(more: dict[str, Any]) -> None:
    ids = {"comment_id": "c"} if more["action"] == "comment" else {}
    acts = [engaged(user=f"u{n}", at=OFFSET, **more, **ids) for n in range(3)]
    assert World().add(made(), *acts, tick()).entries("1h/")[0].users == 4


@pytest.mark.parametrize(
    "acts",
    [
        [engaged(action, f"u{n}", OFFSET) for n in range(9)]  # type: ignore[arg-type]
        for action in ("view", "click", "hide", "report", "unlike", "unshare")
    ]
    + [[engaged("like", f"u{n}", OFFSET, comment_id="c") for n in range(9)]],
)
def test_what_does_not(acts: list[Engagement]) -> None:
    assert World().add(made(), *acts, tick()).entries("1h/") == []


def test_a_user_counts_once_in_five_minutes() -> None:
    often = [engaged("like", f"u{n % 3}", OFFSET + n / 10) for n in range(30)]
    assert World().add(*often, made(), tick()).entries("1h/")[0].score == int(score(4, 0) * 10) / 10


def test_what_is_taken_back_has_been_done() -> None:
    world = World().add(made(), *acted(3), engaged("unlike", "u1", OFFSET + 1), tick(1))
    assert world.entries("1h/")[0].users == 4


@pytest.mark.parametrize("visibility", ["followers", "friends", "custom", "private"])
def test_only_public_posts_trend_and_raise_topics(visibility: str) -> None:
    world = World().add(made(content="#tea", visibility=visibility), *acted(9), tick())
    assert world.entries("1h/") == world.entries("1h/", "topics") == []
    world.add(edited("ann", OFFSET + 1, content="#tea"), tick(1))
    assert world.keys("1h/") == ["p"]
    assert world.keys("1h/", "topics") == ["t:tea"]
    world.add(edited("ann", OFFSET + 2, content="#tea", visibility=visibility), tick(2))
    assert world.entries("1h/") == world.entries("1h/", "topics") == []


def test_a_deleted_post_goes_with_its_share_of_a_topic() -> None:
    world = World().add(made("p", content="#tea"), made("q", content="#tea"))
    world.add(*acted(5), *acted(4, post="q", first=3), tick())
    assert world.entries("1h/", "topics")[0].users == 8
    world.add(deleted(OFFSET + 1, post="p"), tick(1))
    assert world.keys("1h/") == ["q"]
    assert world.entries("1h/", "topics")[0].users == 5


def test_a_hidden_post_goes_until_it_is_cleared() -> None:
    world = World().add(made(content="#tea"), *acted(5), tick())
    world.add(judged("hidden", at=OFFSET + 1), tick(1))
    assert world.entries("1h/") == world.entries("1h/", "topics") == []
    world.add(judged("cleared", at=OFFSET + 2), tick(2))
    assert world.entries("1h/")[0].users == world.entries("1h/", "topics")[0].users == 6
    world.add(*(engaged("report", f"r{n}", OFFSET + 3) for n in range(10)), tick(3))
    assert world.entries("1h/") == world.entries("1h/", "topics") == []


def test_acts_before_the_post_count() -> None:
    world = World().add(*acted(3), tick())
    assert world.entries("1h/") == []
    world.add(made(content="#tea"), tick(1))
    assert world.entries("1h/")[0].users == world.entries("1h/", "topics")[0].users == 4


def test_an_edit_takes_the_acts_to_other_topics() -> None:
    world = World().add(made(content="#tea #green", language="en"), *acted(3), tick())
    assert world.keys("1h/en", "topics") == ["t:green", "t:tea"]
    world.add(edited("ann", OFFSET + 1, content="#tea #black", language="de"), tick(1))
    assert world.keys("1h/", "topics") == ["t:black", "t:tea"]
    assert world.keys("1h/en", "topics") == []
    assert world.keys("1h/de", "topics") == ["t:black", "t:tea"]


# When


def test_windows_end_with_the_five_minutes_that_have_begun() -> None:
    world = World().add(made(), *acted(3), tick())
    world.add(tick(59.9))
    assert world.entries("1h/")[0].users == 4
    world.add(tick(60))
    assert world.entries("1h/") == []
    assert world.entries("24h/")[0].users == 4
    assert world.entries("24h/")[0].velocity == 0
    world.add(tick(MINUTES_A_DAY))
    assert world.entries("24h/") == []


def test_nothing_is_left_after_two_days() -> None:
    world = World().add(made(content="#tea"), *acted(50), tick())
    world.add(tick(2 * MINUTES_A_DAY - 1))
    assert world.posts.state.sizes()["act"] == 51
    world.add(tick(2 * MINUTES_A_DAY))
    for folded in (world.posts, world.sources):
        sizes = folded.state.sizes()
        left = {name: size for name, size in sizes.items() if "trend" in name or name == "act"}
        assert left == {**dict.fromkeys(left, 0), "trend_clock": 1}


def test_a_late_act_counts_where_it_belongs() -> None:
    late = World().add(made(), tick(50), *acted(3), tick(51))
    assert late.entries("1h/")[0].users == 4
    assert World().add(tick(2 * MINUTES_A_DAY), made(), *acted(3)).posts.state.sizes()["act"] == 0


def test_an_early_act_counts_at_once_and_as_long_as_others_of_its_time() -> None:
    world = World().add(tick(-5), made(), *acted(3), tick(-4))
    assert world.entries("1h/")[0].users == 4
    world.add(tick(59.9))
    assert world.entries("1h/")[0].users == 4
    world.add(tick(60))
    assert world.entries("1h/") == []


def test_lists_are_shown_with_every_five_minutes_and_when_they_change() -> None:
    world = World().add(made(), *acted(3), tick())

    def shown() -> int:
        return len(world.posts.outputs(Topic.VIEW_TRENDING))

    world.add(tick(1))
    before = shown()
    world.add(tick(2))
    assert shown() == before
    world.add(*acted(1, 2, first=9), tick(3))
    assert shown() == before + 2
    world.add(tick(5))
    assert shown() == before + 4
    assert {view.at for view in world.lists("posts").values()} == {at(5)}


def test_a_tick_that_is_not_newer_is_none() -> None:
    world = World().add(made(), *acted(3), tick(10)).add(*acted(9), tick(9), tick(10))
    assert world.entries("1h/")[0].users == 4


# Scores


def test_a_merely_big_topic_does_not_stay() -> None:
    steady = [engaged("like", f"u{n % 50}", OFFSET + n) for n in range(2 * MINUTES_A_DAY)]
    world = World().add(made(minutes=-1), *steady[:60], tick(59))
    assert world.keys("1h/") == ["p"]
    world.add(*steady[60:], tick(2 * MINUTES_A_DAY - 1))
    assert world.keys("1h/") == world.keys("24h/") == []
    surge = acted(150, 2 * MINUTES_A_DAY, first=100)
    world.add(*surge, *acted(150, 2 * MINUTES_A_DAY + 6, first=100), tick(2 * MINUTES_A_DAY + 7))
    assert world.keys("1h/") == ["p"]


@pytest.mark.parametrize(
    ("acts", "expected", "standard_deviations"),
    [(0, 0, 0), (3, 0, 3.1), (10, 10, 0), (1000, 1000, 0), (100, 50, 1.33), (100_000, 10_000, 4.6)],
)
def test_scores(acts: float, expected: float, standard_deviations: float) -> None:
    assert score(acts, expected) == pytest.approx(standard_deviations, abs=0.05)


def test_a_score_has_a_deviation_of_one() -> None:
    """Counts whose mean varies by half of itself, as what is scored does by chance."""
    rng = Random(1)
    for mean in (20.0, 200.0, 5_000.0):
        counts = [rng.gammavariate(4, mean / 4) for _ in range(4_000)]
        counts = [max(0.0, rng.gauss(count, count**0.5)) for count in counts]
        scores = [score(count, mean) for count in counts]
        middle = sum(scores) / len(scores)
        variance = sum((each - middle) ** 2 for each in scores) / len(scores)
        assert 0.8 < variance < 1.3, mean


@pytest.mark.parametrize(("users", "is_viral"), [(28, False), (29, True)])
def test_viral(users: int, is_viral: bool) -> None:
    (entry,) = World().add(made(), *acted(users), tick()).entries("1h/")
    assert (entry.velocity, entry.is_viral) == (users + 1, is_viral)


def test_what_goes_on_as_before_is_not_viral() -> None:
    acts = [act for hour in range(47) for act in acted(50, hour * 60)]
    found = rise([act_of(e.user_id, e.at // BUCKET_MS) for e in acts], (), at(46 * 60) // BUCKET_MS)
    assert found.standings[0].velocity == 50
    assert not found.standings[0].is_viral


# Lists


def test_the_first_fifty_by_score_then_by_id() -> None:
    world = World()
    for n in range(60):
        world.add(made(f"p{n:02}"), *acted(3 + n % 30, post=f"p{n:02}"))
    world.add(tick())
    entries = world.entries("1h/")
    assert len(entries) == 50
    assert entries == sorted(entries, key=lambda entry: (-entry.score, entry.key))
    assert (entries[0].key, entries[1].key) == ("p29", "p59")
    assert {entry.users for entry in entries} == set(range(9, 34))


def test_lists_by_language() -> None:
    for post, language in (("p", "en-GB"), ("q", "de"), ("r", None), ("s", "x-klingon")):
        world = World().add(made(post, language=language), *acted(3, post=post), tick())
        expected = {"en-GB": ["", "en"], "de": ["", "de"]}.get(language or "", [""])
        assert sorted(world.lists("posts")) == [
            f"{window}/{name}" for window in ("1h", "24h") for name in expected
        ]


def test_lists_of_many_languages_are_those_with_the_most_keys() -> None:
    with mock.patch.object(trends, "MAX_LISTS", 2):
        world = World()
        for post, language in (("p", "en"), ("q", "de"), ("r", "de")):
            world.add(made(post, language=language), *acted(3, post=post))
        world.add(tick())
        assert sorted(name for name in world.lists("posts") if name[:2] == "1h") == ["1h/", "1h/de"]
        for post in ("s", "t"):
            world.add(made(post, language="en"), *acted(3, post=post))
        world.add(tick(1))
        assert (world.keys("1h/de"), world.keys("1h/en")) == ([], ["p", "s", "t"])


def test_a_partition_names_itself() -> None:
    world = World().add(made(content="#tea", language="en"), *acted(3), tick())
    for kind, folded in (("posts", world.posts), ("topics", world.sources)):
        outputs = folded.outputs(Topic.VIEW_TRENDING)
        assert {output.partition for output in outputs} == {
            view.partition for view in world.lists(kind).values()
        }


def test_a_tick_looks_at_so_many_acts_and_leaves_the_rest() -> None:
    with mock.patch.object(trends, "LOOKED_AT_PER_TICK", 200):
        world = World()
        for n in range(20):
            world.add(made(f"p{n:02}"), *acted(3, post=f"p{n:02}"))
        lengths = []
        for second in range(6):
            world.add(tick(second / 60))
            lengths.append(len(world.entries("24h/")))
        assert lengths[0] < 20 == lengths[-1]
        assert lengths == sorted(lengths)
        lengths = []
        for n in range(80):  # a bucket that nothing waits for counts as an act
            world.add(tick(MINUTES_A_DAY + n / 60))
            lengths.append(len(world.entries("24h/")))
        assert lengths == sorted(lengths, reverse=True)
        assert lengths[-1] == 0
        assert any(0 < length < 20 for length in lengths)


# Samples


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ((), (), ()),
        (((0, 2),), (), ((0, 2),)),
        (((0, 2),), ((5, 3),), ((0, 2), (5, 3))),
        (((0, 3), (9, 1)), ((0, 2),), ((0, 3), (9, 2))),
        (((0, 3), (9, 0)), ((4, 4), (12, 1)), ((0, 3), (4, 4), (12, 1))),
    ],
)
def test_the_deeper_of_two(one: Any, other: Any, both: Any) -> None:
    assert deeper(one, other) == deeper(other, one) == both


def test_depths_of_what_is_still_kept() -> None:
    depths = ((0, 3), (10, 1), (20, 0))
    assert [depth_at(depths, bucket) for bucket in (0, 9, 10, 19, 20)] == [3, 3, 1, 1, 0]
    assert after(depths, 9) == ((0, 1), (20, 0))
    assert after(depths, 19) == ()


@pytest.fixture
def _few_acts() -> Any:
    with mock.patch.object(trends, "MAX_ACTS", 512):
        yield


@pytest.mark.usefixtures("_few_acts")
@pytest.mark.parametrize("users", [1_000, 5_000, 20_000])
def test_many_users_are_estimated_from_a_sample(users: int) -> None:
    world = World().add(made(content="#tea"), *acted(users), tick())
    for kind, folded in (("posts", world.posts), ("topics", world.sources)):
        assert folded.state.sizes()["act"] < 800
        (entry,) = world.entries("1h/", kind)
        assert entry.users == pytest.approx(users, rel=4 * (2 / 512) ** 0.5)


@pytest.mark.usefixtures("_few_acts")
def test_what_is_sampled_is_taken_back_and_comes_again_as_it_was() -> None:
    world = World().add(made("p", content="#tea"), made("q", content="#tea"))
    world.add(*acted(4_000), *acted(20, post="q", first=10_000), tick())
    (both,) = world.entries("1h/", "topics")
    world.add(deleted(OFFSET + 1, post="p"), tick(1))
    left = world.entries("1h/", "topics")
    assert sum(entry.users for entry in left) < 100
    again = World().add(*acted(4_000), tick(), made("p", content="#tea"))
    again.add(made("q", content="#tea"), *acted(20, post="q", first=10_000), tick(1))
    assert again.entries("1h/", "topics") == [both]


@pytest.mark.usefixtures("_few_acts")
def test_a_key_that_has_become_calm_counts_all_again() -> None:
    world = World().add(made(), *acted(4_000), tick())
    world.add(
        tick(2 * MINUTES_A_DAY - 1), *acted(1, 2 * MINUTES_A_DAY - 2), tick(3 * MINUTES_A_DAY)
    )
    world.add(*(tick(3 * MINUTES_A_DAY + 10 * n) for n in range(60)))
    later = 3 * MINUTES_A_DAY + 700
    world.add(*acted(10, later, first=50_000), tick(later))
    assert world.entries("1h/")[0].users == 10


def test_samples_are_those_of_the_digest() -> None:
    acts = [act_of(f"u{n}", 7) for n in range(4_000)]
    kept = [act for act in acts if is_sampled(act, ((0, 2),))]
    assert len(kept) == pytest.approx(1_000, abs=120)
    assert {act for act in acts if is_sampled(act, ((0, 3),))} < set(kept)
    assert all(is_sampled(act, ((8, 60),)) for act in acts)


# Names


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        *(("en", "en"), ("pt-BR", "pt"), ("DE_at", "de"), ("haw", "haw"), (None, ""), ("", "")),
        *(("english", ""), ("x-klingon", ""), ("e1", ""), ("写真", "")),
    ],
)
def test_languages(tag: str | None, language: str) -> None:
    assert language_of(tag) == language


def test_facts_name_the_users_by_digests() -> None:
    world = World().add(made(content="#tea", language="en"), engaged("like", "bob", OFFSET))
    bucket = START // BUCKET_MS
    assert world.posts.topic_acts() == [
        TopicActs("t:tea", "en", (act_of("ann", bucket),), True),
        TopicActs("t:tea", "en", (act_of("bob", bucket),), True),
    ]
    assert "bob" not in str(world.posts.topic_acts())


def test_score_constants_are_those_of_the_rules() -> None:
    assert (trend_scores.MIN_USERS, trend_scores.MIN_SCORE) == (3, 2.0)
