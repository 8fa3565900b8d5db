"""Rows on disk: what is gone on with, what is discarded, and what a crash or damage leaves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest
from msgspec import Struct

from connectors import rocksdb
from connectors.rocksdb import Database, LocalStateDamagedError, LocalStateError
from schemas.formats import FORMAT
from streams.engine import disk, rows
from streams.engine.disk import DiskStore
from streams.engine.state import State

DAY_MS = 86_400_000
ENTITIES = 500


class Row(Struct, frozen=True, array_like=True):
    """A row of these tests."""

    n: int
    text: str = ""


class Bench:
    """A state on disk, with its identity."""

    def __init__(self, directory: Path, log_id: str = "log", partition: int = 3) -> None:
        self.state = State(DiskStore(directory, log_id, "topic", partition))
        self.table = self.state.table("one", Row)
        self.group = self.state.group_table("many", Row)

    def fill(self, position: int = 7) -> None:
        for n in range(ENTITIES):
            self.table.put(f"e{n}", Row(n, f"{n:x}" * 20))
            self.group.put("e", f"s{n}", Row(n, f"{n:o}" * 20))
        self.state.commit(position, position * 10)

    def rows(self) -> tuple[list[Row | None], dict[str, Row]]:
        return [self.table.get(f"e{n}") for n in range(ENTITIES)], dict(self.group.scan("e"))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> mock.Mock:
    """What is logged."""
    logged = mock.Mock()
    monkeypatch.setattr(disk, "log", logged)
    return logged


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rocksdb, "LOCK_SECONDS", 0.3)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a filled and closed state."""
    bench = Bench(tmp_path / "rows")
    bench.fill()
    bench.state.close()
    return tmp_path / "rows"


def why(log: mock.Mock) -> str:
    (call,) = log.warning.call_args_list
    assert call.args == ("local state discarded",)
    return str(call.kwargs["why"])


def assert_is_empty(bench: Bench) -> None:
    assert bench.state.snapshot is None
    assert bench.state.sizes() == {"one": 0, "many": 0}
    assert bench.rows() == ([None] * ENTITIES, {})


def test_a_state_is_gone_on_with(directory: Path, log: mock.Mock) -> None:
    bench = Bench(directory)
    assert log.warning.call_args_list == []
    assert bench.state.snapshot is not None
    assert (bench.state.position, bench.state.snapshot.changelog_offset) == (7, 70)
    assert bench.state.sizes() == {"one": ENTITIES, "many": ENTITIES}
    singles, group = bench.rows()
    assert [row.n for row in singles if row] == list(range(ENTITIES))
    assert len(group) == ENTITIES


def test_what_was_opened_and_never_written_to_is_new(tmp_path: Path, log: mock.Mock) -> None:
    for _ in range(2):
        bench = Bench(tmp_path / "rows")
        assert_is_empty(bench)
        bench.state.close()
    bench = Bench(tmp_path / "rows")
    bench.fill()
    bench.state.close()
    assert Bench(tmp_path / "rows").state.position == 7
    assert log.warning.call_args_list == []


@pytest.mark.parametrize(
    ("log_id", "partition", "reason"),
    [("other", 3, "another Kafka"), ("log", 4, "it is of topic/3")],
)
def test_a_foreign_state_is_discarded(
    directory: Path, log: mock.Mock, log_id: str, partition: int, reason: str
) -> None:
    assert_is_empty(Bench(directory, log_id, partition))
    assert reason in why(log)


def test_a_state_of_another_format_is_discarded(
    directory: Path, log: mock.Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "FORMAT", FORMAT + 1)
    assert_is_empty(Bench(directory))
    assert why(log) == f"it is of format {FORMAT}, this is {FORMAT + 1}"


@pytest.mark.parametrize(
    ("days", "is_kept"), [(5.9, True), (6.1, False), (-5.9, True), (-6.1, False)]
)
def test_a_state_that_was_away_too_long_is_discarded(
    directory: Path, log: mock.Mock, monkeypatch: pytest.MonkeyPatch, days: float, is_kept: bool
) -> None:
    now = time.time_ns() + int(days * DAY_MS) * 1_000_000
    monkeypatch.setattr(rows, "time", mock.Mock(time_ns=lambda: now))
    bench = Bench(directory)
    assert (bench.state.snapshot is not None) == is_kept
    if not is_kept:
        assert "days old" in why(log)


def test_a_restore_does_not_make_rows_younger(directory: Path, log: mock.Mock) -> None:
    """Deletions that were in the changelog when the rows were written may go before the end."""
    bench = Bench(directory)
    long_ago = time.time_ns() // 1_000_000 - 7 * DAY_MS
    bench.state.restore({}, 80, long_ago)
    bench.state.close()
    assert_is_empty(Bench(directory))
    assert "7 days old" in why(log)


@pytest.mark.parametrize("snapshot", [None, b"", b"\xc1", msgspec.msgpack.encode([FORMAT, "log"])])
def test_a_state_without_its_snapshot_is_discarded(
    directory: Path, log: mock.Mock, snapshot: bytes | None
) -> None:
    database = Database(directory)
    database.write({b"\0snapshot": snapshot})
    database.close()
    assert_is_empty(Bench(directory))
    assert "snapshot" in why(log)


def tables(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.sst"))


def flip(path: Path, place: float, bit: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= bit
    path.write_bytes(content)


@pytest.mark.parametrize("place", [n / 16 for n in range(16)])
def test_a_flipped_bit_never_shows_as_a_row(directory: Path, log: mock.Mock, place: float) -> None:
    """Found at opening, it is discarded; found later, it ends the process and is then."""
    (path,) = tables(directory)
    expected = Bench(directory)
    rows = expected.rows()
    expected.state.close()
    (path,) = tables(directory)
    flip(path, place)

    bench = Bench(directory)
    if bench.state.snapshot is not None:
        try:
            assert bench.rows() == rows
        except LocalStateDamagedError:
            bench.state.close()
            bench = Bench(directory)
            assert "found damaged before: Corruption" in why(log)
        else:
            return  # it was in what no row needs
    assert_is_empty(bench)
    bench.fill()
    assert bench.rows() == rows


def test_most_flipped_bits_are_found(directory: Path) -> None:
    """The test above may pass a flip over, if nobody needs it; most must be found."""
    (path,) = tables(directory)
    flip(path, 0.4)
    with pytest.raises(LocalStateDamagedError, match="checksum"):
        Bench(directory).rows()


def test_a_scan_over_damage_is_no_shorter_scan(directory: Path) -> None:
    (path,) = tables(directory)
    for place in range(1, 9):
        flip(path, place / 10)
    bench = Bench(directory)
    with pytest.raises(LocalStateDamagedError):
        list(bench.group.scan("e"))


def test_a_row_of_another_shape_is_damage(directory: Path, log: mock.Mock) -> None:
    database = Database(directory)
    database.write({b"one\0e1": b"\x91\xa1x"})
    database.close()
    bench = Bench(directory)
    with pytest.raises(LocalStateDamagedError, match="a row of one"):
        bench.table.get("e1")
    bench.state.close()
    assert_is_empty(Bench(directory))
    assert "a row of one" in why(log)


@pytest.mark.parametrize("pattern", ["MANIFEST-*", "CURRENT"])
def test_a_damaged_list_of_files_is_discarded(
    directory: Path, log: mock.Mock, pattern: str
) -> None:
    (path,) = directory.glob(pattern)
    flip(path, 0.5)
    assert_is_empty(Bench(directory))
    assert why(log)


OPENER = """
import sys
from pathlib import Path
from tests.integration.test_disk_rows import Bench

print(Bench(Path(sys.argv[1])).state.snapshot)
"""


@pytest.mark.parametrize("pattern", ["MANIFEST-*", "*.log"])
def test_a_log_whose_reading_would_never_end_is_discarded(tmp_path: Path, pattern: str) -> None:
    """RocksDB takes the first record for one of a log that is used again, and does not get on;
    with the interpreter held, so it is another process that tries."""
    bench = Bench(tmp_path / "rows")
    bench.fill()
    killed = shutil.copytree(tmp_path / "rows", tmp_path / "killed")
    (log,) = killed.glob(pattern)
    content = bytearray(log.read_bytes())
    assert content[6] in (1, 2), "a whole record, or the first part of one"
    content[6] |= 4
    log.write_bytes(content)
    opened = subprocess.run(
        [sys.executable, "-c", OPENER, str(killed)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert opened.stdout.splitlines()[-1] == "None"
    assert "has no such record" in opened.stdout + opened.stderr


def test_databases_are_opened_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many that hold the interpreter at once, none lets the event loop run."""
    now = most = 0

    def open_slowly(*_: Any) -> mock.Mock:
        nonlocal now, most
        now += 1
        most = max(most, now)
        time.sleep(0.02)
        now -= 1
        return mock.Mock()

    monkeypatch.setattr(rocksdb, "Rdict", open_slowly)
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(Database, [tmp_path / str(n) for n in range(8)]))
    assert (len(opened), most) == (8, 1)


def test_databases_share_one_cache_after_a_restart_too(directory: Path) -> None:
    rocksdb._budget.cache_clear()  # Of the old one, the collector may free a part at any time.
    bench = Bench(directory)
    before = rocksdb._budget()[0].get_usage()
    bench.rows()
    (table,) = tables(directory)
    assert rocksdb._budget()[0].get_usage() - before > table.stat().st_size / 2


def test_a_want_of_files_is_no_damage(directory: Path, log: mock.Mock) -> None:
    error = Exception(f"IO error: While open a file: {directory}/LOCK: Too many open files")
    with (
        mock.patch.object(rocksdb, "Rdict", side_effect=error),
        pytest.raises(LocalStateError, match="Too many open files") as raised,
    ):
        Bench(directory)
    assert not isinstance(raised.value, LocalStateDamagedError)
    assert len(Bench(directory).rows()[1]) == ENTITIES
    assert log.warning.call_args_list == []


def test_a_missing_table_file_is_discarded(directory: Path, log: mock.Mock) -> None:
    (path,) = tables(directory)
    path.unlink()
    assert_is_empty(Bench(directory))
    assert why(log)


def test_two_do_not_share_a_directory(directory: Path, log: mock.Mock) -> None:
    """Another's open rows are waited for, never discarded."""
    one = Bench(directory)
    with pytest.raises(LocalStateError, match="another process") as raised:
        Bench(directory)
    assert not isinstance(raised.value, LocalStateDamagedError)
    assert len(one.rows()[1]) == ENTITIES
    assert log.warning.call_args_list == []


WRITER = """
import sys
from pathlib import Path
from tests.integration.test_disk_rows import Bench, Row

bench = Bench(Path(sys.argv[1]))
position = bench.state.position or 0
while True:
    position += 1
    for n in range(200):
        bench.table.put(f"e{n}", Row(position, "x" * 100))
    bench.group.put("positions", str(position), Row(position))
    bench.state.commit(position, position * 10)
    print(position, flush=True)
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[Any]]:
    """A process that commits one batch after the other, and says so."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "rows")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    with process:
        yield process
        process.kill()


@pytest.mark.parametrize("is_log_torn", [False, True])
def test_a_crash_leaves_the_first_batches(
    writer: subprocess.Popen[Any], tmp_path: Path, is_log_torn: bool
) -> None:
    """SIGKILL between or within batches; a torn log is what a machine that dies leaves."""
    assert writer.stdout is not None
    said = [int(next(writer.stdout)) for _ in range(30)][-1]
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    if is_log_torn:
        (path,) = (tmp_path / "rows").glob("*.log")
        os.truncate(path, path.stat().st_size * 2 // 3)
    bench = Bench(tmp_path / "rows")
    position = bench.state.position
    assert position is not None
    assert position < said if is_log_torn else position >= said
    assert {row.n for n in range(200) if (row := bench.table.get(f"e{n}"))} == {position}
    assert len(list(bench.group.scan("positions"))) == position
    assert bench.state.sizes() == {"one": 200, "many": position}
