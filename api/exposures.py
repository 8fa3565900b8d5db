"""Exposures: says who is shown which variant of an experiment, so that it can be evaluated."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

import structlog

from api.ranking.experiments import Ranking
from api.stores import StoreDownError
from api.writes import Events
from schemas.exposures import Exposure

TOLD_EVERY_MS = 3_600_000
REMEMBERED = 100_000
MAX_UNDER_WAY = 1_000

log = structlog.get_logger(__name__)


class Exposures:
    """Publishes that a user was shown a variant: once an hour at most in an experiment, as far as
    the 100,000 last ones are remembered. Nobody waits for it; what cannot be published, or would
    be more than 1,000 at once, is published with a later read."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._told: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def note(self, user_id: str, ranking: Ranking, *, is_degraded: bool) -> None:
        """A user is shown a first page; to be called from the event loop."""
        if ranking.experiment is None or ranking.variant is None:
            return
        now, key = self._events.clock(), (user_id, ranking.experiment)
        told_at = self._told.get(key)
        if told_at is not None and now - told_at < TOLD_EVERY_MS:
            return
        if len(self._tasks) >= MAX_UNDER_WAY:
            return
        self._told[key] = now
        self._told.move_to_end(key)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        exposure = Exposure(
            event_id=self._events.new_id(now),
            user_id=user_id,
            experiment=ranking.experiment,
            variant=ranking.variant,
            at=now,
            ranker=None if is_degraded else ranking.ranker.name,
        )
        task = asyncio.create_task(self._tell(key, exposure))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, key: tuple[str, str], exposure: Exposure) -> None:
        try:
            await self._events.expose(exposure)
        except StoreDownError as error:
            log.warning("exposure not published", reason=error.reason)
            self._told.pop(key, None)
