"""What a post is ranked by."""

from __future__ import annotations

from api.ranking.features import Tastes, features_of, in_order_of_time, topics_of
from schemas.events import Media
from schemas.views import CountersView, PostView
from tests.unit.ranking_rows import HOUR, NOW, row

POST = PostView(
    "p",
    "bob",
    NOW - 3 * HOUR,
    media=(Media(url="https://x/a", kind="video"), Media(url="https://x/b", kind="image")),
    hashtags=("rust", "film"),
    language="EN",
)
COUNTERS = CountersView(
    "p", reactions={"like": 4, "love": 2}, comments=3, shares=1, views=90, hides=5
)
TASTES = Tastes(
    likes={"u:bob": 130.0, "t:film": 7.0, "t:rust": 3.0, "l:en": 20.0, "m:image": 9.0, "u:cy": 1.0},
    aversions={"t:rust": 2.0, "u:bob": 4.0, "m:video": 1.0, "t:tea": 50.0},
)


def test_a_row_has_counts_and_the_readers_scores() -> None:
    found = features_of(POST, COUNTERS, TASTES, at=NOW - HOUR, now=NOW)
    assert found == row(
        age=3.0,
        at=NOW - HOUR,
        likes=6,
        comments=3,
        shares=1,
        views=90,
        hides=5,
        affinity=100.0,
        kind="video",
        likes_kind=9.0,
        likes_topic=7.0,
        likes_language=20.0,
        aversion=4.0,
    )


def test_a_post_of_which_nothing_is_known() -> None:
    plain = PostView("p", "cy", NOW + HOUR)
    found = features_of(
        plain, CountersView("p"), Tastes({}, {}), at=NOW, now=NOW, is_seen=True, is_viral=True
    )
    assert found == row(author_id="cy", age=0.0, is_seen=True, is_viral=True)
    assert found.kind == "text"


def test_only_the_first_subjects_count() -> None:
    many = PostView("p", "cy", NOW, hashtags=tuple(f"x{number}" for number in range(30)))
    assert topics_of(many) == [f"t:x{number}" for number in range(8)]
    found = features_of(many, CountersView("p"), Tastes({"t:x8": 5.0}, {}), at=NOW, now=NOW)
    assert found.likes_topic == 0.0


def test_the_order_of_time_is_that_of_latest() -> None:
    rows = [row("a", at=5), row("c", at=5), row("b", at=9)]
    assert [each.post_id for each in in_order_of_time(rows)] == ["b", "c", "a"]
