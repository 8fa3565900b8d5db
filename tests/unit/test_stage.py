"""A stage's batches: what is refused, what fails, where a batch is cut and where it resumes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from typing import Any
from unittest import mock
from urllib.error import HTTPError

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException
from faust.types import TP
from msgspec import Struct

from connectors.batch import Batch
from connectors.owner import LeavingError
from connectors.records import Record
from connectors.rocksdb import LocalStateDamagedError, LocalStateError
from schemas.codec import UndecodableError
from schemas.dead_letters import DeadLetter
from schemas.topics import Topic
from streams.engine import stage as stage_module
from streams.engine.checkpoint import send
from streams.engine.dead_letters import dead_letter
from streams.engine.outbox import Header, Outbox, Output
from streams.engine.records import RejectedError
from streams.engine.replica import Fold
from streams.engine.stage import Stage
from streams.engine.state import State
from tests.unit.folds import NOW, record

LIMIT = 10


class Row(Struct, frozen=True, array_like=True):
    """How often a word was seen."""

    n: int


class WordFold(Fold):
    """Counts words; some words do something else."""

    def __init__(self, state: State, outbox: Outbox) -> None:
        self._words = state.table("word", Row)
        self._outbox = outbox
        self.damages: list[LocalStateDamagedError] = []
        self.limits: list[int] = []

    @property
    def backlog(self) -> int:
        row = self._words._committed.get("later")
        return row.n if row else 0

    def work(self, limit: int) -> int:
        """A word that was put off is sent."""
        self.limits.append(limit)
        left = self.seen("later")
        if not limit or not left:
            return 0
        self._words.put("later", Row(left - 1))
        self._outbox.route(Topic.BY_USER, "later", str(left).encode())
        self._outbox.push("p", "u:later", left, ["a", "b"])
        return 1

    def apply(self, record: Record) -> None:
        word = record.value.decode()
        if word == "rejected":
            raise RejectedError("too_large", "no")
        if word == "undecodable":
            raise UndecodableError("not_avro", "no")
        if word == "unreadable":
            raise LocalStateError("the disk is full")
        if word == "damaged" and self.damages:
            raise self.damages.pop()
        self._words.put(word, Row(self.seen(word) + 1))
        self._words.put("last", Row(record.offset))
        self._outbox.route(Topic.BY_POST, word, record.value)
        if word == "late":
            self._words.put("later", Row(self.seen("later") + 3))
        if word == "broken":
            raise ZeroDivisionError("a fault in the fold")
        if word == "coded":
            raise HTTPError("", 404, "not there", Message(), None)
        if word.startswith("many"):
            self._outbox.push("p", "u:a", 1, [f"user{n}" for n in range(int(word[4:]))])

    def seen(self, word: str) -> int:
        row = self._words.get(word)
        return row.n if row else 0


class Producer:
    """A transactional producer that keeps what it commits, one list per transaction."""

    def __init__(self) -> None:
        self.committed: list[list[tuple[Any, ...]]] = []
        self.faults: list[KafkaException] = []
        self._open: list[tuple[Any, ...]] | None = None
        self._told: list[tuple[int, Callable[..., None]]] = []
        self._written = 0

    def begin_transaction(self) -> None:
        assert self._open is None
        self._open = []

    def produce(
        self, *arguments: Any, headers: Any = (), on_delivery: Callable[..., None] | None = None
    ) -> None:
        assert self._open is not None
        if on_delivery is not None:
            self._told.append((self._written, on_delivery))
        self._open.append((*arguments, list(headers)))
        self._written += 1

    def commit_transaction(self, _timeout: float) -> None:
        assert self._open is not None
        if self.faults:
            raise self.faults.pop(0)
        self.committed.append(self._open)
        self._open = None
        for offset, tell in self._told:
            tell(None, mock.Mock(offset=lambda offset=offset: offset))
        self._told.clear()


class Bench:
    """A stage of one partition with its producer."""

    def __init__(self) -> None:
        self.stage = Stage(
            Topic.POSTS,
            WordFold,
            app_id="app",
            brokers="",
            partitions=1,
            pool=mock.create_autospec(ThreadPoolExecutor, instance=True),
        )
        self.owned = self.stage._owned[2] = stage_module._Owned(self.stage, 2)
        assert isinstance(self.owned.producer, Producer)
        self.producer = self.owned.producer

    def process(self, *words: str, start: int = 0, step: int = 1, end: int | None = None) -> None:
        """Process a batch of words from an offset on."""
        records = [
            record(
                word.encode(),
                topic="posts",
                partition=2,
                offset=start + number * step,
                timestamp=NOW + number,
                key=b"k",
            )
            for number, word in enumerate(words)
        ]
        if end is None:
            end = records[-1].offset + 1 if records else self.owned.state.position or 0
        self.stage._process(Batch(TP("posts", 2), records, end))

    def seen(self, word: str) -> int:
        fold = self.owned.fold
        assert isinstance(fold, WordFold)
        return fold.seen(word)

    def sent(self, topic: Topic | str, transaction: int | None = None) -> list[Any]:
        """The values committed to a topic, by all transactions or one."""
        chosen = self.producer.committed
        if transaction is not None:
            chosen = [chosen[transaction]]
        return [value for each in chosen for name, value, *_ in each if name == topic]

    def letters(self) -> list[DeadLetter]:
        decode = msgspec.msgpack.Decoder(DeadLetter).decode
        return [decode(value) for value in self.sent(Topic.DEAD_LETTERS)]

    def positions(self) -> list[int]:
        """The position that each transaction committed."""
        return [
            int.from_bytes(value[-8:], "big")
            for each in self.producer.committed
            for name, value, key, *_ in each
            if (name, key) == ("changelog.posts", State.POSITION_KEY)
        ]


@pytest.fixture(autouse=True)
def _in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_module, "transactional_producer", lambda *_: Producer())
    monkeypatch.setattr(stage_module, "restore", lambda *_: None)
    monkeypatch.setattr(stage_module, "MAX_DELIVERIES_PER_CHECKPOINT", LIMIT)
    monkeypatch.setattr(stage_module, "log", mock.Mock())


def test_a_batch_is_one_transaction_of_outputs_rows_and_position() -> None:
    bench = Bench()
    bench.process("a", "b", "a", start=40)
    assert len(bench.producer.committed) == 1
    assert bench.producer.committed[0] == [
        ("by-post", b"a", b"a", 0, []),
        ("by-post", b"b", b"b", 0, []),
        ("by-post", b"a", b"a", 0, []),
        ("changelog.posts", b"\x91\x02", b"word\0a", 2, []),
        ("changelog.posts", b"\x91\x2a", b"word\0last", 2, []),
        ("changelog.posts", b"\x91\x01", b"word\0b", 2, []),
        ("changelog.posts", *reversed(State.position_change(43)), 2, []),
    ]
    assert (bench.seen("a"), bench.owned.state.position) == (2, 43)
    assert bench.owned.state.snapshot is not None
    assert bench.owned.state.snapshot.changelog_offset == 7
    bench.process("c", start=43)
    assert bench.sent("by-post", 1) == [b"c"]
    assert bench.positions() == [43, 44]
    assert (bench.stage.stats.records, bench.stage.stats.batches) == (4, 2)
    assert bench.stage.stats.outputs == 4


@pytest.mark.parametrize(
    ("bad", "code", "message"),
    [
        ("rejected", "too_large", "no"),
        ("undecodable", "not_avro", "no"),
        ("broken", "fold_failed", "a fault in the fold"),
        pytest.param("coded", "fold_failed", "HTTP Error 404: not there", id="a code of another"),
    ],
)
@pytest.mark.parametrize(
    ("before", "after"),
    [((), ()), ((), ("a", "b")), (("a", "b"), ()), (("a",), ("b",))],
    ids=["alone", "first", "last", "between"],
)
def test_a_bad_record_goes_to_the_dead_letters_and_the_others_stay(
    bad: str, code: str, message: str, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    bench = Bench()
    bench.process(*before, bad, *after, start=7)
    place = 7 + len(before)
    (letter,) = bench.letters()
    assert letter == DeadLetter(
        topic="posts",
        partition=2,
        offset=place,
        key=b"k",
        raw=bad.encode(),
        code=code,
        message=message,
        stage="app/posts",
        at=NOW + len(before),
    )
    assert bench.sent("by-post") == [word.encode() for word in (*before, *after)]
    assert [bench.seen(word) for word in (*before, *after)] == [1] * len(before + after)
    assert bench.seen(bad) == 0
    is_cut = code == "fold_failed" and before
    assert bench.positions() == [*([place] if is_cut else []), place + 1 + len(after)]
    assert +bench.stage.stats.dead_letters == {code: 1}


def test_many_bad_records_of_all_kinds() -> None:
    bench = Bench()
    bench.process("broken", "a", "rejected", "a", "broken", "undecodable", "a", "broken")
    assert sorted((letter.offset, letter.code) for letter in bench.letters()) == [
        (0, "fold_failed"),
        (2, "too_large"),
        (4, "fold_failed"),
        (5, "not_avro"),
        (7, "fold_failed"),
    ]
    assert bench.seen("a") == 3
    assert bench.stage.stats.dead_letters.total() == 5
    assert bench.positions() == [4, 7, 8], "what is before a failure is a checkpoint of its own"


def test_a_fold_that_always_fails_costs_no_more_than_the_records() -> None:
    bench = Bench()
    apply = bench.owned.fold.apply = mock.Mock(wraps=bench.owned.fold.apply)  # type: ignore[method-assign]
    bench.process(*["broken"] * 200)
    assert apply.call_count == 200
    assert bench.positions() == [200]
    assert [letter.offset for letter in bench.letters()] == list(range(200))
    apply.reset_mock()
    bench.process(*["a", "broken"] * 100, start=200)
    assert apply.call_count == 100 + 100 * 3, "the failed one is tried again, what was before too"
    assert (bench.seen("a"), bench.seen("broken")) == (100, 0)
    assert bench.stage.stats.dead_letters.total() == 300


# What a fold has put off


def test_work_is_done_with_later_batches_or_alone() -> None:
    bench = Bench()
    told: list[tuple[TP, int]] = []
    bench.stage._moved = lambda tp, position: told.append((tp, position))
    bench.process("late", "a", start=10)
    assert bench.sent(Topic.BY_USER) == []
    assert bench.stage.has_work(2)
    assert not bench.stage.has_work(1), "it is not owned"
    bench.process("b", start=12)
    bench.process()
    bench.process()
    assert bench.sent(Topic.BY_USER) == [b"3", b"2", b"1"]
    assert bench.positions() == [12, 13, 13, 13]
    assert [position for _, position in told] == [12, 13, 13, 13]
    assert not bench.stage.has_work(2)
    bench.process()
    assert len(bench.positions()) == 4, "there is nothing to be committed"


def test_work_rests_and_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    pace = bench.stage._pace = mock.Mock()
    pace.rests.return_value = True
    bench.process("late")
    bench.process("a", start=1)
    pace.worked.assert_not_called()
    assert bench.sent(Topic.BY_USER) == []
    fold = bench.owned.fold
    assert isinstance(fold, WordFold)
    assert fold.limits == [0, 0], "each checkpoint begins with it"
    monkeypatch.setattr(stage_module, "MAX_BACKLOG", 1)
    bench.process("b", start=2)
    assert bench.sent(Topic.BY_USER) == [b"3", b"2"], "too much waits"
    assert pace.worked.mock_calls == [mock.call(2)] * 2, "with its deliveries"
    assert bench.sent("by-post") == [b"late", b"a", b"b"]
    assert bench.positions() == [1, 2, 2, 2, 3]


def test_work_of_a_checkpoint_whose_record_fails_is_done_later() -> None:
    bench = Bench()
    bench.process("late")
    bench.process("a", "broken", start=1)
    assert bench.sent(Topic.BY_USER) == []
    for _ in range(3):
        bench.process()
    assert bench.sent(Topic.BY_USER) == [b"3", b"2", b"1"]
    assert [letter.offset for letter in bench.letters()] == [2]


def test_each_checkpoint_of_a_batch_is_told() -> None:
    bench = Bench()
    told: list[tuple[TP, int]] = []
    bench.stage._moved = lambda tp, position: told.append((tp, position))
    bench.process("many10", "a", "many10", "b", start=10)
    assert told == [(TP("posts", 2), position) for position in (11, 13, 14)]


def test_no_checkpoint_of_a_batch_begins_while_partitions_leave() -> None:
    bench = Bench()
    leaving = asyncio.Event()
    bench.stage._leaving = lambda: leaving
    bench.stage._moved = lambda *_: leaving.set()
    with pytest.raises(LeavingError):
        bench.process("many10", "a", start=10)
    assert bench.positions() == [11]
    assert (bench.seen("many10"), bench.seen("a")) == (1, 0)
    bench.process("many10", "a", start=10)
    assert bench.positions() == [11, 12], "the first one is finished in any case"
    assert (bench.seen("many10"), bench.seen("a")) == (1, 1)


def test_a_partition_that_waited_for_a_thread_is_not_taken_over_while_partitions_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its producer would fence whoever owns it by then."""
    bench = Bench()
    leaving = asyncio.Event()
    bench.stage._leaving = lambda: leaving
    owned = mock.Mock()
    monkeypatch.setattr(stage_module, "_Owned", owned)
    leaving.set()
    with pytest.raises(LeavingError):
        bench.stage._take_over(3)
    owned.assert_not_called()
    leaving.clear()
    assert bench.stage._take_over(3) is owned.return_value


def test_a_letter_with_a_large_key_fits_into_a_record() -> None:
    large = record(b"v" * 2_000_000, key=b"k" * 2_000_000, offset=5)
    letter = dead_letter(TP("posts", 2), large, "too_large", ValueError("no"), "app/posts")
    assert letter.value is not None
    assert letter.key is not None
    assert len(letter.key) + len(letter.value) < 1_200_000
    found = msgspec.msgpack.decode(letter.value, type=DeadLetter)
    assert found.key == letter.key
    assert found.offset == 5


def test_rows_that_cannot_be_read_are_no_fault_of_the_record() -> None:
    bench = Bench()
    with pytest.raises(LocalStateError):
        bench.process("a", "unreadable", "b")
    assert bench.producer.committed == []
    assert bench.stage.stats.dead_letters.total() == 0


def test_who_waits_for_a_thread_to_open_is_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    queued: list[set[int]] = []
    owned = mock.Mock()

    def take(*_: object) -> mock.Mock:
        queued.append(set(bench.stage.queued))
        return owned

    monkeypatch.setattr(stage_module, "_Owned", take)

    async def run(pool: ThreadPoolExecutor) -> None:
        bench.stage._pool = pool
        may_go = threading.Event()
        pool.submit(may_go.wait, 5)
        opening = asyncio.create_task(bench.stage.open(3))
        await asyncio.sleep(0.01)
        assert bench.stage.queued == {3}
        may_go.set()
        await opening

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(run(pool))
    assert queued == [set()]


def test_damaged_rows_are_restored_and_the_batch_is_folded_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    bench.process("a", start=5)
    snapshot = bench.owned.state.snapshot
    assert snapshot is not None
    restored = []

    def restore(_brokers: str, topic: Topic, partition: int, state: State, *_: Any) -> None:
        assert (state.snapshot, bench.seen("a"), bench.seen("b")) == (None, 0, 0)
        restored.append((topic, partition))
        rows = {b"word\0a": b"\x91\x01", **dict([State.position_change(6)])}
        state.restore(rows, snapshot.changelog_offset, NOW)

    monkeypatch.setattr(stage_module, "restore", restore)
    assert isinstance(bench.owned.fold, WordFold)
    bench.owned.fold.damages = [LocalStateDamagedError("a block's checksum is wrong")]
    bench.process("b", "damaged", "a", start=6)
    assert restored == [(Topic.POSTS, 2)]
    assert [bench.seen(word) for word in ("a", "b", "damaged")] == [2, 1, 1]
    assert bench.positions() == [6, 9]
    assert bench.sent("by-post", 1) == [b"b", b"damaged", b"a"]
    assert (bench.stage.stats.records, bench.stage.stats.dead_letters.total()) == (4, 0)


def test_rows_that_are_damaged_again_are_a_fault() -> None:
    bench = Bench()
    assert isinstance(bench.owned.fold, WordFold)
    bench.owned.fold.damages = [LocalStateDamagedError("wrong") for _ in range(2)]
    with pytest.raises(LocalStateDamagedError):
        bench.process("damaged")
    assert bench.producer.committed == []


def test_records_below_the_position_are_dropped() -> None:
    bench = Bench()
    bench.process("a", "b", start=5)
    bench.process("a", "b", "c", start=5)
    assert [bench.seen(word) for word in "abc"] == [1, 1, 1]
    assert bench.positions() == [7, 8]
    bench.process("a", "b", "c", start=5)
    assert bench.positions() == [7, 8]
    assert bench.stage.stats.records == 3


def test_a_restored_position_counts_too() -> None:
    bench = Bench()
    bench.owned.state.restore(dict([State.position_change(6)]), 1, NOW)
    bench.process("a", "b", start=5)
    assert (bench.seen("a"), bench.seen("b")) == (0, 1)


def test_a_batch_is_cut_where_enough_deliveries_wait() -> None:
    bench = Bench()
    bench.process("many4", "many4", "many4", "a", "many20", "b", start=10, step=3, end=99)
    assert bench.positions() == [19, 25, 99]
    assert [bench.sent("by-post", n) for n in range(3)] == [
        [b"many4", b"many4", b"many4"],
        [b"a", b"many20"],
        [b"b"],
    ]
    assert bench.stage.stats.deliveries == 32
    assert len(bench.sent(Topic.TIMELINE_WRITES)) == 2


def test_a_batch_that_ends_at_the_cut_is_one_transaction() -> None:
    bench = Bench()
    bench.process("many10", start=10, end=14)
    assert bench.positions() == [14]


def test_bad_records_around_a_cut_are_put_away_once() -> None:
    bench = Bench()
    bench.process("rejected", "many10", "broken", "many10", "rejected", "broken", "a")
    assert [letter.offset for letter in bench.letters()] == [0, 2, 4, 5]
    assert bench.positions() == [2, 4, 7]
    assert [bench.sent("by-post", n) for n in range(3)] == [[b"many10"], [b"many10"], [b"a"]]
    assert (bench.seen("many10"), bench.seen("broken"), bench.seen("a")) == (2, 0, 1)
    assert bench.stage.stats.dead_letters.total() == 4
    assert bench.stage.stats.deliveries == 20


def test_a_failed_record_leaves_no_deliveries() -> None:
    bench = Bench()
    bench.process("many6", "broken", "many3", "a", end=9)
    assert bench.positions() == [1, 9]
    assert bench.stage.stats.deliveries == 9
    found = [msgspec.msgpack.decode(value) for value in bench.sent(Topic.TIMELINE_WRITES)]
    assert [len(operations) for operations in found] == [1, 1]


def _fault(code: int, *, retriable: bool = False) -> KafkaException:
    return KafkaException(KafkaError(code, "x", False, retriable, False))


def test_a_commit_that_timed_out_is_asked_for_again() -> None:
    bench = Bench()
    bench.producer.faults = [_fault(KafkaError._TIMED_OUT, retriable=True)] * 2
    bench.process("a")
    assert bench.positions() == [1]
    assert bench.seen("a") == 1


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([_fault(KafkaError._FENCED)], id="fenced"),
        pytest.param([_fault(KafkaError._TIMED_OUT, retriable=True)] * 3, id="no answer"),
    ],
)
def test_a_commit_that_fails_is_no_checkpoint(faults: list[KafkaException]) -> None:
    bench = Bench()
    bench.producer.faults = faults
    with pytest.raises(KafkaException):
        bench.process("a")
    assert bench.producer.committed == []
    assert bench.owned.state.position is None
    assert bench.owned.state.sizes() == {"word": 0}


@pytest.mark.parametrize("headers", [(), (("tags", b"1"), ("tags", b"2"))])
def test_an_output_is_sent_with_its_headers(headers: tuple[Header, ...]) -> None:
    producer: Any = Producer()
    producer.begin_transaction()
    send(producer, Output("posts", 5, b"k", b"v", headers))
    producer.commit_transaction(1.0)
    assert producer.committed == [[("posts", b"v", b"k", 5, list(headers))]]


def test_rows_and_partitions_are_told() -> None:
    bench = Bench()
    bench.process("a", "b")
    assert bench.stage.owned == [2]
    assert bench.stage.rows() == {"word": 3}


def test_what_a_batch_cost_is_noted_by_key_and_by_source() -> None:
    bench = Bench()
    bench.process("a", "many3", "b")
    bench.process("many3", "many30", "a", start=3)
    said = bench.stage.hottest.said()
    assert [(each.key, each.share) for each in said["records"]] == [("k", 1.0)]
    assert [(each.key, each.share) for each in said["deliveries"]] == [("u:a", 1.0)]
    deliveries = bench.stage.hottest._deliveries
    assert deliveries._total == pytest.approx(bench.stage.stats.deliveries)
    assert bench.stage.hottest._records._total == pytest.approx(bench.stage.stats.records)
