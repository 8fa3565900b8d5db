"""Reads whom a viewer follows and is close to, from whichever store answers."""

from __future__ import annotations

from api.circle import Circle
from api.stores import StoreDownError
from api.views import Reader


async def read_circle(reader: Reader, now: int) -> Circle:
    """The circle of a viewer at a time (ms).

    Raises:
        StoreDownError: neither store answers.
    """
    user_id = reader.viewer or ""
    try:
        return await reader.stores.cache.circle(user_id, now)
    except StoreDownError as error:
        reader.mark_down(error)
    try:
        return await reader.stores.archive.circle(user_id, now)
    except StoreDownError as error:
        reader.mark_down(error)
        raise
