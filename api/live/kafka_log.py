"""The logs in Kafka: one consumer for all streams of a process, without a group, in a thread."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import wait
from contextlib import suppress
from typing import Any

import structlog
from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from api.live.changes import Found, Names, select
from api.live.log import Batch
from api.live.places import Log
from api.live.replays import Replays
from api.stores import KAFKA, StoreDownError
from connectors.kafka import for_confluent
from schemas.topics import Topic

POLL_SECONDS = 0.05
MOST_RECORDS = 200
BATCHES_UNDER_WAY = 4
REQUEST_SECONDS = 3.0
PROBE_SECONDS = 2.0
OLDEST_SECONDS = 5.0
FETCHED_KIB = 16 * 1024
_GONE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)

log = structlog.get_logger(__name__)


def consumer_settings(brokers: str, **more: Any) -> dict[str, Any]:
    """A consumer that reads what is committed, and commits nothing."""
    return {
        **for_confluent(brokers),
        "client.id": "headrace-live",
        "group.id": "headrace-live",  # it never joins: partitions are assigned by hand
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "fetch.wait.max.ms": 100,
        "queued.max.messages.kbytes": FETCHED_KIB,
        "reconnect.backoff.max.ms": 1_000,
        "log_level": 2,
        **more,
    }


class KafkaLog:
    """`Logs` of a Kafka. A thread reads and selects; what concerns somebody goes to the event loop,
    four batches of 200 records at most at a time."""

    def __init__(self, brokers: str) -> None:
        self.names = Names({}, {}, {})
        self.lock = threading.Lock()
        self._brokers = brokers
        self._admin = AdminClient(
            {**for_confluent(brokers), "client.id": "headrace-live", "log_level": 2}
        )
        self._positions: dict[Log, int] = {}
        self._oldest: dict[Log, tuple[int, float]] = {}
        self._following = asyncio.Lock()
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._room = threading.BoundedSemaphore(BATCHES_UNDER_WAY)
        self._is_closing = threading.Event()
        self._is_down = False
        self._replays = Replays(consumer_settings(brokers))
        self._thread = threading.Thread(target=self._run, name="live-logs", daemon=True)
        self._prober: asyncio.Task[None] | None = None

    def start(self, deliver: Callable[[Batch], None], heed: Callable[[], None]) -> None:
        """Begin to read, in a thread."""
        self._loop = asyncio.get_running_loop()
        self._deliver, self._heed = deliver, heed
        self._consumer = Consumer(
            consumer_settings(self._brokers, **{"auto.offset.reset": "error"})
        )
        self._thread.start()
        self._prober = asyncio.create_task(self._probe())

    @property
    def is_down(self) -> bool:
        """Whether Kafka does not answer."""
        return self._is_down

    async def follow(self, logs: Iterable[Log]) -> None:
        """Have logs read from their ends on."""
        async with self._following:
            fresh = [each for each in logs if each not in self._positions]
            if not fresh:
                return
            ends = await self.ends(fresh)
            done = self._loop.create_future()

            def assign() -> None:
                places = [TopicPartition(each[0], each[1], end) for each, end in ends.items()]
                self._consumer.incremental_assign(places)
                self._loop.call_soon_threadsafe(done.set_result, None)

            with self.lock:
                self._positions.update(ends)
            self._commands.put(assign)
            await done

    def leave(self, logs: Iterable[Log]) -> None:
        """Read logs no longer."""
        with self.lock:
            left = [each for each in logs if self._positions.pop(each, None) is not None]
        if left:
            places = [TopicPartition(*each) for each in left]
            self._commands.put(lambda: self._consumer.incremental_unassign(places))

    def position(self, log: Log) -> int:
        """The next offset of a log that is followed."""
        return self._positions[log]

    async def oldest(self, log: Log) -> int:
        """The first offset that a log still has, as it was some seconds ago at most."""
        oldest, until = self._oldest.get(log, (0, 0.0))
        if time.monotonic() > until:
            oldest = (await self._offsets([log], OffsetSpec.earliest()))[log]
            self._oldest[log] = oldest, time.monotonic() + OLDEST_SECONDS
        return oldest

    async def ends(self, logs: list[Log]) -> dict[Log, int]:
        """The offsets that come next, for who reads what is committed."""
        return await self._offsets(logs, OffsetSpec.latest())

    async def at(self, logs: list[Log], time_ms: int) -> dict[Log, int]:
        """The first offset of each log whose record is not older than a time; the end, of none."""
        found = await self._offsets(logs, OffsetSpec.for_timestamp(time_ms))
        if -1 in found.values():
            ends = await self.ends(logs)
            return {each: ends[each] if at < 0 else at for each, at in found.items()}
        return found

    async def read(self, log: Log, start: int, end: int, names: Iterable[str]) -> list[Found]:
        """What records from `start` up to before `end` say to names."""
        return await self._replays.read(log, start, end, names)

    async def close(self) -> None:
        """Stop reading."""
        if self._prober is not None:
            self._prober.cancel()
            await asyncio.to_thread(self._end)
        await self._replays.close()

    def _end(self) -> None:
        self._is_closing.set()
        self._thread.join(timeout=5)

    async def _offsets(self, logs: list[Log], spec: OffsetSpec) -> dict[Log, int]:
        try:
            offsets = await asyncio.to_thread(self._ask, logs, spec)
        except KafkaException as error:
            self._mark(is_down=True)
            raise StoreDownError(KAFKA, error.args[0].name()) from error
        self._mark(is_down=False)
        return offsets

    def _ask(self, logs: list[Log], spec: OffsetSpec) -> dict[Log, int]:
        asked = self._admin.list_offsets(
            {TopicPartition(*each): spec for each in logs},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=REQUEST_SECONDS,
        )
        wait(asked.values())
        found = {
            (Topic(tp.topic), tp.partition): each.result().offset for tp, each in asked.items()
        }
        if OFFSET_INVALID in found.values():  # no error, but no answer in time
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return found

    async def _probe(self) -> None:
        """See every 2 s whether Kafka answers: a broker that is cut off says nothing."""
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            with self.lock:
                known = next(iter(self._positions), None)
            if known is None:
                continue
            with suppress(StoreDownError):
                await self.ends([known])

    def _mark(self, *, is_down: bool) -> None:
        if is_down != self._is_down:
            self._is_down = is_down
            log.warning("streams cannot read Kafka" if is_down else "streams read Kafka again")
            self._heed()

    def _run(self) -> None:
        try:
            while not self._is_closing.is_set():
                self._obey()
                first = self._consumer.poll(POLL_SECONDS)
                if first is not None:
                    self._hand_over([first, *self._consumer.consume(MOST_RECORDS - 1, 0)])
        finally:
            self._consumer.close()

    def _obey(self) -> None:
        while not self._commands.empty():
            self._commands.get()()

    def _hand_over(self, messages: list[Any]) -> None:
        found: list[Found] = []
        reached: dict[Log, int] = {}
        lost: set[Log] = set()
        for message in messages:
            place = (Topic(message.topic()), message.partition()) if message.topic() else None
            if message.error() is None and place is not None:
                self._select(place, message, found, reached)
            elif message.error().code() in _GONE and place is not None:
                lost.add(place)
        if not reached and not lost:
            return
        while not self._room.acquire(timeout=POLL_SECONDS):
            if self._is_closing.is_set():
                return
        batch = Batch(found, reached, frozenset(lost))
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._pass_on, batch)

    def _select(
        self, place: Log, message: Any, found: list[Found], reached: dict[Log, int]
    ) -> None:
        offset = message.offset()
        with self.lock:
            if offset < self._positions.get(place, offset + 1):
                return
            changes = select(place[0], message.key(), message.value(), self.names)
            reached[place] = self._positions[place] = offset + 1
        if changes:
            found.append(Found(place, offset, message.timestamp()[1], changes))

    def _pass_on(self, batch: Batch) -> None:
        self._room.release()
        if batch.lost:
            self.leave(batch.lost)
        self._deliver(batch)
