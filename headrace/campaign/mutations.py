"""Records as bad producers would publish them: valid ones, each broken in one way, or not quite.

What becomes of a record is not known here: the oracle says which are taken, and why others are not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple, get_args

from msgspec.structs import fields, replace

from connectors.publisher import key_of
from connectors.subjects import TOPIC_OF
from schemas.codec import HEADER_BYTES, encode
from schemas.events import (
    Engagement,
    EngagementAction,
    Event,
    Feedback,
    FeedbackAction,
    Follow,
    FollowAction,
    Media,
    Moderation,
    Post,
    PostAction,
    User,
    UserAction,
    Visibility,
)
from schemas.topics import EXTERNAL
from schemas.validation import EARLIEST_MS, MAX_AHEAD_MS, MAX_CONTENT_BYTES, MAX_ID_BYTES

HOUR_MS = 3_600_000
MOST_MS = (1 << 63) - 1
_LARGEST = 1_100_000
_LATELY = 1_000
_STANDINGS: tuple[UserAction, ...] = ("profile", "active", "deactivated", "reactivated")
"""Of users; who is erased would take all that is about them along."""

_TEXTS = (
    "",
    " ",
    "\0",
    "a\nb",
    "\x7f",
    "\x85",
    "\u202egnp.exe",
    "\ufeff",
    "e\u0301" * 40,
    "\u0f73" * 80,
    "👩‍👩‍👧‍👦",
    "ﬁ",
    "İstanbul",
    "ß",
    "\U000e0001",
    "#tag @name",
    "../../etc",
    "'; DROP TABLE posts; --",
    "<script>alert(1)</script>",
    "{p3}",
    "u:",
    "t:",
    "x" * MAX_ID_BYTES,
    "x" * (MAX_ID_BYTES + 1),
    "ü" * (MAX_ID_BYTES // 2),
    "ü" * (MAX_ID_BYTES // 2 + 1),
)
"""For ids and texts alike."""


class Mutated(NamedTuple):
    """A record, and what was done to it; without a partition the key decides."""

    kind: str
    topic: str
    key: bytes | None
    value: bytes | None


def mutations(people: list[str], seed: int, clock: Callable[[], int]) -> Iterator[Mutated]:
    """Records without end, of events by and about people; `clock` gives ms since 1970."""
    rng = Random(f"mutations:{seed}")
    lately: deque[Mutated] = deque(maxlen=_LATELY)
    for number, event in enumerate(_events(people, rng, f"bad{seed}", clock)):
        kind = KINDS[number % len(KINDS)]
        if kind == AGAIN and lately:
            yield rng.choice(lately)._replace(kind=kind)
        else:
            mutated = _MUTATIONS.get(kind, _untouched)(rng, event)._replace(kind=kind)
            lately.append(mutated)
            yield mutated


def _events(
    people: list[str], rng: Random, prefix: str, clock: Callable[[], int]
) -> Iterator[Event]:
    """Valid events of every sort."""
    posts = [f"{prefix}:p{number}" for number in range(500)]
    makers = (_post, _engagement, _engagement, _follow, _user, _feedback, _moderation)
    number = 0
    while True:
        number += 1
        common = {"event_id": f"{prefix}:{number}", "at": clock() - rng.randrange(HOUR_MS)}
        yield rng.choice(makers)(rng, people, posts, common)


def _post(rng: Random, people: list[str], posts: list[str], common: dict[str, Any]) -> Event:
    return Post(
        **common,
        action=rng.choice(get_args(PostAction)),
        post_id=rng.choice(posts),
        author_id=rng.choice(people),
        content=f"#mill {rng.choice(_TEXTS)}",
        media=(Media(url="https://media.example/a.png"),) * rng.randrange(3),
        visibility=rng.choice(get_args(Visibility)),
        audience=tuple(rng.sample(people, 2)),
        reply_to=rng.choice((None, rng.choice(posts))),
    )


def _engagement(rng: Random, people: list[str], posts: list[str], common: dict[str, Any]) -> Event:
    return Engagement(
        **common,
        action=rng.choice(get_args(EngagementAction)),
        user_id=rng.choice(people),
        post_id=rng.choice(posts),
        target=rng.choice(people),
        kind="love",
        comment_id=f"c{rng.randrange(200)}",
        text=rng.choice(_TEXTS),
    )


def _follow(rng: Random, people: list[str], _posts: list[str], common: dict[str, Any]) -> Event:
    user_id, other = rng.sample(people, 2)
    target = rng.choice((f"u:{other}", "t:mill"))
    return Follow(
        **common, action=rng.choice(get_args(FollowAction)), user_id=user_id, target=target
    )


def _user(rng: Random, people: list[str], _posts: list[str], common: dict[str, Any]) -> Event:
    action = rng.choice(_STANDINGS)
    name = rng.choice((None, rng.choice(people)))
    changes = rng.choice((None, None, ("username",), ("bio", "preferences.notify.like")))
    return User(**common, action=action, user_id=rng.choice(people), username=name, changes=changes)


def _feedback(rng: Random, people: list[str], _posts: list[str], common: dict[str, Any]) -> Event:
    user_id, other = rng.sample(people, 2)
    subject = rng.choice((f"u:{other}", "t:mill", "l:en", "m:image"))
    action = rng.choice(get_args(FeedbackAction))
    return Feedback(**common, action=action, user_id=user_id, subject=subject)


def _moderation(rng: Random, people: list[str], posts: list[str], common: dict[str, Any]) -> Event:
    return Moderation(
        **common,
        action=rng.choice(("hidden", "cleared")),
        post_id=rng.choice(posts),
        moderator_id=rng.choice(people),
    )


# What is done to them


def _record(event: Event, value: bytes | None = None) -> Mutated:
    return Mutated("", TOPIC_OF[type(event)], key_of(event).encode(), value or encode(event))


def _untouched(_rng: Random, event: Event) -> Mutated:
    return _record(event)


def _a_bit(rng: Random, event: Event) -> Mutated:
    raw = bytearray(encode(event))
    for _ in range(rng.choice((1, 1, 1, 8))):
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return _record(event, bytes(raw))


def _cut(rng: Random, event: Event) -> Mutated:
    raw = encode(event)
    return _record(event)._replace(value=raw[: rng.randrange(len(raw))])


def _spliced(rng: Random, event: Event) -> Mutated:
    """Bytes are put in, at the end or anywhere."""
    raw, more = encode(event), rng.randbytes(rng.choice((1, 4, 100)))
    at = rng.choice((len(raw), rng.randrange(len(raw))))
    return _record(event, raw[:at] + more + raw[at:])


def _noise(rng: Random, event: Event) -> Mutated:
    return _record(event, rng.randbytes(rng.choice((1, 5, 64, 5_000))))


def _header(rng: Random, event: Event) -> Mutated:
    """Another schema's id, or one of none."""
    number = rng.choice((*range(12), 1 << 31, rng.randrange(1 << 32)))
    magic = rng.choice((0, 0, 0, 1, 255))
    header = bytes([magic]) + number.to_bytes(4, "big")
    return _record(event, header + encode(event)[HEADER_BYTES:])


def _nothing(rng: Random, event: Event) -> Mutated:
    return _record(event)._replace(value=rng.choice((None, b"", b"\0")))


def _other_format(rng: Random, event: Event) -> Mutated:
    texts = (b'{"event_id": "e"}', b"<event/>", b"Obj\x01", "événement".encode("utf-16"))
    return _record(event, rng.choice(texts))


def _field(rng: Random, event: Event) -> Mutated:
    """An id or a text is another."""
    names = [each.name for each in fields(type(event)) if each.type in (str, str | None)]
    return _record(replace(event, **{rng.choice(names): rng.choice(_TEXTS)}))


def _absent(rng: Random, event: Event) -> Mutated:
    """What may be absent by the schema is, whatever needs it."""
    names = [each.name for each in fields(type(event)) if each.type == str | None]
    return _record(replace(event, **{rng.choice(names): None}) if names else event)


def _changes(rng: Random, event: Event) -> Mutated:
    """A profile is said to change nothing, or what it has not; of other events, nothing is done."""
    if not isinstance(event, User):
        return _record(event)
    names = rng.choice(((), ("user_id",), ("bio", "bio"), ("bio", rng.choice(_TEXTS))))
    return _record(replace(event, changes=names))


def _time(rng: Random, event: Event) -> Mutated:
    at = rng.choice(
        (
            *(0, -1, -MOST_MS, MOST_MS, EARLIEST_MS, EARLIEST_MS - 1),
            *(
                event.at + MAX_AHEAD_MS + 2 * HOUR_MS,
                event.at + MAX_AHEAD_MS // 2,
                event.at // 1000,
            ),
        )
    )
    return _record(replace(event, at=at))


def _size(rng: Random, event: Event) -> Mutated:
    """Texts, lists and records at their bounds, and beyond; seldom, as they are large."""
    if rng.random() < 0.9:
        return _record(event, encode(event) + bytes(rng.choice((1, 500))))
    around = rng.choice((-1, 0, 1))
    if isinstance(event, Post) and rng.random() < 0.5:
        many = rng.choice((64, 65, 10_000, 10_001)) if rng.random() < 0.1 else 64 + around
        media = (Media(url="https://media.example/b.png"),) * min(many, 70)
        return _record(replace(event, media=media, audience=("reader",) * many))
    name = {Post: "content", Engagement: "text", User: "bio"}.get(type(event))
    if name is None:
        return _record(event)
    if rng.random() < 0.01:
        return _record(replace(event, **{name: "x" * _LARGEST}))
    return _record(replace(event, **{name: "x" * (MAX_CONTENT_BYTES + around)}))


def _wrong_topic(rng: Random, event: Event) -> Mutated:
    return _record(event)._replace(topic=str(rng.choice(EXTERNAL)))


def _wrong_key(rng: Random, event: Event) -> Mutated:
    """Of which nothing depends: what is about an entity is found by the event."""
    return _record(event)._replace(key=rng.choice((None, b"", b"\0", rng.randbytes(300))))


_MUTATIONS: dict[str, Callable[[Random, Event], Mutated]] = {
    "untouched": _untouched,
    "bit": _a_bit,
    "cut": _cut,
    "spliced": _spliced,
    "noise": _noise,
    "header": _header,
    "nothing": _nothing,
    "other-format": _other_format,
    "field": _field,
    "absent": _absent,
    "changes": _changes,
    "time": _time,
    "size": _size,
    "wrong-topic": _wrong_topic,
    "wrong-key": _wrong_key,
}
AGAIN = "again"
"""What was published lately comes once more."""
KINDS = (*_MUTATIONS, AGAIN)
