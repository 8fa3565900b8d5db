"""Where partitions begin and end in Kafka's log, asked for many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import structlog
from faust.types import TP

log = structlog.get_logger(__name__)


class PositionError(Exception):
    """A partition would be read on from another place than where its reading has ended."""


class Asked(Protocol):
    """Who asks Kafka: a consumer's thread."""

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """The first offsets."""

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """The offsets that come next."""


class Bounds(NamedTuple):
    """The first offset of a partition, and the one that comes next."""

    oldest: int
    end: int


class LogBounds:
    """Asks for all partitions in one request that are wanted while the last one is under way: an
    answer comes behind a fetch on the same connection, which waits at the broker for records."""

    def __init__(self, thread: Asked) -> None:
        self._thread = thread
        self._turn = asyncio.Lock()
        self._wanted: set[TP] = set()
        self._coming: asyncio.Future[dict[TP, Bounds]] | None = None

    async def within(self, tp: TP, position: int | None) -> Bounds:
        """What is to be read, for who has processed all below a position, or nothing: from where,
        and the log's end.

        Raises:
            PositionError: the log ends before the position.
        """
        oldest, end = await self.of(tp)
        if position is None:
            return Bounds(oldest, end)
        if position > end:
            raise PositionError(
                f"{tp.topic}/{tp.partition} ends at {end}, and {position} was processed before: "
                "the topic lost records or was made anew; restore it, or start with empty data"
            )
        if position < oldest:
            log.error(
                "records were deleted before they were read",
                topic=tp.topic,
                partition=tp.partition,
                position=position,
                oldest=oldest,
            )
        return Bounds(max(position, oldest), end)

    async def of(self, tp: TP) -> Bounds:
        """The bounds of a partition, as they are after this was asked."""
        self._wanted.add(tp)
        if self._coming is None:
            self._coming = asyncio.ensure_future(self._ask())
        return (await asyncio.shield(self._coming))[tp]

    async def _ask(self) -> dict[TP, Bounds]:
        async with self._turn:
            wanted, self._wanted, self._coming = list(self._wanted), set(), None
            oldest, end = await asyncio.gather(
                self._thread.earliest_offsets(*wanted), self._thread.highwaters(*wanted)
            )
        return {tp: Bounds(oldest[tp], end[tp]) for tp in wanted}
