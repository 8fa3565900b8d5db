"""What the folds tell each other: the records of the internal logs besides external events.

An internal log holds external events as they came (Avro, first byte 0) and these facts
(msgpack arrays, first byte not 0). Times are milliseconds since 1970 UTC.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from schemas.events import Visibility
from schemas.views import NoticeKind

RelationKind = Literal["follow", "unfollow", "block", "unblock", "blocked", "unblocked"]


How = Literal["auto", "heavy", "light"]


class Tick(Struct, frozen=True, array_like=True, tag="tick", gc=False):
    """The clock: what time it is, written into each internal partition every 10 s."""

    at: int


class Activity(Struct, frozen=True, array_like=True, tag="activity", gc=False):
    """By-source: the source now spreads a post, as its author or as a sharer (`reason`). Of its
    author it is said whether it is a reply."""

    source: str
    reason: str
    post_id: str
    at: int
    visibility: Visibility
    audience: tuple[str, ...]
    author_id: str
    is_reply: bool = False


class Removal(Struct, frozen=True, array_like=True, tag="removal", gc=False):
    """By-source: the activity with this reason, post, time, visibility and audience holds no
    more."""

    source: str
    reason: str
    post_id: str
    at: int
    visibility: Visibility = "public"
    audience: tuple[str, ...] = ()


class RelationFact(Struct, frozen=True, array_like=True, tag="relation", gc=False):
    """By-source and by-user: a new greatest stamp of one kind of the relation (source, user).

    `block` and `unblock` are by the user against the source, `blocked` and `unblocked` by the
    source against the user. Of `follow` it says whether the source is a favourite.
    """

    source: str
    user_id: str
    kind: RelationKind
    at: int
    event_id: str
    is_favourite: bool = False


class Handling(Struct, frozen=True, array_like=True, tag="handling", gc=False):
    """By-source: an operator says that a source is heavy, or light, whatever its followers; `auto`
    leaves it to them again. The newest by (at, event id) holds."""

    source: str
    how: How
    at: int
    event_id: str


class Refill(Struct, frozen=True, array_like=True, tag="refill", gc=False):
    """By-source: the timeline of `owner`, who follows the source or is it, was opened (`epoch`):
    what the source holds of it is to be put there."""

    source: str
    owner: str
    epoch: str


class Dormant(Struct, frozen=True, array_like=True, tag="dormant", gc=False):
    """By-source: a follower has not read for 30 days; nothing is pushed to that one until `Refill`
    asks for it."""

    source: str
    user_id: str


class AffinityFact(Struct, frozen=True, array_like=True, tag="affinity", gc=False):
    """By-user: the user was (`weight` > 0), or is no longer (< 0), close at `at` to another, and to
    what a post of that one is about."""

    user_id: str
    target_id: str
    weight: float
    at: int
    about: tuple[str, ...] = ()


class AversionFact(Struct, frozen=True, array_like=True, tag="aversion", gc=False):
    """By-user: the user was (`weight` > 0), or is no longer (< 0), averse to subjects at `at`."""

    user_id: str
    subjects: tuple[str, ...]
    weight: float
    at: int


class Notice(Struct, frozen=True, array_like=True, tag="notice", gc=False):
    """By-user: another, `actor_id`, did something that concerns the user, or has taken it back
    (`change` -1). It is about the user's post `subject`, or a post that mentions the user; `item`
    is the comment or the post that it consists of, or the name in a mention."""

    user_id: str
    kind: NoticeKind
    subject: str
    actor_id: str
    at: int
    item: str
    change: int


class NoticesGone(Struct, frozen=True, array_like=True, tag="notices_gone", gc=False):
    """By-user: no act of a kind, about `subject`, concerns the user any more, of those that whoever
    says so has told of."""

    user_id: str
    kind: NoticeKind
    subject: str


class Answered(Struct, frozen=True, array_like=True, tag="answered", gc=False):
    """By-post: another post, `reply_id`, answers the post, or no longer (`change` -1)."""

    post_id: str
    reply_id: str
    author_id: str
    at: int
    change: int


class Mentioned(Struct, frozen=True, array_like=True, tag="mentioned", gc=False):
    """By-user, in a name's log: a post names whose the name is, or no longer (`change` -1)."""

    name: str
    post_id: str
    author_id: str
    at: int
    change: int


class Touched(Struct, frozen=True, array_like=True, tag="touched", gc=False):
    """By-user: the user has left something at a post, or a comment there (`comment_id`)."""

    user_id: str
    post_id: str
    comment_id: str = ""


class Met(Struct, frozen=True, array_like=True, tag="met", gc=False):
    """By-user: another has something about the user, `by` a message, a view of the profile or an
    opinion."""

    user_id: str
    by: str


class Claim(Struct, frozen=True, array_like=True, tag="claim", gc=False):
    """By-user, in a name's log: the user wants the name; `claim_id` is the event that says so."""

    name: str
    user_id: str
    claim_id: str


class Release(Struct, frozen=True, array_like=True, tag="release", gc=False):
    """By-user, in a name's log: the user wants the name no more."""

    name: str
    user_id: str


class Named(Struct, frozen=True, array_like=True, tag="named", gc=False):
    """By-user: the name is the user's, who claimed it by the event `claim_id`."""

    user_id: str
    name: str
    claim_id: str


class Erased(Struct, frozen=True, array_like=True, tag="erased", gc=False):
    """By-post: the user is erased; what `Touched` told of is to go."""

    post_id: str
    user_id: str
    comment_id: str = ""


class TopicActs(Struct, frozen=True, array_like=True, tag="topic_acts", gc=False):
    """By-source: users act upon a post about the topic, in a language (see `act_of` for what `acts`
    are); or the post is not about it any more. They are a sample at `depths`."""

    source: str
    language: str
    acts: tuple[str, ...]
    is_added: bool
    depths: tuple[tuple[int, int], ...] = ()


class SourceErased(Struct, frozen=True, array_like=True, tag="source_erased", gc=False):
    """By-source: the user that the source is, is erased."""

    source: str


class FollowerErased(Struct, frozen=True, array_like=True, tag="follower_erased", gc=False):
    """By-source: the user is erased; the relation to the source is to go."""

    source: str
    user_id: str


class TargetErased(Struct, frozen=True, array_like=True, tag="target_erased", gc=False):
    """By-user: another, `target_id`, is erased; what the user has about them is to go."""

    user_id: str
    target_id: str


Fact = (
    Tick
    | Activity
    | Removal
    | RelationFact
    | Handling
    | Refill
    | Dormant
    | AffinityFact
    | AversionFact
    | Notice
    | NoticesGone
    | Answered
    | Mentioned
    | Touched
    | Met
    | Claim
    | Release
    | Named
    | Erased
    | TopicActs
    | SourceErased
    | FollowerErased
    | TargetErased
)

_decoder: msgspec.msgpack.Decoder[Fact] = msgspec.msgpack.Decoder(Fact)
_encoder = msgspec.msgpack.Encoder()
encode_fact = _encoder.encode
decode_fact = _decoder.decode
