"""What is delivered: one state of one notification of one user."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Literal

import msgspec
from msgspec import Struct

Kind = Literal[
    "follow", "like", "comment", "share", "mention", "reply", "favourite_post", "comment_reply"
]

URGENT: frozenset[Kind] = frozenset({"mention", "reply", "comment_reply"})
"""What is said to the receiver alone: devices are woken up for it, and not for the rest."""

MOST_ACTORS = 3


class Notice(Struct, frozen=True, kw_only=True):
    """One state of a notification, as "ann, bob and 3 others liked it".

    `notice_id` is the same whenever the same state is delivered, so that receivers can drop
    doubles. `group` is what the notification is about: a later state of the same group takes the
    place of the earlier one on a device. Both need to be unique within one receiver only.
    `actors` are the newest ids, newest first, 3 at most; `actor_count` counts all of them.
    `at` is in ms since 1970.
    """

    notice_id: str
    user_id: str
    group: str
    kind: Kind
    actors: tuple[str, ...]
    actor_count: int
    at: int
    unread: int
    post_id: str | None = None
    comment_id: str | None = None

    def __post_init__(self) -> None:
        if len(self.actors) > MOST_ACTORS:
            raise ValueError(f"a notice names {MOST_ACTORS} actors at most, not {len(self.actors)}")

    @property
    def is_urgent(self) -> bool:
        """Whether a sleeping device is to be woken up for it."""
        return self.kind in URGENT

    def payload(self) -> bytes:
        """The notice as JSON, the same for every connector and at every attempt."""
        return msgspec.json.encode(self)

    def message_key(self) -> str:
        """32 characters of base64url that are the same for the same receiver and notice."""
        return _digest(self.user_id, self.notice_id)

    def collapse_key(self) -> str:
        """32 characters of base64url that are the same for the same receiver and group.

        That is the longest Topic of RFC 8030, and fits into an apns-collapse-id (64 bytes).
        """
        return _digest(self.user_id, self.group)

    def seconds_left(self, ttl_seconds: float, now: float) -> int:
        """Whole seconds for which it is still worth delivering; 0 and less when it is not."""
        return int(self.at / 1000 + ttl_seconds - now)


def _digest(user_id: str, name: str) -> str:
    """192 bits of a digest; ids hold no NUL."""
    return urlsafe_b64encode(sha256(f"{user_id}\0{name}".encode()).digest()[:24]).decode()
