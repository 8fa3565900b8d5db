"""What of a profile changes by itself: the names that a profile event may give in `changes`."""

from __future__ import annotations

from typing import get_args

from schemas.views import NoticeKind

PREFERENCES = "preferences"
FIELDS = (*("username", "display_name", "bio", "avatar", "verified", PREFERENCES, "device_tokens"),)
"""Those of a whole profile."""

PREFERENCE = f"{PREFERENCES}."
"""What stands before the name of a preference that changes alone."""

CHANGEABLE = frozenset((*FIELDS, *(f"{PREFERENCE}notify.{kind}" for kind in get_args(NoticeKind))))
"""All of them: of preferences those that are of use, so that what a user's row keeps is bounded."""
