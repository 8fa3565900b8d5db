"""Logs in memory for the tests of streams, and a hub over them."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct
from prometheus_client import CollectorRegistry

from api.live.changes import Found, Names, select
from api.live.figures import Figures
from api.live.hub import Hub, Room
from api.live.log import Batch
from api.live.messages import Message
from api.live.places import Log
from api.live.session import Limits, Session
from api.live.stream import Stream
from api.state import Services
from api.stores import StoreDownError
from schemas.partitioning import partition_of
from schemas.topics import Topic
from schemas.views import PushEntry, TimelineOp
from tests.unit.api_fakes import NOW, World

PARTITIONS = 4


class Record(NamedTuple):
    """A record of a log."""

    key: bytes | None
    value: bytes


class FakeLogs:
    """Kafka. What is published is selected at once, and passed on a little later."""

    def __init__(self) -> None:
        self.names = Names({}, {}, {})
        self.lock = threading.Lock()
        self.is_down = False
        self.records: defaultdict[Log, list[Record | None]] = defaultdict(list)
        self.begins: defaultdict[Log, int] = defaultdict(int)
        self.followed: dict[Log, int] = {}
        self.reads = 0
        self.held: list[Batch] | None = None
        """What is on its way, while it is held back."""

    def start(self, deliver: Callable[[Batch], None], heed: Callable[[], None]) -> None:
        self._deliver, self._heed = deliver, heed

    def set_down(self, is_down: bool) -> None:
        self.is_down = is_down
        self._heed()
        if not is_down:
            for log in list(self.followed):
                self._read_on(log)

    def _up(self) -> None:
        if self.is_down:
            raise StoreDownError("kafka", "_TRANSPORT")

    async def follow(self, logs: Iterable[Log]) -> None:
        self._up()
        await asyncio.sleep(0)
        for log in logs:
            self.followed.setdefault(log, len(self.records[log]))

    def leave(self, logs: Iterable[Log]) -> None:
        for log in logs:
            self.followed.pop(log, None)

    def position(self, log: Log) -> int:
        return self.followed[log]

    async def oldest(self, log: Log) -> int:
        self._up()
        return self.begins[log]

    async def ends(self, logs: list[Log]) -> dict[Log, int]:
        self._up()
        return {log: len(self.records[log]) for log in logs}

    async def at(self, logs: list[Log], time_ms: int) -> dict[Log, int]:
        self._up()
        self.asked_at = time_ms
        return dict.fromkeys(logs, 0)

    async def read(self, log: Log, start: int, end: int, names: Iterable[str]) -> list[Found]:
        self._up()
        self.reads += 1
        await asyncio.sleep(0.001)
        self._up()
        known: dict[str, Any] = dict.fromkeys(names)
        return list(self._select(log, start, end, Names(known, known, known)))

    async def close(self) -> None:
        self.followed.clear()

    def _select(self, log: Log, start: int, end: int, names: Names) -> Iterable[Found]:
        for offset in range(start, min(end, len(self.records[log]))):
            record = self.records[log][offset]
            if record is None:  # a commit marker
                continue
            changes = select(log[0], record.key, record.value, names)
            if changes:
                yield Found(log, offset, NOW, changes)

    def put(self, topic: Topic, partition: int, key: bytes | None, value: Any) -> None:
        """A record is committed, with a marker behind it."""
        log = (topic, partition)
        self.records[log] += [Record(key, msgspec.msgpack.encode(value)), None]
        if not self.is_down:
            self._read_on(log)

    def _read_on(self, log: Log) -> None:
        start = self.followed.get(log)
        if start is None:
            return
        end = len(self.records[log])
        found = list(self._select(log, start, end, self.names))
        self.followed[log] = end
        batch = Batch(found, {log: end})
        if self.held is not None:
            self.held.append(batch)
        else:
            asyncio.get_running_loop().call_soon(self._deliver, batch)

    def release(self) -> None:
        """What was held back comes."""
        held, self.held = self.held or [], None
        for batch in held:
            self._deliver(batch)

    def lose(self, log: Log) -> None:
        """A log cannot be read on."""
        self._deliver(Batch([], {}, frozenset([log])))

    def operate(self, owner: str, *operations: TimelineOp) -> None:
        """Operations on one timeline, in one record."""
        partition = partition_of(owner, PARTITIONS)
        self.put(Topic.TIMELINE_WRITES, partition, None, list(operations))

    def push(self, owner: str, post_id: str, reason: str, at: int = NOW) -> None:
        """An entry onto one timeline."""
        self.operate(owner, PushEntry(post_id, reason, at, [owner]))

    def show(self, topic: Topic, entity: str, view: Struct, *more: str) -> None:
        """A view of an entity."""
        key = "\0".join((entity, *more)).encode()
        self.put(topic, partition_of(entity, PARTITIONS), key, view)


ROOM = Room(streams=100, streams_per_user=3, replayed_records=1_000)
LIMITS = Limits(longest_seconds=3_600, heartbeat_seconds=3_600, idle_seconds=60)


class Live:
    """A hub over fakes."""

    def __init__(self, world: World, room: Room = ROOM, limits: Limits = LIMITS) -> None:
        self.world = world
        self.logs = FakeLogs()
        self.clock = NOW + 10_000
        self.limits = limits
        stores = world.app.state.services.stores
        self.services = Services(stores, lambda: self.clock)
        self.figures = Figures(CollectorRegistry())
        self.hub = Hub(self.logs, self.services, PARTITIONS, room, self.figures)
        self.hub.start()

    @asynccontextmanager
    async def client(
        self, user_id: str, token: str | None = None, *, expires_in: float = 1e6
    ) -> AsyncIterator[Client]:
        """A client that is connected, as long as the context lasts."""
        stream = self.hub.admit(user_id, token)
        expires_at = self.clock / 1000 + expires_in
        session = Session(stream, self.hub, self.services, self.limits, expires_at)
        client = Client(stream, session)
        try:
            yield client
        finally:
            await client.messages.aclose()
            self.hub.leave(stream)


class Client:
    """Takes messages one by one."""

    def __init__(self, stream: Stream, session: Session) -> None:
        self.stream = stream
        self.messages = session.messages()
        self.token: str | None = None

    async def next(self, seconds: float = 5.0) -> tuple[str, dict[str, Any]]:
        """The next message: its type and data."""
        async with asyncio.timeout(seconds):
            said: Message = await anext(self.messages)
        self.token = said.id or self.token
        return said.type, msgspec.json.decode(said.data)

    async def wait(self, *types: str) -> list[dict[str, Any]]:
        """The data of messages that must come now, of these types."""
        found = [await self.next() for _ in types]
        assert tuple(kind for kind, _ in found) == types, found
        return [data for _, data in found]

    async def posts(self, count: int) -> list[str]:
        """The posts of the next entries."""
        found = await self.wait(*["entry"] * count)
        return [data["post_id"] for data in found]


@asynccontextmanager
async def live(world: World, **options: Any) -> AsyncIterator[Live]:
    """A hub, closed in the end."""
    found = Live(world, **options)
    try:
        yield found
    finally:
        await found.hub.close()
