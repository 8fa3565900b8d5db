"""What may be published again, and how a letter is shown."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headrace.dead_letters.log import Found
from headrace.dead_letters.shown import MAX_DUMPED, MAX_KEY, MAX_MESSAGE, row_of, whole
from headrace.dead_letters.verdict import BY_KEY, Refusal, judge
from schemas.codec import encode
from schemas.dead_letters import DeadLetter, Handled
from schemas.events import (
    Engagement,
    Event,
    Feedback,
    Follow,
    Moderation,
    Post,
    User,
)
from schemas.partitioning import partition_of
from schemas.topics import VIEWS
from schemas.validation import MAX_AHEAD_MS
from schemas.views import NameView, RemoveSource
from streams.engine.dead_letters import MAX_RAW_BYTES
from streams.engine.outbox import Output
from streams.engine.records import Tags, tags_header
from streams.facts import Touched, encode_fact
from tests.unit.folds import NOW
from tests.unit.test_dead_letters_log import letter

POST = Post(event_id="e", action="created", post_id="p", author_id="ann", at=NOW, content="#x")
LIKE = Engagement(event_id="e", action="like", user_id="bob", post_id="p", at=NOW)
VIEW = Engagement(event_id="e", action="profile_view", user_id="bob", target="ann", at=NOW)
FOLLOW = Follow(event_id="e", action="follow", user_id="bob", target="u:ann", at=NOW)
USER = User(event_id="e", action="active", user_id="bob", at=NOW)
VERDICT = Moderation(event_id="e", action="hidden", post_id="p", moderator_id="m", at=NOW)
OPINION = Feedback(event_id="e", action="interested", user_id="bob", subject="t:x", at=NOW)

PARTITIONS = 8
TOUCHED = encode_fact(Touched("bob", "p"))
CLEARED = msgspec.msgpack.encode([RemoveSource("bob", ["u:ann"])])


EVENTS = pytest.mark.parametrize(
    ("topic", "event", "key", "log"),
    [
        ("posts", POST, b"p", "by-post"),
        ("engagements", LIKE, b"p", "by-post"),
        ("engagements", VIEW, b"bob", "by-user"),
        ("follows", FOLLOW, b"bob", "by-user"),
        ("users", USER, b"bob", "by-user"),
        ("moderations", VERDICT, b"p", "by-post"),
        ("feedback", OPINION, b"bob", "by-user"),
    ],
)


@EVENTS
def test_an_event_goes_to_its_topic(topic: str, event: Event, key: bytes, log: str) -> None:
    del log
    raw = encode(event)
    found = judge(letter(topic=topic, raw=raw, key=b"any"), NOW, PARTITIONS)
    assert found == Output(topic, BY_KEY, key, raw)


@EVENTS
def test_an_event_of_a_log_goes_there_as_the_intake_writes_it(
    topic: str, event: Event, key: bytes, log: str
) -> None:
    """The letter has no tags of the intake's; without them a post would be about nothing."""
    raw, partition = encode(event), partition_of(key.decode(), PARTITIONS)
    refused = letter(topic=log, partition=partition, raw=raw, code="fold_failed")
    headers = (tags_header(Tags(("x",))),) if topic == "posts" else ()
    assert judge(refused, NOW, PARTITIONS) == Output(log, partition, key, raw, headers)


def test_an_event_goes_into_no_other_partition_of_its_log() -> None:
    """With another HEADRACE_PARTITIONS than the workers have it would: two would own the post."""
    partition = partition_of("p", PARTITIONS)
    assert partition_of("p", 5) != partition
    verdict = judge(letter(topic="by-post", partition=partition, raw=encode(POST)), NOW, 5)
    assert isinstance(verdict, Refusal)
    assert verdict.code == "misplaced"
    assert "HEADRACE_PARTITIONS" in verdict.message


def test_an_event_of_another_generation_goes_into_this_ones_log() -> None:
    """Which has other partitions."""
    partition = partition_of("p", PARTITIONS)
    old = letter(topic="by-post.g7", partition=partition, raw=encode(POST))
    verdict = judge(old, NOW, 5)
    assert isinstance(verdict, Output)
    assert verdict[:3] == ("by-post", partition_of("p", 5), b"p")
    assert judge(letter(topic="view.names.g7", raw=b""), NOW, 5).code == "ordered"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("topic", "raw", "code"),
    [
        ("posts", b'{"post_id": "p"}', "not_avro"),
        ("posts", None, "not_avro"),
        ("by-post", b"", "not_avro"),
        ("posts", b"\0" + (9_999).to_bytes(4, "big"), "unknown_schema"),
        ("posts", encode(POST) + b"\0", "not_decodable"),
        ("engagements", encode(POST), "wrong_topic"),
        ("by-user", encode(POST), "wrong_topic"),
        ("by-source", encode(FOLLOW), "wrong_topic"),
        ("posts", encode(msgspec.structs.replace(POST, post_id="p" * 257)), "id_too_long"),
        ("by-post", encode(msgspec.structs.replace(POST, author_id=None)), "missing_field"),
        ("by-post", TOUCHED, "ordered"),
        ("by-user", TOUCHED, "ordered"),
        ("by-source", b"\xc1", "ordered"),
        ("timeline-writes", CLEARED, "ordered"),
        *((view, encode(POST), "ordered") for view in VIEWS),
    ],
)
def test_what_is_not_published_again(topic: str, raw: bytes | None, code: str) -> None:
    verdict = judge(letter(topic=topic, raw=raw), NOW, PARTITIONS)
    assert isinstance(verdict, Refusal)
    assert verdict.code == code
    assert verdict.message


def test_an_event_of_the_future_is_taken_once_its_time_has_come() -> None:
    early = letter(raw=encode(msgspec.structs.replace(POST, at=NOW + MAX_AHEAD_MS + 1_000)))
    assert judge(early, NOW, PARTITIONS) == Refusal(
        "at_in_future", "at is 301 s ahead of the broker's clock"
    )
    assert isinstance(judge(early, NOW + 1_000, PARTITIONS), Output)


@pytest.mark.parametrize("topic", ["posts", "by-post", "by-source"])
def test_what_may_be_cut_is_not_published(topic: str) -> None:
    for size in (MAX_RAW_BYTES, MAX_RAW_BYTES + 1):
        verdict = judge(letter(topic=topic, raw=b"\0" * size), NOW, PARTITIONS)
        assert isinstance(verdict, Refusal)
        assert verdict.code == "cut"
    verdict = judge(letter(topic="posts", raw=b"\0" * (MAX_RAW_BYTES - 1)), NOW, PARTITIONS)
    assert isinstance(verdict, Refusal)
    assert verdict.code == "unknown_schema"


def found(a_letter: DeadLetter, handled: Handled | None = None) -> Found:
    return Found(3, 41, NOW + 2_000, a_letter, handled)


def shown(a_letter: DeadLetter, handled: Handled | None = None) -> str:
    return "\n".join(whole(found(a_letter, handled), judge(a_letter, NOW, PARTITIONS)))


def test_a_letter_as_a_whole() -> None:
    done = Handled(what="replayed", at=NOW + 60_000, topic="posts", partition=2, offset=17)
    lines = shown(letter(raw=encode(POST)), done).splitlines()
    assert lines[:7] == [
        "letter     3-41, written 2023-11-14T22:13:22Z",
        "record     posts-2-17, of 2023-11-14T22:13:20Z",
        "refused    by headrace-app/posts: not_avro: no",
        "key        'k'",
        "handled    replayed 2023-11-14T22:14:20Z",
        "now        would be taken: topic posts, key 'p'",
        f"value      {len(encode(POST))} bytes, decoded:",
    ]
    fields = msgspec.json.decode("\n".join(lines[7:]))
    assert fields["type"] == "Post"
    assert (fields["post_id"], fields["content"], fields["at"]) == ("p", "#x", NOW)


@pytest.mark.parametrize(
    ("topic", "raw", "fields"),
    [
        ("by-user", TOUCHED, {"type": "Touched", "user_id": "bob", "post_id": "p"}),
        ("timeline-writes", CLEARED, [{"type": "RemoveSource", "owner": "bob"}]),
        (
            "view.names",
            msgspec.msgpack.encode(NameView("ann", "u1")),
            {"type": "NameView", "name": "ann", "user_id": "u1"},
        ),
    ],
)
def test_what_folds_write_is_shown_with_its_fields(topic: str, raw: bytes, fields: Any) -> None:
    text = shown(letter(topic=topic, raw=raw, key=None))
    said = msgspec.json.decode(text.partition("decoded:\n")[2])
    some = [(said, fields)] if isinstance(fields, dict) else list(zip(said, fields, strict=True))
    for one, wanted in some:
        assert one | wanted == one
    assert "\nkey        none\n" in text
    assert "\nhandled    no\n" in text
    assert "\nnow        not to be replayed, ordered: " in text


@pytest.mark.parametrize("topic", ["posts", "by-user", "view.posts", "exposures"])
def test_what_cannot_be_decoded_is_dumped(topic: str) -> None:
    text = shown(letter(topic=topic, raw=b"\xc1\x1b[2J ~end"))
    assert text.endswith(
        "value      10 bytes, not decodable:\n"
        "00000000  c1 1b 5b 32 4a 20 7e 65 6e 64                    ..[2J ~end"
    )


def test_a_dump_is_bounded() -> None:
    lines = shown(letter(raw=b"x" * (MAX_DUMPED + 5))).splitlines()
    assert len(lines) == 7 + MAX_DUMPED // 16 + 1
    assert lines[-1] == "and 5 bytes more"


def test_nothing_of_a_letter_steers_the_terminal() -> None:
    steering = "\x1b]0;x\x07\x9b31m\u202e"
    event = encode(msgspec.structs.replace(POST, content=steering))
    text = shown(letter(raw=event, message=steering, key=steering.encode()))
    assert not set("\x1b\x07\x9b\u202e") & set(text)
    assert r"\u001b]0;x\u0007\u009b31m\u202e" in text


def test_a_row_is_bounded_and_has_no_value() -> None:
    large = letter(raw=b"x" * 900_000, key=b"k" * 60_000, message="m" * 100_000)
    row = row_of(found(large))
    assert (row.bytes, len(row.key or ""), len(row.message)) == (900_000, MAX_KEY, MAX_MESSAGE)
    assert (row.place, row.topic, row.partition, row.offset) == ("3-41", "posts", 2, 17)
    assert len(msgspec.json.encode(row)) < 1_200
    assert (row.handled, row.handled_at) == (None, None)


def test_a_record_by_a_registrys_id_is_judged_by_what_it_says_and_published_as_it_is() -> None:
    raw = encode(POST)
    foreign = b"\0\0\0\x07\xd1" + raw[5:]

    def own_id(given: bytes) -> bytes:
        assert given == foreign
        return raw

    found = judge(letter(topic="posts", raw=foreign), NOW, PARTITIONS, own_id)
    assert found == Output("posts", BY_KEY, POST.post_id.encode(), foreign)
    inside = letter(topic="by-post", partition=0, raw=foreign)
    assert isinstance(judge(inside, NOW, PARTITIONS, own_id), Refusal), "there ids are our own"
