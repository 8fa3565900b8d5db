"""Users: profile, standing, relations and affinity."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import msgspec
import pytest

from schemas.changes import CHANGEABLE
from schemas.codec import UndecodableError, encode
from schemas.events import Event
from schemas.topics import Topic
from schemas.views import CLOSENESS_PER_DAY, DevicesView, RelationView, UserView
from streams import users
from streams.decay import NOTHING, Faded, add
from streams.facts import (
    AffinityFact,
    Fact,
    Notice,
    RelationFact,
    TargetErased,
    Tick,
    encode_fact,
)
from streams.profiles import UserRow
from streams.users import HOUR_MS, Seen, UserFold
from tests.unit.folds import (
    DAY,
    NOW,
    Folded,
    activity,
    contacted,
    created,
    fold_all,
    followed,
    record,
    relation,
    time,
    user,
)

OFF = {"notify.like": "off", "notify.share": "off"}


@pytest.mark.parametrize(
    ("events", "shown"),
    [
        pytest.param(
            [user("profile", at=1, username="one")], UserView("ann", "one"), id="a profile"
        ),
        pytest.param(
            [
                user("profile", at=2, username="two", bio="b", avatar="a", verified=True),
                user("profile", at=1, username="one", display_name="One"),
            ],
            UserView("ann", "two", None, "b", "a", True),
            id="the newest profile counts, whole",
        ),
        pytest.param(
            [
                user("profile", at=1, id="b", username="two"),
                user("profile", at=1, id="a", username="one"),
            ],
            UserView("ann", "two"),
            id="at one time the greater event id counts",
        ),
        pytest.param(
            [
                user("profile", at=1, bio="b", display_name="a", changes=("bio",)),
                user("profile", at=1.1, display_name="d", changes=("display_name",)),
            ],
            UserView("ann", None, "d", "b"),
            id="two edits of different fields are both in force",
        ),
        pytest.param(
            [
                user("profile", at=3, bio="new", changes=("bio",)),
                user("profile", at=2, username="one", bio="old", avatar="a", verified=True),
                user("profile", at=1, avatar="z", verified=False, changes=("avatar", "verified")),
            ],
            UserView("ann", "one", None, "new", "a", True),
            id="a whole profile counts but for what has changed since",
        ),
        pytest.param(
            [
                user("profile", at=1, bio="old", changes=("bio",)),
                user("profile", at=2, username="one"),
            ],
            UserView("ann", "one"),
            id="a newer whole profile takes away what it does not have",
        ),
        pytest.param(
            [
                user("profile", at=1, username="one", display_name="d", bio="b"),
                user("profile", at=2, bio="", changes=("bio", "display_name")),
            ],
            UserView("ann", "one", None, ""),
            id="what is cleared is not what is left out",
        ),
        pytest.param(
            [
                user("profile", at=1, id="b", bio="two", changes=("bio",)),
                user("profile", at=1, id="a", bio="one", changes=("bio",)),
            ],
            UserView("ann", bio="two"),
            id="of one field at one time the greater event id counts",
        ),
        pytest.param(
            [
                user("profile", at=1, preferences=OFF, changes=("preferences.notify.like",)),
                user(
                    "profile",
                    at=2,
                    preferences={"notify.share": "off"},
                    changes=("preferences.notify.share",),
                ),
            ],
            UserView("ann", silenced=("like", "share")),
            id="preferences change one by one",
        ),
        pytest.param(
            [
                user("profile", at=3, changes=("preferences.notify.like",)),
                user("profile", at=2, preferences=OFF, changes=("preferences",)),
                user("profile", at=1, preferences=OFF, changes=("preferences.notify.follow",)),
            ],
            UserView("ann", silenced=("share",)),
            id="of all preferences those that have changed since stay",
        ),
        pytest.param(
            [user("deactivated", at=2), user("reactivated", at=1)],
            UserView("ann", status="deactivated"),
            id="the newest standing counts",
        ),
        pytest.param(
            [user("deactivated", at=1), user("reactivated", at=2)], UserView("ann"), id="back again"
        ),
        pytest.param(
            [user("deleted", at=1), user("reactivated", at=2), user("profile", at=3, username="x")],
            UserView("ann", status="deleted"),
            id="deleted is for ever",
        ),
        pytest.param(
            [user("profile", at=1, username="x"), user("deleted", at=0)],
            UserView("ann", status="deleted"),
            id="nothing of who is erased",
        ),
    ],
)
def test_what_a_user_shows(events: Sequence[Event], shown: UserView) -> None:
    for order in (events, events[::-1]):
        folded = fold_all(UserFold, [*order, *events]).settle()
        assert folded.view(Topic.VIEW_USERS) == shown


def _row(folded: Folded) -> UserRow:
    row: UserRow = folded.checkpoint().state._tables["user"]._committed["ann"]
    return row


def test_a_row_of_before_has_one_time_for_all_of_a_profile() -> None:
    """What was kept before fields had times of their own is read, and goes on."""
    old = user("profile", at=2, username="one", bio="b", preferences=OFF)
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(_row(fold_all(UserFold, [old]))))
    assert fields.pop() == {}
    row = msgspec.convert(fields, UserRow)
    folded = Folded(UserFold)
    folded.state._tables["user"].put("ann", row)
    folded.add(user("profile", at=1, bio="late", changes=("bio",)))
    assert _row(folded) == row
    edited = _row(folded.add(user("profile", at=3, bio="new", changes=("bio",))))
    assert (edited.username, edited.bio, edited.preferences) == ("one", "new", OFF)


def test_a_row_keeps_no_more_times_than_there_are_fields() -> None:
    folded = Folded(UserFold)
    for at, name in enumerate(sorted(CHANGEABLE) * 3):
        folded.add(user("profile", at=at, changes=(name,)))
    assert _row(folded).stamps.keys() == CHANGEABLE
    assert _row(folded.add(user("profile", at=199))).stamps == {}


def test_devices_change_alone() -> None:
    events = [
        user("profile", at=1, device_tokens=("fcm:a",), changes=("device_tokens",)),
        user("profile", at=2, bio="b", changes=("bio",)),
    ]
    folded = fold_all(UserFold, events)
    assert folded.view(Topic.VIEW_DEVICES) == DevicesView("ann", ("fcm:a",))


FOLLOWING = (True, False, False)
NEITHER = (False, False, False)
BLOCKING = (False, True, False)
BLOCKED = (False, False, True)


@pytest.mark.parametrize(
    ("events", "state"),
    [
        pytest.param([followed("follow", at=1)], FOLLOWING, id="follows"),
        pytest.param([followed("unfollow", at=2), followed("follow", at=1)], NEITHER, id="left"),
        pytest.param(
            [followed("follow", at=1), followed("unfollow", at=2), followed("follow", at=3)],
            FOLLOWING,
            id="came back",
        ),
        pytest.param([followed("follow", at=1), followed("block", at=2)], BLOCKING, id="blocks"),
        pytest.param(
            [followed("block", at=1), followed("follow", at=2)],
            BLOCKING,
            id="a follow inside of a block has no effect",
        ),
        pytest.param(
            [followed("block", at=1), followed("follow", at=2), followed("unblock", at=3)],
            NEITHER,
            id="an unblock restores nothing",
        ),
        pytest.param(
            [followed("block", at=1), followed("unblock", at=2), followed("follow", at=3)],
            FOLLOWING,
            id="follows after the unblock",
        ),
        pytest.param(
            [followed("follow", at=1), relation("blocked", at=2)],
            BLOCKED,
            id="blocked by the other",
        ),
        pytest.param(
            [relation("unblocked", at=3), relation("blocked", at=2), followed("follow", at=1)],
            NEITHER,
            id="the other's unblock restores nothing either",
        ),
        pytest.param(
            [followed("follow", at=1, id="a"), followed("unfollow", at=1, id="b")],
            NEITHER,
            id="at one time the greater event id is the newer",
        ),
    ],
)
def test_relations(events: Sequence[Event | Fact], state: tuple[bool, bool, bool]) -> None:
    folded = fold_all(UserFold, events)
    view = folded.views(Topic.VIEW_RELATIONS)["bob/u:ann"]
    assert (view.is_following, view.is_blocking, view.is_blocked) == state
    users = folded.views(Topic.VIEW_USERS)
    assert (users["bob"].following if users else 0) == (1 if view.is_following else 0)


def test_the_time_of_a_follow_is_shown_while_it_is_in_force() -> None:
    folded = fold_all(UserFold, [followed("follow", at=1)])
    assert folded.view(Topic.VIEW_RELATIONS) == RelationView(
        "bob", "u:ann", True, time(1), has_blocked=False
    )
    folded.add(followed("unfollow", at=2))
    assert folded.view(Topic.VIEW_RELATIONS) == RelationView(
        "bob", "u:ann", False, has_blocked=False
    )


def test_following_counts_sources() -> None:
    events = [followed("follow", target=target) for target in ("u:ann", "u:cy", "t:rust", "u:ann")]
    assert fold_all(UserFold, events).view(Topic.VIEW_USERS).following == 3


def test_a_topic_is_followed_case_folded() -> None:
    folded = fold_all(UserFold, [followed("follow", target="t:Straße", at=1, id="e")])
    folded.add(followed("unfollow", target="t:STRASSE", at=2, id="f"))
    topic = "t:strasse"
    assert list(folded.views(Topic.VIEW_RELATIONS)) == [f"bob/{topic}"]
    assert folded.facts(Topic.BY_SOURCE) == [
        relation("follow", source=topic, at=1),
        relation("unfollow", source=topic, at=2, id="f"),
    ]
    assert [output.key for output in folded.outputs(Topic.BY_SOURCE)] == [topic.encode()] * 2


def test_a_user_is_followed_as_named() -> None:
    folded = fold_all(UserFold, [followed("follow", target="u:Ann")])
    assert folded.view(Topic.VIEW_RELATIONS).target == "u:Ann"


@pytest.mark.parametrize(
    ("events", "is_muting"),
    [
        ([followed("follow", at=1)], None),
        ([followed("mute", at=1)], True),
        ([followed("mute", at=1), followed("unmute", at=2)], False),
        ([followed("unmute", at=2), followed("mute", at=1)], False),
        ([followed("unmute", at=2), followed("mute", at=3), followed("follow", at=4)], True),
        ([followed("mute", at=1, id="a"), followed("unmute", at=1, id="b")], False),
        ([followed("unmute", at=1, id="a"), followed("mute", at=1, id="a")], False),
    ],
)
def test_who_is_muted(events: Sequence[Event], is_muting: bool | None) -> None:
    folded = fold_all(UserFold, events)
    view = folded.view(Topic.VIEW_RELATIONS)
    assert view.is_muting is is_muting
    follows = any(event.action == "follow" for event in events)  # type: ignore[union-attr]
    assert view.is_following is follows
    assert len(folded.facts(Topic.BY_SOURCE)) == follows, "nobody else is told of a mute"


def test_a_topic_is_muted_case_folded() -> None:
    folded = fold_all(UserFold, [followed("mute", target="t:Rust")])
    assert folded.view(Topic.VIEW_RELATIONS) == RelationView(
        "bob", "t:rust", False, is_muting=True, has_blocked=False
    )


@pytest.mark.parametrize(
    ("events", "is_blocking", "has_blocked"),
    [
        ([followed("follow", at=1)], False, False),
        ([followed("mute", at=1)], False, False),
        ([relation("blocked", "bob", at=1)], False, False),
        ([followed("unblock", at=1)], False, False),
        ([followed("block", at=1)], True, True),
        ([followed("block", at=1), followed("unblock", at=2)], False, True),
        (
            [followed("block", at=1), followed("unblock", at=2), followed("follow", at=3)],
            False,
            True,
        ),
        ([followed("unblock", at=2), followed("block", at=1)], False, True),
        ([followed("block", at=1), TargetErased("bob", "ann")], False, True),
        (
            [followed("follow", at=1), TargetErased("bob", "ann"), followed("mute", at=2)],
            False,
            True,
        ),
    ],
)
def test_whether_there_was_a_block_is_never_forgotten(
    events: Sequence[Event | Fact], is_blocking: bool, has_blocked: bool
) -> None:
    """As its row must go, also when only the last of what a batch shows is written."""
    view = fold_all(UserFold, events).views(Topic.VIEW_RELATIONS)["bob/u:ann"]
    assert (view.is_blocking, view.has_blocked) == (is_blocking, has_blocked)


@pytest.mark.parametrize("action", ["follow", "unfollow"])
def test_a_follow_is_told_to_its_source(action: str) -> None:
    folded = fold_all(UserFold, [followed(action, at=1, id="e")])  # type: ignore[arg-type]
    assert folded.facts(Topic.BY_SOURCE) == [relation(action, at=1)]  # type: ignore[arg-type]
    assert [output.key for output in folded.outputs(Topic.BY_SOURCE)] == [b"u:ann"]
    assert not [fact for fact in folded.facts(Topic.BY_USER) if not isinstance(fact, Notice)]


@pytest.mark.parametrize(("action", "mirrored"), [("block", "blocked"), ("unblock", "unblocked")])
def test_a_block_is_told_to_both_sources_and_the_other(action: str, mirrored: str) -> None:
    folded = fold_all(UserFold, [followed(action, at=1, id="e")])  # type: ignore[arg-type]
    seen = RelationFact("u:bob", "ann", mirrored, time(1), "e")  # type: ignore[arg-type]
    assert folded.facts(Topic.BY_SOURCE) == [relation(action, at=1), seen]  # type: ignore[arg-type]
    assert [output.key for output in folded.outputs(Topic.BY_SOURCE)] == [b"u:ann", b"u:bob"]
    assert folded.facts(Topic.BY_USER) == [seen]
    assert [output.key for output in folded.outputs(Topic.BY_USER)] == [b"ann"]


def test_a_topic_that_is_blocked_is_told_alone() -> None:
    folded = fold_all(UserFold, [followed("block", target="t:rust", at=1, id="e")])
    assert folded.facts(Topic.BY_SOURCE) == [relation("block", source="t:rust", at=1)]
    assert folded.facts(Topic.BY_USER) == []


def test_a_new_greatest_stamp_is_told_also_without_effect() -> None:
    folded = fold_all(UserFold, [followed("block", at=5), followed("follow", at=1, id="f")])
    assert relation("follow", at=1, id="f") in folded.facts(Topic.BY_SOURCE)


def test_an_old_stamp_is_not_told() -> None:
    folded = fold_all(UserFold, [followed("follow", at=5), followed("follow", at=1)])
    assert len(folded.facts(Topic.BY_SOURCE)) == 1


def test_what_another_told_is_not_told_on() -> None:
    folded = fold_all(UserFold, [relation("blocked", at=1)])
    assert folded.facts(Topic.BY_SOURCE) == folded.facts(Topic.BY_USER) == []


# Affinity


def _score(events: Sequence[Event | Fact]) -> float:
    view = fold_all(UserFold, events).view(Topic.VIEW_AFFINITY)
    assert (view.user_id, view.target_id) == ("bob", "ann")
    return float(view.score)


@pytest.mark.parametrize(
    ("events", "score"),
    [
        pytest.param([contacted("message", "bob", "ann")], 10, id="a message"),
        pytest.param([contacted("profile_view", "bob", "ann")], 1, id="a profile view"),
        pytest.param([contacted("message", "bob", "ann", id="e")] * 2, 10, id="once per event id"),
        pytest.param([contacted("message", "bob", "ann") for _ in range(3)], 30, id="three"),
        pytest.param([AffinityFact("bob", "ann", 8.0, NOW)], 8, id="a fact"),
        pytest.param(
            [AffinityFact("bob", "ann", 8.0, NOW), AffinityFact("bob", "ann", -8.0, NOW)],
            0,
            id="taken back",
        ),
        pytest.param(
            [AffinityFact("bob", "ann", 8.0, NOW), AffinityFact("bob", "ann", 1.0, NOW + DAY)],
            8 * 0.9 + 1,
            id="a day later the older counts nine tenths",
        ),
        pytest.param(
            [AffinityFact("bob", "ann", 1.0, NOW + DAY), AffinityFact("bob", "ann", 8.0, NOW)],
            8 * 0.9 + 1,
            id="also when it comes last",
        ),
        pytest.param(
            [
                AffinityFact("bob", "ann", 2.0, NOW),
                AffinityFact("bob", "ann", 1.0, NOW + DAY // 2),
            ],
            2 * 0.9**0.5 + 1,
            id="days are fractional",
        ),
    ],
)
def test_affinity(events: Sequence[Event | Fact], score: float) -> None:
    assert _score(events) == pytest.approx(score)


def test_a_score_stands_at_its_newest_fact() -> None:
    folded = fold_all(UserFold, [contacted("message", "bob", "ann", at=m) for m in (1, 3, 2)])
    assert folded.view(Topic.VIEW_AFFINITY).at == time(3)


def test_a_sum_of_facts_commutes() -> None:
    facts = [(2.0, 0), (8.0, 3 * DAY), (-2.0, 0), (5.0, DAY)]
    sums: list[Faded] = []
    for order in (facts, facts[::-1], [facts[2], facts[0], facts[3], facts[1]]):
        total = NOTHING
        for weight, at in order:
            total = add(total, weight, NOW + at, CLOSENESS_PER_DAY)
        sums.append(total)
    assert all(each.at == NOW + 3 * DAY for each in sums)
    assert [each.score for each in sums] == pytest.approx([8 + 5 * 0.81] * 3)


def test_what_one_does_to_oneself_does_not_count() -> None:
    folded = fold_all(UserFold, [contacted("message", "bob", "bob")])
    assert folded.views(Topic.VIEW_AFFINITY) == {}


def test_two_users_may_use_one_event_id() -> None:
    events = [contacted("message", who, "ann", id="e") for who in ("bob", "cy")]
    assert set(fold_all(UserFold, events).views(Topic.VIEW_AFFINITY)) == {"bob/ann", "cy/ann"}


# The clock

FIRST_TICK = NOW // HOUR_MS * HOUR_MS


@pytest.mark.parametrize(
    ("hours", "score"),
    [
        pytest.param(0, 10, id="at once"),
        pytest.param(23, 10, id="after 23 hours"),
        pytest.param(24, 10, id="after 24 hours"),
        pytest.param(26, 20, id="after 26 hours the id is forgotten"),
    ],
)
@pytest.mark.parametrize("is_before_first_tick", [False, True], ids=["ticking", "not yet ticking"])
def test_event_ids_are_remembered_for_a_day(
    hours: int, score: float, is_before_first_tick: bool
) -> None:
    folded = Folded(UserFold)
    message = contacted("message", "bob", "ann", id="e")
    events: list[Event | Fact] = [Tick(FIRST_TICK), message]
    folded.add(*(events[::-1] if is_before_first_tick else events)).checkpoint()
    for hour in range(1, hours + 1):
        folded.add(Tick(FIRST_TICK + hour * HOUR_MS)).checkpoint()
    folded.add(message).checkpoint()
    assert folded.view(Topic.VIEW_AFFINITY).score == pytest.approx(score)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_acts_that_differ_under_one_event_id_all_count_once(order: tuple[int, ...]) -> None:
    acts = [
        contacted("message", "bob", "ann", id="e"),
        contacted("message", "bob", "cy", id="e"),
        contacted("profile_view", "bob", "ann", id="e"),
    ]
    events = [acts[number] for number in order]
    folded = fold_all(UserFold, [*events, *reversed(events), *events])
    scores = {view.target_id: view.score for view in folded.views(Topic.VIEW_AFFINITY).values()}
    assert scores == {"ann": 11, "cy": 10}
    folded.add(Tick(FIRST_TICK), Tick(FIRST_TICK + 48 * HOUR_MS)).checkpoint()
    sizes = folded.state.sizes()
    assert sizes["seen"] == sizes["seen_in_hour"] == 0


def test_what_an_older_version_has_seen_does_not_count_again() -> None:
    folded = Folded(UserFold)
    folded.fold._seen.put("bob", "e", Seen())
    folded.add(contacted("message", "bob", "ann", id="e")).checkpoint()
    assert folded.views(Topic.VIEW_AFFINITY) == {}


def test_what_is_forgotten_leaves_no_rows() -> None:
    folded = Folded(UserFold)
    for hour in range(60):
        folded.add(Tick(FIRST_TICK + hour * HOUR_MS), contacted("message", "bob", "ann"))
        folded.checkpoint()
    sizes = folded.state.sizes()
    assert sizes["seen"] == sizes["seen_in_hour"] == 25
    folded.add(Tick(FIRST_TICK + 200 * HOUR_MS)).checkpoint()
    assert folded.state.sizes()["seen"] == folded.state.sizes()["seen_in_hour"] == 0


@pytest.mark.parametrize("checkpoints", [True, False], ids=["a tick a batch", "ticks in one batch"])
def test_a_tick_forgets_no_more_than_its_share(
    monkeypatch: pytest.MonkeyPatch, checkpoints: bool
) -> None:
    monkeypatch.setattr(users, "FORGOTTEN_PER_TICK", 10)
    folded = Folded(UserFold)
    folded.add(*(contacted("message", "bob", "ann") for _ in range(7))).checkpoint()
    for hour in range(3):
        folded.add(Tick(FIRST_TICK + hour * HOUR_MS))
        folded.add(*(contacted("message", "bob", "ann") for _ in range(8))).checkpoint()
    left = []
    for tick in range(5):
        folded.add(Tick(FIRST_TICK + 48 * HOUR_MS + tick))
        if checkpoints:
            folded.checkpoint()
        left.append(sum(1 for _ in folded.fold._seen.scan("bob")))
    folded.checkpoint()
    assert left == [21, 11, 1, 0, 0]
    sizes = folded.state.sizes()
    assert sizes["seen"] == sizes["seen_in_hour"] == 0
    folded.add(Tick(FIRST_TICK + 49 * HOUR_MS), contacted("message", "bob", "ann")).checkpoint()
    folded.add(Tick(FIRST_TICK + 73 * HOUR_MS)).checkpoint()
    assert folded.state.sizes()["seen"] == 1
    folded.add(Tick(FIRST_TICK + 74 * HOUR_MS)).checkpoint()
    assert folded.state.sizes()["seen"] == 0


def test_a_tick_of_a_slow_clock_forgets_nothing() -> None:
    folded = fold_all(UserFold, [Tick(FIRST_TICK + 48 * HOUR_MS)])
    message = contacted("message", "bob", "ann", id="e")
    folded.add(message, Tick(FIRST_TICK), Tick(FIRST_TICK + 48 * HOUR_MS + 1), message)
    assert folded.view(Topic.VIEW_AFFINITY).score == 10


def test_what_is_seen_after_a_tick_of_a_slow_clock_is_forgotten_in_time() -> None:
    folded = fold_all(UserFold, [Tick(FIRST_TICK + 48 * HOUR_MS), Tick(FIRST_TICK)])
    folded.add(contacted("message", "bob", "ann")).checkpoint()
    for hour in range(48, 80):
        folded.add(Tick(FIRST_TICK + hour * HOUR_MS)).checkpoint()
    assert folded.state.sizes()["seen"] == 0


# Records


def test_records_are_folded() -> None:
    folded = Folded(UserFold)
    folded.fold.apply(record(encode(followed("follow"))))
    folded.fold.apply(record(encode_fact(AffinityFact("bob", "ann", 2.0, NOW))))
    assert set(folded.views(Topic.VIEW_RELATIONS)) == {"bob/u:ann"}
    assert folded.view(Topic.VIEW_AFFINITY).score == 2


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(encode(created()), id="a post"),
        pytest.param(encode_fact(activity()), id="a fact of a source"),
    ],
)
def test_what_belongs_into_another_log_is_refused(value: bytes) -> None:
    with pytest.raises(UndecodableError) as refused:
        Folded(UserFold).fold.apply(record(value))
    assert refused.value.code == "wrong_topic"
