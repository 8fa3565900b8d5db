"""What a real Cassandra makes of the archive's write times."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from cassandra.cluster import Session

from connectors import cassandra
from connectors.settings import settings
from connectors.stack.addresses import Addresses
from schemas.topics import Topic
from schemas.views import RelationView, SourceView
from streams.archive_sink import CassandraStore, LostWritesError
from streams.engine.sink import Write

SOURCE = "u:test_archive"
PARTITION, UNTIMED = 9_998, 9_997
"""Of no topic: the positions of real sinks stay as they are."""


@pytest.fixture
def session(addresses: Addresses) -> Iterator[Session]:
    """A session with the shared Cassandra, which is left without the source."""
    cluster, session = cassandra.connect(addresses.cassandra, settings().cassandra_keyspace)
    yield session
    session.execute("DELETE FROM sources WHERE source = %s", (SOURCE,))
    cluster.shutdown()


def _write(store: CassandraStore, partition: int, offset: int, followers: int) -> None:
    view = SourceView(SOURCE, followers)
    write = Write(offset, SOURCE.encode(), msgspec.msgpack.encode(view), view)
    store.write(Topic.VIEW_SOURCES, partition, [write], offset + 1)


def test_who_was_taken_over_changes_nothing(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has seen that the position is its own, is paused, and goes on after its successor has
    written more: the newer rows and the newer position stay."""
    former, successor = CassandraStore(session, "log"), CassandraStore(session, "log")
    former.open(Topic.VIEW_SOURCES, PARTITION)
    _write(former, PARTITION, 10, 1)
    assert successor.open(Topic.VIEW_SOURCES, PARTITION) == 11
    _write(successor, PARTITION, 11, 2)
    _write(successor, PARTITION, 12, 3)

    with monkeypatch.context() as paused:
        paused.setattr(CassandraStore, "check", lambda *_: None)
        _write(former, PARTITION, 11, 2)

    found = session.execute("SELECT followers FROM sources WHERE source = %s", (SOURCE,)).one()
    assert found.followers == 3
    assert CassandraStore(session, "log").open(Topic.VIEW_SOURCES, PARTITION) == 13
    _write(successor, PARTITION, 13, 4)
    with pytest.raises(LostWritesError, match="stands at 14"):
        former.check(Topic.VIEW_SOURCES, PARTITION)


def test_relations_of_before_there_were_lists_are_read_again(session: Session) -> None:
    """The position of versions before counts no more, and what is written again changes only what
    was not there."""
    ann, now = "test_archive", 1_700_000_000_000
    session.execute(
        "INSERT INTO positions (topic, partition, log_id, position) VALUES (%s, %s, 'log', 5)",
        (Topic.VIEW_RELATIONS.value, PARTITION),
    )
    store = CassandraStore(session, "log")
    assert store.open(Topic.VIEW_RELATIONS, PARTITION) is None
    views = [
        RelationView(ann, "u:bob", False, is_blocking=True),
        RelationView(ann, "u:cy", True, now, is_muting=True, has_blocked=False),
        RelationView(ann, "t:x", False, is_muting=True),
        RelationView(ann, "u:bob", False),
    ]
    for offset, view in enumerate(views):
        write = Write(offset, b"k", msgspec.msgpack.encode(view), view)
        store.write(Topic.VIEW_RELATIONS, PARTITION, [write], offset + 1)

    def listed(table: str) -> list[str]:
        rows = session.execute(f"SELECT target FROM {table} WHERE user_id = %s", (ann,))
        return [row.target for row in rows]

    assert listed("muted") == ["t:x", "u:cy"]
    assert listed("blocked") == []
    assert listed("following") == ["u:cy"]
    assert CassandraStore(session, "log").open(Topic.VIEW_RELATIONS, PARTITION) == len(views)


def test_a_position_without_a_time_of_its_own_is_moved(session: Session) -> None:
    """As versions before wrote it: the server's time counts then."""
    session.execute(
        "INSERT INTO positions (topic, partition, log_id, position) VALUES (%s, %s, 'log', 5)",
        (Topic.VIEW_SOURCES.value, UNTIMED),
    )
    store = CassandraStore(session, "log")
    assert store.open(Topic.VIEW_SOURCES, UNTIMED) == 5
    _write(store, UNTIMED, 5, 1)
    assert CassandraStore(session, "log").open(Topic.VIEW_SOURCES, UNTIMED) == 6
