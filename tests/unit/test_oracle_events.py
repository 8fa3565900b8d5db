"""What the oracle turns away, by the last table of docs/rules.md."""

from __future__ import annotations

import pytest

from schemas.codec import encode
from schemas.events import Engagement, Event, Follow, Media, Post, User
from tests.oracle.events import collect, why_rejected

NOW = 1_700_000_000_000


def _post(**fields: object) -> Post:
    given = {"event_id": "e", "action": "created", "post_id": "p", "author_id": "a", "at": NOW}
    return Post(**(given | fields))  # type: ignore[arg-type]


def _follow(**fields: object) -> Follow:
    given = {"event_id": "e", "action": "follow", "user_id": "a", "target": "u:b", "at": NOW}
    return Follow(**(given | fields))  # type: ignore[arg-type]


def _engagement(**fields: object) -> Engagement:
    given = {"event_id": "e", "action": "like", "user_id": "a", "post_id": "p", "at": NOW}
    return Engagement(**(given | fields))  # type: ignore[arg-type]


def _edit(*changes: str) -> User:
    return User(event_id="e", action="profile", user_id="a", at=NOW, changes=changes)


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (_post(), None),
        (_post(author_id=None), "missing_field"),
        (_post(action="deleted", author_id=None), None),
        (_post(action="edited", author_id=None), None),
        (_post(post_id=""), "missing_field"),
        (_post(event_id=""), "missing_field"),
        (_post(post_id="p" * 256), None),
        (_post(post_id="p" * 257), "id_too_long"),
        (_post(post_id="é" * 129), "id_too_long"),
        (_post(post_id="a\0b"), "id_invalid"),
        (_post(post_id="a b é 🎸"), None),
        (_post(at=NOW + 300_000), None),
        (_post(at=NOW + 300_001), "at_in_future"),
        (_post(at=946_684_800_000), None),
        (_post(at=946_684_799_999), "at_too_old"),
        (_post(content="x" * 65_536), None),
        (_post(content="x" * 65_537), "too_large"),
        (_post(media=(Media(url="u"),) * 65), "too_large"),
        (_post(visibility="custom", audience=("u",) * 10_001), "too_large"),
        (_follow(), None),
        (_follow(target="t:rust"), None),
        (_follow(target="b"), "id_invalid"),
        (_follow(target="u:"), "id_invalid"),
        (_follow(target=""), "missing_field"),
        (_follow(target="u:a"), "self_relation"),
        (_follow(action="block", target="u:a"), "self_relation"),
        (_follow(target="t:a"), None),
        (_engagement(), None),
        (_engagement(post_id=None), "missing_field"),
        (_engagement(action="react"), "missing_field"),
        (_engagement(action="react", kind="love"), None),
        (_engagement(action="react", kind="x" * 257), "id_too_long"),
        (_engagement(action="comment"), "missing_field"),
        (_engagement(action="comment", comment_id="c", text="hello"), None),
        (_engagement(action="comment_deleted", comment_id="c"), None),
        (_engagement(action="like", comment_id="c"), None),
        (_engagement(action="unlike", comment_id=""), "missing_field"),
        (_engagement(action="like", comment_id="x" * 257), "id_too_long"),
        (_engagement(action="view", comment_id=""), None),
        (_engagement(action="message", post_id=None), "missing_field"),
        (_engagement(action="message", post_id=None, target="b"), None),
        (User(event_id="e", action="profile", user_id="", at=NOW), "missing_field"),
        (User(event_id="e", action="active", user_id="a", at=NOW), None),
        (_edit("username", "preferences", "preferences.notify.like"), None),
        (_edit(), "missing_field"),
        (_edit("bio", "at"), "unknown_field"),
    ],
)
def test_each_rule_of_the_table(event: Event, code: str | None) -> None:
    assert why_rejected(event, NOW) == code


def test_records_are_sorted_into_events_and_rejected_places() -> None:
    good = encode(_follow())
    found = collect(
        [
            ("follows", 0, 4, NOW, good),
            ("follows", 0, 5, NOW, b"no avro"),
            ("follows", 0, 6, NOW, good[:-1]),
            ("follows", 1, 0, NOW, b"\0\xff\xff\xff\xff"),
            ("posts", 0, 0, NOW, good),
            ("posts", 0, 1, NOW, encode(_post())),
            ("follows", 1, 1, NOW - 300_001, good),
            ("follows", 1, 2, NOW, None),
        ]
    )
    assert found.follows == [_follow()]
    assert found.posts == [_post()]
    assert found.count == 2
    assert found.rejected == {
        ("follows", 0, 5): "not_avro",
        ("follows", 0, 6): "not_decodable",
        ("follows", 1, 0): "unknown_schema",
        ("posts", 0, 0): "wrong_topic",
        ("follows", 1, 1): "at_in_future",
        ("follows", 1, 2): "not_avro",
    }
    assert found.first_offsets == {("follows", 0): 4, ("follows", 1): 0, ("posts", 0): 0}


def test_a_record_is_bounded_before_it_is_decoded() -> None:
    long = encode(_post(media=(Media(url="u" * 999_900),)))
    found = collect([("posts", 0, 1, NOW, long), ("posts", 0, 2, NOW, long + b"x" * 200)])
    assert found.rejected == {("posts", 0, 2): "too_large"}
    assert len(found.posts) == 1
