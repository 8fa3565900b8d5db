"""Standbys: the rows of partitions that other processes own, kept up to date from the changelogs.

A standby holds some prefix of the committed changelog and the offset behind it, as a restore that
was interrupted does: who takes the partition over restores from there to the end. So it need not
know of transactions, owners or generations, and whatever befalls it can only cost time.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from faust.types import TP
from msgspec import Struct

from connectors.kafka import for_confluent
from connectors.rocksdb import LocalStateError
from schemas.topics import changelog_of
from streams.engine.replica import Replica
from streams.engine.rows import outlived
from streams.engine.state import State

log = structlog.get_logger(__name__)

GROUP = "standbys"  # it never joins
BATCH = 10_000
WAIT_SECONDS = 0.1
QUEUED_KBYTES = 16 * 1024
REFRESH_SECONDS = 3600.0  # who stands at the end is told so at least as often
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 300.0


class Following(Struct):
    """How a standby stands: its rows, and how many offsets of the changelog it is behind; None
    while that is not known."""

    rows: int
    lag: int | None


class _LostError(Exception):
    """The changelog does not lead on from where the rows stand."""


class _Standby:
    """One partition that is followed."""

    def __init__(self, tp: TP, make: Callable[[], Replica], replica: Replica | None) -> None:
        self.tp = tp
        self.replica = replica
        self.lag: int | None = None
        self.due = 0.0
        self._make = make
        self._pause = FIRST_PAUSE_SECONDS
        self._began = 0

    def open(self) -> TopicPartition:
        """Have the rows; where the changelog is to be read from.

        Raises:
            LocalStateError: the rows cannot be had.
        """
        if self.replica is None:
            self.replica = self._make()
        self._began = _now()
        stood = self.replica.state.snapshot
        start = OFFSET_BEGINNING if stood is None else stood.changelog_offset
        return TopicPartition(changelog_of(self.tp.topic), self.tp.partition, start)

    def apply(self, state: State, messages: Sequence[Message], end: int, asked: int) -> None:
        """Take up what was read, which goes on where the rows stand.

        `end` is the changelog's, as far as it is known, and `asked` (ms) when it was read.

        Raises:
            _LostError: the rows are of no use any more.
            KafkaException: the changelog cannot be read.
            LocalStateError: the rows cannot be read or written.
            StateFormatError: another version of Headrace wrote the changelog.
        """
        errors = [error for message in messages if (error := message.error()) is not None]
        for error in errors:
            if error.code() == KafkaError._AUTO_OFFSET_RESET:
                raise _LostError("the changelog does not have the offset that it stands at")
            if error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
        at = self._began if state.snapshot is None else state.snapshot.at
        records = [message for message in messages if message.error() is None]
        if records:
            reached = records[-1].offset() + 1
            state.restore({m.key(): m.value() for m in records}, reached, at)
            self.lag = max(end - reached, 0)
            self._pause = FIRST_PAUSE_SECONDS
        if messages[-1].error() is not None:
            self._stand_at_end(state, asked)

    def _stand_at_end(self, state: State, asked: int) -> None:
        self.lag = 0
        if state.snapshot is None:
            self._began = asked
            return
        why = outlived(state.snapshot)
        if why is not None:
            raise _LostError(why)
        state.restore({}, state.snapshot.changelog_offset, asked)

    def fail(self, error: Exception) -> None:
        """Begin again after a pause; with the rows only if nothing but Kafka has failed."""
        self.lag = None
        self.due = time.monotonic() + self._pause
        log.warning(
            "standby begins again",
            topic=self.tp.topic,
            partition=self.tp.partition,
            why=f"{type(error).__name__}: {error}",
            pause_seconds=self._pause,
        )
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        if self.replica is None or isinstance(error, KafkaException):
            return
        try:
            self.replica.state.discard(str(error))
        except (LocalStateError, OSError):
            with contextlib.suppress(LocalStateError):
                self.replica.state.close()
            self.replica = None


class Follower:
    """Follows the changelogs of partitions, in a thread of its own, from the first one on.

    What fails is begun again after a pause of up to `LONGEST_PAUSE_SECONDS`, and concerns nothing
    else. Work is O(changes), apart from changes of what is followed, at which what was fetched
    ahead (`QUEUED_KBYTES`) is fetched again.
    """

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self._standbys: dict[TP, _Standby] = {}
        self._lock = threading.Lock()  # held while replicas are opened and written
        self._is_stale = False
        self._reading: set[TP] = set()
        self._read_since = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="standbys", daemon=True)

    def follow(self, tp: TP, make: Callable[[], Replica], replica: Replica | None) -> None:
        """Follow a partition, from where a replica that is there stands, or one to be made."""
        with self._lock:
            if tp not in self._standbys:
                self._standbys[tp] = _Standby(tp, make, replica)
                self._is_stale = True
            if self._thread.ident is None:
                self._thread.start()

    def leave(self, tp: TP) -> Replica | None:
        """Follow a partition no longer; the replica, which is the caller's from now on."""
        with self._lock:
            standby = self._standbys.pop(tp, None)
            self._is_stale = True
        return None if standby is None else standby.replica

    def progress(self) -> dict[TP, Following]:
        """How every standby stands."""
        found = {}
        for tp, standby in sorted(self._standbys.items()):
            replica = standby.replica
            rows = 0 if replica is None else sum(replica.state.sizes().values())
            found[tp] = Following(rows, standby.lag)
        return found

    def stop(self) -> None:
        """End the thread; replicas stay open."""
        self._is_over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        consumer = Consumer(
            {
                **for_confluent(self._brokers),
                "group.id": GROUP,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.queue.backoff.ms": 5,
                "queued.max.messages.kbytes": QUEUED_KBYTES,
            }
        )
        while not self._is_over.is_set():
            try:
                self._turn(consumer)
            except Exception as error:  # noqa: BLE001  (the worker's own partitions go on)
                log.warning("standbys begin again", why=f"{type(error).__name__}: {error}")
                self._is_stale = True
                self._is_over.wait(FIRST_PAUSE_SECONDS)
        consumer.close()

    def _turn(self, consumer: Consumer) -> None:
        """Read a batch, and apply it unless what is followed has changed meanwhile: then every
        partition is read anew from where its rows stand."""
        with self._lock:
            self._assign(consumer)
        asked = _now()  # the end may be some seconds older: a day is left for such things
        read: defaultdict[tuple[str | None, int | None], list[Message]] = defaultdict(list)
        for message in consumer.consume(BATCH, WAIT_SECONDS):
            read[message.topic(), message.partition()].append(message)
        with self._lock:
            if self._is_stale:
                return
            for tp in self._reading:
                place = changelog_of(tp.topic), tp.partition
                standby = self._standbys[tp]
                if place in read and standby.replica is not None:
                    _, end = consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
                    try:
                        standby.apply(standby.replica.state, read[place], end, asked)
                    except Exception as error:  # noqa: BLE001  (the others go on)
                        standby.fail(error)
                        self._is_stale = True

    def _assign(self, consumer: Consumer) -> None:
        """Read what is followed and not paused, from where it stands, if that is not being done."""
        now = time.monotonic()
        due = {tp for tp, standby in self._standbys.items() if standby.due <= now}
        is_fresh = now - self._read_since < REFRESH_SECONDS
        if due == self._reading and is_fresh and not self._is_stale:
            return
        places = []
        for tp in sorted(due):
            try:
                places.append(self._standbys[tp].open())
            except Exception as error:  # noqa: BLE001  (the others go on)
                self._standbys[tp].fail(error)
                due.remove(tp)
        consumer.assign(places)
        self._reading, self._read_since, self._is_stale = due, now, False


def _now() -> int:
    return time.time_ns() // 1_000_000
