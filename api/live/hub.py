"""The hub: all streams of a process, and which of them a change concerns."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, defaultdict
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import structlog

from api.errors import ProblemError, unavailable
from api.live.changes import Change, Found, HiddenForOthers
from api.live.figures import Figures
from api.live.inbox import ROOM
from api.live.log import Batch, Logs
from api.live.messages import EndReason, GapReason
from api.live.places import Log, Place, own_logs
from api.live.stream import Stream
from api.state import Services
from api.stores import StoreDownError, Wanted
from api.views import Needs
from schemas.partitioning import partition_of
from schemas.topics import Topic
from schemas.views import CountersView, HeavySource

AGAIN_SECONDS = 1.0
SLACK_MS = 30_000
"""By how much the clocks of brokers and this process may differ, and its reading be late."""

SWEEP_SECONDS = 30.0
CLOSE_SECONDS = 3.0
ASKED_TOGETHER = 1_000

log = structlog.get_logger(__name__)


class Room(NamedTuple):
    """How many streams a process serves, and one user; how many records of a log are read again for
    who comes back."""

    streams: int
    streams_per_user: int
    replayed_records: int


class Hub:
    """Streams by user, by followed source and by post, in `logs.names`: a look into a hash table
    says whom a change concerns. Used in one event loop."""

    def __init__(
        self, logs: Logs, services: Services, partitions: int, room: Room, figures: Figures
    ) -> None:
        self._logs = logs
        self._services = services
        self._partitions = partitions
        self._room = room
        self._figures = figures
        self._streams: set[Stream] = set()
        self._of_user: Counter[str] = Counter()
        self._reached: dict[Log, int] = {}
        self._wanted: defaultdict[Log, int] = defaultdict(int)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False
        self._has_left = asyncio.Event()

    def start(self) -> None:
        """Begin to read."""
        self._logs.start(self._pass_on, self._heed)
        self._in_background(self._sweep())

    async def close(self) -> None:
        """End all streams, and stop reading; once."""
        if self._is_closing:
            return
        self._is_closing = True
        self._end(self._streams, "restart")
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                while self._streams:
                    self._has_left.clear()
                    await self._has_left.wait()
        except TimeoutError:
            log.warning("streams did not end in time", streams=len(self._streams))
        for task in self._tasks:
            task.cancel()
        await self._logs.close()

    @property
    def is_down(self) -> bool:
        """Whether Kafka does not answer."""
        return self._logs.is_down

    @property
    def reached(self) -> Mapping[Log, int]:
        """The offsets below which all was passed on."""
        return self._reached

    def admit(self, user_id: str, token: str | None) -> Stream:
        """A new stream, which `leave` is to be called for in any case.

        Raises:
            ProblemError: 400, the token is none of ours; 429, the user has too many streams; 503,
                the process has, or is about to end.
        """
        stream = Stream(user_id, self._partitions, token)
        if self._is_closing or len(self._streams) >= self._room.streams:
            raise unavailable("There is no room for another stream here now.")
        if self._of_user[user_id] >= self._room.streams_per_user:
            detail = f"A user has {self._room.streams_per_user} streams at most."
            raise ProblemError(429, "too-many-streams", detail, headers={"Retry-After": "30"})
        self._streams.add(stream)
        self._of_user[user_id] += 1
        self._figures.streams.set(len(self._streams))
        return stream

    def leave(self, stream: Stream) -> None:
        """A stream has ended."""
        if stream not in self._streams:
            return
        self._streams.discard(stream)
        self._of_user -= Counter([stream.user_id])
        names = self._logs.names
        with self._logs.lock:
            is_known = _discard(names.users, stream.user_id, stream)
            for source in stream.sources:
                _discard(names.sources, source, stream)
        if is_known:
            for each in own_logs(stream.user_id, self._partitions):
                self._wanted[each] -= 1
        self.unwatch(stream, stream.memory.posts())
        self._figures.streams.set(len(self._streams))
        self._has_left.set()

    async def join(self, stream: Stream) -> None:
        """Have a stream stand in its logs, with what it has missed; as long as it takes."""
        while True:
            try:
                await self._join(stream)
            except StoreDownError:
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                return

    async def _join(self, stream: Stream) -> None:
        own = own_logs(stream.user_id, self._partitions)
        recents: list[Log] = [(Topic.VIEW_RECENTS, n) for n in range(self._partitions)]
        began_at = self._services.clock()
        await self._logs.follow([*own, *recents])
        with self._logs.lock:
            is_first = _add(self._logs.names.users, stream.user_id, stream)
            for each in own:
                stream.inbox.begin(each, self._logs.position(each))
            if not stream.recents_from:
                stream.recents_from = {each: self._logs.position(each) for each in recents}
        if is_first:
            for each in own:
                self._wanted[each] += 1
        await self._know_user(stream)
        places = stream.places
        if places is not None:
            ends = {each: stream.inbox.starts[each] for each in own}
            stream.gap = await self._catch_up(stream, places, ends)
        stream.began_at = began_at
        await self._learn_sources(stream)

    async def _know_user(self, stream: Stream) -> None:
        reader = self._services.reader_for(stream.user_id)
        with suppress(ProblemError):
            await reader.load(Needs(users=[stream.user_id]))
        stream.was_dormant = reader.user(stream.user_id).is_dormant
        self._services.presence.note(stream.user_id, has_feed=True)

    async def _learn_sources(self, stream: Stream) -> None:
        """Follow the sources with many followers that the user follows, from where the stream goes
        on, or has begun; again with the next beat if a store does not answer."""
        with suppress(StoreDownError):
            sources = await self._services.stores.cache.followed_heavy(stream.user_id)
            await self._follow_sources(stream, sources)

    async def _follow_sources(self, stream: Stream, sources: list[str]) -> None:
        logs = list({_recents_of(each, self._partitions) for each in sources})
        places = {each: Place(stream.recents_from[each]) for each in logs}
        if stream.places is not None and stream.gap is None:
            known = stream.places
            unknown = [each for each in logs if each not in known]
            since = await self._logs.at(unknown, stream.heavy_at) if unknown else {}
            places.update({each: Place(offset) for each, offset in since.items()})
            places.update({each: known[each] for each in logs if each in known})
        gap = await self._add_sources(stream, sources, places)
        stream.gap = stream.gap or gap
        stream.knows_sources = True
        stream.heavy_at = stream.began_at - SLACK_MS
        stream.places = None

    async def _add_sources(
        self, stream: Stream, sources: Iterable[str], places: Mapping[Log, Place]
    ) -> GapReason | None:
        """Follow sources, of which the stream lacks what is behind some places."""
        ends: dict[Log, int] = {}
        with self._logs.lock:
            for source in sources:
                each = _recents_of(source, self._partitions)
                ends[each] = self._logs.position(each)
                stream.inbox.begin(each, ends[each])
                stream.sources.add(source)
                _add(self._logs.names.sources, source, stream)
        return await self._catch_up(stream, places, ends)

    async def _catch_up(
        self, stream: Stream, places: Mapping[Log, Place], ends: Mapping[Log, int]
    ) -> GapReason | None:
        """Have a stream take in what stands in logs between places and their ends."""
        spans = [(each, places[each], end) for each, end in ends.items() if each in places]
        ahead = [each for each, place, end in spans if place.least_end > end]
        if ahead:  # another process was quicker, or the log was made anew
            known = await self._logs.ends(ahead)
            if any(places[each].least_end > known[each] for each in ahead):
                return "log"
        if any(end - place.offset > self._room.replayed_records for _, place, end in spans):
            return "too_much"
        for each, place, end in spans:
            is_kept = each[0] != Topic.TIMELINE_WRITES or place.offset == end
            if not is_kept and place.offset < await self._logs.oldest(each):
                return "expired"
        reads = (
            self._logs.read(each, place.offset, end, _names(stream, each))
            for each, place, end in spans
        )
        parts = await asyncio.gather(*reads)
        found = [
            (record, change)
            for record in heapq.merge(*parts, key=lambda record: record.at)
            for _, change in record.changes
        ]
        if len(found) > ROOM:
            return "too_much"
        stream.inbox.missed(found, {each: place for each, place, _ in spans})
        return None

    def watch(self, stream: Stream, post_id: str) -> None:
        """Follow the counts of a post, and whether it is hidden."""
        with self._logs.lock:
            is_first = _add(self._logs.names.posts, post_id, stream)
        for each in self._logs_of(post_id) if is_first else ():
            self._wanted[each] += 1
            if self._wanted[each] == 1:
                self._in_background(self._follow(each))

    def unwatch(self, stream: Stream, posts: list[str]) -> None:
        """Follow posts no longer."""
        for post_id in posts:
            with self._logs.lock:
                is_last = _discard(self._logs.names.posts, post_id, stream)
            for each in self._logs_of(post_id) if is_last else ():
                self._wanted[each] -= 1

    def _logs_of(self, post_id: str) -> tuple[Log, ...]:
        partition = partition_of(post_id, self._partitions)
        return (Topic.VIEW_COUNTERS, partition), (Topic.VIEW_POSTS, partition)

    def relate(self, stream: Stream, source: str, *, is_following: bool) -> None:
        """The user follows a source, or does not: it may have many followers."""
        with self._logs.lock:
            if is_following:
                each = _recents_of(source, self._partitions)
                stream.inbox.begin(each, self._logs.position(each))
                stream.sources.add(source)
                _add(self._logs.names.sources, source, stream)
            elif source in stream.sources:
                stream.sources.discard(source)
                _discard(self._logs.names.sources, source, stream)

    def beat(self, stream: Stream) -> None:
        """The user is still there."""
        self._services.presence.note(stream.user_id, has_feed=True)
        if stream.recents_from and not stream.knows_sources:
            self._in_background(self._learn_sources(stream))
        elif stream.knows_sources and not self.is_down:
            stream.heavy_at = max(stream.heavy_at, self._services.clock() - SLACK_MS)

    async def _follow(self, each: Log) -> None:
        while self._wanted[each]:
            with suppress(StoreDownError):
                await self._logs.follow([each])
                return
            await asyncio.sleep(AGAIN_SECONDS)

    def _pass_on(self, batch: Batch) -> None:
        """Give what was read to the streams that it concerns."""
        for found in batch.found:
            for name, change in found.changes:
                if isinstance(change, HeavySource):
                    if change.is_heavy:
                        self._in_background(self._crossed(found, change.source))
                    continue
                self._give(found, name, change)
        self._reached.update(batch.reached)
        if batch.lost:
            log.error(
                "logs cannot be read on", logs=[f"{each[0]}/{each[1]}" for each in batch.lost]
            )
            self._end(self._streams, "log")

    def _give(self, found: Found, name: str, change: Change) -> None:
        names = self._logs.names
        if isinstance(change, CountersView):
            for stream in names.posts.get(name, ()):
                stream.inbox.count(change)
                stream.wake()
            return
        if isinstance(change, HiddenForOthers):
            for stream in names.posts.get(name, ()):
                if stream.user_id != change.author_id:
                    stream.inbox.hide(change.post_id)
                    stream.wake()
            return
        of = names.sources if found.log[0] == Topic.VIEW_RECENTS else names.users
        for stream in of.get(name, ()):
            stream.inbox.take(found, change)
            stream.wake()

    async def _crossed(self, found: Found, source: str) -> None:
        """A source has got many followers: follow it for those of the users who do."""
        streams = list(self._streams)
        for start in range(0, len(streams), ASKED_TOGETHER):
            some = [each for each in streams[start : start + ASKED_TOGETHER] if each.knows_sources]
            asked = Wanted(follows=[(each.user_id, source) for each in some])
            try:
                follows = (await self._services.stores.cache.load(asked)).follows
            except StoreDownError:
                for stream in some:
                    stream.knows_sources = False
                continue
            places = {found.log: Place(found.offset)}
            for stream in some:
                if (stream.user_id, source) in follows and stream in self._streams:
                    with suppress(StoreDownError):
                        await self._add_sources(stream, [source], places)
                        stream.wake()

    def _heed(self) -> None:
        for stream in self._streams:
            stream.wake()

    def _end(self, streams: Iterable[Stream], reason: EndReason) -> None:
        for stream in list(streams):
            stream.end(reason)

    async def _sweep(self) -> None:
        """Leave logs that nobody wants any more."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            unwanted = [each for each, count in self._wanted.items() if not count]
            if not self._streams:
                unwanted += [(Topic.VIEW_RECENTS, n) for n in range(self._partitions)]
            elif any(not stream.recents_from for stream in self._streams):
                continue  # one that joins may want them
            for each in unwanted:
                self._wanted.pop(each, None)
            self._logs.leave(unwanted)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _recents_of(source: str, partitions: int) -> Log:
    return Topic.VIEW_RECENTS, partition_of(source, partitions)


def _names(stream: Stream, log: Log) -> Iterable[str]:
    return stream.sources if log[0] == Topic.VIEW_RECENTS else [stream.user_id]


def _add(names: dict[str, set[Stream]], name: str, stream: Stream) -> bool:
    """Whether the stream is the first of a name."""
    streams = names.setdefault(name, set())
    streams.add(stream)
    return len(streams) == 1


def _discard(names: dict[str, set[Stream]], name: str, stream: Stream) -> bool:
    """Whether the stream was the last of a name."""
    streams = names.get(name, set())
    if stream not in streams:
        return False
    streams.discard(stream)
    if not streams:
        del names[name]
    return not streams
