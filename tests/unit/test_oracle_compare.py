"""The comparison: for each kind of row, each kind of damage is a difference, and it is named."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headrace.verify import rows
from schemas.events import Follow, Media, Post
from schemas.views import CountersView, MineView, PostView, UserView
from streams.facts import Activity, RelationFact
from tests.oracle.compare import (
    Tally,
    TimelineCheck,
    compare_rows,
    compare_served,
    same_counts,
    same_score,
)
from tests.oracle.posts import fold_posts
from tests.oracle.relations import fold_follows
from tests.oracle.timelines import Timelines, activities, fold_log, member

NOW = 1_700_000_000_000
FIRST = NOW - 1_000

POST = PostView(
    post_id="p",
    author_id="a",
    at=5,
    content="text #tag @name",
    media=(Media(url="u"),),
    visibility="custom",
    audience=("b",),
    reply_to="q",
    quote_of="r",
    language="en",
    location="here",
    hashtags=("tag",),
    mentions=("name",),
    edited_at=6,
    hidden_by="reports",
)
COUNTERS = CountersView("p", {"like": 2, "love": 1}, 3, 4, 5, 6, 7, 8)
MINE = MineView("u", "p", "like", 5, True, 6, 7)
USER = UserView("u", "name", "Name", "bio", "avatar", True, 7, "deactivated", True, ("like",))


def _changed(value: Any) -> Any:
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return value + "x"
        case dict():
            return {**value, "like": 99}
        case tuple():
            return value[:-1]
    raise AssertionError(value)


FIELDS = [
    (view, key_fields, to_row, name)
    for view, key_fields, to_row in [
        (POST, {"post_id", "former_places"}, rows.post_row),
        (COUNTERS, {"post_id"}, rows.counters_row),
        (MINE, {"user_id", "post_id", "is_again"}, rows.mine_row),
        (USER, {"user_id"}, rows.user_row),
    ]
    for name in view.__struct_fields__
    if name not in key_fields
]


@pytest.mark.parametrize(
    ("view", "key_fields", "to_row", "name"),
    FIELDS,
    ids=[f"{type(view).__name__}.{name}" for view, _, _, name in FIELDS],
)
def test_each_field_can_differ(view: Any, key_fields: set[str], to_row: Any, name: str) -> None:
    assert key_fields
    damaged = msgspec.structs.replace(view, **{name: _changed(getattr(view, name))})
    right = compare_rows(Tally("k", "s"), {"x": to_row(view)}, {"x": to_row(view)})
    wrong = compare_rows(Tally("k", "s"), {"x": to_row(view)}, {"x": to_row(damaged)})
    assert (right.compared, right.different) == (1, 0)
    assert (wrong.compared, wrong.different) == (1, 1)


@pytest.mark.parametrize(
    "found",
    [
        PostView("p", "a", 5, content="left", is_deleted=True),
        PostView("p", "a", 5, media=(Media(url="u"),), is_deleted=True),
        PostView("p", "a", 5),
        PostView("p", "b", 5, is_deleted=True),
    ],
)
def test_a_deleted_post_carries_no_content(found: PostView) -> None:
    expected = {"p": {"author_id": "a", "at": 5, "is_deleted": True}}
    right = rows.post_row(PostView("p", "a", 5, is_deleted=True))
    assert compare_rows(Tally("k", "s"), expected, {"p": right}).different == 0
    assert compare_rows(Tally("k", "s"), expected, {"p": rows.post_row(found)}).different == 1


@pytest.mark.parametrize(
    "row",
    [
        rows.post_row(PostView("p", "", 0, is_deleted=True)),
        rows.counters_row(CountersView("p", {"like": 0})),
        rows.mine_row(MineView("u", "p", None, 5, False, 6)),
        rows.user_row(UserView("u")),
    ],
)
def test_what_equals_no_row(row: object) -> None:
    assert row is None


@pytest.mark.parametrize(
    ("found", "what", "want", "got"),
    [
        ({("u", "a"): 1}, "u b", 2, None),
        ({("u", "a"): 1, ("u", "b"): 3}, "u b", 2, 3),
        ({("u", "a"): 1, ("u", "b"): 2, ("u", "c"): 3}, "u c", None, 3),
    ],
)
def test_rows_missing_wrong_or_too_many(
    found: dict[Any, Any], what: str, want: object, got: object
) -> None:
    tally = compare_rows(Tally("k", "s"), {("u", "a"): 1, ("u", "b"): 2}, found)
    (difference,) = tally.differences
    assert (difference.what, difference.expected, difference.found) == (what, want, got)
    assert tally.compared == max(2, len(found))


@pytest.mark.parametrize(
    ("want", "got", "is_same"),
    [
        (2.0, 2.0 + 1e-7, True),
        (2.0, 2.0001, False),
        (1000.0, 1000.0005, True),
        (0.009, None, True),
        (None, 0.009, True),
        (0.009, 0.002, True),
        (0.011, None, False),
        (None, 0.011, False),
    ],
)
def test_scores(want: float | None, got: float | None, is_same: bool) -> None:
    assert same_score(want, got) == is_same


def _counts(views: int, reports: int = 0) -> dict[str, object]:
    return {"reactions": {"like": 1}, "views": views, "reports": reports}


@pytest.mark.parametrize(
    ("want", "got", "is_same"),
    [
        pytest.param(_counts(1_024), _counts(1_025), False, id="few are exact"),
        pytest.param(_counts(10_000), _counts(10_600), True, id="many within four deviations"),
        pytest.param(_counts(10_000), _counts(9_300), False, id="and not beyond"),
        pytest.param(_counts(1, 5_000), _counts(1, 5_001), False, id="reports are exact"),
        pytest.param(_counts(10_000), None, False, id="no row"),
        pytest.param(None, _counts(10_000), False, id="a row too many"),
        pytest.param(_counts(1), {**_counts(1), "dislikes": 1}, False, id="a field too many"),
    ],
)
def test_counts(want: object, got: object, is_same: bool) -> None:
    assert same_counts(want, got) == is_same


def _timelines(count: int = 4, step: int = -10) -> Timelines:
    """Timelines of f, who follows a, with posts p0 ... newest first."""
    posts = [
        Post(
            event_id=f"e{n}",
            action="created",
            post_id=f"p{n}",
            author_id="a",
            at=FIRST + step * n,
        )
        for n in range(count)
    ]
    follow = Follow(event_id="f", action="follow", user_id="f", target="u:a", at=1)
    log: list[tuple[int, Any]] = [(0, RelationFact("u:a", "f", "follow", 1, "f"))]
    log += [(0, Activity("u:a", "u:a", p.post_id, p.at, "public", (), "a")) for p in posts]
    return Timelines(activities(fold_posts(posts), {}), fold_log(log), fold_follows([follow]))


def _entry(number: int, at: int | None = None) -> tuple[str, float]:
    return member(f"p{number}", "u:a"), float(FIRST - 10 * number if at is None else at)


RIGHT = [_entry(0), _entry(1), _entry(2), _entry(3)]
DAMAGED = [
    ("dropped", [_entry(0), _entry(2), _entry(3)], ["f: p1 u:a"]),
    ("added", [*RIGHT, (member("x", "u:a"), float(FIRST - 99))], ["f: x u:a"]),
    (
        "swapped",
        [_entry(1, FIRST), _entry(0, FIRST - 10), _entry(2), _entry(3)],
        ["f: p0 u:a", "f: p1 u:a"],
    ),
    ("another time", [_entry(0), _entry(1, FIRST - 11), _entry(2), _entry(3)], ["f: p1 u:a"]),
    ("another reason", [(member("p0", "s:a"), FIRST), *RIGHT[1:]], ["f: p0 s:a", "f: p0 u:a"]),
    ("out of order", [_entry(0), _entry(2), _entry(1), _entry(3)], ["f: p1 u:a", "f: p2 u:a"]),
    ("doubled", [*RIGHT, RIGHT[0]], ["f"]),
    ("gone", [], [f"f: p{n} u:a" for n in range(4)]),
]


@pytest.mark.parametrize("floor", [0, FIRST - 1_000])
@pytest.mark.parametrize(
    ("found", "named"), [case[1:] for case in DAMAGED], ids=[case[0] for case in DAMAGED]
)
def test_damaged_feeds_in_redis(
    found: list[tuple[str, float]], named: list[str], floor: int
) -> None:
    tally = Tally("timeline", "redis")
    TimelineCheck(tally, _timelines(), NOW, {"f"}).redis("f", found, floor)
    names = sorted(difference.what for difference in tally.differences)
    if len(found) < 4:
        named = ["floor f", *named]
    assert names == sorted(named)


def test_a_right_feed() -> None:
    tally = Tally("timeline", "redis")
    TimelineCheck(tally, _timelines(), NOW, {"f"}).redis("f", RIGHT, 0)
    assert (tally.compared, tally.different) == (4, 0)


@pytest.mark.parametrize(
    ("below", "named"),
    [
        ([], []),
        ([_entry(1_190)], []),
        ([_entry(1_190, FIRST - 11_901)], ["f: p1190 u:a"]),
        ([(member("x", "u:a"), float(FIRST - 11_900))], ["f: x u:a"]),
    ],
)
def test_below_the_floor_entries_may_miss_but_not_be_wrong(
    below: list[tuple[str, float]], named: list[str]
) -> None:
    tally = Tally("timeline", "redis")
    check = TimelineCheck(tally, _timelines(1_200), NOW, {"f"})
    check.redis("f", [*map(_entry, range(1_000)), *below], FIRST - 10_000)
    assert [difference.what for difference in tally.differences] == named


def test_a_floor_does_not_excuse_a_short_feed() -> None:
    """But where the source holds no more: of 1,200 posts the newest 100."""
    for count, is_right in ((100, True), (99, False)):
        tally = Tally("timeline", "redis")
        check = TimelineCheck(tally, _timelines(1_200), NOW, {"f"})
        check.redis("f", [*map(_entry, range(count))], FIRST - 10 * count)
        assert [d.what for d in tally.differences] == ([] if is_right else ["floor f"])


def test_feeds_that_are_not_there_or_not_expected() -> None:
    tally = Tally("timeline", "redis")
    check = TimelineCheck(tally, _timelines(1), NOW, {"f", "a", "new"})
    check.redis("stranger", [], 0)
    check.redis("closed", [_entry(0)], None)
    check.redis("new", [], 0)
    check.redis("f", [_entry(0)], None)
    check.redis_rest()
    assert [d.what for d in tally.differences] == [
        "feed stranger",
        "closed: p0 u:a",
        "feed f",
        "feed a",
    ]


@pytest.mark.parametrize(
    ("found", "named"), [case[1:] for case in DAMAGED], ids=[case[0] for case in DAMAGED]
)
def test_damaged_partitions_in_cassandra(found: list[tuple[str, float]], named: list[str]) -> None:
    tally = Tally("timeline", "cassandra")
    TimelineCheck(tally, _timelines(), NOW).cassandra("f", 202311, found)
    assert [d.what for d in tally.differences if d.what.startswith("f 202311")] == [
        d.what for d in tally.differences
    ]
    assert sorted(d.what.replace("f 202311", "f") for d in tally.differences) == sorted(named)


def test_months_and_the_30_days_of_cassandra() -> None:
    timelines = _timelines(4, step=-13 * 86_400_000)  # 14 Nov, 1 Nov, 19 Oct, 6 Oct
    entries = [(member(post, reason), float(at)) for at, post, reason in timelines.entries("f")]
    for kept, different in [(entries[2:3], 0), ([], 1), (entries[2:], 1)]:
        tally = Tally("timeline", "cassandra")
        check = TimelineCheck(tally, timelines, NOW)
        for owner in ("f", "a"):
            check.cassandra(owner, 202311, entries[:2])
            check.cassandra(owner, 202310, kept if owner == "f" else entries[2:3])
        check.cassandra_rest()
        assert tally.different == different
    tally = Tally("timeline", "cassandra")
    check = TimelineCheck(tally, timelines, NOW)
    check.cassandra("f", 202310, entries[:3])
    check.cassandra_rest()
    assert {d.what.split(":")[0] for d in tally.differences} == {
        "f 202310",
        "f 202311",
        "a 202310",
        "a 202311",
    }


SERVED = [(f"p{n}", ["u:a"]) for n in range(4)]


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (SERVED, []),
        (SERVED[:2] + SERVED[3:], ["f: p2"]),
        ([*SERVED, ("x", ["u:a"])], ["f: x"]),
        ([SERVED[0], SERVED[2], SERVED[1], SERVED[3]], ["f: p1", "f: p2"]),
        ([("p0", ["u:a", "s:b"]), *SERVED[1:]], ["f: p0"]),
        ([("p0", []), *SERVED[1:]], ["f: p0"]),
        ([*SERVED, SERVED[0]], ["f"]),
        ([], ["f: p0", "f: p1", "f: p2", "f: p3"]),
    ],
)
def test_what_the_api_serves(found: list[tuple[str, list[str]]], named: list[str]) -> None:
    tally = Tally("timeline", "api")
    compare_served(tally, "f", _timelines(), found, NOW)
    assert sorted(difference.what for difference in tally.differences) == named


def test_hidden_posts_must_not_be_served() -> None:
    tally = Tally("timeline", "api")
    compare_served(tally, "f", _timelines(), SERVED, NOW, lambda post_id, _: post_id == "p1")
    assert [difference.what for difference in tally.differences] == ["f: p1"]
