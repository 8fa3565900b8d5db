"""What would become of a letter's record if it were published again now.

What producers publish may come in any order and any number of times, so an event may also come
once more, and late. Its record is judged by the intake itself, and goes to the topic that it came
from. Of an internal log that is what the intake writes there now, with the tags that a letter does
not have.

What the folds write has an order that must be kept. A fact stands between those before and behind
it, which were folded since: behind a removal, what is added would stay for ever. A value of a view
would take the place of a newer one. An operation on timelines would undo what came later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from connectors.publisher import key_of
from connectors.subjects import TOPIC_OF
from schemas.codec import MAGIC, SUBJECTS, UndecodableError, decode
from schemas.dead_letters import DeadLetter
from schemas.events import Event
from schemas.topics import EXTERNAL, INTERNAL, VIEWS, Topic, in_this_generation
from streams.engine.dead_letters import MAX_RAW_BYTES
from streams.engine.outbox import Outbox, Output
from streams.engine.records import RejectedError
from streams.intake import IntakeFold

CUT = "cut"
ORDERED = "ordered"
MISPLACED = "misplaced"
BY_KEY = -1
"""The partition of what the client places by its key."""

_EXPECTED: dict[str, type[Event]] = {TOPIC_OF[kind]: kind for kind in SUBJECTS.values()}


class Refusal(NamedTuple):
    """Why the record is not published again: by a code of the intake, or one of the above."""

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


OwnId = Callable[[bytes], bytes]
"""Makes a producer's record one with an id of our own (`connectors.translations.own_ids`)."""


def judge(letter: DeadLetter, now: int, partitions: int, own_id: OwnId = bytes) -> Output | Refusal:
    """What is to be written so that a letter's record is taken at a time (ms), if it would be.

    That is, in an external topic, what a producer would publish: its partition is the choice of the
    client, by the key. In an internal log it is what the intake writes.

    Raises:
        RegistryDownError: the schema registry must be asked, and cannot be now.
    """
    raw, topic = letter.raw or b"", in_this_generation(letter.topic)
    if topic not in (*EXTERNAL, *INTERNAL):
        return Refusal(ORDERED, _why_ordered(topic))
    if len(raw) >= MAX_RAW_BYTES:
        return Refusal(
            CUT, f"only the first {MAX_RAW_BYTES:,} bytes are kept; its producer may have the rest"
        )
    if topic in INTERNAL and raw and raw[0] != MAGIC:
        return Refusal(ORDERED, _why_ordered(topic))
    try:
        own = own_id(raw) if topic in EXTERNAL else raw
        event = decode(own, _EXPECTED.get(topic))
        outbox = Outbox(partitions)
        IntakeFold(type(event), outbox).apply(_Published(own, now))
    except (RejectedError, UndecodableError) as error:
        return Refusal(error.code, str(error))
    if topic in EXTERNAL:
        return Output(topic, BY_KEY, key_of(event).encode(), raw)
    (output,) = outbox.outputs()
    if output.topic != topic:
        return Refusal("wrong_topic", f"such an event belongs into {output.topic}")
    if topic != letter.topic:  # it stood in another generation's partition
        return output
    if output.partition != letter.partition:
        return Refusal(
            MISPLACED,
            f"of {partitions} partitions it belongs into {output.partition}, and stood in "
            f"{letter.partition}; is HEADRACE_PARTITIONS as it is for the workers?",
        )
    return output


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
