"""A stream as its process knows it: whose it is, what waits for it, and what it was told lately."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from api.live.inbox import Inbox
from api.live.memory import Memory
from api.live.messages import EndReason, GapReason
from api.live.places import Log, Places, decode_token, encode_token


class Stream:
    """One client's stream. `places` are where it goes on, None for from now on.

    Raises:
        ProblemError: 400, when the token is none of ours.
    """

    def __init__(self, user_id: str, partitions: int, token: str | None) -> None:
        self.user_id = user_id
        self.partitions = partitions
        self.places: Places | None = None
        self.heavy_at = 0
        """All that sources with many followers spread before (ms) has been looked through."""
        self.recents_from: dict[Log, int] = {}
        """Where their logs stood when the stream began."""
        self.gap: GapReason | None = None
        """Why what was missed cannot be had."""
        if token is not None:
            decoded = decode_token(token, user_id, partitions)
            if decoded is None:
                self.gap = "log"
            else:
                self.places, self.heavy_at = decoded
        self.inbox = Inbox()
        self.memory = Memory()
        self.sources: set[str] = set()
        """Those with many followers that the user follows, of which it is known, and others."""
        self.knows_sources = False
        self.began_at = 0
        """When the stream began to stand in its logs (ms)."""
        self.was_dormant = False
        self.end_reason: EndReason | None = None
        self._news = asyncio.Event()

    def token(self) -> str:
        """From which a later stream goes on behind what was sent."""
        return encode_token(self.inbox.places, self.heavy_at, self.user_id, self.partitions)

    def end(self, reason: EndReason) -> None:
        """Have the stream end."""
        self.end_reason = self.end_reason or reason
        self.wake()

    def wake(self) -> None:
        """There is something to do."""
        self._news.set()

    async def news(self, seconds: float) -> None:
        """Wait until there is something to do, or so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()


class Switchboard(Protocol):
    """What a session needs of the hub that its stream belongs to."""

    @property
    def is_down(self) -> bool:
        """Whether Kafka does not answer."""

    @property
    def reached(self) -> Mapping[Log, int]:
        """The offsets below which all was passed on, by log."""

    async def join(self, stream: Stream) -> None:
        """Have a stream stand in its logs, with what it has missed; `gap` says why not."""

    def watch(self, stream: Stream, post_id: str) -> None:
        """Follow the counts of a post, and whether it is hidden."""

    def unwatch(self, stream: Stream, posts: list[str]) -> None:
        """Follow posts no longer."""

    def relate(self, stream: Stream, source: str, *, is_following: bool) -> None:
        """The user follows a source, or does not."""

    def beat(self, stream: Stream) -> None:
        """The user is still there."""
