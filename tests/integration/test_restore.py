"""Restores from a real changelog: from the beginning, of the tail only, and after whatever befell
the local rows; the state is the same in all cases."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from msgspec import Struct

from connectors.log_id import log_id_of
from connectors.rocksdb import LocalStateDamagedError
from connectors.stack.local import LocalStack
from schemas.topics import DAY_MS, changelog_of
from streams.engine import disk
from streams.engine.checkpoint import checkpoint, transactional_producer
from streams.engine.disk import DiskStores
from streams.engine.restore import Ends, Progress, restore
from streams.engine.rows import Snapshot, in_memory
from streams.engine.state import State

ROWS = 300


class Row(Struct, frozen=True, array_like=True):
    """A row of these tests."""

    n: int
    text: str = ""


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Kafka."""
    with LocalStack(tmp_path_factory.mktemp("stack"), fresh=True, parts=("kafka",)) as stack:
        yield stack.addresses.kafka


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> mock.Mock:
    """What is logged."""
    logged = mock.Mock()
    monkeypatch.setattr(disk, "log", logged)
    return logged


class Worker:
    """Owns partition 0 of a stage, from `open` to `close`; its rows are in `directory`, if any."""

    def __init__(self, brokers: str, topic: str, directory: Path | None) -> None:
        self.directory = directory
        self.topic = topic
        self.brokers = brokers
        self.open_rows = in_memory if directory is None else DiskStores(directory, brokers)

    def open(self) -> Progress:
        self.producer = transactional_producer(self.brokers, "test", self.topic, 0)
        self.state = State(self.open_rows(self.topic, 0))
        self.table = self.state.table("one", Row)
        self.group = self.state.group_table("many", Row)
        progress = Progress()
        with closing(Ends(self.brokers)) as ends:
            restore(ends, self.topic, 0, self.state, progress)
        return progress

    def process(self, number: int) -> None:
        """A batch: it changes rows of the last one, adds some and removes some."""
        for n in range(number, number + ROWS):
            self.table.put(f"e{n}", Row(number, f"{n:x}" * 20))
            self.group.put("e", f"s{n}", Row(number))
        self.table.delete(f"e{number - 1}")
        self.group.delete("e", f"s{number - 1}")
        checkpoint(self.producer, self.topic, 0, self.state, (), number)

    def rows(self) -> dict[str, Row]:
        singles = {f"e{n}": self.table.get(f"e{n}") for n in range(2 * ROWS)}
        there = {key: row for key, row in singles.items() if row is not None}
        assert self.state.sizes() == {"one": len(there), "many": len(list(self.group.scan("e")))}
        return {**there, **dict(self.group.scan("e"))}

    def path(self) -> Path:
        assert self.directory is not None
        return self.directory / self.topic / "0"


BATCH_RECORDS = 2 * ROWS + 2 + 1


@pytest.fixture
def topic(brokers: str) -> str:
    """A topic of these tests, with its changelog."""
    topic = f"test-{uuid.uuid4().hex[:8]}"
    new = NewTopic(changelog_of(topic), 1, 1, config={"cleanup.policy": "compact"})
    admin = AdminClient({"bootstrap.servers": brokers})
    admin.create_topics([new])[new.topic].result(30)
    return topic


@pytest.fixture
def worker(brokers: str, topic: str, tmp_path: Path) -> Worker:
    """A worker with its rows on disk, which did two batches and ended."""
    worker = Worker(brokers, topic, tmp_path)
    assert worker.open() == Progress(rows=0, percent=100.0)
    worker.process(1)
    worker.process(2)
    worker.state.close()
    return worker


def from_the_beginning(worker: Worker) -> dict[str, Row]:
    """What a worker that has nothing restores."""
    other = Worker(worker.brokers, worker.topic, None)
    assert other.open().rows > 0
    assert other.state.position == worker.state.position
    return other.rows()


def test_nothing_is_read_when_nothing_is_new(worker: Worker) -> None:
    assert worker.open() == Progress(rows=0, percent=100.0)
    assert worker.state.position == 2
    assert worker.rows() == from_the_beginning(worker)


def test_only_the_tail_is_read(worker: Worker) -> None:
    """Another worker did a batch meanwhile; and this one goes on."""
    other = Worker(worker.brokers, worker.topic, None)
    assert other.open().rows == 2 * BATCH_RECORDS
    other.process(3)
    assert worker.open() == Progress(rows=BATCH_RECORDS, percent=100.0)
    assert worker.rows() == other.rows()
    worker.process(4)
    worker.state.close()
    assert worker.open().rows == 0
    assert worker.state.position == 4
    assert worker.rows() == from_the_beginning(worker)


def test_a_crash_between_commit_and_disk_loses_nothing(worker: Worker) -> None:
    worker.open()
    with (
        mock.patch.object(worker.state, "commit", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        worker.process(3)
    worker.state.close()
    assert worker.open().rows == BATCH_RECORDS
    assert worker.state.position == 3
    assert worker.rows() == from_the_beginning(worker)


def interrupt(worker: Worker) -> None:
    """Die after the first hundred records of a restore."""
    with (
        mock.patch("streams.engine.restore.BATCH", 100),
        mock.patch.object(Progress, "__setattr__", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        worker.open()
    worker.state.close()


def test_rows_are_as_old_as_the_last_restore_that_reached_the_end(worker: Worker) -> None:
    store = worker.open_rows(worker.topic, 0)
    assert store.snapshot is not None
    old = Snapshot(2, store.snapshot.changelog_offset, store.snapshot.at - 5 * DAY_MS)
    store.commit(old)
    store.close()
    other = Worker(worker.brokers, worker.topic, None)
    other.open()
    other.process(3)
    interrupt(worker)
    assert worker.state.snapshot is not None
    assert worker.state.snapshot.at == old.at
    began = time.time_ns() // 1_000_000
    assert worker.open().rows == BATCH_RECORDS - 100
    assert worker.state.snapshot.at >= began
    worker.state.close()
    assert worker.open().rows == 0


def test_an_interrupted_restore_goes_on(worker: Worker, log: mock.Mock) -> None:
    shutil.rmtree(worker.path())
    interrupt(worker)
    assert worker.open().rows == 2 * BATCH_RECORDS - 100
    assert worker.rows() == from_the_beginning(worker)
    assert log.warning.call_args_list == []


def test_a_deleted_directory_is_rebuilt(worker: Worker) -> None:
    shutil.rmtree(worker.path())
    assert worker.open().rows == 2 * BATCH_RECORDS
    assert worker.rows() == from_the_beginning(worker)


def test_rows_of_another_kafka_are_rebuilt(worker: Worker, log: mock.Mock) -> None:
    with mock.patch.object(disk, "log_id_of", return_value="other"):
        other = Worker(worker.brokers, worker.topic, worker.directory)
        other.open()
        other.state.close()
    assert "another Kafka" in log.warning.call_args.kwargs["why"]
    log.reset_mock()
    assert worker.open().rows == 2 * BATCH_RECORDS
    assert f"this is {log_id_of(worker.brokers)}" in log.warning.call_args.kwargs["why"]
    assert worker.rows() == from_the_beginning(worker)


def test_rows_beyond_the_changelog_are_rebuilt(worker: Worker, log: mock.Mock) -> None:
    store = worker.open_rows(worker.topic, 0)
    assert store.snapshot is not None
    store.commit(Snapshot(2, store.snapshot.changelog_offset + 100, store.snapshot.at))
    store.close()
    progress = worker.open()
    assert "does not have the offset" in log.warning.call_args.kwargs["why"]
    assert progress.rows == 2 * BATCH_RECORDS
    assert worker.rows() == from_the_beginning(worker)


def test_a_flipped_bit_in_a_table_file_ends_the_worker_and_is_rebuilt(
    worker: Worker, log: mock.Mock
) -> None:
    (path,) = worker.path().glob("*.sst")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    worker.open()
    with pytest.raises(LocalStateDamagedError, match="checksum"):
        worker.rows()
    worker.state.close()
    assert worker.open().rows == 2 * BATCH_RECORDS
    assert "found damaged before" in log.warning.call_args.kwargs["why"]
    assert worker.rows() == from_the_beginning(worker)


def test_damage_that_a_restore_meets_is_rebuilt(worker: Worker, log: mock.Mock) -> None:
    (path,) = worker.path().glob("*.sst")
    content = bytearray(path.read_bytes())
    for eighth in range(1, 8):
        content[len(content) * eighth // 8] ^= 1
    path.write_bytes(content)
    other = Worker(worker.brokers, worker.topic, None)
    other.open()
    other.process(3)
    assert worker.open().rows == 3 * BATCH_RECORDS
    assert "checksum" in log.warning.call_args.kwargs["why"]
    assert worker.rows() == from_the_beginning(worker)
