"""Answers that are not sent again to who has them (RFC 9110, 13.1.2)."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import Header, Response, status

from api.sent_page import SentPage, as_json

PRIVATE = "private, no-cache"
"""The caller's own cache may keep it, and asks each time whether it still holds."""

MAX_TAG_BYTES = 8_192

IfNoneMatch = Annotated[
    str | None,
    Header(
        description="`ETag` of an earlier answer: 304 if it would be the same.",
        max_length=MAX_TAG_BYTES,
    ),
]


def respond(page: SentPage, if_none_match: str | None) -> Response:
    """A page with its tag, or 304 without it to who has it. The tag is weak, as what stands between
    may encode the page; it is made from all that the page says."""
    body = as_json(page)
    tag = f'W/"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": PRIVATE}
    if if_none_match is not None and _names(if_none_match, tag):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _names(if_none_match: str, tag: str) -> bool:
    """Whether a list of tags has one, by weak comparison."""
    opaque = tag.removeprefix("W/")
    named = (each.strip().removeprefix("W/") for each in if_none_match.split(","))
    return any(each in ("*", opaque) for each in named)
