"""Validation: which events are refused, with which code, and which just pass."""

from __future__ import annotations

import pytest

from schemas.changes import CHANGEABLE
from schemas.events import Event, Media
from schemas.validation import EARLIEST_MS, validate
from streams.engine.records import RejectedError
from tests.oracle.events import why_rejected
from tests.unit.folds import (
    NOW,
    contacted,
    created,
    deleted,
    edited,
    engaged,
    followed,
    user,
)

LONGEST = "x" * 256
TOO_LONG = "x" * 257
LARGEST = "x" * 65_536
TOO_LARGE = "x" * 65_537
MEDIA = Media(url="http://x/")


def _at(at: int) -> Event:
    event = created()
    return type(event)(**{f: getattr(event, f) for f in event.__struct_fields__} | {"at": at})


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(created(), id="a post"),
        pytest.param(edited(None), id="an edit that names no author"),
        pytest.param(deleted(), id="a deletion"),
        pytest.param(created(post=LONGEST), id="an id of 256 bytes"),
        pytest.param(created(post="ü" * 128), id="an id of 128 letters of two bytes"),
        pytest.param(created(post="at://did:plc:x/app.bsky.feed.post/3k"), id="an AT-URI"),
        pytest.param(created(post="a b\u00a0c"), id="an id with spaces"),
        pytest.param(created(content=LARGEST), id="64 KiB of text"),
        pytest.param(created(media=(MEDIA,) * 64), id="64 media"),
        pytest.param(created(audience=("x",) * 10_000), id="an audience of 10,000"),
        pytest.param(_at(EARLIEST_MS), id="in the first moment of 2000"),
        pytest.param(created(at=5), id="5 minutes ahead"),
        pytest.param(engaged("like"), id="a like"),
        pytest.param(engaged("like", comment_id="c"), id="a like of a comment"),
        pytest.param(engaged("view", comment_id=""), id="what an action has no use for"),
        pytest.param(engaged("react", kind="wow"), id="a reaction"),
        pytest.param(engaged("comment", comment_id="c", text=LARGEST), id="a comment"),
        pytest.param(contacted("message", "bob", "ann"), id="a message"),
        pytest.param(contacted("message", "bob", "bob"), id="a message to oneself"),
        pytest.param(followed("follow", target="t:rust"), id="following a topic"),
        pytest.param(followed("follow", "ann", "t:ann"), id="a topic with one's own name"),
        pytest.param(user("profile", bio=LARGEST), id="a long profile"),
        *(pytest.param(user("profile", changes=(name,)), id=name) for name in sorted(CHANGEABLE)),
        pytest.param(user("profile", changes=("bio", "bio")), id="a field that is named twice"),
    ],
)
def test_what_passes(event: Event) -> None:
    validate(event, NOW)
    assert why_rejected(event, NOW) is None


@pytest.mark.parametrize(
    ("event", "code"),
    [
        pytest.param(created(id=""), "missing_field", id="no event id"),
        pytest.param(created(post=""), "missing_field", id="no post id"),
        pytest.param(created(None), "missing_field", id="a new post without an author"),
        pytest.param(edited(""), "missing_field", id="an edit with an empty author"),
        pytest.param(engaged("like", ""), "missing_field", id="a like by nobody"),
        pytest.param(engaged("like", post=None), "missing_field", id="a like of nothing"),
        pytest.param(
            engaged("unlike", comment_id=""), "missing_field", id="an unlike of a nameless comment"
        ),
        pytest.param(
            engaged("like", comment_id="x" * 257), "id_too_long", id="a like of a long name"
        ),
        pytest.param(engaged("react"), "missing_field", id="a reaction of no kind"),
        pytest.param(engaged("comment"), "missing_field", id="a comment without an id"),
        pytest.param(engaged("comment_deleted"), "missing_field", id="deleting no comment"),
        pytest.param(
            engaged("comment", comment_id="c", parent=""), "missing_field", id="an empty parent"
        ),
        pytest.param(engaged("message"), "missing_field", id="a message to nobody"),
        pytest.param(engaged("profile_view", post=None), "missing_field", id="no profile viewed"),
        pytest.param(followed("follow", ""), "missing_field", id="a follow by nobody"),
        pytest.param(followed("follow", target=""), "missing_field", id="a follow of nobody"),
        pytest.param(user("profile", ""), "missing_field", id="a profile of nobody"),
        pytest.param(created(reply_to=""), "missing_field", id="a reply to an empty id"),
        pytest.param(created(audience=("",)), "missing_field", id="an empty id in an audience"),
        pytest.param(created(id=TOO_LONG), "id_too_long", id="a long event id"),
        pytest.param(created(post=TOO_LONG), "id_too_long", id="a long post id"),
        pytest.param(created("ü" * 129), "id_too_long", id="bytes count, not letters"),
        pytest.param(created(quote_of=TOO_LONG), "id_too_long", id="a long quoted id"),
        pytest.param(created(audience=(TOO_LONG,)), "id_too_long", id="a long id in an audience"),
        pytest.param(
            engaged("comment", comment_id=TOO_LONG), "id_too_long", id="a long comment id"
        ),
        pytest.param(followed("follow", target="u:" + LONGEST), "id_too_long", id="a long target"),
        pytest.param(created(post="a\0b"), "id_invalid", id="NUL, which separates keys"),
        pytest.param(created(post="a\nb"), "id_invalid", id="a line break"),
        pytest.param(created(post="a\x7f"), "id_invalid", id="DEL"),
        pytest.param(created(post="a\x85b"), "id_invalid", id="a control character above ASCII"),
        pytest.param(contacted("message", "bob", "a\0"), "id_invalid", id="NUL in a target"),
        pytest.param(followed("follow", target="ann"), "id_invalid", id="a target of no kind"),
        pytest.param(followed("follow", target="x:ann"), "id_invalid", id="of another kind"),
        pytest.param(followed("follow", target="u:"), "id_invalid", id="a target without a name"),
        pytest.param(_at(EARLIEST_MS - 1), "at_too_old", id="before 2000"),
        pytest.param(_at(-1), "at_too_old", id="before 1970"),
        pytest.param(_at(NOW + 300_001), "at_in_future", id="more than 5 minutes ahead"),
        pytest.param(created(content=TOO_LARGE), "too_large", id="a long text"),
        pytest.param(created(content="ü" * 32_769), "too_large", id="a text of many bytes"),
        pytest.param(created(media=(MEDIA,) * 65), "too_large", id="65 media"),
        pytest.param(created(audience=("x",) * 10_001), "too_large", id="a large audience"),
        pytest.param(
            engaged("comment", comment_id="c", text=TOO_LARGE), "too_large", id="a long comment"
        ),
        pytest.param(
            engaged("message", post=None, target="ann", text=TOO_LARGE),
            "too_large",
            id="a long message",
        ),
        *(
            pytest.param(user("profile", **{field: TOO_LARGE}), "too_large", id=f"a long {field}")
            for field in ("display_name", "bio", "avatar")
        ),
        pytest.param(user("profile", username="x" * 257), "id_too_long", id="a long username"),
        pytest.param(user("profile", username="a\nb"), "id_invalid", id="a username of two lines"),
        pytest.param(user("profile", changes=()), "missing_field", id="an edit of nothing"),
        *(
            pytest.param(user("profile", changes=("bio", name)), "unknown_field", id=repr(name))
            for name in ("user_id", "seen_to", "is_verified", "preferences.", "", "preferences.x")
        ),
        pytest.param(followed("follow", "ann", "u:ann"), "self_relation", id="following oneself"),
        pytest.param(followed("block", "ann", "u:ann"), "self_relation", id="blocking oneself"),
    ],
)
def test_what_is_refused(event: Event, code: str) -> None:
    with pytest.raises(RejectedError) as refused:
        validate(event, NOW)
    assert refused.value.code == code
    assert why_rejected(event, NOW) == code


def test_the_reason_names_the_field() -> None:
    with pytest.raises(RejectedError, match="comment_id is absent or empty"):
        validate(engaged("comment"), NOW)
