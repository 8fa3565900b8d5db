"""The written forms of keys; nothing here quotes one."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, urlsafe_b64decode

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")
_WEBHOOK_PREFIX = "whsec_"


def unbase64url(text: str) -> bytes | None:
    """The bytes of base64url, with or without padding; None if it is not that."""
    if not _BASE64URL.fullmatch(text):
        return None
    bare = text.rstrip("=")
    try:
        return urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except binascii.Error:
        return None


def webhook_key(secret: str) -> bytes:
    """The key in a secret of the Standard Webhooks form: `whsec_` and base64 of 24 to 64 bytes.

    Raises:
        ValueError: it is not of that form.
    """
    try:
        key = b64decode(secret.removeprefix(_WEBHOOK_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(_WEBHOOK_PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError("must be whsec_ and the base64 of 24 to 64 random bytes")
    return key


def vapid_key(text: str) -> bytes:
    """The 32 bytes of a private VAPID key in base64url, as `web-push generate-vapid-keys` says it.

    Raises:
        ValueError: it is not that.
    """
    key = unbase64url(text)
    if key is None or len(key) != 32 or not any(key):
        raise ValueError("must be 32 bytes in base64url")
    return key
