"""When two user names are one."""

from __future__ import annotations

import unicodedata


def name_key(username: str) -> str:
    """What all ways to write a name have in common (Unicode 3.13: compatibility caseless match)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", username).casefold())
