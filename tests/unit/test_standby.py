"""What follows a partition: a prefix of its changelog, where it stands, and what befalls it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition
from faust.types import TP
from msgspec import Struct

from connectors.records import Record
from connectors.rocksdb import LocalStateDamagedError, LocalStateError
from schemas.topics import DAY_MS, Topic
from streams.engine import disk, rows, standby
from streams.engine import stage as stage_module
from streams.engine import state as state_module
from streams.engine.disk import DiskStores
from streams.engine.outbox import Outbox
from streams.engine.replica import Fold, Replica
from streams.engine.rows import MemoryStore, Snapshot
from streams.engine.stage import Stage
from streams.engine.standby import Follower, Following
from streams.engine.state import State, StateFormatError

PLACE, OTHER = TP("posts", 2), TP("posts", 3)
PLACE_OF_LOG = TP("changelog.posts", 2)


class Row(Struct, frozen=True, array_like=True):
    """A row."""

    n: int


class NoFold(Fold):
    """Declares a table."""

    def __init__(self, state: State, _outbox: Outbox) -> None:
        self.table = state.table("row", Row)

    def apply(self, record: Record) -> None:
        raise AssertionError(f"nothing is folded here, not {record}")


class Message:
    """A record of a changelog, or an error in its place."""

    def __init__(
        self,
        tp: TP,
        offset: int,
        key: bytes | None = None,
        value: bytes | None = None,
        fault: int = 0,
    ) -> None:
        self._place = f"changelog.{tp.topic}", tp.partition
        self._offset, self._key, self._value, self._fault = offset, key, value, fault

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def error(self) -> KafkaError | None:
        return KafkaError(self._fault) if self._fault else None


class Kafka:
    """Changelogs, and the one consumer that reads them."""

    def __init__(self) -> None:
        self.logs: dict[TP, dict[int, tuple[bytes, bytes | None]]] = {PLACE: {}, OTHER: {}}
        self.ends = {PLACE: 0, OTHER: 0}
        self.first = {PLACE: 0, OTHER: 0}
        self.assigned: list[dict[TP, int]] = []
        self.faults: list[Message | Exception] = []
        self.read = 0
        self._at: dict[TP, int] = {}
        self._told: set[TP] = set()

    def commit(self, tp: TP, **changed: int | None) -> None:
        """A transaction: rows, a position, and the marker."""
        for name, n in changed.items():
            value = None if n is None else b"\x91" + bytes([n])
            self._write(tp, f"row\0{name}".encode(), value)
        self._write(tp, *State.position_change(self.ends[tp]))
        self.ends[tp] += 1

    def _write(self, tp: TP, key: bytes, value: bytes | None) -> None:
        self.logs[tp][self.ends[tp]] = key, value
        self.ends[tp] += 1

    # As confluent-kafka's consumer

    def assign(self, places: list[TopicPartition]) -> None:
        self._told.clear()
        self._at = {}
        for place in places:
            tp = TP(place.topic.removeprefix("changelog."), place.partition)
            self._at[tp] = self.first[tp] if place.offset == OFFSET_BEGINNING else place.offset
        self.assigned.append({TP(p.topic, p.partition): p.offset for p in places})

    def consume(self, most: int, _timeout: float) -> list[Message]:
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, Exception):
                raise fault
            return [fault]
        found = []
        for tp, at in self._at.items():
            if not self.first[tp] <= at <= self.ends[tp]:
                found.append(Message(tp, at, fault=KafkaError._AUTO_OFFSET_RESET))
                continue
            offsets = [n for n in sorted(self.logs[tp]) if n >= at][: most - len(found)]
            found += [Message(tp, n, *self.logs[tp][n]) for n in offsets]
            self.read += len(offsets)
            is_whole = not [n for n in self.logs[tp] if n > max([at - 1, *offsets])]
            self._at[tp] = self.ends[tp] if is_whole else offsets[-1] + 1
            if is_whole and (offsets or tp not in self._told):
                found.append(Message(tp, self.ends[tp], fault=KafkaError._PARTITION_EOF))
                self._told.add(tp)
        return found

    def get_watermark_offsets(self, place: TopicPartition, *, cached: bool) -> tuple[int, int]:
        assert cached
        tp = TP(place.topic.removeprefix("changelog."), place.partition)
        return self.first[tp], self.ends[tp]

    def close(self) -> None:
        """Nothing to do."""


class Bench:
    """A follower of which each turn is taken by hand, and a clock that stands."""

    def __init__(self) -> None:
        self.kafka = Kafka()
        self.follower = Follower("")
        self.follower._thread = mock.Mock(ident=1)
        self.made: list[Replica] = []

    def make(self) -> Replica:
        self.made.append(Replica(MemoryStore(), NoFold, 1))
        return self.made[-1]

    def follow(self, tp: TP = PLACE, replica: Replica | None = None) -> None:
        self.follower.follow(tp, self.make, replica)

    def turn(self) -> None:
        self.follower._turn(self.kafka)  # type: ignore[arg-type]

    def state(self, tp: TP = PLACE) -> State:
        replica = self.follower._standbys[tp].replica
        assert replica is not None
        return replica.state

    def rows(self, tp: TP = PLACE) -> dict[str, int]:
        return rows_of(self.state(tp))


def rows_of(state: State) -> dict[str, int]:
    table: Any = state._tables["row"]
    return {name: row.n for name in "abcdefgh" if (row := table.get(name)) is not None}


class Clock:
    """Wall time in ms and a monotonic time, moved by hand."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def pass_(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    time = SimpleNamespace(monotonic=lambda: clock.ms / 1000, time_ns=lambda: clock.ms * 1_000_000)
    for module in (standby, rows, state_module):
        monkeypatch.setattr(module, "time", time)
    return clock


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> mock.Mock:
    log = mock.Mock()
    monkeypatch.setattr(standby, "log", log)
    return log


def test_a_changelog_is_followed_from_its_beginning_on() -> None:
    bench = Bench()
    bench.kafka.commit(PLACE, a=1, b=2)
    bench.follow()
    assert bench.follower.progress() == {PLACE: Following(0, None)}
    bench.turn()
    assert bench.rows() == {"a": 1, "b": 2}
    bench.kafka.commit(PLACE, a=3, b=None, c=4)
    bench.turn()
    bench.turn()
    assert bench.rows() == {"a": 3, "c": 4}
    assert bench.state().position == 7
    assert bench.follower.progress() == {PLACE: Following(2, 0)}
    assert bench.kafka.read == 7, "each record once"
    assert len(bench.kafka.assigned) == 1


def test_it_stands_behind_what_it_has_applied_and_no_further(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """In the middle of a transaction too: who takes over restores from just there."""
    monkeypatch.setattr(standby, "BATCH", 2)
    bench = Bench()
    bench.kafka.commit(PLACE, a=1, b=2, c=3)
    began = clock.ms
    bench.follow()
    for applied, lag in ((2, 3), (4, 0)):
        bench.turn()
        clock.pass_(60)
        assert bench.state().snapshot == Snapshot(None if applied < 4 else 3, applied, mock.ANY)
        assert bench.follower.progress()[PLACE].lag == lag
    at = bench.state().snapshot
    assert at is not None
    assert at.at == began + 60_000, "at the end: when it was asked for"


def test_rows_are_as_old_as_the_last_time_at_the_end(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(standby, "BATCH", 1)
    bench = Bench()
    bench.kafka.commit(PLACE, a=1, b=2, c=3)
    began = clock.ms
    bench.follow()
    for _ in range(3):
        bench.turn()
        clock.pass_(1)
        snapshot = bench.state().snapshot
        assert snapshot is not None
        assert snapshot.at == began, "reading began then"


def test_who_stands_at_the_end_is_told_so_every_hour(clock: Clock) -> None:
    bench = Bench()
    bench.kafka.commit(PLACE, a=1)
    bench.follow()
    for _ in range(24 * 30):
        bench.turn()
        clock.pass_(3601)
    snapshot = bench.state().snapshot
    assert snapshot is not None
    assert clock.ms - snapshot.at <= 2 * 3601_000
    assert len(bench.made) == 1
    assert bench.kafka.read == 2, "nothing is read again"


def test_rows_that_stood_still_for_too_long_are_given_up(clock: Clock, log: mock.Mock) -> None:
    """The process slept, say, and deletions may be gone from the changelog."""
    bench = Bench()
    bench.kafka.commit(PLACE, a=1, b=2)
    bench.follow()
    bench.turn()
    clock.pass_(7 * DAY_MS / 1000)
    bench.kafka.commit(PLACE, c=3)
    del bench.kafka.logs[PLACE][0]
    bench.turn()
    assert bench.rows() == {}
    assert "7 days old" in log.warning.call_args.kwargs["why"]
    clock.pass_(1)
    bench.turn()
    assert bench.rows() == {"b": 2, "c": 3}


def test_a_partition_that_was_owned_keeps_its_rows() -> None:
    bench = Bench()
    bench.kafka.commit(PLACE, a=1)
    bench.kafka.commit(PLACE, b=2)
    replica = Replica(MemoryStore(), NoFold, 1)
    replica.state.restore({b"row\0a": b"\x91\x01"}, 2, bench_now())
    bench.follow(replica=replica)
    bench.turn()
    assert bench.kafka.assigned == [{PLACE_OF_LOG: 2}]
    assert bench.rows() == {"a": 1, "b": 2}
    assert (bench.made, bench.kafka.read) == ([], 2)


def bench_now() -> int:
    return standby.time.time_ns() // 1_000_000


def test_what_was_read_for_another_assignment_is_dropped() -> None:
    """Between two reads a partition was given up and followed again, by other rows."""
    bench = Bench()
    bench.kafka.commit(PLACE, a=1)
    bench.kafka.commit(OTHER, a=1)
    bench.follow()
    bench.follow(OTHER)
    bench.turn()
    bench.kafka.commit(PLACE, b=2)
    bench.kafka.commit(OTHER, b=2)
    consume = bench.kafka.consume

    def change(most: int, timeout: float) -> list[Message]:
        found = consume(most, timeout)
        bench.follower.leave(PLACE)
        bench.follow()
        return found

    with mock.patch.object(bench.kafka, "consume", change):
        bench.turn()
    assert bench.rows(OTHER) == {"a": 1}
    bench.turn()
    assert bench.rows() == bench.rows(OTHER) == {"a": 1, "b": 2}


def test_who_leaves_takes_the_rows_along() -> None:
    bench = Bench()
    bench.kafka.commit(PLACE, a=1)
    bench.follow()
    bench.turn()
    replica = bench.follower.leave(PLACE)
    assert replica is bench.made[0]
    bench.kafka.commit(PLACE, a=2)
    bench.turn()
    assert rows_of(replica.state) == {"a": 1}
    assert bench.follower.progress() == {}
    assert bench.follower.leave(PLACE) is None
    assert bench.kafka.assigned[-1] == {}


@pytest.mark.parametrize(
    ("fault", "is_lost"),
    [
        pytest.param(LocalStateDamagedError("a bad block"), True, id="damage"),
        pytest.param(StateFormatError("format 9"), True, id="another version"),
        pytest.param(ZeroDivisionError("a defect"), True, id="whatever it is"),
        pytest.param(KafkaException(KafkaError(KafkaError._TRANSPORT)), False, id="Kafka"),
    ],
)
def test_what_fails_begins_again_after_a_pause_and_the_others_go_on(
    fault: Exception, is_lost: bool, clock: Clock, log: mock.Mock
) -> None:
    bench = Bench()
    bench.kafka.commit(PLACE, a=1)
    bench.kafka.commit(OTHER, a=1)
    bench.follow()
    bench.follow(OTHER)
    bench.turn()
    bench.kafka.commit(PLACE, b=2)
    bench.kafka.commit(OTHER, b=2)
    with mock.patch.object(bench.state(), "restore", side_effect=fault):
        bench.turn()
    assert bench.rows() == ({} if is_lost else {"a": 1})
    assert bench.rows(OTHER) == {"a": 1, "b": 2}
    assert bench.follower.progress()[PLACE].lag is None
    assert str(fault) in log.warning.call_args.kwargs["why"]
    bench.turn()
    assert bench.rows() == ({} if is_lost else {"a": 1}), "it pauses"
    clock.pass_(standby.FIRST_PAUSE_SECONDS)
    bench.turn()
    assert bench.rows() == bench.rows(OTHER) == {"a": 1, "b": 2}
    assert len(bench.made) == 2


def test_pauses_grow_and_are_bounded(clock: Clock, log: mock.Mock) -> None:
    bench = Bench()
    bench.follow()
    with mock.patch.object(bench, "make", side_effect=LocalStateError("the disk is full")) as make:
        bench.follower._standbys[PLACE]._make = make
        for _ in range(12):
            bench.turn()
            clock.pass_(standby.LONGEST_PAUSE_SECONDS)
    pauses = [call.kwargs["pause_seconds"] for call in log.warning.call_args_list]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    bench.follower._standbys[PLACE]._make = bench.make
    bench.kafka.commit(PLACE, a=1)
    bench.turn()
    assert bench.rows() == {"a": 1}
    with mock.patch.object(bench.state(), "restore", side_effect=LocalStateError("full again")):
        bench.kafka.commit(PLACE, a=2)
        bench.turn()
    assert log.warning.call_args.kwargs["pause_seconds"] == 1, "what went well counts"


def test_rows_that_cannot_be_discarded_are_made_anew() -> None:
    bench = Bench()
    bench.kafka.commit(PLACE, a=1)
    bench.follow()
    bench.turn()
    bench.kafka.commit(PLACE, b=2)
    state = bench.state()
    with (
        mock.patch.object(state, "restore", side_effect=LocalStateError("full")),
        mock.patch.object(state, "discard", side_effect=LocalStateError("full")),
        mock.patch.object(state, "close") as close,
    ):
        bench.turn()
    close.assert_called_once_with()
    assert bench.follower.leave(PLACE) is None, "they are nobody's"
    bench.follow()
    bench.turn()
    assert bench.rows() == {"a": 1, "b": 2}


def test_an_offset_that_is_gone_begins_anew(clock: Clock, log: mock.Mock) -> None:
    bench = Bench()
    bench.kafka.commit(PLACE, a=1)
    replica = Replica(MemoryStore(), NoFold, 1)
    replica.state.restore({b"row\0h": b"\x91\x01"}, 99, bench_now())
    bench.follow(replica=replica)
    bench.turn()
    assert "does not have the offset" in log.warning.call_args.kwargs["why"]
    clock.pass_(1)
    bench.turn()
    assert bench.rows() == {"a": 1}


def test_a_changelog_that_cannot_be_read_is_read_on_later(clock: Clock, log: mock.Mock) -> None:
    bench = Bench()
    bench.kafka.commit(PLACE, a=1)
    bench.follow()
    bench.turn()
    bench.kafka.faults.append(Message(PLACE, 3, fault=KafkaError.TOPIC_AUTHORIZATION_FAILED))
    bench.turn()
    log.warning.assert_called_once()
    bench.kafka.commit(PLACE, b=2)
    clock.pass_(1)
    bench.turn()
    assert bench.rows() == {"a": 1, "b": 2}
    assert bench.kafka.assigned[-1] == {PLACE_OF_LOG: 2}


def test_a_consumer_that_fails_does_not_end_it(
    monkeypatch: pytest.MonkeyPatch, log: mock.Mock
) -> None:
    """In its own thread, from the first partition on until the end."""
    bench = Bench()
    bench.kafka.commit(PLACE, a=1)
    bench.kafka.faults.append(KafkaException(KafkaError(KafkaError._FAIL)))
    monkeypatch.setattr(standby, "Consumer", lambda _: bench.kafka)
    monkeypatch.setattr(standby, "FIRST_PAUSE_SECONDS", 0.01)
    follower = Follower("")
    done = threading.Event()
    turn = follower._turn

    def count(consumer: Any) -> None:
        turn(consumer)
        done.set()

    monkeypatch.setattr(follower, "_turn", count)
    follower.follow(PLACE, bench.make, None)
    assert done.wait(5)
    follower.stop()
    assert not follower._thread.is_alive()
    log.warning.assert_called_once()
    assert rows_of(bench.made[0].state) == {"a": 1}
    replica = follower.leave(PLACE)
    assert replica is bench.made[0]


def test_one_who_follows_nothing_has_no_thread() -> None:
    follower = Follower("")
    follower.stop()
    assert follower._thread.ident is None


class Workplace:
    """A stage whose follower takes its turns by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path | None) -> None:
        self.bench = Bench()
        self.restored: list[tuple[dict[str, int], Snapshot | None]] = []
        monkeypatch.setattr(stage_module, "transactional_producer", lambda *_: mock.Mock())
        monkeypatch.setattr(stage_module, "restore", self._restore)
        monkeypatch.setattr(stage_module, "log", mock.Mock())
        monkeypatch.setattr(disk, "log_id_of", lambda _: "kafka")
        more: dict[str, Any] = {}
        if directory is not None:
            more = {"open_rows": DiskStores(directory, "")}
        self.stage = Stage(
            Topic.POSTS,
            NoFold,
            app_id="app",
            brokers="",
            partitions=1,
            pool=ThreadPoolExecutor(2),
            follower=self.bench.follower,
            **more,
        )

    def _restore(self, *given: Any) -> None:
        state: State = given[3]
        self.restored.append((rows_of(state), state.snapshot))

    def commit(self, **changed: int) -> None:
        """A batch of the owner."""
        owned = self.stage._owned[2]
        fold: Any = owned.fold
        for name, n in changed.items():
            fold.table.put(name, Row(n))
        self.bench.kafka.commit(PLACE, **changed)
        end = self.bench.kafka.ends[PLACE] - 1
        owned.state.commit(end - 1, end)


@pytest.fixture(params=["memory", "rocksdb"])
def workplace(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Workplace]:
    workplace = Workplace(monkeypatch, tmp_path if request.param == "rocksdb" else None)
    yield workplace
    asyncio.run(workplace.stage.close(2))
    workplace.stage._pool.shutdown()


def test_a_takeover_goes_on_where_the_standby_stands(workplace: Workplace) -> None:
    stage, bench = workplace.stage, workplace.bench
    bench.kafka.commit(PLACE, a=1, b=2)
    asyncio.run(stage.follow(2))
    asyncio.run(stage.follow(2))
    bench.turn()
    bench.kafka.commit(PLACE, c=3)
    assert stage.followed == {2: Following(2, 0)}
    assert asyncio.run(stage.open(2)) == 2
    assert workplace.restored == [({"a": 1, "b": 2}, Snapshot(2, 3, mock.ANY))]
    assert (stage.owned, stage.followed, stage.rows()) == ([2], {}, {"row": 2})
    bench.turn()
    assert bench.kafka.read == 3, "it is followed no longer"


def test_who_loses_a_partition_follows_it_with_its_rows(workplace: Workplace) -> None:
    stage, bench = workplace.stage, workplace.bench
    asyncio.run(stage.open(2))
    workplace.commit(a=1, b=2)
    asyncio.run(stage.follow(2))
    assert (stage.owned, stage.rows(), stage.restores) == ([], {}, {})
    bench.kafka.commit(PLACE, b=3)
    bench.turn()
    assert bench.kafka.assigned == [{PLACE_OF_LOG: 3}]
    assert bench.rows() == {"a": 1, "b": 3}
    asyncio.run(stage.open(2))
    assert workplace.restored[-1] == ({"a": 1, "b": 3}, Snapshot(5, 6, mock.ANY))
    workplace.commit(d=4)
    assert stage.rows() == {"row": 3}
    assert stage.owned == [2]


def test_who_is_no_standby_any_more_closes_the_rows(workplace: Workplace) -> None:
    stage, bench = workplace.stage, workplace.bench
    bench.kafka.commit(PLACE, a=1)
    asyncio.run(stage.follow(2))
    bench.turn()
    with mock.patch.object(bench.state(), "close", wraps=bench.state().close) as close:
        asyncio.run(stage.close(2))
        close.assert_called_once_with()
    assert stage.followed == {}
    asyncio.run(stage.close(2))


def test_rows_that_are_followed_are_those_of_one_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Owned, followed, and owned again, it is open once."""
    workplace = Workplace(monkeypatch, tmp_path)
    with mock.patch("streams.engine.disk.Database", wraps=disk.Database) as opened:
        asyncio.run(workplace.stage.follow(2))
        workplace.bench.turn()
        asyncio.run(workplace.stage.open(2))
        workplace.commit(a=1)
        asyncio.run(workplace.stage.follow(2))
        workplace.bench.turn()
        asyncio.run(workplace.stage.open(2))
    assert opened.call_count == 1
    asyncio.run(workplace.stage.close(2))
    asyncio.run(workplace.stage.open(2))
    assert workplace.restored[-1][0] == {"a": 1}
    asyncio.run(workplace.stage.close(2))
    workplace.stage._pool.shutdown()
