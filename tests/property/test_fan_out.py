"""Fan-out that is put off and cut into pieces: the timelines are those of fan-out at once, and so
is what is told of favourites."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.topics import Topic
from streams import fan_out
from streams import sources as sources_module
from streams.facts import Activity, Handling, RelationFact, Removal
from streams.sources import SourceFold
from tests.property import strategies
from tests.unit.folds import NOW, Folded, noticed, removal

HEAVY_FOLLOWERS = 4
LOTS = 1_000

sources = st.sampled_from(["u:z", "u:z", "u:z", "t:rust"])
posts = st.tuples(
    st.sampled_from([("u:z", "u:z"), ("u:z", "s:z"), ("t:rust", "t:rust")]), strategies.post_ids
)
"""A source with a reason of its own, and a post."""
activities = st.builds(
    lambda post, at, visibility, audience: Activity(
        *post[0], post[1], at, visibility, audience, "z"
    ),
    posts,
    st.integers(NOW, NOW + 3),
    st.sampled_from(["public", "followers", "custom", "private"]),
    strategies.audiences,
)
removals = st.builds(lambda post: Removal(*post[0], post[1], NOW), posts)
relations = st.builds(
    RelationFact,
    source=sources,
    user_id=st.sampled_from("abcdefg"),
    kind=st.sampled_from(["follow", "follow", "unfollow", "block", "unblock"]),
    at=st.just(NOW),
    event_id=st.just("e"),
    is_favourite=st.booleans(),
)
handlings = st.builds(
    Handling,
    source=sources,
    how=st.sampled_from(["auto", "heavy", "light"]),
    at=st.integers(NOW, NOW + 3),
    event_id=st.just("e"),
)
FOLLOWED = [RelationFact("u:z", user_id, "follow", NOW, "e", user_id == "a") for user_id in "ab"]
works = st.integers(1, 4)
"""A checkpoint, which begins with so much work."""


steps = st.one_of(activities, activities, removals, relations, relations, handlings, works)


def _as_posts_tell(drawn: list[Any]) -> Iterator[Any]:
    """What stands is removed as it was before it stands again."""
    standing: dict[tuple[str, str, str], Activity] = {}
    for each in drawn:
        if isinstance(each, Activity | Removal):
            before = standing.pop((each.source, each.reason, each.post_id), None)
            if before is not None:
                yield removal(before)
            elif isinstance(each, Removal):
                yield each
        if isinstance(each, Activity):
            standing[each.source, each.reason, each.post_id] = each
        if not isinstance(each, Removal):
            yield each


@settings(max_examples=400)
@given(
    st.lists(steps, max_size=40),
    st.integers(0, 3),
)
def test_how_fan_out_is_cut_changes_no_timeline_and_no_notification(
    drawn: list[Any], at_once: int
) -> None:
    def fold(state: Any, outbox: Any) -> SourceFold:
        return SourceFold(state, outbox, heavy_followers=HEAVY_FOLLOWERS)

    plain, cut = Folded(fold), Folded(fold)
    with (
        mock.patch.object(fan_out, "DELIVERIES_AT_ONCE", at_once),
        mock.patch.object(fan_out, "DELIVERIES_PER_TURN", 2),
        mock.patch.object(sources_module, "BACKFILL_ACTIVITIES", 1),
        mock.patch.object(sources_module, "RECENT_ACTIVITIES", 3),
    ):
        for number, each in enumerate([*FOLLOWED, *_as_posts_tell(drawn)]):
            if isinstance(each, int):
                cut.checkpoint().fold.work(each)
                continue
            fact = strategies.numbered(each, number) if isinstance(each, RelationFact) else each
            with mock.patch.object(fan_out, "DELIVERIES_AT_ONCE", LOTS):
                plain.fold.fold(fact, number)
            cut.fold.fold(fact, number)
        while cut.checkpoint().fold.backlog:
            cut.fold.work(1)
    assert cut.timelines() == plain.timelines()
    assert noticed(cut.facts(Topic.BY_USER)) == noticed(plain.facts(Topic.BY_USER))
    assert plain.checkpoint().fold.backlog == 0
