"""The benchmark of all engagements: its events, what they come to, and how a run is judged."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import msgspec
import pytest

from bench.engagement import EngagementReport
from bench.engagements import PARTITIONS, last_posts
from bench.figures import Figures, Machine, measured
from bench.mix import SHARES, Mix, Tally, last_users
from bench.mix_views import PlainViews, wrong
from schemas.events import Engagement
from schemas.partitioning import partition_of
from schemas.topics import Topic
from schemas.views import CountersView
from streams.posts import PostFold
from streams.users import UserFold
from tests.unit.folds import NOW, Folded, fold_all

COUNT = 5_000
MIX = Mix(count=COUNT, began_at=NOW)


class Stored(NamedTuple):
    """A Redis that holds these values."""

    values: dict[str, bytes]

    def mget(self, keys: list[str]) -> list[bytes | None]:
        return [self.values.get(key) for key in keys]


def tally(events: Any) -> Tally:
    found = Tally()
    for event in events:
        found.add(event)
    return found


def made(action: Any, number: int = 0, **more: Any) -> Engagement:
    fields = {"event_id": f"e{number}", "user_id": "ann", "at": NOW + number, **more}
    return Engagement(action=action, **fields)


def test_events_are_as_described() -> None:
    events = list(MIX.events())
    assert len(events) == COUNT
    assert events == list(MIX.events())
    actions = Counter(event.action for event in events)
    assert actions["view"] / COUNT == pytest.approx(SHARES["view"] / 1_000, abs=0.02)
    assert actions["message"] / COUNT == pytest.approx(SHARES["message"] / 1_000, abs=0.01)
    assert set(actions) == set(SHARES) - {"like of a comment"}
    assert any(event.comment_id for event in events if event.action == "like")
    assert any(event.parent for event in events)
    repeated = COUNT - len({event.event_id for event in events})
    assert repeated / COUNT == pytest.approx(0.03, abs=0.01)
    assert max(Counter(event.post_id for event in events if event.post_id).values()) < COUNT / 100


def test_half_of_all_events_are_about_a_post_that_is_hot() -> None:
    events = msgspec.structs.replace(MIX, is_hot=True).events()
    (_, most), *_ = Counter(event.post_id for event in events).most_common(1)
    assert most / COUNT == pytest.approx(0.5, abs=0.03)


def test_every_post_partition_ends_with_a_like_by_someone_of_every_user_partition() -> None:
    ends: dict[int, list[Engagement]] = {partition: [] for partition in range(PARTITIONS)}
    for event in MIX.events():
        if event.post_id is not None:
            ends[partition_of(event.post_id, PARTITIONS)].append(event)
    for partition, events in ends.items():
        last = events[-PARTITIONS:]
        assert {event.post_id for event in last} == {last_posts()[partition]}
        assert [event.user_id for event in last] == last_users()
    assert [partition_of(each, PARTITIONS) for each in last_users()] == list(range(PARTITIONS))
    assert msgspec.structs.replace(MIX, count=64).posts()
    with pytest.raises(ValueError, match="at least 64"):
        next(msgspec.structs.replace(MIX, count=63).events())


def test_the_folds_come_to_what_the_tally_does() -> None:
    events = list(MIX.events())
    expected = tally(events)
    about_posts = [event for event in events if event.post_id is not None]
    posts = fold_all(PostFold, [*MIX.posts(), *about_posts])
    users = Folded(UserFold).add(*(event for event in events if event.post_id is None))
    users.add(*posts.facts(Topic.BY_USER))
    views = posts.views(Topic.VIEW_COUNTERS)
    assert {name: view for name, view in views.items() if view != CountersView(name)} == {
        name: view for name, view in expected.counters().items() if view != CountersView(name)
    }
    comments = posts.views(Topic.VIEW_COMMENTS).values()
    assert {
        (view.post_id, view.comment_id): (view.likes, view.replies)
        for view in comments
        if not view.is_deleted
    } == expected.comments()
    close = {
        (view.user_id, view.target_id): view.score * 0.9 ** ((NOW - view.at) / 86_400_000)
        for view in users.views(Topic.VIEW_AFFINITY).values()
        if view.score > 1e-9
    }
    assert close == pytest.approx(expected.affinities(NOW))


def test_what_comes_late_or_twice_changes_no_tally() -> None:
    events = list(MIX.events())
    once, again = tally(events), tally([*reversed(events), *events])
    assert once.counters() == again.counters()
    assert once.comments() == again.comments()
    assert once.affinities(NOW) == pytest.approx(again.affinities(NOW))


def test_what_is_wrong_is_counted() -> None:
    post = last_posts()[0]
    found = tally(
        [
            made("comment", 1, post_id=post, comment_id="c", text="so"),
            made("like", 2, post_id=post, comment_id="c"),
            made("view", 3, post_id=post),
        ]
    )
    by = f"author-of-{post}"
    stored = {
        f"counts:{post}": [{}, 1, 0, 1, 0, 0, 0],
        f"comment:{post}/c": [1, 0],
        f"affinity:ann/{by}": [5.0, NOW + 1],
    }

    def judged(**changed: Any) -> str | None:
        values = {key: msgspec.json.encode(row) for key, row in (stored | changed).items()}
        return wrong(PlainViews(Stored(values)), found, NOW)  # type: ignore[arg-type]

    assert judged() is None
    assert judged(**{f"counts:{post}": [{}, 1, 0, 2, 0, 0, 0]}) == (
        "of 3 rows are wrong: 1 counts of posts, 0 comments, 0 affinities"
    )
    assert "1 comments" in str(judged(**{f"comment:{post}/c": [1, 1]}))
    assert "1 affinities" in str(judged(**{f"affinity:ann/{by}": [5.1, NOW + 1]}))


@pytest.mark.parametrize(
    ("off", "is_wrong"), [(0, False), (130, False), (131, True)], ids=["exact", "near", "far"]
)
def test_many_views_may_be_off_by_four_standard_errors(off: int, is_wrong: bool) -> None:
    post = last_posts()[0]
    found = tally(made("view", n, post_id=post, user_id=f"u{n}") for n in range(2_000))
    values = {f"counts:{post}": msgspec.json.encode([{}, 0, 0, 2_000 + off, 0, 0, 0])}
    judged = wrong(PlainViews(Stored(values)), found, NOW)  # type: ignore[arg-type]
    assert (judged is not None) is is_wrong


def report(**figures: Figures) -> EngagementReport:
    void = Figures(events=1, load=0.0, void="nothing")
    named = {"even": void, "hot": void, "stock": void} | figures
    found = EngagementReport(machine=Machine(2, "", ""), events=1_000, **named)
    found.compare()
    return found


def test_ratios_and_targets() -> None:
    found = report(
        even=measured(1_000, 0.0, 0.05, {"app": 0.04, "sink": 0.01}),
        hot=measured(1_000, 0.0, 0.0655, {"app": 0.05}),
        stock=measured(100, 0.0, 0.05, {"stock": 0.05}),
    )
    assert found.events_per_s == 20_000
    assert found.ratio_to_stock == 10
    assert found.ratio_hot_to_even == 1.31
    assert found.ratio_hot_to_even_per_cpu == 1
    assert [(each.wanted, each.verdict) for each in found.targets()] == [
        (20_000, "PASS"),
        (1.3, "MISS"),
    ]
    quick = report(stock=measured(100, 0.0, 0.01, {"stock": 0.01}))
    assert [each.wanted for each in quick.targets()] == [50_000, 1.3]
    assert quick.is_void
    assert not found.is_void
