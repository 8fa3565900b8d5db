"""What would become of a letter's record if it were published again now.

What producers publish may come in any order and any number of times, so an event may also come
once more, and late: it is judged by the intake itself, and published to its own topic. That holds
for an event that the fold of an internal log refused, too: through its topic it gets the tags that
the letter does not have, and a place in the log that the intake gives it.

What the folds write has an order that must be kept. A fact stands between those before and behind
it, which were folded since: behind a removal, what is added would stay for ever. A value of a view
would take the place of a newer one. An operation on timelines would undo what came later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from connectors.publisher import TOPIC_OF, key_of
from schemas.codec import MAGIC, SUBJECTS, UndecodableError, decode
from schemas.dead_letters import DeadLetter
from schemas.events import Event
from schemas.topics import EXTERNAL, INTERNAL, VIEWS, Topic
from streams.engine.dead_letters import MAX_RAW_BYTES
from streams.engine.outbox import Outbox
from streams.engine.records import RejectedError
from streams.intake import IntakeFold

CUT = "cut"
ORDERED = "ordered"

_EXPECTED: dict[str, type[Event]] = {TOPIC_OF[kind]: kind for kind in SUBJECTS.values()}


class Route(NamedTuple):
    """Where the record goes when it is published again: its topic and key, and the log into which
    the intake puts it."""

    topic: str
    key: bytes
    log: str


class Refusal(NamedTuple):
    """Why the record is not published again: a code of the intake, `cut` or `ordered`."""

    code: str
    message: str


class _Published(NamedTuple):
    """A record as the intake would read it."""

    value: bytes
    timestamp: int
    offset: int = 0
    timestamp_type: int = 1
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


def judge(letter: DeadLetter, now: int) -> Route | Refusal:
    """What would become of a letter's record at a time (ms)."""
    raw = letter.raw or b""
    if letter.topic not in (*EXTERNAL, *INTERNAL):
        return Refusal(ORDERED, _why_ordered(letter.topic))
    if len(raw) >= MAX_RAW_BYTES:
        return Refusal(
            CUT, f"only the first {MAX_RAW_BYTES:,} bytes are kept; its producer may have the rest"
        )
    if letter.topic in INTERNAL and raw and raw[0] != MAGIC:
        return Refusal(ORDERED, _why_ordered(letter.topic))
    try:
        event = decode(raw, _EXPECTED.get(letter.topic))
        outbox = Outbox(1)
        IntakeFold(type(event), outbox).apply(_Published(raw, now))
    except (RejectedError, UndecodableError) as error:
        return Refusal(error.code, str(error))
    (output,) = outbox.outputs()
    if letter.topic in INTERNAL and output.topic != letter.topic:
        return Refusal("wrong_topic", f"such an event belongs into {output.topic}")
    return Route(TOPIC_OF[type(event)], key_of(event).encode(), output.topic)


def _why_ordered(topic: str) -> str:
    if topic in VIEWS:
        return (
            "a value of a view, in whose place a newer one may be; the sink reads it again when "
            "its store is filled anew"
        )
    if topic == Topic.TIMELINE_WRITES:
        return (
            "an operation on timelines, which later ones may have undone; `headrace rebuild "
            "timelines` puts it in its place once it can be read"
        )
    return "a fact of a fold, which has its place between others; only events are published again"
