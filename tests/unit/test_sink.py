"""A sink: done when its store has confirmed, waits for one that is away, and puts away what
cannot be read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import msgspec
import pytest
from faust.types import TP

from connectors.batch import Batch
from connectors.owner import LeavingError
from connectors.records import Record
from schemas.dead_letters import DeadLetter
from schemas.topics import Topic
from schemas.views import PushEntry, SourceView
from streams.engine import outage as outage_module
from streams.engine import sink as sink_module
from streams.engine.outage import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Outage,
    Place,
    pause_before,
)
from streams.engine.outbox import Output
from streams.engine.sink import Reach, Sink, Write
from tests.unit.folds import record

TOPIC = Topic.VIEW_SOURCES
PLACE = Place(TOPIC, 3)
VIEW = SourceView("u:a", 1)


class AwayError(Exception):
    """The store cannot be reached."""


class Store:
    """Keeps what is written, and fails as told."""

    def __init__(self) -> None:
        self.written: list[tuple[int, list[Write], int]] = []
        self.opened: list[int] = []
        self.checked: list[int] = []
        self.filled: list[int] = []
        self.faults: list[Exception] = []
        self.may_confirm = threading.Event()
        self.may_confirm.set()

    def open(self, _topic: Topic, partition: int) -> int | None:
        self._fail()
        self.opened.append(partition)
        return 17

    def write(self, _topic: Topic, partition: int, writes: Sequence[Write], position: int) -> None:
        assert self.may_confirm.wait(5)
        self._fail()
        self.written.append((partition, list(writes), position))

    def check(self, _topic: Topic, partition: int) -> None:
        assert self.may_confirm.wait(5)
        self._fail()
        self.checked.append(partition)

    def fill(self, _topic: Topic, partition: int) -> None:
        self._fail()
        self.filled.append(partition)

    def _fail(self) -> None:
        if self.faults:
            raise self.faults.pop(0)


class Mailer:
    """Keeps letters."""

    def __init__(self, store: Store) -> None:
        self.sent: list[Output] = []
        self.fault: Exception | None = None
        self._store = store

    def send(self, letters: Sequence[Output]) -> None:
        assert not self._store.written, "a letter after the position moved past its record"
        if self.fault is not None:
            raise self.fault
        self.sent += letters

    @property
    def letters(self) -> list[DeadLetter]:
        return [msgspec.msgpack.decode(each.value or b"", type=DeadLetter) for each in self.sent]


class Bench:
    """A sink of partition 3."""

    def __init__(
        self, topic: Topic, pool: ThreadPoolExecutor, part_bytes: int | None = None
    ) -> None:
        self.store = Store()
        self.mailer = Mailer(self.store)
        self.makes = 0
        self.make_faults: list[Exception] = []
        self.leaving = asyncio.Event()
        self.moved: list[tuple[int, int]] = []
        self.has_caught_up = True
        self.reach = Reach("redis", self._make, lambda error: isinstance(error, AwayError))
        self.topic = topic
        self.sink = Sink(
            topic,
            self.reach,
            app_id="headrace-views",
            mailer=self.mailer,  # type: ignore[arg-type]
            pool=pool,
            leaving=lambda: self.leaving,
            moved=lambda tp, position: self.moved.append((tp.partition, position)),
            has_caught_up=lambda tp: tp == TP(topic, 3) and self.has_caught_up,
            part_bytes=part_bytes,
        )

    def _make(self) -> Any:
        self.makes += 1
        if self.make_faults:
            raise self.make_faults.pop(0)
        return self.store

    def batch(self, *values: bytes | None) -> Batch:
        records: list[Record] = [
            record(value, topic=self.topic, partition=3, offset=5 + n, key=b"k")
            for n, value in enumerate(values)
        ]
        return Batch(TP(str(self.topic), 3), records, 5 + len(values))


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    with ThreadPoolExecutor(2) as pool:
        yield lambda topic=TOPIC, **options: Bench(topic, pool, **options)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The attempts before which was waited, for a moment only."""
    attempts: list[int] = []

    def pause(attempt: int) -> float:
        attempts.append(attempt)
        return 0.001

    monkeypatch.setattr(sink_module, "pause_before", pause)
    return attempts


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> mock.Mock:
    """What the log is told of outages."""
    told = mock.Mock()
    monkeypatch.setattr(outage_module, "log", told)
    return told


def _raw(view: Any) -> bytes:
    return msgspec.msgpack.encode(view)


def test_a_batch_is_written_with_what_it_says(bench: Callable[..., Bench]) -> None:
    one = bench()
    asyncio.run(one.sink.process(one.batch(_raw(VIEW), None)))
    writes = [Write(5, b"k", _raw(VIEW), VIEW), Write(6, b"k", None, None)]
    assert one.store.written == [(3, writes, 7)]
    assert (one.sink.stats.records, one.sink.stats.batches) == (2, 1)


def test_a_batch_is_done_when_the_store_has_confirmed(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.store.may_confirm.clear()

    async def run() -> None:
        task = asyncio.create_task(one.sink.process(one.batch(_raw(VIEW))))
        await asyncio.sleep(0.05)
        assert not task.done()
        assert one.sink.stats.records == 0
        one.store.may_confirm.set()
        await asyncio.wait_for(task, 5)

    asyncio.run(run())
    assert one.sink.stats.records == 1


def test_a_store_that_is_away_is_waited_for(
    bench: Callable[..., Bench], pauses: list[int], log: mock.Mock
) -> None:
    one = bench()
    one.store.faults = [AwayError("refused")] * 40
    asyncio.run(one.sink.process(one.batch(_raw(VIEW))))
    assert [position for *_, position in one.store.written] == [6]
    assert pauses == list(range(1, 41))
    assert one.reach.outage.reason is None
    assert (log.error.call_count, log.warning.call_count) == (1, 1), "not a line for each try"


def test_opening_waits_too_also_for_a_store_that_cannot_be_made(
    bench: Callable[..., Bench], pauses: list[int]
) -> None:
    one = bench()
    one.make_faults = [AwayError("refused")]
    one.store.faults = [AwayError("loading")]
    assert asyncio.run(one.sink.open(3)) == 17
    assert (one.makes, one.store.opened, one.sink.owned) == (2, [3], [3])
    assert pauses == [1, 2]


def test_who_waits_for_a_thread_to_open_is_queued() -> None:
    async def run(one: Bench, pool: ThreadPoolExecutor) -> None:
        may_go = threading.Event()
        pool.submit(may_go.wait, 5)
        opening = asyncio.create_task(one.sink.open(3))
        await asyncio.sleep(0.01)
        assert one.sink.queued == {3}
        may_go.set()
        await opening

    queued: list[set[int]] = []
    with ThreadPoolExecutor(1) as pool:
        one = Bench(TOPIC, pool)
        one.store.open = lambda *_: queued.append(set(one.sink.queued))  # type: ignore[method-assign]
        asyncio.run(run(one, pool))
    assert queued == [set()]


def test_what_no_repetition_helps_is_raised(bench: Callable[..., Bench], pauses: list[int]) -> None:
    one = bench()
    one.store.faults = [AwayError("refused"), ValueError("wrong type")]
    with pytest.raises(ValueError, match="wrong type"):
        asyncio.run(one.sink.process(one.batch(_raw(VIEW))))
    assert pauses == [1]
    assert not one.reach.outage.is_waiting(PLACE)


def test_who_leaves_waits_no_longer(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench()

    async def run() -> None:
        await one.sink.open(3)
        has_failed = asyncio.Event()

        def pause(_attempt: int) -> float:
            has_failed.set()
            return 60.0

        monkeypatch.setattr(sink_module, "pause_before", pause)
        one.store.faults = [AwayError("refused")]
        writing = asyncio.create_task(one.sink.process(one.batch(_raw(VIEW))))
        await asyncio.wait_for(has_failed.wait(), 2)
        one.leaving.set()
        with pytest.raises(LeavingError):
            await asyncio.wait_for(writing, 2)
        assert not one.reach.outage.is_waiting(PLACE)
        assert one.reach.outage.reason is not None, "that says nothing about the store"

    asyncio.run(run())
    assert one.store.written == []


# Parts


def test_a_batch_is_written_part_by_part(bench: Callable[..., Bench], pauses: list[int]) -> None:
    """What was confirmed is not written again, and whoever looks sees it move."""
    raw = _raw(VIEW)
    one = bench(part_bytes=2 * len(raw) - 1)
    one.store.faults = [AwayError("refused")]
    asyncio.run(one.sink.process(one.batch(raw, raw, b"\xc1", raw, raw, None, raw)))
    written = [([w.offset for w in writes], end) for _, writes, end in one.store.written]
    assert written == [([5, 6], 8), ([8, 9], 10), ([10, 11], 12)]
    assert one.moved == [(3, 8), (3, 10), (3, 12)]
    assert (pauses, one.sink.stats.records, one.sink.stats.batches) == ([1], 7, 1)


def test_a_refused_part_keeps_those_before_it(
    bench: Callable[..., Bench], pauses: list[int]
) -> None:
    one = bench(part_bytes=1)
    writes = iter([None, AwayError("refused"), AwayError("refused"), None, ValueError("wrong")])

    def write(_topic: Topic, partition: int, part: Sequence[Write], position: int) -> None:
        fault = next(writes)
        if fault is not None:
            raise fault
        one.store.written.append((partition, list(part), position))

    one.store.write = write  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="wrong"):
        asyncio.run(one.sink.process(one.batch(*[_raw(VIEW)] * 3)))
    assert [position for *_, position in one.store.written] == [6, 7]
    assert one.moved == [(3, 6), (3, 7)]
    assert pauses == [1, 2]


def test_a_batch_of_letters_alone_moves_the_position(bench: Callable[..., Bench]) -> None:
    one = bench(part_bytes=1)
    asyncio.run(one.sink.process(one.batch(b"\xc1", b"\xc1")))
    assert one.store.written == [(3, [], 7)]
    assert one.moved == [(3, 7)]


# What a store no longer has


def test_a_store_that_stands_elsewhere_is_found_out(bench: Callable[..., Bench]) -> None:
    one = bench()
    asyncio.run(one.sink.open(3))
    asyncio.run(one.sink.check())
    assert one.store.checked == [3]
    one.store.faults = [ValueError("stands elsewhere")]
    with pytest.raises(ValueError, match="stands elsewhere"):
        asyncio.run(one.sink.check())


def test_an_idle_sink_notices_an_outage_and_its_end(
    bench: Callable[..., Bench], log: mock.Mock
) -> None:
    one = bench()
    asyncio.run(one.sink.open(3))
    one.store.faults = [AwayError("refused")]
    asyncio.run(one.sink.check())
    assert one.reach.outage.reason is not None
    asyncio.run(one.sink.check())
    assert one.reach.outage.reason is None
    assert (log.error.call_count, log.warning.call_count) == (1, 1)


def test_a_sink_that_loses_its_partitions_is_in_no_outage(bench: Callable[..., Bench]) -> None:
    one = bench()

    async def run() -> None:
        await one.sink.open(3)
        await one.sink.open(4)
        one.store.faults = [AwayError("refused")]
        await one.sink.check()
        await one.sink.close(3)
        assert one.reach.outage.reason is not None
        await one.sink.close(4)
        assert one.reach.outage.reason is None

    asyncio.run(run())


def test_a_partition_is_not_opened_while_it_is_checked(bench: Callable[..., Bench]) -> None:
    """The check would meet a mark that is just being put in the place of the one it looks for."""
    one = bench()

    async def run() -> None:
        await one.sink.open(3)
        one.store.may_confirm.clear()
        check = asyncio.create_task(one.sink.check())
        await asyncio.sleep(0.05)
        again = asyncio.create_task(one.sink.open(3))
        await asyncio.sleep(0.05)
        assert one.store.opened == [3]
        one.store.may_confirm.set()
        await asyncio.wait_for(asyncio.gather(check, again), 5)
        assert (one.store.checked, one.store.opened) == ([3], [3, 3])

    asyncio.run(run())


def test_a_partition_that_is_being_opened_is_not_checked(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench()

    async def run() -> None:
        await one.sink.open(3)
        monkeypatch.setattr(sink_module, "pause_before", lambda _: 0.2)
        one.store.faults = [AwayError("refused")]
        again = asyncio.create_task(one.sink.open(3))
        await asyncio.sleep(0.05)
        await asyncio.wait_for(one.sink.check(), 2)
        assert (one.store.checked, one.store.opened) == ([], [3])
        await asyncio.wait_for(again, 5)
        await one.sink.check()
        assert (one.store.checked, one.store.opened) == ([3], [3, 3])

    asyncio.run(run())


def test_a_batch_under_way_is_not_checked(bench: Callable[..., Bench]) -> None:
    """The store is called from one thread at a time per partition."""
    one = bench()

    async def run() -> None:
        await one.sink.open(3)
        one.store.may_confirm.clear()
        task = asyncio.create_task(one.sink.process(one.batch(_raw(VIEW))))
        await asyncio.sleep(0.05)
        await asyncio.wait_for(one.sink.check(), 2)
        assert one.store.checked == []
        one.store.may_confirm.set()
        await asyncio.wait_for(task, 5)
        await one.sink.check()
        assert one.store.checked == [3]

    asyncio.run(run())


# What a store has


def test_a_store_is_told_once_that_a_partition_is_filled(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.has_caught_up = False
    asyncio.run(one.sink.open(3))
    asyncio.run(one.sink.fill())
    assert one.store.filled == [], "before it is"
    one.has_caught_up = True
    for _ in range(2):
        asyncio.run(one.sink.fill())
    assert one.store.filled == [3]
    asyncio.run(one.sink.open(3))
    asyncio.run(one.sink.fill())
    assert one.store.filled == [3, 3], "whoever opens it anew may find an empty store"


def test_a_store_that_is_away_is_told_later(bench: Callable[..., Bench]) -> None:
    one = bench()
    asyncio.run(one.sink.open(3))
    one.store.faults = [AwayError("refused")]
    asyncio.run(one.sink.fill())
    assert one.reach.outage.reason is not None
    asyncio.run(one.sink.fill())
    assert (one.store.filled, one.reach.outage.reason) == ([3], None)


def test_a_store_that_stands_elsewhere_is_not_filled(bench: Callable[..., Bench]) -> None:
    one = bench()
    asyncio.run(one.sink.open(3))
    one.store.faults = [ValueError("stands elsewhere")]
    with pytest.raises(ValueError, match="stands elsewhere"):
        asyncio.run(one.sink.fill())


def test_what_is_let_go_is_filled_by_another(bench: Callable[..., Bench]) -> None:
    one = bench()
    asyncio.run(one.sink.open(3))
    asyncio.run(one.sink.close(3))
    asyncio.run(one.sink.fill())
    assert one.store.filled == []


def test_what_is_let_go_is_checked_no_longer(bench: Callable[..., Bench]) -> None:
    one = bench()
    asyncio.run(one.sink.open(3))
    one.store.faults = [AwayError("refused")]
    asyncio.run(one.sink.check())
    asyncio.run(one.sink.close(3))
    asyncio.run(one.sink.check())
    assert one.store.checked == []
    assert not one.reach.outage.is_waiting(PLACE)


@pytest.mark.parametrize("fault", [ValueError("stands elsewhere"), AwayError("refused")])
@pytest.mark.parametrize("is_closed", [True, False], ids=["let go", "leaving"])
def test_what_is_another_s_meanwhile_is_no_fault(
    bench: Callable[..., Bench], fault: Exception, is_closed: bool
) -> None:
    """Who takes a partition over moves its position."""
    one = bench()

    async def run() -> None:
        await one.sink.open(3)
        one.store.may_confirm.clear()
        one.store.faults = [fault]
        checking = asyncio.create_task(one.sink.check())
        await asyncio.sleep(0.05)
        if is_closed:
            await one.sink.close(3)
        else:
            one.leaving.set()
        one.store.may_confirm.set()
        await asyncio.wait_for(checking, 5)

    asyncio.run(run())
    assert one.reach.outage.reason is None
    assert not one.reach.outage.is_waiting(PLACE)


# Records that cannot be read


def test_what_was_written_is_noted_by_source(bench: Callable[..., Bench]) -> None:
    one = bench(Topic.TIMELINE_WRITES)
    one.store.faults = [AwayError()]
    pushed = _raw([PushEntry("p", "u:a", 1, ["bob", "cat"]), PushEntry("p", "t:b", 1, ["bob"])])
    asyncio.run(one.sink.process(one.batch(pushed)))
    hot = one.sink.hottest.said()["deliveries"]
    assert [(each.key, each.share) for each in hot] == [("u:a", 0.6667), ("t:b", 0.3333)]
    assert one.sink.hottest._deliveries._total == 3, "only once it is written"


def test_what_was_written_is_noted_by_key(bench: Callable[..., Bench]) -> None:
    one = bench(TOPIC)
    asyncio.run(one.sink.process(one.batch(_raw(VIEW), _raw(VIEW))))
    assert one.sink.hottest._records._total == 2


@pytest.mark.parametrize(
    ("topic", "good", "bad"),
    [
        pytest.param(TOPIC, VIEW, b"\xc1", id="not msgpack"),
        pytest.param(TOPIC, VIEW, _raw(["u:a", "many"]), id="another type"),
        pytest.param(TOPIC, VIEW, _raw(VIEW)[:-1], id="cut off"),
        pytest.param(TOPIC, VIEW, b"", id="empty"),
        pytest.param(
            Topic.TIMELINE_WRITES,
            [PushEntry("p", "u:a", 1, ["bob"])],
            _raw([["explode", "p"]]),
            id="an operation that is not known",
        ),
    ],
)
def test_what_cannot_be_read_is_put_away_and_the_rest_written(
    bench: Callable[..., Bench], topic: Topic, good: Any, bad: bytes
) -> None:
    one = bench(topic)
    asyncio.run(one.sink.process(one.batch(_raw(good), bad, _raw(good))))
    ((_, writes, position),) = one.store.written
    assert [write.offset for write in writes] == [5, 7]
    assert position == 8
    (letter,) = one.mailer.letters
    assert (letter.topic, letter.partition, letter.offset) == (topic, 3, 6)
    assert (letter.code, letter.raw, letter.key) == ("not_decodable", bad, b"k")
    assert letter.stage == f"headrace-views/{topic}"
    assert letter.message
    assert one.mailer.sent[0].topic == Topic.DEAD_LETTERS
    assert (one.sink.stats.dead_letters, one.sink.stats.records) == ({"not_decodable": 1}, 3)


def test_a_batch_of_only_bad_records_moves_the_position(bench: Callable[..., Bench]) -> None:
    one = bench()
    asyncio.run(one.sink.process(one.batch(b"\xc1", b"\xc1")))
    assert one.store.written == [(3, [], 7)]
    assert len(one.mailer.letters) == 2


def test_a_letter_that_is_not_taken_moves_nothing(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.mailer.fault = TimeoutError("no broker")
    with pytest.raises(TimeoutError):
        asyncio.run(one.sink.process(one.batch(b"\xc1")))
    assert one.store.written == []


def test_a_letter_is_sent_once_however_often_the_store_is_asked(
    bench: Callable[..., Bench], pauses: list[int]
) -> None:
    one = bench()
    one.store.faults = [AwayError("refused")] * 3
    asyncio.run(one.sink.process(one.batch(b"\xc1", _raw(VIEW))))
    assert len(one.mailer.letters) == 1
    assert len(pauses) == 3


# Outages


def test_an_outage_lasts_until_nothing_waits(log: mock.Mock) -> None:
    now = [100.0]
    outage = Outage("redis", clock=lambda: now[0])
    one, other = Place("a", 1), Place("a", 2)
    assert (outage.reason, outage.seconds) == (None, 0)
    outage.failed(one, AwayError("refused"))
    now[0] = 107
    outage.failed(other, AwayError("reset"))
    assert outage.seconds == 7
    assert outage.reason == "redis cannot be reached: AwayError: reset"
    outage.succeeded(one)
    assert (outage.is_waiting(one), outage.is_waiting(other)) == (False, True)
    assert outage.reason is not None
    outage.succeeded(other)
    assert (outage.reason, outage.seconds) == (None, 0)
    outage.succeeded(one)
    assert (log.error.call_count, log.warning.call_count) == (1, 1)


def test_an_outage_does_not_end_when_who_waits_gives_up() -> None:
    outage = Outage("redis")
    outage.opened(PLACE)
    outage.failed(PLACE, AwayError("refused"))
    outage.gave_up(PLACE)
    assert outage.reason is not None
    outage.succeeded(Place("b", 1))
    assert outage.reason is None


def test_an_outage_ends_when_the_store_is_asked_for_nobody(log: mock.Mock) -> None:
    """Nothing would tell of its end; nor is it said that the store can be reached."""
    outage = Outage("redis")
    one, other, opening = Place("a", 1), Place("b", 1), Place("b", 2)
    outage.opened(one)
    outage.opened(other)
    outage.failed(one, AwayError("refused"))
    outage.failed(opening, AwayError("refused"))
    outage.closed(one)
    outage.closed(other)
    assert outage.reason is not None, "one waits"
    outage.gave_up(opening)
    assert (outage.reason, outage.seconds) == (None, 0)
    assert (log.warning.call_count, log.info.call_count) == (0, 1)
    assert log.info.call_args.args == ("store is no longer asked",)


def test_an_outage_goes_on_while_a_partition_is_owned() -> None:
    outage = Outage("redis")
    one, other = Place("a", 1), Place("b", 1)
    outage.opened(one)
    outage.opened(other)
    outage.failed(one, AwayError("refused"))
    outage.closed(one)
    assert outage.reason is not None
    outage.closed(other)
    assert outage.reason is None


def test_pauses_grow_and_are_spread() -> None:
    for attempt in range(1, 12):
        most = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
        found = [pause_before(attempt) for _ in range(200)]
        assert 0 <= min(found) < most / 4
        assert 3 * most / 4 < max(found) <= most
    assert pause_before(10**9) <= LONGEST_PAUSE_SECONDS
