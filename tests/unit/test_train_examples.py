"""Examples to learn from: what is known at the time, and what came of it, without a look ahead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from headrace.train import examples as module
from headrace.train import history
from headrace.train.events import events_of_higgs
from headrace.train.examples import ANSWER_MS, Example, examples_of
from headrace.train.fit import TooFewError, split
from headrace.train.history import History
from schemas.events import Engagement, Event, Feedback, Media, Post
from tests.unit.ranking_rows import HOUR, NOW, row

MINUTE = 60_000


def post(post_id: str, author: str = "ann", at: int = NOW, **more: Any) -> Post:
    return Post(
        event_id=post_id, action="created", post_id=post_id, author_id=author, at=at, **more
    )


def act(user: str, action: Any, post_id: str, at: int, **more: Any) -> Engagement:
    event_id = f"{user} {action} {post_id} {at}"
    return Engagement(
        event_id=event_id, action=action, user_id=user, post_id=post_id, at=at, **more
    )


def viewed(events: Iterable[Event], most: int = 100) -> list[Example]:
    return list(examples_of(events, "views", 1, most, 1))


def test_a_view_knows_what_came_before_it_and_nothing_else() -> None:
    before = [
        post("old", "ann", NOW - 10 * HOUR),
        act("bob", "share", "old", NOW - 9 * HOUR),
        post("p", "ann", NOW - HOUR, media=(Media(url="x", kind="video"),)),
        act("cy", "like", "p", NOW - 50 * MINUTE),
        act("cy", "comment", "p", NOW - 40 * MINUTE, comment_id="c"),
        act("dan", "hide", "p", NOW - 30 * MINUTE),
    ]
    view = act("bob", "view", "p", NOW)
    after = [
        act("eve", "like", "p", NOW + 1),
        act("bob", "share", "p", NOW + 2),
        act("bob", "like", "old", NOW + 3),
    ]
    (alone,) = viewed([*before, view])
    (found,) = viewed([*before, view, *after])
    assert found.row == alone.row
    assert (alone.engaged_at, found.engaged_at) == (None, NOW + 2)
    known = found.row
    assert (known.likes, known.comments, known.shares, known.views, known.hides) == (1, 1, 0, 0, 1)
    assert (known.kind, known.age_hours, known.is_seen) == ("video", 1.0, False)
    assert known.affinity == pytest.approx(8 * 0.9 ** (9 / 24))


def test_what_comes_of_a_view_counts_for_a_day() -> None:
    start = [post("p"), act("bob", "view", "p", NOW)]
    (late,) = viewed([*start, act("bob", "like", "p", NOW + ANSWER_MS + 1)])
    (in_time,) = viewed([*start, act("bob", "like", "p", NOW + ANSWER_MS)])
    assert (late.engaged_at, in_time.engaged_at) == (None, NOW + ANSWER_MS)


@pytest.mark.parametrize("action", ["click", "hide", "report", "unlike"])
def test_what_is_no_engagement_is_no_answer(action: str) -> None:
    (found,) = viewed([post("p"), act("bob", "view", "p", NOW), act("bob", action, "p", NOW + 1)])
    assert found.engaged_at is None


def test_what_is_seen_again_is_known_as_seen() -> None:
    events = [post("p"), act("bob", "view", "p", NOW), act("bob", "view", "p", NOW + 2 * ANSWER_MS)]
    tick = act("cy", "view", "p", NOW + ANSWER_MS + 1)
    first, _, again = viewed([*events[:2], tick, events[2]])
    assert (first.row.is_seen, again.row.is_seen) == (False, True)


def test_ones_own_and_what_one_has_engaged_with_is_no_example() -> None:
    events = [
        post("p", "ann"),
        act("ann", "view", "p", NOW),
        act("bob", "comment", "p", NOW, comment_id="c"),
        act("bob", "view", "p", NOW + 1),
        act("bob", "view", "unknown", NOW + 1),
        Post(event_id="d", action="deleted", post_id="p", at=NOW),
        act("cy", "view", "p", NOW + 2),
    ]
    assert viewed(events) == []


def test_the_newest_examples_are_kept() -> None:
    events = [post("p"), *(act(f"u{n}", "view", "p", NOW + n) for n in range(10))]
    assert [each.at - NOW for each in viewed(events, 3)] == [7, 8, 9]


def test_taken_back_is_as_if_it_had_not_been() -> None:
    events = [
        post("p", "ann", NOW - HOUR),
        post("q", "ann", NOW - HOUR),
        act("bob", "like", "q", NOW - 5),
        act("bob", "unlike", "q", NOW - 4),
        act("bob", "view", "p", NOW),
    ]
    (found,) = viewed(events)
    assert found.row.affinity == pytest.approx(0, abs=1e-6)


def test_feedback_averts_until_it_is_taken_back() -> None:
    def said(action: Any, at: int) -> Feedback:
        return Feedback(event_id=action, action=action, user_id="bob", subject="u:ann", at=at)

    start = [post("p", "ann", NOW - HOUR), said("not_interested", NOW - MINUTE)]
    (averse,) = viewed([*start, act("bob", "view", "p", NOW)])
    (again,) = viewed([*start, said("interested", NOW - 1), act("bob", "view", "p", NOW)])
    assert averse.row.aversion == pytest.approx(5, abs=0.01)
    assert again.row.aversion == pytest.approx(0, abs=1e-6)


def sampled(events: Iterable[Event], negatives: int = 3, seed: int = 1) -> list[Example]:
    return list(examples_of(events, "sampled", negatives, 1_000, seed))


def crowd() -> list[Event]:
    posts = [post(f"p{n}", f"a{n % 7}", NOW - HOUR - n) for n in range(40)]
    acts = [act("bob", "share", f"p{n}", NOW + n) for n in range(0, 40, 4)]
    return [*posts, *acts]


def test_a_sample_stands_beside_each_engagement() -> None:
    found = sampled(crowd())
    assert len(found) == 10 * 4
    for start in range(0, 40, 4):
        group = found[start : start + 4]
        assert len({each.group for each in group}) == 1
        assert len({each.row.post_id for each in group}) == 4
        assert [each.engaged_at is not None for each in group] == [True, False, False, False]
    engaged = {f"p{n}": NOW + n for n in range(0, 40, 4)}
    for each in found:
        if each.engaged_at is None:
            assert engaged.get(each.row.post_id, each.at + 1) > each.at


def test_a_sample_is_its_seeds() -> None:
    assert sampled(crowd()) == sampled(crowd())
    assert sampled(crowd()) != sampled(crowd(), seed=2)


def test_a_post_that_its_first_share_made_known_is_no_example() -> None:
    events = [post("q", at=NOW - HOUR), post("p", at=NOW - 1_000), act("bob", "share", "p", NOW)]
    assert sampled(events) == []
    again = sampled([*events, act("cy", "share", "p", NOW + HOUR)])
    assert {each.row.post_id for each in again} == {"p", "q"}


def test_posts_and_facts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_POSTS", 3)
    known = History()
    for n in range(5):
        known.add(post(f"p{n}"))
    assert [known.post(f"p{n}") is not None for n in range(5)] == [False, False, True, True, True]
    monkeypatch.setattr(history, "MAX_FACTS", 2)
    for user in "abc":
        known.add(act(user, "like", "p2", NOW))
    known.add(post("p6"))
    assert (known.post("p2"), known.post("p4") is not None) == (None, True)


def test_users_and_subjects_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_USERS", 1)
    monkeypatch.setattr(history, "MAX_SUBJECTS", 1)
    known = History()
    for name in ("p", "q"):
        known.add(post(name, f"by-{name}"))
        known.add(act("bob", "like", name, NOW))

    def affinity(user: str, post_id: str) -> float:
        found = known.post(post_id)
        assert found is not None
        return known.row(user, found, NOW).affinity

    assert (affinity("bob", "p"), affinity("bob", "q")) == (0.0, 2.0)
    known.add(act("cy", "like", "p", NOW))
    assert (affinity("bob", "q"), affinity("cy", "p")) == (0.0, 2.0)


def test_views_wait_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 1)
    events = [post("p"), act("a", "view", "p", NOW), act("b", "view", "p", NOW)]
    first, second = viewed([*events, act("a", "like", "p", NOW), act("b", "like", "p", NOW)])
    assert (first.engaged_at, second.engaged_at) == (None, NOW)


def example(at: int, engaged_at: int | None = None) -> Example:
    return Example(at, "g", row("p"), engaged_at)


def test_the_split_is_by_time_and_knows_nothing_of_later() -> None:
    given = [example(n, engaged_at=n + 15 if n % 2 else None) for n in range(100)]
    parts = split(given[::-1])
    assert parts.cut == 90
    assert [each.at for each in parts.train] == list(range(90))
    assert [each.at for each in parts.later] == list(range(90, 100))
    assert parts.train_labels == [bool(n % 2) and n + 15 < 90 for n in range(90)]
    assert parts.later_labels == [bool(n % 2) for n in range(90, 100)]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ([], "no example"),
        ([example(n) for n in range(20)], "first nine tenths, 0 were"),
        ([example(n, n if n < 5 else None) for n in range(20)], "last, 0 were"),
        ([example(n, n) for n in range(20)], "18 were"),
    ],
)
def test_too_little_is_told(given: list[Example], named: str) -> None:
    with pytest.raises(TooFewError, match=named):
        split(given)


def test_an_activity_file_is_read_at_its_own_times(tmp_path: Any) -> None:
    path = tmp_path / "activity.txt"
    path.write_text("1 2 100 MT\n3 1 200 RT\n4 1 300 RT\n")
    assert [event.at for event in events_of_higgs(path, None)] == [100_000, 200_000, 300_000]
    assert [event.at for event in events_of_higgs(path, 200_000)] == [100_000, 200_000]
