"""The posts to which a user reacted, newest reaction first: from Redis, which has the newest
10,000, and then from Cassandra."""

from __future__ import annotations

from api.reacted import Reacted
from api.stores import REDIS, StoreDownError
from api.views import Reader

Place = tuple[int, str]


class Likes:
    """The reactions of a reader's viewer, as a list of places to read on from."""

    def __init__(self, reader: Reader, user_id: str) -> None:
        self._reader = reader
        self._user_id = user_id
        self.cut_at: Place | None = None
        """Below what place there may be more that could not be read."""

    async def take(self, below: Place, limit: int) -> list[Place]:
        """The newest places below one; fewer only when there are no more, or at `cut_at`."""
        found = await self._held(below, limit)
        if len(found) < limit:
            rest = found[-1].place if found else below
            found += await self._archived(rest, limit - len(found))
        known = self._reader.known.reactions
        for each in found:
            known.setdefault(each.post_id, each.kind)
        return [each.place for each in found]

    async def _held(self, below: Place, limit: int) -> list[Reacted]:
        if self._reader.is_down(REDIS):
            return []
        try:
            return await self._reader.stores.cache.reacted(self._user_id, below, limit)
        except StoreDownError as error:
            self._reader.mark_down(error)
            return []

    async def _archived(self, below: Place, limit: int) -> list[Reacted]:
        try:
            return await self._reader.stores.archive.reacted(self._user_id, below, limit)
        except StoreDownError as error:
            self._reader.mark_down(error)
            self.cut_at = below
            return []
