"""Places: how far a stream has come in the logs that it follows, and the tokens that say so."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from msgspec import Struct

from api.errors import ProblemError
from schemas.partitioning import partition_of
from schemas.topics import Topic

VERSION = 2
MOST_CHARACTERS = 8_192
OWN_TOPICS = (
    *(Topic.TIMELINE_WRITES, Topic.VIEW_RELATIONS, Topic.VIEW_NOTIFICATIONS),
    Topic.VIEW_MINE,
)
"""A user's partition of these is followed by each of the user's streams."""

_MOST = 2**62

Log = tuple[Topic, int]
"""A partition of a topic."""


class Place(NamedTuple):
    """The next record of a log, and how many of its changes for the reader are behind it."""

    offset: int
    skip: int = 0

    @property
    def least_end(self) -> int:
        """Where its log ends at the least."""
        return self.offset + bool(self.skip)


Places = dict[Log, Place]


class _Token(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    version: int
    partitions: int
    own: tuple[tuple[int, int], ...]
    heavy_at: int
    recents: tuple[tuple[int, int, int], ...] = ()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Token).decode


def own_logs(user_id: str, partitions: int) -> tuple[Log, ...]:
    """The logs of a user."""
    partition = partition_of(user_id, partitions)
    return tuple((topic, partition) for topic in OWN_TOPICS)


def encode_token(places: Mapping[Log, Place], heavy_at: int, user_id: str, partitions: int) -> str:
    """The token of places; all logs of the user must be among them. `heavy_at` (ms) stands for the
    logs of sources with many followers that are not."""
    own = tuple(places[log] for log in own_logs(user_id, partitions))
    recents = tuple(
        (log[1], *place) for log, place in places.items() if log[0] == Topic.VIEW_RECENTS
    )
    raw = _encode(_Token(VERSION, partitions, own, heavy_at, recents))
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_token(text: str, user_id: str, partitions: int) -> tuple[Places, int] | None:
    """The places in a token, and the time (ms) that stands for others; None when it was made with
    another number of partitions, or by an older version, which followed fewer logs.

    Raises:
        ProblemError: 400, when it is none of ours.
    """
    if len(text) > MOST_CHARACTERS:
        raise _refusal()
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        token = _decode(raw)
    except (ValueError, binascii.Error, msgspec.DecodeError):
        raise _refusal() from None
    if not 0 < token.version <= VERSION:
        raise _refusal()
    if token.partitions != partitions or token.version != VERSION:
        return None
    if len(token.own) != len(OWN_TOPICS):
        raise _refusal()
    found: Places = {
        log: Place(*place)
        for log, place in zip(own_logs(user_id, partitions), token.own, strict=True)
    }
    for partition, offset, skip in token.recents:
        if not 0 <= partition < partitions:
            raise _refusal()
        found[Topic.VIEW_RECENTS, partition] = Place(offset, skip)
    numbers = [token.heavy_at, *(number for place in found.values() for number in place)]
    if min(numbers) < 0 or max(numbers) > _MOST:
        raise _refusal()
    return found, token.heavy_at


def _refusal() -> ProblemError:
    return ProblemError(400, "bad-token", "The token is not one of this API's streams.")
