"""A session: tells one client what its stream brings, from its beginning to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from itertools import takewhile
from typing import Any, NamedTuple

from api.errors import ProblemError
from api.live.changes import Added, Hidden, Refilled, Removed, SourceRemoved
from api.live.inbox import Item
from api.live.judging import SETTLE_MS, Judged, judge_entries, judge_notices, may_know_of
from api.live.messages import EndReason, Message, MessageType, message
from api.live.stream import Stream, Switchboard
from api.models import Counts
from api.sent_page import as_json
from api.state import Services
from api.stores import CASSANDRA, KAFKA, REDIS, StoreDownError
from schemas.views import CountersView, RelationView

BATCH = 50
AGAIN_SECONDS = 0.1
COUNTS_SECONDS = 1.0
LOOK_SECONDS = 2.0
OPENING_SECONDS = 2.0
GIVE_UP_SECONDS = 10.0
"""How long an entry waits for a view of its post, with all behind it."""


class Limits(NamedTuple):
    """Of a stream, in seconds: how long it goes on, how often it says that it does, and for how
    long its client may take nothing."""

    longest_seconds: float
    heartbeat_seconds: float
    idle_seconds: float


class Session:
    """Makes the messages of a stream; its token holds until `expires_at` (s since 1970)."""

    def __init__(
        self,
        stream: Stream,
        board: Switchboard,
        services: Services,
        limits: Limits,
        expires_at: float,
    ) -> None:
        self._stream = stream
        self._inbox = stream.inbox
        self._board = board
        self._services = services
        self._beat_seconds = limits.heartbeat_seconds
        self._loop = asyncio.get_running_loop()
        now = self._now()
        left = max(0.0, expires_at - services.clock() / 1000)
        self._end_at = now + min(left, limits.longest_seconds)
        self._last_reason: EndReason = "token" if left < limits.longest_seconds else "time"
        self._beat_at = now + limits.heartbeat_seconds
        self._again_at = self._counts_at = self._opened_at = self._looked_at = now
        self._waits_since: float | None = None
        self._related_at = 0
        self._down: list[str] = []
        self._said_down: list[str] = []

    async def messages(self) -> AsyncGenerator[Message]:
        """All messages, until the stream has to end; the last one says why."""
        joining = asyncio.create_task(self._board.join(self._stream))
        try:
            joining.add_done_callback(lambda _: self._stream.wake())
            while not joining.done() and not self._is_over():
                for said in self._standing(has_joined=False):
                    yield said
                await self._stream.news(min(self._beat_at, self._end_at) - self._now())
            if joining.done():
                joining.result()
                async for said in self._go_on():
                    yield said
        finally:
            joining.cancel()
        yield message("end", {"reason": self._stream.end_reason or self._last_reason})

    async def _go_on(self) -> AsyncGenerator[Message]:
        about = {
            "heartbeat_seconds": self._beat_seconds,
            "is_opening": self._stream.was_dormant,
        }
        yield self._say("hello", about)
        if self._stream.gap is not None:
            yield self._say("gap", {"reason": self._stream.gap})
        while not self._is_over():
            if self._inbox.is_overrun:
                self._inbox.catch_up(self._board.reached)
                yield self._say("gap", {"reason": "slow"})
                self._stream.end("slow")
                return
            if self._now() >= self._again_at:
                async for said in self._news():
                    yield said
            for said in self._standing():
                yield said
            await self._stream.news(self._next_at() - self._now())

    async def _news(self) -> AsyncGenerator[Message]:
        for post_id in self._inbox.take_hidden():
            if gone := self._stream.memory.forget_post(post_id):
                self._forget(gone)
                yield self._say("remove", {"post_id": post_id})
        try:
            async for said in self._changes():
                yield said
            async for said in self._notices():
                yield said
            if self._down and self._now() >= self._looked_at + LOOK_SECONDS:
                await self._look()
        except (ProblemError, StoreDownError) as error:
            self._down = [error.store] if isinstance(error, StoreDownError) else [CASSANDRA, REDIS]
            self._again_at = self._now() + 10 * AGAIN_SECONDS
        if self._inbox.has_counts and self._now() >= self._counts_at + COUNTS_SECONDS:
            self._counts_at = self._now()
            for view in self._inbox.take_counts():
                yield self._say("counts", _counts(view))

    async def _changes(self) -> AsyncGenerator[Message]:
        while waiting := self._inbox.waiting(BATCH):
            run = list(takewhile(_is_entry, waiting))
            if not run:
                for said in await self._other(waiting[0]):
                    yield said
                continue
            judged, down = await judge_entries(
                self._services, self._stream.user_id, run, self._related_at
            )
            self._down = list(down)
            for each in judged:
                if not each.is_certain and not self._gives_up():
                    self._again_at = self._now() + AGAIN_SECONDS
                    return
                self._waits_since = None
                if self._inbox.done(each.item):
                    for said in self._entry(each):
                        yield said

    def _gives_up(self) -> bool:
        """Whether an entry has waited long enough for what decides upon it."""
        if self._waits_since is None:
            self._waits_since = self._now()
        return self._now() - self._waits_since > GIVE_UP_SECONDS

    def _entry(self, judged: Judged) -> list[Message]:
        change, post, memory = judged.item.change, judged.post, self._stream.memory
        assert isinstance(change, Added)
        if judged.author_id is None:
            return [self._say("gap", {"reason": "views"})]
        if post is None or memory.has(change.post_id, change.reason):
            return []
        gone = memory.add(change.post_id, change.reason, judged.author_id)
        self._board.watch(self._stream, change.post_id)
        self._board.unwatch(self._stream, gone)
        return [Message("entry", as_json(post), self._stream.token())]

    async def _other(self, item: Item) -> list[Message]:
        """What another change than an entry says."""
        change, memory = item.change, self._stream.memory
        may_know = not isinstance(change, Removed) or (
            memory.has(change.post_id, change.reason)
            or await may_know_of(self._services, self._stream.user_id, change)
        )
        if not self._inbox.done(item) or not may_know:
            return []
        match change:
            case Removed(post_id, reason):
                self._forget(memory.forget(post_id, reason))
                return [self._say("remove", {"post_id": post_id, "reasons": [reason]})]
            case SourceRemoved(reasons):
                self._forget(self._stream.memory.forget_reasons(reasons))
                return [self._say("remove", {"reasons": list(reasons)})]
            case Hidden(post_id):
                self._forget(memory.forget_post(post_id))
                return [self._say("remove", {"post_id": post_id})]
            case RelationView() as view:
                return self._relate(view)
            case Refilled() if self._stream.was_dormant and self._now() >= self._opened_at:
                self._opened_at = self._now() + OPENING_SECONDS
                return [self._say("gap", {"reason": "opening"})]
        return []

    def _relate(self, view: RelationView) -> list[Message]:
        """A relation of the user has changed: what is blocked or muted goes."""
        self._related_at = self._services.clock()
        self._board.relate(self._stream, view.target, is_following=view.is_following)
        if not (view.is_blocking or view.is_blocked or view.is_muting):
            return []
        if not view.target.startswith("u:"):
            self._forget(self._stream.memory.forget_reasons((view.target,)))
            return [self._say("remove", {"reasons": [view.target]})]
        user_id = view.target.removeprefix("u:")
        self._forget(self._stream.memory.forget_author(user_id))
        return [self._say("remove", {"author_id": user_id})]

    def _forget(self, posts: list[str]) -> None:
        self._board.unwatch(self._stream, posts)

    async def _notices(self) -> AsyncGenerator[Message]:
        due = self._inbox.notices(self._services.clock() - SETTLE_MS)
        if not due:
            return
        views = [each.view for each in due]
        shown = await judge_notices(self._services, self._stream.user_id, views)
        self._inbox.done_notices(due)
        for key, state, is_newest_seen, notice in shown:
            if self._stream.memory.notify(key, state, is_newest_seen=is_newest_seen):
                said = notice.model_dump_json().encode()
                yield Message("notification", said, self._stream.token())

    async def _look(self) -> None:
        """See whether what was down answers again."""
        self._looked_at = self._now()
        stores = self._services.stores
        for name, store in ((REDIS, stores.cache), (CASSANDRA, stores.archive)):
            if name in self._down:
                await store.ping()
        self._down = []

    def _standing(self, *, has_joined: bool = True) -> list[Message]:
        """What is down, if that has changed, and that the stream goes on, if it is time."""
        down = [*([KAFKA] if self._board.is_down else []), *self._down]
        said = []
        if down != self._said_down:
            self._said_down = down
            said.append(message("degraded", {"degraded": down}))
        if self._now() >= self._beat_at:
            self._beat_at = self._now() + self._beat_seconds
            if has_joined:
                self._inbox.catch_up(self._board.reached)
            self._board.beat(self._stream)
            id_ = self._stream.token() if has_joined else None
            said.append(message("heartbeat", {"degraded": down}, id_))
        return said

    def _next_at(self) -> float:
        """When there is something to do though nothing comes."""
        times = []
        if self._inbox.waiting(1) or self._inbox.has_hidden:
            times.append(self._now())
        if self._inbox.has_counts:
            times.append(self._counts_at + COUNTS_SECONDS)
        if (first := self._inbox.first_notice_at()) is not None:
            wait_ms = max(0, first + SETTLE_MS - self._services.clock())
            times.append(self._now() + wait_ms / 1000)
        if self._down:
            times.append(self._looked_at + LOOK_SECONDS)
        soonest = min(times, default=self._end_at)
        return min(self._beat_at, self._end_at, max(soonest, self._again_at))

    def _say(self, type_: MessageType, data: dict[str, Any]) -> Message:
        return message(type_, data, self._stream.token())

    def _is_over(self) -> bool:
        return self._stream.end_reason is not None or self._now() >= self._end_at

    def _now(self) -> float:
        return self._loop.time()


def _is_entry(item: Item) -> bool:
    return isinstance(item.change, Added)


def _counts(view: CountersView) -> dict[str, Any]:
    counts = Counts(
        reactions=view.reactions, comments=view.comments, shares=view.shares, views=view.views
    )
    return {"post_id": view.post_id, "counts": counts.model_dump()}
