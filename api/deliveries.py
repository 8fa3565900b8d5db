"""Deliveries: sends new notifications to where their receivers are reached, by the connectors.

Whoever delivers reads `view.notifications` with a group of its own, and delivers at least once:
what was under way when it ended is sent again, with the same id. Nothing is sent that the receiver
would not be shown.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

import structlog

from api.notifications import MAX_LIMIT, SHOWN_ACTORS, Shown, visible
from api.state import Services
from api.stores import StoreDownError, Told
from api.views import Reader
from connectors.push.connector import CredentialsError, RetryLaterError
from connectors.push.gateway import Gateway
from connectors.push.notice import Notice
from schemas.views import NotificationView

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
AT_ONCE = 32
MORE = 2

log = structlog.get_logger(__name__)


def is_news(group: NotificationView | Shown, told: Told) -> bool:
    """Whether a group is worth another delivery: something newer, and twice as many, or an hour
    later. What its receiver may see of a group is none if the group is none."""
    is_more = group.count >= MORE * told.count or group.at >= told.at + HOUR_MS
    return group.count > 0 and group.at > told.at and is_more


class Deliveries:
    """Delivers states of notifications. What it could not deliver is counted, and left: it stands
    in the receiver's list all the same."""

    def __init__(self, services: Services, gateway: Gateway, clock: Callable[[], int]) -> None:
        self._services = services
        self._gateway = gateway
        self._clock = clock
        self._room = asyncio.Semaphore(AT_ONCE)
        self.outcomes: Counter[str] = Counter()
        """How often a delivery ended how."""

    async def deliver(self, groups: Iterable[NotificationView]) -> None:
        """Deliver the newest state of each group.

        Raises:
            StoreDownError: Redis does not answer, or it cannot be known now who may see what.
        """
        newest = {(group.user_id, group.kind, group.subject): group for group in groups}
        await asyncio.gather(*map(self._deliver, newest.values()))

    async def _deliver(self, group: NotificationView) -> None:
        if not group.named or group.at < self._clock() - DAY_MS:
            return
        cache = self._services.stores.cache
        async with self._room:
            told = await cache.told(group.user_id, group.key)
            if not is_news(group, told):
                return
            tokens = await cache.devices(group.user_id)
            addresses = self._gateway.addresses(tokens)
            found = await self._shown(group) if addresses else None
            if found is None:
                return
            shown, unread = found
            if not is_news(shown, told) or shown.at < self._clock() - DAY_MS:
                return
            notice = _notice(shown, unread)
            for address in addresses:
                try:
                    outcome = await self._gateway.deliver(address, notice)
                except (RetryLaterError, CredentialsError) as error:
                    self.outcomes["failed"] += 1
                    log.warning("not delivered", to=address.label, reason=str(error))
                else:
                    self.outcomes[outcome.verdict] += 1
                    log.info("delivered", to=address.label, outcome=outcome.verdict.value)
            await cache.tell(group.user_id, group.key, Told(shown.count, shown.at))

    async def _shown(self, group: NotificationView) -> tuple[Shown, int] | None:
        """A group as its receiver may see it, if that was not read, with the number of those that
        were not."""
        reader: Reader = self._services.reader_for(group.user_id)
        held, seen_to = await reader.stores.cache.notifications(group.user_id, MAX_LIMIT)
        if group.at <= seen_to:
            return None
        others = [each for each in held if each.key != group.key]
        shown = await visible(reader, [group, *others])
        if reader.degraded:
            raise StoreDownError(reader.degraded[0], "what may be shown cannot be known now")
        unread = [each for each in shown if each.is_unread(seen_to)]
        return (unread[0], len(unread)) if unread and unread[0].group is group else None


def _notice(shown: Shown, unread: int) -> Notice:
    group = shown.group
    return Notice(
        notice_id=f"{group.kind}:{group.subject}:{shown.at}:{shown.count}",
        user_id=group.user_id,
        group=group.key,
        kind=group.kind,
        actors=shown.actors[:SHOWN_ACTORS],
        actor_count=shown.count,
        at=shown.at,
        unread=unread,
        post_id=shown.post_id,
        comment_id=shown.comment_id,
    )
