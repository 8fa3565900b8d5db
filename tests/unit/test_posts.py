"""Posts: what is shown, counted, told to sources and to users."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from schemas.codec import UndecodableError, encode
from schemas.events import Engagement, Event, Media
from schemas.topics import Topic
from schemas.views import CountersView
from streams.engine.records import RejectedError
from streams.facts import Activity, AffinityFact, Removal, Tick, encode_fact
from streams.posts import PostFold
from tests.unit.folds import (
    Folded,
    affinity_sums,
    created,
    deleted,
    edited,
    engaged,
    fold_all,
    followed,
    record,
    relation,
    standing,
    tags_of_text,
    time,
)


def _shown(events: Sequence[Event]) -> tuple[object, ...]:
    """Author, content, minutes of making, minutes of editing, whether deleted."""
    view = fold_all(PostFold, events).view(Topic.VIEW_POSTS)
    minute = (view.at - time(0)) // 60_000
    edited_at = None if view.edited_at is None else (view.edited_at - time(0)) // 60_000
    return view.author_id, view.content, minute, edited_at, view.is_deleted


@pytest.mark.parametrize(
    ("events", "shown"),
    [
        pytest.param([created("ann", 1, content="one")], ("ann", "one", 1, None, False), id="made"),
        pytest.param(
            [created("ann", 2, content="two"), created("bob", 1, content="one")],
            ("bob", "one", 1, None, False),
            id="made twice by two: the older maker is the author",
        ),
        pytest.param(
            [created("ann", 1, content="one"), created("ann", 2, content="two")],
            ("ann", "two", 1, None, False),
            id="made twice by one: the older time, the newer content",
        ),
        pytest.param(
            [created("bob", 1, id="b"), created("ann", 1, id="a")],
            ("ann", "", 1, None, False),
            id="at one time the smaller event id is the older",
        ),
        pytest.param(
            [created("ann", 1, content="one"), edited("ann", 3, content="three")],
            ("ann", "three", 1, 3, False),
            id="edited",
        ),
        pytest.param(
            [created("ann", 1, content="one"), edited(None, 3, content="three")],
            ("ann", "three", 1, 3, False),
            id="edited by an event that names no author",
        ),
        pytest.param(
            [edited("ann", 3, content="three"), created("ann", 1, content="one")],
            ("ann", "three", 1, 3, False),
            id="edited before it was made",
        ),
        pytest.param(
            [
                created("ann", 1, content="one"),
                edited("ann", 3, content="three"),
                edited("ann", 2, content="two"),
            ],
            ("ann", "three", 1, 3, False),
            id="an older edit that comes late changes nothing",
        ),
        pytest.param(
            [created("ann", 1, content="one"), edited("eve", 3, content="evil")],
            ("ann", "one", 1, None, False),
            id="edited by another: ignored",
        ),
        pytest.param(
            [created("ann", 1, content="one"), deleted(2)],
            ("ann", "", 1, None, True),
            id="deleted",
        ),
        pytest.param(
            [deleted(9), created("ann", 1, content="one")],
            ("ann", "", 1, None, True),
            id="deleted before it was made",
        ),
        pytest.param(
            [created("ann", 1, content="one"), deleted(2), edited("ann", 3, content="three")],
            ("ann", "", 1, None, True),
            id="edited after it was deleted",
        ),
    ],
)
def test_what_a_post_shows(events: Sequence[Event], shown: tuple[object, ...]) -> None:
    assert _shown(events) == shown


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([edited("ann", 1, content="one")], id="only edited"),
        pytest.param([deleted(1)], id="only deleted"),
        pytest.param([engaged("like")], id="only liked"),
    ],
)
def test_a_post_that_was_never_made_shows_nothing(events: Sequence[Event]) -> None:
    folded = fold_all(PostFold, events)
    assert folded.views(Topic.VIEW_POSTS) == {}
    assert folded.facts(Topic.BY_SOURCE) == []
    assert folded.facts(Topic.BY_USER) == []


def test_every_field_of_a_post_is_shown() -> None:
    media = (Media(url="http://x/1.png", width=2),)
    view = fold_all(
        PostFold,
        [
            created(
                content="#Hi @bob",
                media=media,
                visibility="custom",
                audience=("bob",),
                reply_to="q",
                quote_of="r",
                language="en",
                location="Oslo",
            )
        ],
    ).view(Topic.VIEW_POSTS)
    assert (view.post_id, view.media, view.visibility, view.audience) == (
        "p",
        media,
        "custom",
        ("bob",),
    )
    assert (view.reply_to, view.quote_of, view.language, view.location) == ("q", "r", "en", "Oslo")
    assert (view.hashtags, view.mentions) == (("hi",), ("bob",))


def test_a_repeated_post_event_says_nothing_new() -> None:
    events = [created("ann", 1), edited("ann", 2, content="two"), deleted(3)]
    for number, event in enumerate(events):
        folded = fold_all(PostFold, events[: number + 1]).checkpoint()
        before = [*folded.outputs(Topic.VIEW_POSTS), *folded.outputs(Topic.BY_SOURCE)]
        folded.add(event)
        assert [*folded.outputs(Topic.VIEW_POSTS), *folded.outputs(Topic.BY_SOURCE)] == before


@pytest.mark.parametrize(
    "event",
    [
        engaged("like", at=1),
        engaged("unlike", at=1),
        engaged("share", at=1),
        engaged("unshare", at=1),
        engaged("comment", at=1, comment_id="x"),
        engaged("comment_deleted", at=1, comment_id="x"),
        engaged("view", at=1),
    ],
    ids=lambda event: event.action,
)
def test_a_repeated_engagement_says_nothing_at_all(event: Event) -> None:
    folded = fold_all(PostFold, [created(), event]).checkpoint()
    folded.add(event)
    assert list(folded.outbox.outputs()) == list(folded.state.changes()) == []


# Counts


@pytest.mark.parametrize(
    ("events", "counts"),
    [
        pytest.param([engaged("like")], {"reactions": {"like": 1}}, id="a like"),
        pytest.param(
            [engaged("like", at=1), engaged("like", at=2)],
            {"reactions": {"like": 1}},
            id="a like counts once a user",
        ),
        pytest.param(
            [engaged("like", "bob"), engaged("like", "cy")],
            {"reactions": {"like": 2}},
            id="likes of two users",
        ),
        pytest.param(
            [engaged("like", at=1), engaged("react", at=2, kind="wow")],
            {"reactions": {"wow": 1}},
            id="another reaction replaces the like",
        ),
        pytest.param(
            [engaged("react", at=2, kind="wow"), engaged("like", at=1)],
            {"reactions": {"wow": 1}},
            id="an older like that comes late",
        ),
        pytest.param(
            [engaged("react", at=1, kind="wow"), engaged("unlike", at=2)],
            {},
            id="unlike takes any reaction back",
        ),
        pytest.param(
            [engaged("unlike", at=2), engaged("like", at=1)],
            None,
            id="an unlike that came before its like",
        ),
        pytest.param(
            [engaged("like", at=1, id="a"), engaged("unlike", at=1, id="b")],
            {},
            id="at one time the greater event id is the newer",
        ),
        pytest.param(
            [engaged("share", at=1), engaged("share", at=2)], {"shares": 1}, id="shared twice"
        ),
        pytest.param([engaged("unshare", at=2), engaged("share", at=1)], None, id="unshared"),
        pytest.param(
            [engaged("share", at=1), engaged("unshare", at=2), engaged("share", at=3)],
            {"shares": 1},
            id="shared again",
        ),
        pytest.param(
            [engaged("comment", at=1, comment_id="x"), engaged("comment", at=2, comment_id="y")],
            {"comments": 2},
            id="comments of one user",
        ),
        pytest.param(
            [engaged("comment", at=1, comment_id="x"), engaged("comment", "cy", 2, comment_id="x")],
            {"comments": 1},
            id="a comment id counts once",
        ),
        pytest.param(
            [engaged("comment", at=3, comment_id="x"), engaged("comment_deleted", comment_id="x")],
            {},
            id="a comment is deleted, whatever the times",
        ),
        pytest.param(
            [engaged("comment_deleted", comment_id="x"), engaged("comment", at=3, comment_id="x")],
            None,
            id="a comment is deleted before it comes",
        ),
        pytest.param(
            [engaged(action) for action in ("view", "click", "hide", "report", "view")],
            {"views": 1, "clicks": 1, "hides": 1, "reports": 1},
            id="views, clicks, hides and reports count users",
        ),
        pytest.param(
            [engaged("view", "bob"), engaged("view", "cy")], {"views": 2}, id="two viewers"
        ),
        pytest.param(
            [created(), deleted(1), engaged("like")],
            {"reactions": {"like": 1}},
            id="counts go on after a deletion",
        ),
    ],
)
def test_counts(events: Sequence[Event], counts: dict[str, object] | None) -> None:
    folded = fold_all(PostFold, events)
    if counts is None:
        assert folded.views(Topic.VIEW_COUNTERS) == {}
    else:
        assert folded.view(Topic.VIEW_COUNTERS) == CountersView("p", **counts)  # type: ignore[arg-type]


def test_posts_are_counted_apart() -> None:
    folded = fold_all(PostFold, [engaged("like", post="p"), engaged("share", post="q")])
    assert folded.views(Topic.VIEW_COUNTERS) == {
        "p": CountersView("p", {"like": 1}),
        "q": CountersView("q", shares=1),
    }


@pytest.mark.parametrize(
    ("events", "shown"),
    [
        pytest.param(
            [engaged("comment", at=2, comment_id="x", text="hey", parent="w")],
            ("bob", "hey", "w", False),
            id="a comment",
        ),
        pytest.param(
            [
                engaged("comment", "cy", 2, comment_id="x", text="late"),
                engaged("comment", at=1, comment_id="x", text="first"),
            ],
            ("bob", "first", None, False),
            id="of two with one id the older is it",
        ),
        pytest.param(
            [
                engaged("comment", at=1, comment_id="x", text="first"),
                engaged("comment", "cy", 2, comment_id="x", text="late"),
            ],
            ("bob", "first", None, False),
            id="of two with one id the older is it, also when it came first",
        ),
        pytest.param(
            [
                engaged("comment", comment_id="x", text="hey"),
                engaged("comment_deleted", comment_id="x"),
            ],
            ("bob", "", None, True),
            id="deleted: without its text",
        ),
        pytest.param(
            [
                engaged("comment_deleted", comment_id="x"),
                engaged("comment", comment_id="x", text="hey"),
            ],
            ("bob", "", None, True),
            id="deleted before it came: without its text",
        ),
    ],
)
def test_what_a_comment_shows(events: Sequence[Event], shown: tuple[object, ...]) -> None:
    views = fold_all(PostFold, events).views(Topic.VIEW_COMMENTS)
    assert list(views) == ["p/x"]
    view = views["p/x"]
    assert (view.user_id, view.text, view.parent, view.is_deleted) == shown


@pytest.mark.parametrize(
    ("events", "mine"),
    [
        pytest.param([engaged("like", at=1)], ("like", time(1), False, 0), id="liked"),
        pytest.param([engaged("share", at=1)], (None, 0, True, time(1)), id="shared"),
        pytest.param(
            [engaged("react", at=1, kind="wow"), engaged("share", at=2)],
            ("wow", time(1), True, time(2)),
            id="both",
        ),
        pytest.param(
            [engaged("share", at=2), engaged("unshare", at=3), engaged("like", at=1)],
            ("like", time(1), False, time(3)),
            id="no longer shared",
        ),
    ],
)
def test_what_a_user_did_with_a_post(events: Sequence[Event], mine: tuple[object, ...]) -> None:
    views = fold_all(PostFold, events).views(Topic.VIEW_MINE)
    assert list(views) == ["bob/p"]
    view = views["bob/p"]
    assert (view.reaction, view.reacted_at, view.is_shared, view.shared_at) == mine


@pytest.mark.parametrize(
    ("events", "is_again"),
    [
        pytest.param([engaged("like", at=1)], False, id="the first"),
        pytest.param([engaged("like", at=1)] * 2, False, id="the same twice"),
        pytest.param([engaged("like", at=1), engaged("unlike", at=2)], True, id="taken back"),
        pytest.param([engaged("like", at=2), engaged("react", at=1, kind="wow")], True, id="late"),
        pytest.param([engaged("share", at=1), engaged("like", at=2)], False, id="after a share"),
        pytest.param(
            [engaged("like", at=1), engaged("like", at=2), engaged("share", at=3)],
            True,
            id="kept by a share",
        ),
    ],
)
def test_whether_there_were_other_reactions(events: Sequence[Event], is_again: bool) -> None:
    assert fold_all(PostFold, events).views(Topic.VIEW_MINE)["bob/p"].is_again is is_again


# Activities

BY_ANN = ("u:ann", "p")
BY_BOB = ("s:bob", "p")
ABOUT_RUST = ("t:rust", "p")


@pytest.mark.parametrize(
    ("events", "at"),
    [
        pytest.param([created(at=1)], {BY_ANN: 1}, id="a post is its author's activity"),
        pytest.param(
            [created(at=1), engaged("share", at=2)], {BY_ANN: 1, BY_BOB: 2}, id="and a share"
        ),
        pytest.param(
            [engaged("share", at=2), created(at=1)],
            {BY_ANN: 1, BY_BOB: 2},
            id="a share that came before the post",
        ),
        pytest.param(
            [created(at=1), engaged("share", at=2), engaged("unshare", at=3)],
            {BY_ANN: 1},
            id="unshared",
        ),
        pytest.param(
            [created(at=1), engaged("share", at=2), engaged("share", at=3)],
            {BY_ANN: 1, BY_BOB: 3},
            id="shared again: at the newer time",
        ),
        pytest.param(
            [created(at=1), engaged("share", at=2), deleted(3)], {}, id="a deletion takes all"
        ),
        pytest.param(
            [deleted(3), created(at=1), engaged("share", at=2)], {}, id="deleted before it came"
        ),
        pytest.param(
            [created(at=1, visibility="followers"), engaged("share", at=2)],
            {BY_ANN: 1},
            id="only public posts are shared on",
        ),
        pytest.param(
            [created(at=1), engaged("share", at=2), edited(at=3, visibility="private")],
            {BY_ANN: 1},
            id="no longer public: shares go",
        ),
        pytest.param(
            [
                created(at=1, visibility="private"),
                engaged("share", at=2),
                edited(at=3, visibility="public"),
            ],
            {BY_ANN: 1, BY_BOB: 2},
            id="public later: shares come",
        ),
        pytest.param(
            [created("ann", 2), created("cy", 1)],
            {("u:cy", "p"): 1},
            id="another author turns up",
        ),
        pytest.param(
            [created("ann", 2), created("ann", 1)], {BY_ANN: 1}, id="an older time turns up"
        ),
        pytest.param(
            [created(at=1, content="#Rust and #go"), engaged("share", at=2)],
            {BY_ANN: 1, BY_BOB: 2, ABOUT_RUST: 1, ("t:go", "p"): 1},
            id="a post is its topics' activity too",
        ),
        pytest.param(
            [created(at=1, content="#go"), edited(at=2, content="#rust")],
            {BY_ANN: 1, ABOUT_RUST: 1},
            id="an edit takes it off topics that it lost",
        ),
        pytest.param(
            [created(at=1, content="#rust", visibility="followers")],
            {BY_ANN: 1},
            id="what is not public is on no topic",
        ),
        pytest.param(
            [created(at=1, content="#rust"), deleted(2)], {}, id="a deletion takes it off topics"
        ),
        pytest.param(
            [created(at=1, content=f"#{'x' * 254} #{'y' * 255} #{'ß' * 127} #{'ß' * 128}")],
            {BY_ANN: 1, (f"t:{'x' * 254}", "p"): 1, (f"t:{'s' * 254}", "p"): 1},
            id="a topic fits an id, case folded",
        ),
    ],
)
def test_activities(events: Sequence[Event], at: dict[tuple[str, str], int]) -> None:
    facts = fold_all(PostFold, events).facts(Topic.BY_SOURCE)
    found = standing(facts)
    assert {key: (each.at - time(0)) // 60_000 for key, each in found.items()} == at
    for (reason, _), each in found.items():
        assert each.source == reason if reason.startswith("t:") else f"u:{reason[2:]}"


def test_an_activity_says_who_may_see_the_post() -> None:
    events = [created(at=1, visibility="custom", audience=("bob", "cy"))]
    assert fold_all(PostFold, events).facts(Topic.BY_SOURCE) == [
        Activity("u:ann", "u:ann", "p", time(1), "custom", ("bob", "cy"), "ann")
    ]


def test_a_change_of_who_may_see_is_a_removal_and_then_an_activity() -> None:
    folded = fold_all(PostFold, [created(at=1)]).checkpoint()
    folded.add(edited(at=2, visibility="followers"))
    assert folded.facts(Topic.BY_SOURCE)[1:] == [
        Removal("u:ann", "u:ann", "p", time(1)),
        Activity("u:ann", "u:ann", "p", time(1), "followers", (), "ann"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(edited(at=2, content="new"), id="content"),
        pytest.param(edited(at=2, audience=("bob",)), id="an audience that a public post ignores"),
    ],
)
def test_an_edit_that_changes_no_activity_tells_none(change: Event) -> None:
    folded = fold_all(PostFold, [created(at=1), change])
    assert len(folded.facts(Topic.BY_SOURCE)) == 1


def test_facts_go_into_the_log_of_their_entity() -> None:
    folded = fold_all(PostFold, [created(), engaged("share"), engaged("like", "cy")])
    assert [output.key for output in folded.outputs(Topic.BY_SOURCE)] == [b"u:ann", b"u:bob"]
    told = {(output.key or b"").decode() for output in folded.outputs(Topic.BY_USER)}
    assert told == {"ann", "bob", "cy"}


# Affinity


@pytest.mark.parametrize(
    ("events", "weights"),
    [
        pytest.param([created(), engaged("like")], [2.0], id="a like"),
        pytest.param([created(), engaged("react", kind="wow")], [2.0], id="another reaction"),
        pytest.param([created(), engaged("share")], [8.0], id="a share"),
        pytest.param(
            [created(), *(engaged("comment", comment_id=c) for c in "xy")],
            [5.0, 5.0],
            id="comments",
        ),
        pytest.param([created(), engaged("view"), engaged("click")], [], id="views and clicks"),
        pytest.param([created("bob"), engaged("like")], [], id="one's own post"),
        pytest.param([created(), deleted(), engaged("like")], [2.0], id="of a deleted post too"),
        pytest.param(
            [created(), engaged("like", at=1), engaged("unlike", at=2)], [2.0, -2.0], id="unliked"
        ),
        pytest.param(
            [created(), engaged("share", at=1), engaged("unshare", at=2)],
            [8.0, -8.0],
            id="unshared",
        ),
        pytest.param(
            [
                created(),
                engaged("comment", comment_id="x"),
                engaged("comment_deleted", comment_id="x"),
            ],
            [5.0, -5.0],
            id="comment deleted",
        ),
    ],
)
def test_affinity_facts(events: Sequence[Event], weights: list[float]) -> None:
    facts = _affinity_facts(fold_all(PostFold, events))
    assert [(f.user_id, f.target_id, f.weight) for f in facts] == [
        ("bob", "ann", weight) for weight in weights
    ]


def _affinity_facts(folded: Folded) -> list[AffinityFact]:
    return [fact for fact in folded.facts(Topic.BY_USER) if isinstance(fact, AffinityFact)]


def test_what_is_taken_back_bears_the_time_of_what_was_told() -> None:
    events = [created(), engaged("like", at=1), engaged("react", at=2, kind="wow")]
    assert _affinity_facts(fold_all(PostFold, events)) == [
        AffinityFact("bob", "ann", 2.0, time(1)),
        AffinityFact("bob", "ann", -2.0, time(1)),
        AffinityFact("bob", "ann", 2.0, time(2)),
    ]


def test_affinity_waits_for_the_author() -> None:
    folded = fold_all(
        PostFold,
        [
            engaged("like", "bob", 1),
            engaged("like", "cy", 1),
            engaged("unlike", "cy", 2),
            engaged("share", "bob", 3),
            engaged("comment", "di", 4, comment_id="x"),
            engaged("comment", "di", 4, comment_id="y"),
            engaged("comment_deleted", "di", 5, comment_id="y"),
        ],
    )
    assert folded.facts(Topic.BY_USER) == []
    folded.add(created("ann", 9))
    assert _affinity_facts(folded) == [
        AffinityFact("bob", "ann", 2.0, time(1)),
        AffinityFact("bob", "ann", 8.0, time(3)),
        AffinityFact("di", "ann", 5.0, time(4)),
    ]


def test_affinity_moves_to_another_author() -> None:
    folded = fold_all(PostFold, [created("ann", 2), engaged("like"), created("cy", 1)])
    assert set(affinity_sums(folded.facts(Topic.BY_USER))) == {("bob", "cy")}


# Records


def test_a_record_brings_its_tags() -> None:
    folded = Folded(PostFold)
    post = created(content="see #Oslo with @cy")
    folded.fold.apply(record(encode(post), headers=(tags_of_text(post.content),)))
    view = folded.view(Topic.VIEW_POSTS)
    assert (view.hashtags, view.mentions) == (("oslo",), ("cy",))


def test_a_tick_is_noted() -> None:
    folded = Folded(PostFold)
    folded.fold.apply(record(encode_fact(Tick(time(0)))))
    assert list(folded.outbox.outputs()) == []
    assert [key for key, _ in folded.state.changes()] == [b"trend_clock\0"]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(encode(followed("follow")), id="an event of a user"),
        pytest.param(encode_fact(relation("follow")), id="a fact of a source"),
    ],
)
def test_what_belongs_into_another_log_is_refused(value: bytes) -> None:
    folded = Folded(PostFold)
    with pytest.raises(UndecodableError) as refused:
        folded.fold.apply(record(value))
    assert refused.value.code == "wrong_topic"


def test_the_rows_of_a_batch_are_read_by_the_next() -> None:
    like = engaged("like", at=1)
    assert isinstance(like, Engagement)
    folded = fold_all(PostFold, [created(), like]).checkpoint()
    folded.add(like, engaged("like", "cy", 1))
    assert folded.view(Topic.VIEW_COUNTERS) == CountersView("p", {"like": 2})


def test_where_a_post_stood_before_is_told() -> None:
    """An older `created` event moves the post; its view names the places that it left."""
    events = [created("bob", 3), created("ann", 2), created("ann", 1)]
    view = fold_all(PostFold, events).view(Topic.VIEW_POSTS)
    assert (view.author_id, view.at) == ("ann", time(1))
    assert view.former_places == (("ann", time(2)), ("bob", time(3)))


def test_forged_edits_grow_no_row() -> None:
    """Who claims to be the author gets a row of their own, so that no row outgrows a record."""
    forged = [edited(f"forger{n}", 2, content="x" * 60_000) for n in range(100)]
    folded = fold_all(PostFold, [created("ann", 1, content="mine"), *forged])
    assert max(len(value or b"") for _, value in folded.state.changes()) < 61_000
    assert folded.view(Topic.VIEW_POSTS).content == "mine"


def test_a_forger_who_proves_to_be_the_author_is_believed() -> None:
    events = [created("ann", 2, content="hers"), edited("bob", 3, content="his"), created("bob", 1)]
    assert _shown(events) == ("bob", "his", 1, 3, False)


def test_a_deleted_post_keeps_no_bodies() -> None:
    folded = fold_all(PostFold, [created(), edited("bob", 2)]).checkpoint()
    folded.add(deleted(3), edited("ann", 4))
    folded.checkpoint()
    assert folded.state.sizes()["body"] == 0


def test_a_post_is_created_at_64_places_at_most() -> None:
    folded = fold_all(PostFold, [created("ann", at) for at in range(64)])
    with pytest.raises(RejectedError) as refused:
        folded.add(created("ann", 64))
    assert refused.value.code == "too_many_claims"
    folded.add(created("ann", 63, content="known places may come again"))


def test_a_post_has_reactions_of_256_kinds_at_most() -> None:
    events = [engaged("react", f"user{n}", kind=f"kind{n}") for n in range(256)]
    folded = fold_all(PostFold, [*events, engaged("react", "user7", 1, kind="other")])
    before = folded.view(Topic.VIEW_COUNTERS).reactions
    assert len(before) == 256
    assert before["other"] == 1
    with pytest.raises(RejectedError) as refused:
        folded.add(engaged("react", "bob", 2, kind="one more"))
    assert refused.value.code == "too_many_kinds"
    assert folded.view(Topic.VIEW_COUNTERS).reactions == before
    folded.add(engaged("react", "bob", 2, kind="other"))
    assert folded.view(Topic.VIEW_COUNTERS).reactions == before | {"other": 2}


def test_a_reaction_that_is_refused_leaves_what_was_there() -> None:
    events = [engaged("react", f"user{n}", kind=f"kind{n}") for n in range(256)]
    folded = fold_all(PostFold, [*events, engaged("react", "bob", 1, kind="kind7")])
    with pytest.raises(RejectedError):
        folded.add(engaged("react", "bob", 2, kind="one more"))
    folded.add(engaged("unlike", "bob", 3))
    reactions = folded.view(Topic.VIEW_COUNTERS).reactions
    assert reactions == {f"kind{n}": 1 for n in range(256)}
