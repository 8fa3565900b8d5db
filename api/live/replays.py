"""Replays: parts of logs read again for clients that come back, once for all that wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from api.live.changes import Found, Names, select
from api.live.places import Log
from api.stores import KAFKA, StoreDownError
from schemas.topics import Topic

POLL_SECONDS = 0.2
MOST_RECORDS = 500
PATIENCE_SECONDS = 10.0
"""How long a reading may stand still."""

_SETTINGS = {"auto.offset.reset": "earliest", "enable.partition.eof": True, "fetch.wait.max.ms": 10}


class _Wish(NamedTuple):
    start: int
    end: int
    names: frozenset[str]
    done: asyncio.Future[list[Found]]


Wishes = dict[Log, list[_Wish]]


class Replays:
    """One consumer in a thread. While it reads, wishes wait, and are then met together by one
    reading of all their logs: so many clients that come back at once cost few readings, not one
    each."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = {**settings, **_SETTINGS}
        self._consumer: Consumer | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="live-replays")
        self._waiting: Wishes = {}
        self._work: asyncio.Task[None] | None = None

    async def read(self, log: Log, start: int, end: int, names: Iterable[str]) -> list[Found]:
        """What records from `start` up to before `end` say to names.

        Raises:
            StoreDownError: Kafka does not answer.
        """
        if start >= end:
            return []
        done: asyncio.Future[list[Found]] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(log, []).append(_Wish(start, end, frozenset(names), done))
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._meet())
        return await done

    async def close(self) -> None:
        """Stop reading."""
        if self._work is not None:
            self._work.cancel()
        await asyncio.to_thread(self._thread.shutdown)
        if self._consumer is not None:
            self._consumer.close()

    async def _meet(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            wishes, self._waiting = self._waiting, {}
            try:
                found = await loop.run_in_executor(self._thread, self._read, wishes)
            except KafkaException as error:
                failure = StoreDownError(KAFKA, error.args[0].name())
                for wish in chain.from_iterable(wishes.values()):
                    if not wish.done.done():
                        wish.done.set_exception(failure)
                continue
            for log, some in wishes.items():
                for wish in some:
                    if not wish.done.done():
                        wish.done.set_result(_for(wish, found[log]))

    def _read(self, wishes: Wishes) -> dict[Log, list[Found]]:
        if self._consumer is None:
            self._consumer = Consumer(self._settings)
        starts = {log: min(wish.start for wish in some) for log, some in wishes.items()}
        self._consumer.assign([TopicPartition(*log, start) for log, start in starts.items()])
        try:
            return self._read_on(wishes)
        finally:
            self._consumer.unassign()

    def _read_on(self, wishes: Wishes) -> dict[Log, list[Found]]:
        assert self._consumer is not None
        ends = {log: max(wish.end for wish in some) for log, some in wishes.items()}
        names = {log: _names(some) for log, some in wishes.items()}
        found: dict[Log, list[Found]] = {log: [] for log in wishes}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while ends:
            first = self._consumer.poll(POLL_SECONDS)
            if first is None and time.monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            if first is None:
                continue
            deadline = time.monotonic() + PATIENCE_SECONDS
            for message in (first, *self._consumer.consume(MOST_RECORDS - 1, 0)):
                error = message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    continue
                log, offset = (Topic(message.topic()), message.partition()), message.offset()
                if error is None and offset < ends.get(log, 0):
                    changes = select(log[0], message.key(), message.value(), names[log])
                    if changes:
                        at = message.timestamp()[1]
                        found[log].append(Found(log, offset, at, changes))
                elif log in ends:
                    del ends[log]
                    self._consumer.incremental_unassign([TopicPartition(*log)])
        return found


def _names(wishes: list[_Wish]) -> Names:
    names: dict[str, Any] = dict.fromkeys(name for wish in wishes for name in wish.names)
    return Names(names, names, names)


def _for(wish: _Wish, found: list[Found]) -> list[Found]:
    mine = []
    for each in found:
        if wish.start <= each.offset < wish.end:
            changes = [change for change in each.changes if change[0] in wish.names]
            if changes:
                mine.append(each._replace(changes=changes))
    return mine
