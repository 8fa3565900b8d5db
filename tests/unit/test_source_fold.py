"""Sources: who gets which entry, and what a new follower is given."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from schemas.codec import UndecodableError, encode
from schemas.events import Visibility
from schemas.topics import Topic
from schemas.views import (
    FillTimeline,
    PushEntry,
    RecentActivity,
    RemoveEntry,
    RemoveSource,
    SourceView,
)
from streams.engine.outbox import Outbox
from streams.engine.state import State
from streams.facts import Activity, AffinityFact, Fact, Handling, How, Tick, encode_fact
from streams.fan_out import Spread
from streams.sources import SourceFold, reasons_of
from tests.unit.folds import (
    NOW,
    Folded,
    activity,
    created,
    fold_all,
    record,
    relation,
    removal,
    time,
)

FOLLOW = relation("follow", "bob", 1)
UNFOLLOW = relation("unfollow", "bob", 2)
SHARE = activity("q", 5, author="cy", sharer="ann")


@pytest.mark.parametrize(
    ("facts", "owners"),
    [
        pytest.param([activity()], {"ann"}, id="nobody follows: the author alone"),
        pytest.param([FOLLOW, activity()], {"ann", "bob"}, id="a follower"),
        pytest.param(
            [FOLLOW, relation("follow", "cy"), activity()], {"ann", "bob", "cy"}, id="two followers"
        ),
        pytest.param([FOLLOW, UNFOLLOW, activity()], {"ann"}, id="who no longer follows"),
        pytest.param([activity(), FOLLOW], {"ann", "bob"}, id="who follows later is given it"),
        pytest.param(
            [FOLLOW, activity(), UNFOLLOW], {"ann"}, id="who leaves loses it; the author does not"
        ),
        pytest.param(
            [FOLLOW, activity(), relation("blocked", "bob", 2)], {"ann"}, id="who is blocked"
        ),
        pytest.param([FOLLOW, activity(), removal(activity())], set(), id="removed from all"),
        pytest.param(
            [activity(), removal(activity()), FOLLOW], set(), id="removed before the follow"
        ),
        pytest.param(
            [FOLLOW, activity(visibility="followers")], {"ann", "bob"}, id="for followers"
        ),
        pytest.param([FOLLOW, activity(visibility="private")], {"ann"}, id="private"),
        pytest.param(
            [FOLLOW, activity(visibility="friends")],
            {"ann", "bob"},
            id="for friends: who reads judges",
        ),
        pytest.param(
            [
                FOLLOW,
                relation("follow", "cy"),
                activity(visibility="custom", audience=("cy", "di")),
            ],
            {"ann", "cy"},
            id="custom: followers in the audience",
        ),
        pytest.param(
            [activity(visibility="private"), FOLLOW], {"ann"}, id="private, and followed later"
        ),
        pytest.param(
            [activity(visibility="custom", audience=("bob",)), FOLLOW],
            {"ann", "bob"},
            id="custom, and followed later",
        ),
        pytest.param(
            [FOLLOW, relation("follow", "cy", source="u:zed"), activity()],
            {"ann", "bob"},
            id="followers of another source",
        ),
    ],
)
def test_who_gets_an_entry(facts: Sequence[Fact], owners: set[str]) -> None:
    found = fold_all(SourceFold, facts).timelines()
    assert set(found) == owners
    assert all(entries == {("p", "u:ann"): NOW} for entries in found.values())


def test_a_share_is_an_entry_of_its_own() -> None:
    folded = fold_all(SourceFold, [FOLLOW, activity("q", 1), SHARE])
    assert folded.timelines()["bob"] == {("q", "u:ann"): time(1), ("q", "s:ann"): time(5)}
    folded.add(removal(SHARE))
    assert folded.timelines()["bob"] == {("q", "u:ann"): time(1)}
    folded.add(SHARE, UNFOLLOW)
    assert "bob" not in folded.timelines()


def test_a_topic_has_followers_and_no_timeline_of_its_own() -> None:
    about = Activity("t:rust", "t:rust", "p", time(1), "public", (), "ann")
    folded = fold_all(SourceFold, [relation("follow", source="t:rust"), about])
    folded.add(relation("follow", "cy", source="t:rust"))
    entry = {("p", "t:rust"): time(1)}
    assert folded.timelines() == {"bob": entry, "cy": entry}
    folded.add(relation("unfollow", "bob", 2, source="t:rust"))
    assert folded.timelines() == {"cy": entry}
    folded.add(removal(about))
    assert folded.timelines() == {}


def test_operations_of_a_life() -> None:
    post = activity("p", 3)
    folded = fold_all(SourceFold, [post, FOLLOW, removal(post), UNFOLLOW])
    by_owner = {
        "ann": [
            PushEntry("p", "u:ann", time(3), ["ann"]),
            RemoveEntry("p", "u:ann", time(3), ["ann"]),
        ],
        "bob": [
            FillTimeline("bob", [("p", "u:ann", time(3))]),
            RemoveEntry("p", "u:ann", time(3), ["bob"]),
            RemoveSource("bob", ["u:ann", "s:ann"]),
        ],
    }
    found: dict[str, list[object]] = {"ann": [], "bob": []}
    for operation in folded.operations():
        match operation:
            case PushEntry(post_id, reason, at, owners) | RemoveEntry(post_id, reason, at, owners):
                for owner in owners:
                    found[owner].append(type(operation)(post_id, reason, at, [owner]))
            case FillTimeline(owner=owner) | RemoveSource(owner=owner):
                found[owner].append(operation)
    assert found == by_owner


# Backfill


def _posts(count: int, visibility: str = "public", start: int = 0) -> list[Fact]:
    return [activity(f"p{n:03}", n, visibility=visibility) for n in range(start, start + count)]


@pytest.mark.parametrize(
    ("facts", "given"),
    [
        pytest.param(_posts(3), range(3), id="all of few"),
        pytest.param(_posts(30), range(10, 30), id="the 20 newest"),
        pytest.param(_posts(30)[::-1], range(10, 30), id="by time, not by the order in the log"),
        pytest.param(
            [*_posts(30), *_posts(10, "private", 30)], range(10, 30), id="that the follower may see"
        ),
        pytest.param(
            [*_posts(30), *map(removal, _posts(5, start=25))],  # type: ignore[arg-type]
            range(5, 25),
            id="removed ones make room",
        ),
        pytest.param(
            [*_posts(120), *map(removal, _posts(95, start=25))],  # type: ignore[arg-type]
            range(20, 25),
            id="no more than the 100 newest are held: dropped ones do not come back",
        ),
        pytest.param(
            [*_posts(100, start=1), *_posts(1)],
            range(81, 101),
            id="an old one is dropped when 100 newer are held",
        ),
    ],
)
def test_what_a_new_follower_is_given(facts: Sequence[Fact], given: range) -> None:
    folded = fold_all(SourceFold, facts)
    before = len(folded.operations())
    folded.add(FOLLOW)
    assert {post for post, _ in folded.timelines().get("bob", {})} == {f"p{n:03}" for n in given}
    assert len(folded.operations()) == before + 1


def test_at_one_time_the_greater_post_id_is_the_newer() -> None:
    facts = [activity(f"p{n:03}", 1) for n in range(21)]
    given = fold_all(SourceFold, [*facts, FOLLOW]).timelines()["bob"]
    assert ("p000", "u:ann") not in given
    assert len(given) == 20


def test_what_is_pushed_later_comes_whatever_its_time() -> None:
    folded = fold_all(SourceFold, [*_posts(30, start=10), FOLLOW, activity("old", 0)])
    assert ("old", "u:ann") in folded.timelines()["bob"]


def test_nothing_is_given_where_nothing_is_held() -> None:
    assert fold_all(SourceFold, [FOLLOW]).operations() == []


# Followers


@pytest.mark.parametrize(
    ("facts", "followers"),
    [
        pytest.param([FOLLOW], 1, id="one"),
        pytest.param([FOLLOW, relation("follow", "cy")], 2, id="two"),
        pytest.param([FOLLOW, FOLLOW], 1, id="repeated"),
        pytest.param([FOLLOW, UNFOLLOW], 0, id="and none"),
        pytest.param([UNFOLLOW, FOLLOW], None, id="left before coming"),
        pytest.param([FOLLOW, relation("follow", "bob", 3), UNFOLLOW], 1, id="came again"),
        pytest.param([FOLLOW, relation("block", "bob", 3)], 0, id="blocks"),
        pytest.param(
            [FOLLOW, relation("blocked", "bob", 3), relation("unblocked", "bob", 4)],
            0,
            id="was blocked for a while",
        ),
    ],
)
def test_followers(facts: Sequence[Fact], followers: int | None) -> None:
    views = fold_all(SourceFold, facts).views(Topic.VIEW_SOURCES)
    assert views == ({} if followers is None else {"u:ann": SourceView("u:ann", followers)})


def test_who_leaves_a_topic_loses_what_it_brought() -> None:
    folded = fold_all(SourceFold, [relation("follow", source="t:rust", at=1)])
    folded.add(relation("unfollow", source="t:rust", at=2))
    assert folded.view(Topic.VIEW_SOURCES) == SourceView("t:rust", 0)
    assert folded.operations() == [RemoveSource("bob", ["t:rust"])]


def test_rows_of_former_batches_are_seen() -> None:
    folded = fold_all(SourceFold, [FOLLOW]).checkpoint()
    folded.add(activity()).checkpoint()
    folded.add(relation("follow", "cy", 1), UNFOLLOW)
    assert set(folded.timelines()) == {"ann", "cy"}
    assert folded.view(Topic.VIEW_SOURCES).followers == 1


@pytest.mark.parametrize(
    ("visibility", "sees"),
    [
        ("public", True),
        ("followers", True),
        ("custom", True),
        ("friends", True),
        ("private", False),
    ],
)
def test_who_may_see(visibility: str, sees: bool) -> None:
    spread = Spread(True, "p", "u:ann", NOW, visibility, ("bob",))  # type: ignore[arg-type]
    assert spread.is_for("bob") is sees
    assert spread.is_for("cy") is (visibility in ("public", "followers", "friends"))


def test_the_reasons_of_a_source() -> None:
    assert reasons_of("u:u:x") == ["u:u:x", "s:u:x"]
    assert reasons_of("t:rust") == ["t:rust"]


# Heavy sources


def _fold(facts: Sequence[Fact], heavy_followers: int = 3) -> Folded:
    folded = Folded(partial(SourceFold, heavy_followers=heavy_followers))
    return folded.add(*facts)


def _follows(*users: str) -> list[Fact]:
    return [relation("follow", user, n) for n, user in enumerate(users)]


def _recents(folded: Folded) -> dict[str, bool]:
    """Post to whether it is held, as shown last, in order of the first mention."""
    views = folded.views(Topic.VIEW_RECENTS).values()
    return {view.post_id: view.is_held for view in views if isinstance(view, RecentActivity)}


def _is_heavy(folded: Folded) -> bool | None:
    return getattr(folded.views(Topic.VIEW_RECENTS).get("u:ann"), "is_heavy", None)


def _removed_from(folded: Folded) -> list[str]:
    removals = [each for each in folded.operations() if isinstance(each, RemoveEntry)]
    return sorted(owner for each in removals for owner in each.owners)


HEAVY = [activity("before", 1), *_follows("bob", "cy", "di")]


def test_a_heavy_source_pushes_to_itself_alone_and_shows_what_it_holds() -> None:
    folded = _fold([*HEAVY, activity("after", 2)])
    assert _is_heavy(folded)
    assert _recents(folded) == {"before": True, "after": True}
    entries = {user: {post for post, _ in found} for user, found in folded.timelines().items()}
    assert entries == {"ann": {"before", "after"}, "bob": {"before"}, "cy": {"before"}}
    view = folded.views(Topic.VIEW_RECENTS)["u:ann/after/u:ann"]
    assert view == RecentActivity("u:ann", "after", "u:ann", time(2), True, is_news=True)
    view = folded.views(Topic.VIEW_RECENTS)["u:ann/before/u:ann"]
    assert view == RecentActivity("u:ann", "before", "u:ann", time(1), True, is_news=False)


def test_one_below_the_threshold_is_light() -> None:
    folded = _fold([*HEAVY, activity("after", 2)], heavy_followers=4)
    assert folded.views(Topic.VIEW_RECENTS) == {}
    assert all(("after", "u:ann") in found for found in folded.timelines().values())


@pytest.mark.parametrize(
    ("left", "is_heavy"), [(0, True), (1, True), (2, False)], ids=["10 of 10", "9 of 10", "8 of 10"]
)
def test_a_heavy_source_is_light_below_nine_tenths(left: int, is_heavy: bool) -> None:
    users = [f"user{n}" for n in range(10)]
    leaves = [relation("unfollow", user, 20) for user in users[:left]]
    folded = _fold([*_follows(*users), activity("p", 30), *leaves], heavy_followers=10)
    assert _is_heavy(folded) is is_heavy
    assert set(folded.timelines()) == {"ann"} | (set() if is_heavy else set(users[left:]))
    back = [relation("follow", user, 40) for user in users[:1]]
    assert _is_heavy(folded.add(*back)) is is_heavy, "and heavy again only at ten"


def test_a_source_that_becomes_light_pushes_what_it_holds_and_shows_none() -> None:
    only_cy = activity("cys", 3, visibility="custom", audience=("cy",))
    folded = _fold([*HEAVY, activity("after", 2), only_cy, relation("unfollow", "di", 9)])
    assert not _is_heavy(folded)
    assert _recents(folded) == {"before": False, "after": False, "cys": False}
    found = {user: {post for post, _ in held} for user, held in folded.timelines().items()}
    assert found == {
        "ann": {"before", "after", "cys"},
        "bob": {"before", "after"},
        "cy": {"before", "after", "cys"},
    }
    folded.add(removal(activity("after", 2)))
    assert all(("after", "u:ann") not in held for held in folded.timelines().values())


def test_what_a_heavy_source_spreads_costs_the_same_whoever_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not one row of a follower is looked at, by a post, an edit, a share or a removal."""
    folded = _fold(HEAVY)
    for name in ("get", "scan", "page"):
        relations = folded.fold._relations
        monkeypatch.setattr(relations, name, lambda *_: pytest.fail("a follower is looked at"))
    before = len(folded.checkpoint().operations())
    posted = activity("p", 5)
    folded.add(posted, activity("q", 6, sharer="ann", author="cy"), removal(posted))
    folded.checkpoint()
    folded.fold.work(10_000)
    assert folded.fold.backlog == 0
    put_out = folded.operations()[before:]
    assert [each.owners for each in put_out] == [["ann"]] * 3, "that of its own timeline alone"


def test_a_heavy_source_holds_100() -> None:
    posts = [activity(f"p{n:03}", n) for n in range(102)]
    folded = _fold([*_follows("bob", "cy", "di"), *posts])
    shown = _recents(folded)
    assert [post for post, is_held in shown.items() if not is_held] == ["p000", "p001"]
    assert len(shown) == 102
    late = _fold([*_follows("bob", "cy", "di"), *posts[2:], posts[0]])
    assert _recents(late)["p000"] is False, "one that comes late is never held"


@pytest.mark.parametrize(
    ("post", "owners"),
    [
        pytest.param("before", ["ann", "bob", "cy", "di"], id="pushed while light"),
        pytest.param("after", ["ann"], id="never pushed"),
    ],
)
def test_a_removal_goes_where_its_activity_was_pushed(post: str, owners: list[str]) -> None:
    at = 1 if post == "before" else 2
    folded = _fold([*HEAVY, activity("after", 2)]).checkpoint()
    folded.add(removal(activity(post, at)))
    assert _removed_from(folded) == owners
    assert not _recents(folded)[post]


def test_a_removal_of_what_is_held_no_more_goes_to_all() -> None:
    folded = _fold([*_follows("bob", "cy", "di")])
    folded.add(removal(activity("old", 1)))
    assert _removed_from(folded) == ["ann", "bob", "cy", "di"]


@pytest.mark.parametrize(
    ("visibility", "owners"),
    [
        ("followers", ["ann", "bob", "cy"]),
        ("friends", ["ann", "bob", "cy"]),
        ("custom", ["ann", "cy"]),
        ("private", ["ann"]),
    ],
)
def test_a_removal_goes_to_those_for_whom_the_activity_was(
    visibility: Visibility, owners: list[str]
) -> None:
    post = activity("p", 1, visibility=visibility, audience=("cy", "eve"))
    folded = _fold([*_follows("bob", "cy"), post]).checkpoint()
    folded.add(removal(post))
    assert _removed_from(folded) == owners
    removals = [each for each in folded.operations() if isinstance(each, RemoveEntry)]
    assert {each.visibility for each in removals} == {visibility}


def test_who_leaves_a_heavy_source_loses_what_it_pushed_before() -> None:
    folded = _fold([*HEAVY, *_follows("ed"), relation("unfollow", "bob", 9)])
    assert _is_heavy(folded)
    assert "bob" not in folded.timelines()


# Records


# An operator's word


def _handled(how: How, at: float = 0, *, id: str = "h") -> Handling:
    return Handling("u:ann", how, time(at), id)


def test_a_source_is_heavy_as_long_as_an_operator_says_so() -> None:
    folded = fold_all(SourceFold, [FOLLOW, activity("p"), _handled("heavy"), activity("q", 1)])
    assert set(folded.timelines()["bob"]) == {("p", "u:ann")}
    assert {view.post_id for view in _held(folded)} == {"p", "q"}
    folded.add(_handled("auto", 2))
    assert set(folded.timelines()["bob"]) == {("p", "u:ann"), ("q", "u:ann")}
    assert _held(folded) == []


def test_a_source_is_light_as_long_as_an_operator_says_so() -> None:
    def fold(state: State, outbox: Outbox) -> SourceFold:
        return SourceFold(state, outbox, heavy_followers=1)

    folded = fold_all(fold, [_handled("light"), FOLLOW, activity("p")])
    assert set(folded.timelines()["bob"]) == {("p", "u:ann")}
    folded.add(_handled("auto", 1), activity("q", 1))
    assert set(folded.timelines()["bob"]) == {("p", "u:ann")}
    assert {view.post_id for view in _held(folded)} == {"p", "q"}


@pytest.mark.parametrize(
    "words",
    [
        [_handled("heavy", 2), _handled("light", 1)],
        [_handled("light", 1), _handled("heavy", 1, id="i")],
        [_handled("heavy", 1, id="i"), _handled("light", 1)],
    ],
)
def test_the_newest_word_holds(words: list[Fact]) -> None:
    folded = fold_all(SourceFold, [FOLLOW, *words, activity()])
    assert "bob" not in folded.timelines()
    assert folded.view(Topic.VIEW_SOURCES).followers == 1


def _held(folded: Folded) -> list[RecentActivity]:
    """What the views list of a heavy source."""
    found = folded.views(Topic.VIEW_RECENTS).values()
    return [view for view in found if isinstance(view, RecentActivity) and view.is_held]


def test_records_are_folded() -> None:
    folded = Folded(SourceFold)
    for offset, fact in enumerate((FOLLOW, activity(), Tick(NOW))):
        folded.fold.apply(record(encode_fact(fact), offset=offset))
    assert set(folded.timelines()) == {"ann", "bob"}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        pytest.param(encode(created()), "wrong_topic", id="an event"),
        pytest.param(
            encode_fact(AffinityFact("a", "b", 1.0, 1)), "wrong_topic", id="a user's fact"
        ),
        pytest.param(b"\xc1", "not_decodable", id="no msgpack"),
        pytest.param(b"\x92\xa4what\x01", "not_decodable", id="an unknown fact"),
        pytest.param(b"", "not_avro", id="empty"),
        pytest.param(None, "not_avro", id="null"),
    ],
)
def test_what_is_no_fact_of_a_source_is_refused(value: bytes | None, code: str) -> None:
    with pytest.raises(UndecodableError) as refused:
        Folded(SourceFold).fold.apply(record(value))
    assert refused.value.code == code
