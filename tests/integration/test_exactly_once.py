"""The engine's promises on a real broker: one owner, whole transactions, committed reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from faust.types import TP
from msgspec import Struct
from yarl import URL

from connectors.assignor import StandbyAssignor
from connectors.consumer_thread import ConsumerThread
from connectors.deal import Claims
from connectors.records import Record
from connectors.stack.local import LocalStack
from schemas.topics import changelog_of
from streams.engine.checkpoint import checkpoint, transactional_producer
from streams.engine.outbox import Outbox, Output
from streams.engine.replica import Fold, Replica
from streams.engine.restore import Ends, Progress, restore
from streams.engine.rows import MemoryStore
from streams.engine.standby import Follower, Following
from streams.engine.state import State, Table
from tests.oracle.read_log import read_topics

PATIENCE_S = 20.0
_numbers = count()


class Row(Struct, frozen=True, array_like=True):
    """A number."""

    n: int


class RowFold(Fold):
    """Has a table of rows, which its tests write."""

    def __init__(self, state: State, _outbox: Outbox) -> None:
        self.rows = state.table("row", Row)

    def apply(self, record: Record) -> None:
        raise AssertionError(f"nothing is folded here, not {record}")


class Owner:
    """One who owns partition 0 of a topic, and puts numbers into its state and the topic `out`."""

    def __init__(self, brokers: str, topic: str, replica: Replica | None = None) -> None:
        self.brokers, self.topic = brokers, topic
        self.producer: Producer = transactional_producer(brokers, "test", topic, 0)
        replica = replica or Replica(MemoryStore(), RowFold, 1)
        self.state = replica.state
        self.rows: Table[Row] = replica.fold.rows  # type: ignore[attr-defined]
        self.restored = Progress()
        with closing(Ends(brokers)) as ends:
            restore(ends, topic, 0, self.state, self.restored)

    def put(self, number: int, position: int) -> None:
        self.rows.put(str(number), Row(number))
        outputs = [Output(f"{self.topic}.out", 0, None, str(number).encode())]
        checkpoint(self.producer, self.topic, 0, self.state, outputs, position)

    def begin(self, number: int) -> None:
        """As far as `put` until the commit, and all of it at the broker."""
        self.producer.begin_transaction()
        self.producer.produce(f"{self.topic}.out", str(number).encode(), None, 0)
        value = b"\x91" + bytes([number])
        self.producer.produce(changelog_of(self.topic), value, f"row\0{number}".encode(), 0)
        assert self.producer.flush(PATIENCE_S) == 0

    def held(self) -> list[int]:
        return sorted(row.n for row in self.rows._committed.values())


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Kafka of this module alone."""
    with LocalStack(tmp_path_factory.mktemp("stack"), fresh=True, parts=("kafka",)) as stack:
        yield stack.addresses.kafka


@pytest.fixture
def topic(brokers: str) -> str:
    """A new topic with its changelog and its output."""
    name = f"t{next(_numbers)}"
    admin = AdminClient({"bootstrap.servers": brokers})
    names = (name, changelog_of(name), f"{name}.out")
    for created in admin.create_topics([NewTopic(each, 1, 1) for each in names]).values():
        created.result(PATIENCE_S)
    return name


def wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def outputs(owner: Owner) -> list[bytes | None]:
    """What readers of committed records see."""
    return [value for *_, value in read_topics(owner.brokers, (f"{owner.topic}.out",))]


def test_who_was_taken_over_commits_no_longer(brokers: str, topic: str) -> None:
    stale = Owner(brokers, topic)
    stale.put(1, 10)
    stale.begin(2)
    owner = Owner(brokers, topic)
    assert (owner.held(), owner.state.position) == ([1], 10)
    with pytest.raises(KafkaException):
        stale.producer.commit_transaction(PATIENCE_S)
    owner.put(3, 20)
    assert outputs(owner) == [b"1", b"3"]


def test_a_paused_owner_that_comes_back_is_fenced(brokers: str, topic: str) -> None:
    stale = Owner(brokers, topic)
    stale.put(1, 10)
    Owner(brokers, topic).put(2, 20)
    with pytest.raises(KafkaException):
        stale.put(2, 20)
    assert stale.held() == [1]
    assert outputs(stale) == [b"1", b"2"]


def test_the_state_is_that_of_the_last_commit(brokers: str, topic: str) -> None:
    """The whole changelog is read, up to its last row, and nothing that was not committed."""
    owner = Owner(brokers, topic)
    for number in range(1, 6):
        owner.put(number, number * 10)
    owner.begin(6)
    again = Owner(brokers, topic)
    assert (again.held(), again.state.position) == ([1, 2, 3, 4, 5], 50)
    assert again.restored == Progress(rows=10, percent=100.0)
    again.put(7, 60)
    last = Owner(brokers, topic)
    assert (last.held(), last.state.position) == ([1, 2, 3, 4, 5, 7], 60)


def test_a_standby_holds_what_is_committed(brokers: str, topic: str) -> None:
    """And a takeover goes on from there: what the standby has is not read again."""
    owner = Owner(brokers, topic)
    owner.put(1, 10)
    owner.begin(2)
    owner.producer.abort_transaction(PATIENCE_S)
    place, follower = TP(topic, 0), Follower(brokers)
    replica = Replica(MemoryStore(), RowFold, 1)
    follower.follow(place, lambda: replica, None)
    wait(lambda: follower.progress() == {place: Following(1, 0)})
    owner.put(3, 20)
    wait(lambda: replica.state.position == 20)
    owner.begin(4)
    time.sleep(1)
    assert follower.progress() == {place: Following(2, 0)}
    successor = Owner(brokers, topic, follower.leave(place))
    assert (successor.held(), successor.state.position) == ([1, 3], 20)
    assert successor.restored == Progress(rows=0, percent=100.0)
    successor.put(5, 30)
    assert successor.held() == Owner(brokers, topic).held() == [1, 3, 5]
    follower.stop()


def test_workers_read_what_is_committed(brokers: str, topic: str) -> None:
    owner = Owner(brokers, topic)
    owner.put(1, 10)
    owner.begin(2)
    owner.producer.abort_transaction(PATIENCE_S)
    owner.put(3, 20)

    async def read() -> list[bytes]:
        consumer = ConsumerThread._create_worker_consumer(
            SimpleNamespace(  # type: ignore[arg-type]
                app=SimpleNamespace(conf=_conf(topic)),
                consumer=SimpleNamespace(assignor=StandbyAssignor(Claims, (), 0)),
            ),
            SimpleNamespace(url=[URL(f"batch://{brokers}")], default_port=9092),
        )
        consumer.subscribe([f"{topic}.out"])
        await consumer.start()
        try:
            found: list[bytes] = []
            while len(found) < 2:
                fetched = await asyncio.wait_for(consumer.getmany(timeout_ms=500), PATIENCE_S)
                found += [record.value for records in fetched.values() for record in records]
            return found
        finally:
            await consumer.stop()

    assert asyncio.run(read()) == [b"1", b"3"]


def _conf(group: str) -> Any:
    return SimpleNamespace(
        broker_client_id="test",
        id=group,
        consumer_group_instance_id=None,
        broker_max_poll_interval=60.0,
        broker_request_timeout=30.0,
        broker_session_timeout=10.0,
        broker_rebalance_timeout=30.0,
        broker_heartbeat_interval=3.0,
    )
