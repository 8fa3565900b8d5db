"""One entity's events, in any order and any of them twice, come to one end."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.events import Engagement, Event, Follow, Post, User
from schemas.topics import Topic
from schemas.views import RelationView, TrendingView
from streams.archive_rows import ROWS_OF, Drop, Upsert
from streams.facts import (
    Activity,
    Answered,
    Claim,
    Mentioned,
    Notice,
    Refill,
    RelationFact,
    Release,
    TargetErased,
    Tick,
)
from streams.posts import Counters, PostFold
from streams.profiles import UserRow
from streams.sources import SourceFold
from streams.trend_rows import Trend
from streams.users import UserFold
from tests.oracle import affinity, interests, trending
from tests.oracle.compare import Tally
from tests.oracle.names import OfName, queues
from tests.oracle.posts import counters, fold_engagements, fold_posts
from tests.oracle.relations import KINDS, empty_row, follows
from tests.oracle.timelines import Standing, activities, audience_of
from tests.oracle.users import NOBODY, fold_users
from tests.property import strategies
from tests.unit.folds import (
    DAY,
    MINUTE,
    NOW,
    PARTITIONS,
    Folded,
    affinity_sums,
    interest_sums,
    noticed,
    removal,
    standing,
)

TRENDS = ("act", "trend", "trend_standing", "trend_list")
ORDER_FREE_VIEWS = (
    Topic.VIEW_POSTS,
    Topic.VIEW_COUNTERS,
    Topic.VIEW_COMMENTS,
    Topic.VIEW_COMMENT_COUNTS,
    Topic.VIEW_MINE,
)


POST_FOLD = partial(PostFold, reports_to_hide=2)


def _of_one_post(event: Any) -> Any:
    return msgspec.structs.replace(event, post_id="p")


def _of_one_user(event: Any) -> Any:
    return msgspec.structs.replace(event, user_id="a")


@st.composite
def histories(draw: st.DrawFn, event: st.SearchStrategy[Any]) -> tuple[list[Any], list[Any]]:
    """Distinct events, and the same in another order with some of them again."""
    drawn = draw(st.lists(event, min_size=1, max_size=25))
    events = [strategies.numbered(each, number) for number, each in enumerate(drawn)]
    again = draw(st.lists(st.sampled_from(events), max_size=5))
    return events, list(draw(st.permutations([*events, *again])))


def _folded(make_fold: Any, events: list[Any], batch: int) -> Folded:
    """Events folded in batches of a size, each checkpointed."""
    folded = Folded(make_fold)
    for start in range(0, len(events), batch):
        folded.add(*events[start : start + batch]).checkpoint()
    return folded


def _rows(folded: Folded) -> dict[str, Any]:
    """The state; a count of nought and an empty profile are as good as no row."""
    found = {}
    for name, table in folded.state._tables.items():
        rows = table._committed.items()
        found[name] = {key: row for key, row in rows if row not in (Counters(), UserRow())}
    return found


posts_events = histories(
    st.one_of(
        strategies.posts, strategies.engagements, strategies.moderations, strategies.creations
    ).map(_of_one_post)
)


@given(posts_events, st.integers(1, 9))
def test_a_post_comes_to_one_end(history: tuple[list[Event], list[Event]], batch: int) -> None:
    events, disorder = history
    one, other = _folded(POST_FOLD, events, len(events)), _folded(POST_FOLD, disorder, batch)
    for topic in ORDER_FREE_VIEWS:
        assert _normal(one, topic) == _normal(other, topic)
    facts = [each.facts(Topic.BY_SOURCE) for each in (one, other)]
    assert standing(facts[0]) == standing(facts[1])
    for sums_of in (affinity_sums, interest_sums):
        sums = [sums_of(each.facts(Topic.BY_USER)) for each in (one, other)]
        assert sums[0] == pytest.approx(sums[1], abs=1e-9)
    assert noticed(one.facts(Topic.BY_USER)) == noticed(other.facts(Topic.BY_USER))
    assert _mentioned(one) == _mentioned(other)
    assert _rows(one) == _rows(other)


def _mentioned(folded: Folded) -> set[tuple[str, str, int]]:
    """What mentions come to, and answers: (name or post, author, time), each once at most."""
    counts: Counter[tuple[str, str, int]] = Counter()
    for fact in (*folded.facts(Topic.BY_USER), *folded.facts(Topic.BY_POST)):
        match fact:
            case Mentioned(name, _, author_id, at, change):
                counts[name, author_id, at] += change
            case Answered(post_id, _, author_id, at, change):
                counts[post_id, author_id, at] += change
    assert set(counts.values()) <= {0, 1}
    return {key for key, count in counts.items() if count}


def _normal(folded: Folded, topic: Topic) -> dict[str, Any]:
    """Newest values; counts of nought, or of what is deleted, and empty profiles are as good as
    none."""
    views = folded.views(topic)
    if topic == Topic.VIEW_COMMENT_COUNTS:
        return {key: view for key, view in views.items() if not view.is_deleted}
    if topic in (Topic.VIEW_COUNTERS, Topic.VIEW_USERS):
        return {key: view for key, view in views.items() if view != type(view)(key)}
    return views


@given(posts_events, st.integers(1, 9))
def test_a_posts_counts_and_facts_are_those_of_a_plain_count(
    history: tuple[list[Event], list[Event]], batch: int
) -> None:
    _, disorder = history
    folded = Folded(PostFold)
    for number, event in enumerate(disorder, 1):
        folded.add(event)
        if number % batch == 0:
            folded.checkpoint()
        seen = disorder[:number]
        reactions = fold_engagements(e for e in seen if isinstance(e, Engagement))
        shown = {
            post_id: {k: v for k, v in msgspec.structs.asdict(view).items() if k != "post_id"}
            for post_id, view in folded.views(Topic.VIEW_COUNTERS).items()
        }
        assert {k: v for k, v in shown.items() if any(v.values())} == counters(reactions)
        assert all(
            count >= 0
            for row in shown.values()
            for count in [*row.pop("reactions").values(), *row.values()]
        )
    by_post = fold_posts(e for e in disorder if isinstance(e, Post))
    implied = activities(by_post, reactions.shared)
    assert {
        source: {k: _standing(a) for k, a in found.items()}
        for source, found in _by_source(folded).items()
    } == implied
    facts = affinity.facts(by_post, reactions, [])
    expected = affinity.scores(facts, NOW + 30 * DAY)
    assert affinity_sums(folded.facts(Topic.BY_USER)) == pytest.approx(expected, abs=1e-9)


def _standing(each: Activity) -> Standing:
    audience = audience_of(each.visibility, each.audience)
    return Standing(each.at, each.visibility, audience, each.author_id, each.is_reply)


def _by_source(folded: Folded) -> dict[str, dict[tuple[str, str], Activity]]:
    found: dict[str, dict[tuple[str, str], Activity]] = {}
    for key, each in standing(folded.facts(Topic.BY_SOURCE)).items():
        found.setdefault(each.source, {})[key] = each
    return found


# Trending

bystanders = st.sampled_from([f"u{n}" for n in range(12)])
moments = st.integers(-70, 5).map(lambda minutes: NOW + minutes * MINUTE)
acts_upon_posts = st.builds(
    Engagement,
    event_id=st.just("e"),
    action=st.sampled_from(["like", "share", "react", "comment", "unlike", "view"]),
    user_id=bystanders,
    post_id=st.sampled_from("pq"),
    at=moments,
    kind=st.just("wow"),
    comment_id=st.none(),
).map(lambda e: replace(e, comment_id="m" if e.action == "comment" else None))
posts_of_two = st.one_of(
    strategies.creations.map(lambda e: replace(e, at=e.at - 30 * MINUTE)), strategies.posts
).flatmap(lambda e: st.sampled_from("pq").map(lambda post_id: replace(e, post_id=post_id)))
trends_events = histories(st.one_of(acts_upon_posts, acts_upon_posts, posts_of_two))


@given(trends_events, st.lists(st.integers(-90, 0), max_size=4), st.integers(1, 9))
def test_trends_come_to_one_end(
    history: tuple[list[Event], list[Event]], ticks: list[int], batch: int
) -> None:
    """Whatever the order, and wherever ticks come between: posts, and the topics told of them."""
    events, disorder = history
    mixed: list[Any] = list(disorder)
    for number, minutes in enumerate(sorted(ticks)):
        mixed.insert(number * 5 % (len(mixed) + 1), Tick(NOW + minutes * MINUTE))
    end = Tick(NOW + MINUTE)
    one, other = _folded(PostFold, [*events, end], 1_000), _folded(PostFold, [*mixed, end], batch)
    topics = [
        _folded(SourceFold, [*each.topic_acts(), end], size)
        for each, size in ((one, 1_000), (other, batch))
    ]
    for first, second in ((one, other), topics):
        rows = [_rows(each) for each in (first, second)]
        for table in TRENDS:
            assert _but_queues(rows[0][table]) == _but_queues(rows[1][table]), table
        assert _listed(first) == _listed(second)
    _demand_lists(one, topics[0], events, end.at)


def _but_queues(rows: dict[str, Any]) -> dict[str, Any]:
    """Without the queues in which keys wait to be looked at: they change no result."""
    return {
        key: replace(row, queue="") if isinstance(row, Trend) else row for key, row in rows.items()
    }


def _listed(folded: Folded) -> dict[str, Any]:
    """The newest lists; one that is empty is as good as none."""
    views = folded.views(Topic.VIEW_TRENDING).items()
    return {name: view.entries for name, view in views if view.entries}


def _demand_lists(posts: Folded, topics: Folded, events: list[Event], at: int) -> None:
    """They are those of a plain count."""
    made = [each for each in events if isinstance(each, Post)]
    engaged = [each for each in events if isinstance(each, Engagement)]
    plain = trending.fold_acts(made, engaged, fold_posts(made))
    found = {
        (view.kind, view.window, output.partition, view.language): (
            view.at,
            [msgspec.structs.astuple(entry) for entry in view.entries],
        )
        for folded in (posts, topics)
        for output in folded.outputs(Topic.VIEW_TRENDING)
        for view in [msgspec.msgpack.decode(output.value or b"", type=TrendingView)]
    }
    # One fold has the keys of all partitions: it names them all after one of them.
    for kind in ("posts", "topics"):
        for window in trending.WINDOWS:
            lists: dict[str, dict[str, trending.Range]] = {}
            for partition in range(PARTITIONS):
                of_one = plain.lists(kind, window, partition, PARTITIONS, at)
                for language, keys in of_one.items():
                    lists.setdefault(language, {}).update(keys)
            shown = {
                place[3]: said[1] for place, said in found.items() if place[:2] == (kind, window)
            }
            tally = Tally("trending", "fold")
            for language in {*lists, *shown}:
                trending.compare_list(
                    tally, language, lists.get(language, {}), shown.get(language, [])
                )
            assert tally.differences == []


# Users

relations = st.builds(
    RelationFact,
    source=st.sampled_from(["u:b", "u:c"]),
    user_id=st.just("a"),
    kind=st.sampled_from(["blocked", "unblocked"]),
    at=strategies.times,
    event_id=strategies.event_ids,
)
others = st.sampled_from(["u:b", "u:c", "t:x"])
follows_of_one = st.tuples(strategies.follows.map(_of_one_user), others).map(
    lambda pair: msgspec.structs.replace(pair[0], target=pair[1])
)
users_events = histories(
    st.one_of(
        follows_of_one,
        relations,
        strategies.profiles.map(_of_one_user),
        strategies.contacts.map(_of_one_user),
        strategies.opinions.map(_of_one_user),
    )
)


@given(users_events, st.integers(1, 9))
def test_a_user_comes_to_one_end(history: tuple[list[Any], list[Any]], batch: int) -> None:
    events, disorder = history
    one, other = _folded(UserFold, events, len(events)), _folded(UserFold, disorder, batch)
    assert one.views(Topic.VIEW_RELATIONS) == other.views(Topic.VIEW_RELATIONS)
    assert _normal(one, Topic.VIEW_USERS) == _normal(other, Topic.VIEW_USERS)
    assert _scores(one) == pytest.approx(_scores(other), abs=1e-9)
    assert _greatest(one) == _greatest(other)
    assert noticed(one.facts(Topic.BY_USER)) == noticed(other.facts(Topic.BY_USER))
    assert _interests(one) == pytest.approx(_interests(other), abs=1e-9)
    rows = [_rows(each) for each in (one, other)]
    for each in rows:
        del each["affinity"], each["interest"]  # sums of floats; compared above
        each["user"] = {name: replace(row, claim_id="") for name, row in each["user"].items()}
    assert rows[0] == rows[1]
    assert queues(_claims(one)) == queues(_claims(other))


@given(
    histories(st.one_of(follows_of_one, relations)),
    st.none() | st.integers(0, 25),
    st.integers(1, 9),
)
def test_lists_of_mutes_and_blocks_hold_what_is_in_force(
    history: tuple[list[Any], list[Any]], erasure: int | None, batch: int
) -> None:
    """Though no row is deleted where there was none, and a batch shows its last view alone."""
    _, disorder = history
    if erasure is not None:
        disorder.insert(erasure, TargetErased("a", "b"))
    folded = _folded(UserFold, disorder, batch)
    decode = msgspec.msgpack.Decoder(RelationView).decode
    rows: dict[str, set[str]] = {"muted": set(), "blocked": set()}
    deleted: set[tuple[str, str]] = set()
    for output in folded.outputs(Topic.VIEW_RELATIONS):
        for row in ROWS_OF[Topic.VIEW_RELATIONS](decode(output.value or b"")):
            if isinstance(row, Upsert) and row.table in rows:
                rows[row.table].add(row.values["target"])
            elif isinstance(row, Drop) and row.table in rows:
                rows[row.table].discard(row.key["target"])
                deleted.add((row.table, row.key["target"]))
    shown = folded.views(Topic.VIEW_RELATIONS).values()
    assert rows["muted"] == {view.target for view in shown if view.is_muting}
    assert rows["blocked"] == {view.target for view in shown if view.is_blocking}
    acts = {(each.action, each.target) for each in disorder if isinstance(each, Follow)}
    for table, target in deleted:
        if table == "muted":
            assert {("mute", target), ("unmute", target)} & acts
        else:
            assert ("block", target) in acts or (erasure is not None and target == "u:b")


def _claims(folded: Folded) -> list[OfName]:
    return [fact for fact in folded.facts(Topic.BY_USER) if isinstance(fact, OfName)]


def _interests(folded: Folded) -> dict[str, float]:
    per_day = interests.AVERSION_PER_DAY
    views = [
        *folded.views(Topic.VIEW_INTERESTS).items(),
        *((f"u:{key}", view) for key, view in folded.views(Topic.VIEW_AFFINITY).items()),
    ]
    faded = partial(affinity.decayed, now_ms=NOW, per_day=per_day)
    sums = {key: faded(view.aversion, view.averse_at or 0) for key, view in views}
    return {key: score for key, score in sums.items() if abs(score) > 1e-9}


def _scores(folded: Folded) -> dict[str, float]:
    return {
        key: affinity.decayed(view.score, view.at, NOW)
        for key, view in folded.views(Topic.VIEW_AFFINITY).items()
        if view.score
    }


def _greatest(folded: Folded) -> dict[tuple[str, ...], tuple[int, str]]:
    """What is told to sources and users comes to this, by its greatest stamps."""
    found: dict[tuple[str, ...], tuple[int, str]] = {}
    for topic in (Topic.BY_SOURCE, Topic.BY_USER):
        for fact in folded.facts(topic):
            if isinstance(fact, Refill | Claim | Release | Notice):  # up to the log, or see below
                continue
            assert isinstance(fact, RelationFact)
            key = (topic, fact.source, fact.user_id, fact.kind)
            found[key] = max(found.get(key, (0, "")), (fact.at, fact.event_id))
    return found


@given(users_events)
def test_a_users_view_is_that_of_a_plain_fold(history: tuple[list[Any], list[Any]]) -> None:
    _, disorder = history
    folded = Folded(UserFold)
    for number, event in enumerate(disorder, 1):
        folded.add(event)
        rows: dict[str, Any] = {}
        for each in disorder[:number]:
            match each:
                case Follow(action=kind, target=source) if kind in KINDS:
                    pass
                case RelationFact(kind=kind, source=source):
                    pass
                case _:
                    continue
            row = rows.setdefault(source, empty_row())
            place = KINDS.index(kind)
            row[place] = max(row[place], (each.at, each.event_id))
        following = {source: row[0][0] for source, row in rows.items() if follows(row)}
        shown = folded.views(Topic.VIEW_RELATIONS).values()
        assert {view.target: view.followed_at for view in shown if view.is_following} == following
        users = [each for each in disorder[:number] if isinstance(each, User)]
        found = {
            user_id: {k: v for k, v in msgspec.structs.asdict(view).items() if k != "user_id"}
            for user_id, view in folded.views(Topic.VIEW_USERS).items()
        }
        expected = fold_users(users, {"a": following}, {})
        assert {k: v for k, v in found.items() if v != NOBODY} == expected


@given(histories(strategies.contacts), st.booleans())
def test_messages_and_views_count_once(
    history: tuple[list[Any], list[Any]], are_ids_shared: bool
) -> None:
    events, disorder = history
    if are_ids_shared:  # as of a producer that gives one id to several
        events, disorder = ([replace(e, event_id="e") for e in each] for each in history)
    expected = affinity.scores(affinity.facts({}, fold_engagements([]), events), NOW)
    found = {
        (view.user_id, view.target_id): affinity.decayed(view.score, view.at, NOW)
        for view in _folded(UserFold, disorder, 3).views(Topic.VIEW_AFFINITY).values()
    }
    assert found == pytest.approx(expected, abs=1e-9)


# Sources


def _relations(folded: Folded) -> dict[str, Any]:
    """Without the places in the log."""
    return {
        user_id: replace(relation, since=0)
        for user_id, relation in _rows(folded)["relation"].get("u:z", {}).items()
    }


source_relations = st.builds(
    RelationFact,
    source=st.just("u:z"),
    user_id=strategies.user_ids,
    kind=st.sampled_from([KINDS[0], *KINDS]),
    at=strategies.times,
    event_id=strategies.event_ids,
)


@given(histories(source_relations), st.integers(1, 9))
def test_a_sources_followers_come_to_one_end(
    history: tuple[list[Any], list[Any]], batch: int
) -> None:
    events, disorder = history
    one, other = _folded(SourceFold, events, len(events)), _folded(SourceFold, disorder, batch)
    assert _relations(one) == _relations(other)
    rows: dict[str, Any] = {}
    for fact in events:
        row = rows.setdefault(fact.user_id, empty_row())
        place = KINDS.index(fact.kind)
        row[place] = max(row[place], (fact.at, fact.event_id))
    followers = sum(map(follows, rows.values()))
    for folded in (one, other):
        counts = [view.followers for view in folded.views(Topic.VIEW_SOURCES).values()]
        assert (counts or [0]) == [followers]


activity_facts = st.builds(
    Activity,
    source=st.just("u:z"),
    reason=st.just("u:z"),
    post_id=strategies.post_ids,
    at=st.just(NOW),
    visibility=st.sampled_from(["public", "followers", "custom", "private"]),
    audience=strategies.audiences,
    author_id=st.just("z"),
)


@given(st.lists(st.one_of(activity_facts, st.just(None), source_relations), max_size=25))
def test_a_source_never_shows_what_it_does_not_hold(drawn: list[Any]) -> None:
    """At any point: everyone sees only what stands, followers only; the author all of it."""
    folded = Folded(SourceFold)
    there: dict[str, Activity] = {}
    rows: dict[str, Any] = {}
    for number, fact in enumerate(drawn):
        if fact is None:
            if not there:
                continue
            gone = there.pop(next(iter(there)))
            folded.add(removal(gone))
        elif isinstance(fact, Activity):
            if fact.post_id in there:
                continue
            there[fact.post_id] = fact
            folded.add(fact)
        else:
            folded.add(strategies.numbered(fact, number))
            row = rows.setdefault(fact.user_id, empty_row())
            place = KINDS.index(fact.kind)
            stamp = (fact.at, f"{fact.event_id}{number}")
            row[place] = max(row[place], stamp)
        allowed = {
            user_id: {
                (post_id, "u:z")
                for post_id, a in there.items()
                if a.visibility in ("public", "followers")
                or (a.visibility == "custom" and user_id in a.audience)
            }
            for user_id, row in rows.items()
            if follows(row)
        }
        found = {owner: set(entries) for owner, entries in folded.timelines().items()}
        assert found.pop("z", set()) == {(post_id, "u:z") for post_id in there}
        assert found == {owner: entries for owner, entries in allowed.items() if entries}
