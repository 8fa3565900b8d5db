"""Replays: parts of logs read again for clients that come back, once for all that wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from api.live.changes import Found, Names, select
from api.live.places import Log
from api.stores import KAFKA, StoreDownError

POLL_SECONDS = 0.2
MOST_RECORDS = 500
PATIENCE_SECONDS = 10.0
"""How long a reading may stand still."""


class _Wish(NamedTuple):
    start: int
    end: int
    names: frozenset[str]
    done: asyncio.Future[list[Found]]


class Replays:
    """One consumer in a thread. While it reads a log, wishes for it wait, and are then met by one
    reading: so many clients that come back at once cost a log few readings, not one each."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = {**settings, "auto.offset.reset": "earliest"}
        self._consumer: Consumer | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="live-replays")
        self._waiting: dict[Log, list[_Wish]] = {}
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
            log = next(iter(self._waiting))
            wishes = self._waiting.pop(log)
            try:
                found = await loop.run_in_executor(self._thread, self._read, log, wishes)
            except KafkaException as error:
                failure = StoreDownError(KAFKA, error.args[0].name())
                for wish in wishes:
                    if not wish.done.done():
                        wish.done.set_exception(failure)
                continue
            for wish in wishes:
                if not wish.done.done():
                    wish.done.set_result(_for(wish, found))

    def _read(self, log: Log, wishes: list[_Wish]) -> list[Found]:
        names: dict[str, Any] = dict.fromkeys(name for wish in wishes for name in wish.names)
        wanted = Names(names, names, names)
        start, end = min(wish.start for wish in wishes), max(wish.end for wish in wishes)
        if self._consumer is None:
            self._consumer = Consumer(self._settings)
        self._consumer.assign([TopicPartition(log[0], log[1], start)])
        try:
            return self._read_on(log, end, wanted)
        finally:
            self._consumer.unassign()

    def _read_on(self, log: Log, end: int, names: Names) -> list[Found]:
        assert self._consumer is not None
        found: list[Found] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            first = self._consumer.poll(POLL_SECONDS)
            if first is None:
                if time.monotonic() > deadline:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
                continue
            for message in (first, *self._consumer.consume(MOST_RECORDS - 1, 0)):
                error = message.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    return found
                if error is not None:
                    continue
                if message.offset() >= end:
                    return found
                changes = select(log[0], message.key(), message.value(), names)
                if changes:
                    at = message.timestamp()[1]
                    found.append(Found(log, message.offset(), at, changes))
            deadline = time.monotonic() + PATIENCE_SECONDS


def _for(wish: _Wish, found: list[Found]) -> list[Found]:
    mine = []
    for each in found:
        if wish.start <= each.offset < wish.end:
            changes = [change for change in each.changes if change[0] in wish.names]
            if changes:
                mine.append(each._replace(changes=changes))
    return mine
