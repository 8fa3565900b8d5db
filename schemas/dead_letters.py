"""What could not be processed, and why: the records of `dead-letters`."""

from __future__ import annotations

from msgspec import Struct


class DeadLetter(Struct, frozen=True, kw_only=True, gc=False):
    """A record that could not be processed (`dead-letters`), with the reason.

    `code` is a short stable word, `stage` the name of the topic's reader, `at` the time of the
    verdict; the raw key and value are as they were read, the value up to its first
    1,000,000 bytes.
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
