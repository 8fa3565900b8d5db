"""The benchmark of all engagements: its events, what they come to, and how a run is judged."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import msgspec
import pytest

from bench.engagement import EngagementReport
from bench.engagements import PARTITIONS, last_posts
from bench.figures import Figures, Machine, measured
from bench.mix import SHARES, Mix, authors, last_users
from bench.mix_tally import Mine, Tally
from bench.mix_views import PlainViews, wrong
from bench.stock_trends import StockTrends
from schemas.events import Engagement
from schemas.partitioning import partition_of
from schemas.topics import Topic
from schemas.views import CountersView
from streams.facts import Tick
from streams.posts import PostFold
from streams.trend_scores import BUCKET_MS, act_of
from streams.trending import ACTS
from streams.users import UserFold
from tests.unit.folds import DAY, MINUTE, NOW, Folded, fold_all

COUNT = 5_000
MIX = Mix(count=COUNT, began_at=NOW, post_count=2_000)


class Stored(NamedTuple):
    """A Redis that holds these values and hashes."""

    values: dict[str, bytes]
    hashes: dict[str, dict[bytes, bytes]]

    def mget(self, keys: list[str]) -> list[bytes | None]:
        return [self.values.get(key) for key in keys]

    def pipeline(self, **_: Any) -> Pipeline:
        return Pipeline(self.hashes, [])


class Pipeline(NamedTuple):
    """Asks for hashes."""

    hashes: dict[str, dict[bytes, bytes]]
    asked: list[str]

    def hgetall(self, key: str) -> None:
        self.asked.append(key)

    def execute(self) -> list[dict[bytes, bytes]]:
        return [self.hashes.get(key, {}) for key in self.asked]


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
    comments = posts.views(Topic.VIEW_COMMENT_COUNTS).values()
    assert {
        (view.post_id, view.comment_id): (view.likes, view.replies)
        for view in comments
        if not view.is_deleted
    } == expected.comments()
    views = users.views(Topic.VIEW_AFFINITY).values()
    close = {
        (view.user_id, view.target_id): view.score * 0.9 ** ((NOW - view.at) / 86_400_000)
        for view in views
        if view.score > 1e-9
    }
    assert close == pytest.approx(expected.affinities(NOW))
    averse = {
        (view.user_id, view.target_id): view.aversion
        * 0.72 ** ((NOW - view.averse_at) / 86_400_000)
        for view in views
        if view.aversion > 1e-9
    }
    assert averse == pytest.approx(expected.aversions(NOW))
    mine = {
        (view.user_id, view.post_id): Mine(
            view.reaction,
            view.reacted_at if view.reaction else 0,
            view.shared_at if view.is_shared else 0,
            view.hidden_at or 0,
        )
        for view in posts.views(Topic.VIEW_MINE).values()
    }
    assert {key: done for key, done in mine.items() if done != Mine()} == expected.mine()
    groups = [view for view in users.views(Topic.VIEW_NOTIFICATIONS).values() if view.count]
    told = expected.notifications()
    assert {(view.user_id, view.kind, view.subject): view.count for view in groups} == {
        key: len(actors) for key, actors in told.items()
    }
    for view in groups:
        assert set(view.named) <= told[view.user_id, view.kind, view.subject]


def test_the_peer_comes_to_the_trends_that_the_fold_does() -> None:
    mix = msgspec.structs.replace(MIX, post_count=200)
    posts = list(mix.posts())
    events = [event for event in mix.events() if event.post_id is not None]
    product = Folded(PostFold).add(*posts, *events)
    peer = StockTrends({})
    for post in posts:
        peer.act(post.post_id, post.author_id or "", post.at)
    for event in [*events, *events]:
        is_about_comment = event.comment_id and event.action != "comment"
        if event.action in ACTS and not is_about_comment:
            peer.act(event.post_id or "", event.user_id, event.at)
    listed = []
    for minutes in (1, 66, 24 * 60 + 6):
        at = NOW + minutes * MINUTE
        shown = peer.tick(at)
        views = product.add(Tick(at)).views(Topic.VIEW_TRENDING)
        assert shown == {name: list(views[f"posts/{name}/"].entries) for name in ("1h", "24h")}
        listed.append((len(shown["1h"]), len(shown["24h"])))
    assert listed == [(50, 50), (0, 50), (0, 0)]
    assert peer.tick(at + 1) == {}


def test_the_peer_forgets_acts_after_two_days() -> None:
    acts: dict[str, list[str]] = {}
    peer = StockTrends(acts)
    for day in range(3):
        peer.tick(NOW + day * DAY)
        peer.act("p", "ann", NOW + day * DAY)
        peer.act("p", "bob", NOW - 3 * DAY)
    assert acts["p"] == [act_of("ann", (NOW + day * DAY) // BUCKET_MS) for day in (1, 2)]


def test_what_comes_late_or_twice_changes_no_tally() -> None:
    events = list(MIX.events())
    once, again = tally(events), tally([*reversed(events), *events])
    assert once.counters() == again.counters()
    assert once.comments() == again.comments()
    assert once.affinities(NOW) == pytest.approx(again.affinities(NOW))
    assert once.aversions(NOW) == pytest.approx(again.aversions(NOW))
    assert once.mine() == again.mine()
    assert once.notifications() == again.notifications()


def test_what_is_wrong_is_counted() -> None:
    post = last_posts()[0]
    found = tally(
        [
            made("comment", 1, post_id=post, comment_id="c", text="so"),
            made("like", 2, post_id=post, comment_id="c"),
            made("view", 3, post_id=post),
            made("hide", 4, post_id=post),
            made("react", 5, post_id=post, kind="wow"),
        ]
    )
    by = authors()[post]
    values = {f"counts:{post}": [{"wow": 1}, 1, 0, 1, 0, 1, 0], f"comment:{post}/c": [1, 0]}
    hashes = {
        "affinity:ann": {by: [7.0, NOW]},
        "averse:ann": {by: [5.0, NOW + 4]},
        "mine:ann": {post: ["wow", NOW + 5, 0, NOW + 4]},
        f"notices:{by}": {
            f"comment/{post}": [1, [[NOW + 1, "ann", "c"]]],
            f"like/{post}": [1, [[NOW + 5, "ann", ""]]],
        },
    }

    def judged(values: dict[str, Any], hashes: dict[str, dict[str, Any]]) -> str | None:
        stored = Stored(
            {key: msgspec.json.encode(row) for key, row in values.items()},
            {
                key: {field.encode(): msgspec.json.encode(row) for field, row in fields.items()}
                for key, fields in hashes.items()
            },
        )
        return wrong(PlainViews(stored), found, NOW)  # type: ignore[arg-type]

    assert judged(values, hashes) is None
    assert judged(values | {f"counts:{post}": [{"wow": 1}, 1, 0, 2, 0, 1, 0]}, hashes) == (
        "of 7 rows are wrong: 1 counts of posts, 0 comments, 0 affinities, 0 aversions, "
        "0 own acts, 0 notifications"
    )
    assert " 1 comments" in str(judged(values | {f"comment:{post}/c": [1, 1]}, hashes))
    for key, fields, said in (
        ("affinity:ann", {by: [7.1, NOW]}, " 1 affinities"),
        ("averse:ann", {by: [5.0, NOW - 86_400_000]}, " 1 aversions"),
        ("mine:ann", {post: ["sad", NOW + 5, 0, NOW + 4]}, " 1 own acts"),
        ("mine:ann", {post: ["wow", NOW + 5, 0, 0]}, " 1 own acts"),
        (f"notices:{by}", {f"like/{post}": [1, [[NOW + 5, "ann", ""]]]}, " 1 notifications"),
        (f"notices:{by}", hashes[f"notices:{by}"] | {f"like/{post}": [2, []]}, " 1 notifications"),
        (
            f"notices:{by}",
            hashes[f"notices:{by}"] | {f"like/{post}": [1, [[NOW + 5, "bob", ""]]]},
            " 1 notifications",
        ),
        (
            f"notices:{by}",
            hashes[f"notices:{by}"] | {f"share/{post}": [1, [[NOW + 5, "ann", ""]]]},
            " 1 notifications",
        ),
    ):
        assert said in str(judged(values, hashes | {key: fields})), fields


@pytest.mark.parametrize(
    ("off", "is_wrong"), [(0, False), (130, False), (131, True)], ids=["exact", "near", "far"]
)
def test_many_views_may_be_off_by_four_standard_errors(off: int, is_wrong: bool) -> None:
    post = last_posts()[0]
    found = tally(made("view", n, post_id=post, user_id=f"u{n}") for n in range(2_000))
    values = {f"counts:{post}": msgspec.json.encode([{}, 0, 0, 2_000 + off, 0, 0, 0])}
    judged = wrong(PlainViews(Stored(values, {})), found, NOW)  # type: ignore[arg-type]
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
