"""Intake: which log an event goes into, and what is found in a post's text."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from schemas.codec import UndecodableError, encode
from schemas.events import Engagement, Event, Follow, Post, User
from schemas.partitioning import partition_of
from schemas.topics import Topic
from streams.engine.outbox import Outbox
from streams.engine.records import RejectedError, Tags, tags_of
from streams.engine.state import State
from streams.intake import MAX_TAGS, IntakeFold, extract, make_intake
from tests.unit.folds import (
    NOW,
    PARTITIONS,
    contacted,
    created,
    deleted,
    engaged,
    followed,
    record,
    user,
)


@pytest.mark.parametrize(
    ("event", "topic", "entity"),
    [
        pytest.param(created(post="p1"), Topic.BY_POST, "p1", id="a post"),
        pytest.param(deleted(post="p2"), Topic.BY_POST, "p2", id="a deletion"),
        pytest.param(engaged("like", post="p3"), Topic.BY_POST, "p3", id="a like"),
        pytest.param(
            engaged("like", "bob", post="p4", target="ann"),
            Topic.BY_POST,
            "p4",
            id="a like that names the author as its target",
        ),
        pytest.param(contacted("message", "bob", "ann"), Topic.BY_USER, "bob", id="a message"),
        pytest.param(
            contacted("profile_view", "bob", "ann"), Topic.BY_USER, "bob", id="a profile view"
        ),
        pytest.param(
            engaged("message", "bob", post="p5", target="ann"),
            Topic.BY_USER,
            "bob",
            id="a message about a post",
        ),
        pytest.param(followed("follow", "bob"), Topic.BY_USER, "bob", id="a follow"),
        pytest.param(user("profile", "ann"), Topic.BY_USER, "ann", id="a profile"),
    ],
)
def test_an_event_goes_into_the_log_of_its_entity(event: Event, topic: Topic, entity: str) -> None:
    outbox = Outbox(PARTITIONS)
    fold = make_intake(type(event), State(), outbox)
    fold.apply(record(encode(event)))
    (output,) = outbox.outputs()
    assert (output.topic, output.key) == (topic, entity.encode())
    assert output.partition == partition_of(entity, PARTITIONS)
    assert output.value == encode(event)


def test_a_post_takes_its_tags_along() -> None:
    outbox = Outbox(PARTITIONS)
    make_intake(Post, State(), outbox).apply(record(encode(created(content="#A by @bob"))))
    (output,) = outbox.outputs()
    assert tags_of(output.headers) == Tags(("a",), ("bob",))


OF_OTHERS: list[Event] = [created(), engaged("like"), followed("follow"), user("active")]


@pytest.mark.parametrize("event", OF_OTHERS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("expected", [Post, Engagement, Follow, User])
def test_an_event_of_another_topic_is_refused(expected: type[Event], event: Event) -> None:
    outbox = Outbox(PARTITIONS)
    fold = make_intake(expected, State(), outbox)
    if isinstance(event, expected):
        fold.apply(record(encode(event)))
        return
    with pytest.raises(UndecodableError) as refused:
        fold.apply(record(encode(event)))
    assert refused.value.code == "wrong_topic"
    assert list(outbox.outputs()) == []


def test_the_brokers_clock_judges_the_producers() -> None:
    outbox = Outbox(PARTITIONS)
    fold = make_intake(Post, State(), outbox)
    with pytest.raises(RejectedError) as refused:
        fold.apply(record(encode(created(at=6)), timestamp=NOW))
    assert refused.value.code == "at_in_future"
    assert list(outbox.outputs()) == []
    fold.apply(record(encode(created(at=6)), timestamp=NOW + 60_000))
    assert len(list(outbox.outputs())) == 1


@pytest.mark.parametrize(
    ("text", "hashtags", "mentions"),
    [
        pytest.param("", (), (), id="nothing"),
        pytest.param("a plain text", (), (), id="neither"),
        pytest.param("#Rust and #rust", ("rust",), (), id="case is folded, each once"),
        pytest.param("#b #a", ("b", "a"), (), id="in order"),
        pytest.param("#Straße", ("strasse",), (), id="folded as Unicode says"),
        pytest.param("#日本 #été", ("日本", "été"), (), id="in any script"),
        pytest.param("#2024 #_ #²", (), (), id="without a letter: none"),
        pytest.param("#2024a #a_b", ("2024a", "a_b"), (), id="with a letter"),
        pytest.param("C# x#y &#x27; /#z ##q", (), (), id="inside of words, entities, addresses"),
        pytest.param("(#a).#b", ("a", "b"), (), id="beside punctuation"),
        pytest.param("@bob, hi @Ann!", (), ("bob", "Ann"), id="mentions, as written"),
        pytest.param("@bob @bob", (), ("bob",), id="a mention once"),
        pytest.param("@a.b-c:d. @e...", (), ("a.b-c:d", "e"), id="dots inside, not at the end"),
        pytest.param("me@x.org x/@y @@z .@q", (), (), id="addresses are no mentions"),
        pytest.param("#a@b @c#d", ("a",), ("c",), id="no tag in a word"),
    ],
)
def test_what_is_found_in_a_text(
    text: str, hashtags: tuple[str, ...], mentions: tuple[str, ...]
) -> None:
    assert extract(text) == Tags(hashtags, mentions)


def test_at_most_64_of_each_are_found() -> None:
    text = " ".join(f"#t{n} @u{n}" for n in range(100))
    tags = extract(text)
    assert tags.hashtags == tuple(f"t{n}" for n in range(MAX_TAGS))
    assert tags.mentions == tuple(f"u{n}" for n in range(MAX_TAGS))


def test_a_huge_record_is_refused() -> None:
    """A record that no changelog or dead letter could hold never reaches a fold."""
    fold = IntakeFold(User, Outbox(1))
    huge = SimpleNamespace(value=b"\0" * 1_000_001, timestamp=0)
    with pytest.raises(RejectedError) as refused:
        fold.apply(huge)
    assert refused.value.code == "too_large"
