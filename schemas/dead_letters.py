"""What could not be processed, and why: the records of `dead-letters`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

CODES = (
    "not_avro",
    "unknown_schema",
    "incompatible_schema",
    "wrong_topic",
    "not_decodable",
    "missing_field",
    "unknown_field",
    "id_too_long",
    "id_invalid",
    "at_too_old",
    "at_in_future",
    "too_large",
    "too_many_claims",
    "too_many_kinds",
    "self_relation",
    "fold_failed",
)
"""Every reason that a letter may have; docs/rules.md says what each means."""

FOLD_FAILED = "fold_failed"
NOT_DECODABLE = "not_decodable"
"""The only reason of a sink's letters."""


class DeadLetter(Struct, frozen=True, kw_only=True, gc=False):
    """A record that could not be processed (`dead-letters`), with the reason.

    `code` is one of `CODES`, `stage` the name of the topic's reader, `at` the record's own time
    (ms); the raw key and value are as they were read, up to their first 65,536 and 1,000,000 bytes.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    raw: bytes | None
    code: str
    message: str
    stage: str
    at: int


class Handled(Struct, frozen=True, kw_only=True, gc=False):
    """What an operator has done with a letter, and when (`at`, ms): a record of
    `dead-letters.handled`, under the letter's own partition and offset (`handled_key`).

    It names the record that the letter is about, so that it counts for no other letter that comes
    to stand at that place when topics are made anew.
    """

    what: Literal["replayed", "dropped"]
    at: int
    topic: str
    partition: int
    offset: int


def handled_key(partition: int, offset: int) -> bytes:
    """Under which key it is noted that the letter at this place of `dead-letters` was handled."""
    return f"{partition}-{offset}".encode()
