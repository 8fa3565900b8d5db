"""The Cassandra sink: rows with their write times and lifetimes, batches, and retries."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple, cast
from unittest import mock

import msgspec
import pytest
from cassandra import Unavailable, WriteTimeout
from cassandra.cluster import Session
from cassandra.protocol import ColumnMetadata, OverloadedErrorMessage
from cassandra.query import BatchStatement, BatchType, BoundStatement, PreparedStatement

from connectors import cassandra_rows
from connectors.cassandra_rows import BATCH_BYTES, BATCH_ROWS, CONCURRENCY
from connectors.cassandra_tables import month_of, months_back
from connectors.log_id import ForeignStoreError
from schemas.events import Media
from schemas.topics import IN_CASSANDRA, Topic
from schemas.views import (
    AffinityView,
    CommentCountsView,
    CommentView,
    CountersView,
    FillTimeline,
    HeavySource,
    MineView,
    PostView,
    PushEntry,
    RecentActivity,
    RelationView,
    RemoveEntry,
    RemoveSource,
    SourceView,
    TimelineOp,
    UserView,
)
from streams.archive_sink import (
    CassandraStore,
    LostWritesError,
    position_name,
    timestamp_of,
)
from streams.engine.sink import Write
from tests.unit.folds import DAY, NOW

TTL = 30 * 86_400
MONTH = month_of(NOW)


ANOTHERS = 2


class Anything:
    """Stands in for a column's type: any value, as MessagePack."""

    @staticmethod
    def serialize(value: Any, _protocol_version: int) -> bytes:
        return msgspec.msgpack.encode(value)


def _prepared(query: str) -> PreparedStatement:
    columns = [ColumnMetadata("ks", "t", f"c{n}", Anything) for n in range(query.count("?"))]
    return PreparedStatement(columns, b"id", None, query, "ks", 5, None, None)


class Batch(BatchStatement):
    """The driver's batch statement, whose rows can be read."""

    def __init__(self, batch_type: BatchType) -> None:
        assert batch_type is BatchType.UNLOGGED
        super().__init__(batch_type)
        self.rows: list[tuple[str, tuple[Any, ...]]] = []

    def add(self, row: BoundStatement) -> None:
        super().add(row)
        values = tuple(None if v is None else msgspec.msgpack.decode(v) for v in row.values)
        self.rows.append((row.prepared_statement.query_string, values))


class Answer(NamedTuple):
    """Stands in for what the driver returns at once."""

    wait: Callable[[], None]
    rows: Any = None
    fault: Exception | None = None

    def result(self) -> Any:
        self.wait()
        if self.fault is not None:
            raise self.fault
        return self.rows


class AwayError(Exception):
    """The database cannot be reached."""


class Database:
    """Stands in for a session: keeps what was executed, and fails as told."""

    def __init__(self) -> None:
        self.executed: list[Any] = []
        self.faults: list[Exception | None] = []
        self.timeline: list[tuple[int, str, str]] = []
        self.read: list[tuple[Any, ...] | None] = []
        self.reactions: dict[tuple[str, str], list[tuple[str | None, int]]] = {}
        self.positions: dict[int, int] = {1: 17, ANOTHERS: 17}
        self.places: list[str] = []  # under which positions were read and written
        self.forgets = False
        self.position_fault: Exception | None = None
        self.in_flight = self.most_in_flight = 0

    def prepare(self, query: str) -> PreparedStatement:
        return _prepared(query)

    def execute(self, prepared: PreparedStatement, values: tuple[Any, ...]) -> Any:
        statement = prepared.query_string
        if statement.startswith("SELECT at"):
            return [entry for entry in self.timeline if values == ("bob", month_of(entry[0]))]
        if statement.startswith("SELECT reaction,"):
            return self.reactions.get(values, [])
        if statement.startswith("SELECT log_id"):
            self.places.append(values[0])
            stands = self.positions.get(values[1])
            log_id = "another" if values[1] == ANOTHERS else "log"
            found = SimpleNamespace(log_id=log_id, position=stands)
            return mock.Mock(one=lambda: None if stands is None else found)
        if self.position_fault is not None:
            raise self.position_fault
        assert statement.startswith("INSERT INTO positions")
        self.places.append(values[0])
        self.executed.append((statement, values))
        if not self.forgets:
            self.positions[values[1]] = values[3]
        return None

    def execute_async(self, statement: Any, values: tuple[Any, ...] | None) -> Answer:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if not isinstance(statement, Batch):
            self.read.append(values)
            return Answer(self._answered, self.execute(statement, values or ()))
        fault = self.faults.pop(0) if self.faults else None
        if fault is None:
            self.executed.append(statement)
        return Answer(self._answered, fault=fault)

    def _answered(self) -> None:
        self.in_flight -= 1

    @property
    def batches(self) -> list[Batch]:
        return [each for each in self.executed if isinstance(each, Batch)]

    @property
    def rows(self) -> list[tuple[str, tuple[Any, ...]]]:
        return [row for batch in self.batches for row in batch.rows]


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database with nothing in it but two positions."""
    found = Database()
    monkeypatch.setattr(cassandra_rows, "BatchStatement", Batch)
    return found


def _store(database: Database) -> CassandraStore:
    return CassandraStore(cast(Session, database), "log", clock=lambda: NOW / 1000)


def _opened(database: Database, topic: Topic, partition: int = 0) -> CassandraStore:
    store = _store(database)
    store.open(topic, partition)
    return store


def _write_timelines(database: Database, *records: tuple[int, list[TimelineOp]]) -> None:
    writes = [Write(offset, None, b"x", r) for offset, r in records]
    _opened(database, Topic.TIMELINE_WRITES).write(Topic.TIMELINE_WRITES, 0, writes, 99)


def _write(database: Database, topic: Topic, *views: Any) -> None:
    writes = [Write(5 + n, b"k", b"x", view) for n, view in enumerate(views)]
    _opened(database, topic).write(topic, 0, writes, 99)


# Write times


def test_write_times_are_in_the_order_of_the_log() -> None:
    places = [(0, 0), (0, 1), (0, 9_999), (1, 0), (2**30, 3), (2**30 + 1, 0)]
    times = [timestamp_of(*place) for place in places]
    assert times == sorted(set(times))
    assert timestamp_of(7, 3) == 2**50 + 7 * 2**14 + 3
    assert timestamp_of(2**35, 2**14 - 1) < 2**63


# Timelines


def test_entries_have_write_time_and_lifetime(database: Database) -> None:
    at = NOW - 2 * DAY
    operations: list[TimelineOp] = [
        PushEntry("p", "u:a", at, ["bob", "cy"]),
        FillTimeline("di", [("q", "u:a", NOW)]),
        RemoveEntry("p", "u:a", at, ["cy"]),
    ]
    _write_timelines(database, (7, operations))
    month = month_of(at)
    values = [row[1] for row in database.rows]
    assert values == [
        ("bob", month, at, "p", "u:a", timestamp_of(7, 0), TTL - 2 * 86_400),
        ("cy", month, at, "p", "u:a", timestamp_of(7, 0), TTL - 2 * 86_400),
        ("di", MONTH, NOW, "q", "u:a", timestamp_of(7, 1), TTL),
        (timestamp_of(7, 2), "cy", month, at, "p", "u:a"),
    ]
    assert [row[0].split()[0] for row in database.rows] == ["INSERT"] * 3 + ["DELETE"]


@pytest.mark.parametrize(
    ("age_ms", "ttl"),
    [
        pytest.param(0, TTL, id="now"),
        pytest.param(-300_000, TTL, id="5 minutes ahead: no longer than 30 days"),
        pytest.param(1_000, TTL - 1, id="a second old"),
        pytest.param(30 * DAY - 1_000, 1, id="its last second"),
        pytest.param(30 * DAY - 1, 1, id="its last moment"),
        pytest.param(30 * DAY, None, id="30 days: a lifetime of 0 would be for ever"),
        pytest.param(400 * DAY, None, id="older"),
    ],
)
def test_lifetimes(database: Database, age_ms: int, ttl: int | None) -> None:
    at = NOW - age_ms
    _write_timelines(
        database, (1, [PushEntry("p", "u:a", at, ["bob"]), FillTimeline("bob", [("q", "u:a", at)])])
    )
    assert [row[1][-1] for row in database.rows] == ([] if ttl is None else [ttl, ttl])


def test_an_old_entry_can_be_removed(database: Database) -> None:
    at = NOW - 400 * DAY
    _write_timelines(database, (1, [RemoveEntry("p", "u:a", at, ["bob"])]))
    assert [row[1] for row in database.rows] == [
        (timestamp_of(1, 0), "bob", month_of(at), at, "p", "u:a")
    ]


def test_a_source_leaves_after_the_entries_of_the_batch(database: Database) -> None:
    old, new = NOW - 29 * DAY, NOW
    database.timeline = [
        (new, "p", "u:a"),
        (new, "p", "u:b"),
        (old, "q", "s:a"),
        (old, "r", "u:aa"),
    ]
    _write_timelines(
        database,
        (3, [RemoveSource("bob", ["u:a", "s:a"])]),
        (4, [PushEntry("p", "u:a", new, ["bob"])]),
    )
    assert [row[1] for row in database.rows] == [
        ("bob", MONTH, new, "p", "u:a", timestamp_of(4, 0), TTL),
        (timestamp_of(3, 0), "bob", MONTH, new, "p", "u:a"),
        (timestamp_of(3, 0), "bob", month_of(old), old, "q", "s:a"),
    ]


def test_an_owner_whom_many_sources_leave_is_read_once(database: Database) -> None:
    """What came and left again goes at its last leave."""
    database.timeline = [(NOW, "p", "u:a"), (NOW, "q", "u:b")]
    removals = [(n, [RemoveSource("bob", [f"u:{name}"])]) for n, name in enumerate("abcda")]
    _write_timelines(database, *removals)
    assert [row[1] for row in database.rows] == [
        (timestamp_of(4, 0), "bob", MONTH, NOW, "p", "u:a"),
        (timestamp_of(1, 0), "bob", MONTH, NOW, "q", "u:b"),
    ]
    assert database.read == [("bob", month) for month in months_back(NOW, 30)]


def test_the_position_is_written_last(database: Database) -> None:
    _write_timelines(database, (1, [PushEntry("p", "u:a", NOW, ["bob"])]))
    statement, values = database.executed[-1]
    assert statement.startswith("INSERT INTO positions")
    assert statement.endswith("USING TIMESTAMP ?")
    assert values == ("timeline-writes", 0, "log", 99, 2**52 + 99)
    assert len(database.executed) == 2


def test_the_position_is_read(database: Database) -> None:
    store = _store(database)
    assert store.open(Topic.VIEW_POSTS, 0) is None
    assert store.open(Topic.VIEW_POSTS, 1) == 17


def test_a_cassandra_that_lost_writes_is_not_written(database: Database) -> None:
    """What it confirmed and lost would never be written again if the sink just went on."""
    store = _store(database)
    assert store.open(Topic.VIEW_POSTS, 1) == 17
    database.forgets = True
    store.write(Topic.VIEW_POSTS, 1, [], 20)
    executed = len(database.executed)
    with pytest.raises(LostWritesError, match=r"stands at 17 for .*, and was left at 20"):
        store.write(Topic.VIEW_POSTS, 1, [], 23)
    assert len(database.executed) == executed
    with pytest.raises(LostWritesError):
        store.check(Topic.VIEW_POSTS, 1)


def test_a_position_whose_answer_was_lost_is_written_again(database: Database) -> None:
    """Whether it was set or not."""
    store = _opened(database, Topic.VIEW_POSTS, 1)
    database.position_fault = AwayError("the answer was lost")
    for position in (17, 20):
        with pytest.raises(AwayError):
            store.write(Topic.VIEW_POSTS, 1, [], position)
        store.check(Topic.VIEW_POSTS, 1)
    database.position_fault = None
    store.write(Topic.VIEW_POSTS, 1, [], 20)


def test_the_rows_of_another_log_are_refused(database: Database) -> None:
    with pytest.raises(ForeignStoreError, match="cluster another, this is log"):
        _store(database).open(Topic.VIEW_POSTS, ANOTHERS)


def test_positions_of_an_older_layout_are_not_those_of_this_one(database: Database) -> None:
    """So that what the topic holds comes to the tables that were added."""
    store = _store(database)
    database.places.clear()
    for topic in (Topic.VIEW_RELATIONS, Topic.VIEW_USERS):
        store.open(topic, 1)
        store.write(topic, 1, [], 18)
        database.positions[1] = 17
    assert set(database.places) == {"view.relations.2", "view.users"}


# Views

POST = PostView("p", "ann", NOW, "hi", (Media(url="u"),), "custom", ("bob",), hashtags=("x",))


@pytest.mark.parametrize(
    ("topic", "view", "rows"),
    [
        pytest.param(
            Topic.VIEW_POSTS,
            POST,
            [("INSERT", "posts"), ("INSERT", "posts_by_author")],
            id="a post",
        ),
        pytest.param(
            Topic.VIEW_POSTS,
            PostView("p", "ann", NOW, is_deleted=True),
            [("INSERT", "posts"), ("DELETE", "posts_by_author")],
            id="a deleted post",
        ),
        pytest.param(
            Topic.VIEW_COUNTERS,
            CountersView("p", {"like": 1}),
            [("INSERT", "counters")],
            id="counts",
        ),
        pytest.param(
            Topic.VIEW_COMMENTS,
            CommentView("p", "c", "bob", NOW, "hi"),
            [("INSERT", "comments"), ("INSERT", "comments_by_time")],
            id="a comment",
        ),
        pytest.param(
            Topic.VIEW_COMMENTS,
            CommentView("p", "c", "bob", NOW, is_deleted=True),
            [("DELETE", "comments"), ("DELETE", "comments_by_time")],
            id="a deleted comment",
        ),
        pytest.param(
            Topic.VIEW_COMMENT_COUNTS,
            CommentCountsView("p", "c", 3, 1),
            [("INSERT", "comment_counts")],
            id="counts of a comment",
        ),
        pytest.param(
            Topic.VIEW_COMMENT_COUNTS,
            CommentCountsView("p", "c", is_deleted=True),
            [("DELETE", "comment_counts")],
            id="no counts of a comment",
        ),
        pytest.param(
            Topic.VIEW_MINE,
            MineView("bob", "p", "wow", NOW),
            [("INSERT", "mine"), ("INSERT", "reactions_by_time")],
            id="mine",
        ),
        pytest.param(
            Topic.VIEW_MINE,
            MineView("bob", "p", None, NOW, True, NOW),
            [("INSERT", "mine")],
            id="a share",
        ),
        pytest.param(
            Topic.VIEW_MINE, MineView("bob", "p"), [("DELETE", "mine")], id="nothing of mine"
        ),
        pytest.param(Topic.VIEW_USERS, UserView("ann"), [("INSERT", "users")], id="a user"),
        pytest.param(
            Topic.VIEW_RELATIONS,
            RelationView("bob", "u:ann", True, NOW, has_blocked=False),
            [("INSERT", "following"), ("INSERT", "followers")],
            id="a follow",
        ),
        pytest.param(
            Topic.VIEW_RELATIONS,
            RelationView("bob", "u:ann", False, has_blocked=False),
            [("DELETE", "following"), ("DELETE", "followers")],
            id="no follow",
        ),
        pytest.param(
            Topic.VIEW_RELATIONS,
            RelationView("bob", "u:ann", True, NOW, is_muting=True, has_blocked=False),
            [("INSERT", "following"), ("INSERT", "followers"), ("INSERT", "muted")],
            id="a mute",
        ),
        pytest.param(
            Topic.VIEW_RELATIONS,
            RelationView("bob", "t:x", False, is_muting=False, has_blocked=False),
            [("DELETE", "following"), ("DELETE", "followers"), ("DELETE", "muted")],
            id="muted no more",
        ),
        pytest.param(
            Topic.VIEW_RELATIONS,
            RelationView("bob", "u:ann", False, is_blocking=True),
            [("DELETE", "following"), ("DELETE", "followers"), ("INSERT", "blocked")],
            id="a block",
        ),
        pytest.param(
            Topic.VIEW_RELATIONS,
            RelationView("bob", "u:ann", False, is_blocked=True, has_blocked=False),
            [("DELETE", "following"), ("DELETE", "followers")],
            id="a block by the other",
        ),
        pytest.param(
            Topic.VIEW_RELATIONS,
            RelationView("bob", "u:ann", False, is_blocked=True),
            [("DELETE", "following"), ("DELETE", "followers"), ("DELETE", "blocked")],
            id="a block by the other, and none of one's own any more",
        ),
        pytest.param(
            Topic.VIEW_RELATIONS,
            RelationView("bob", "u:ann", False),
            [("DELETE", "following"), ("DELETE", "followers"), ("DELETE", "blocked")],
            id="blocked no more, or as versions before wrote it",
        ),
        pytest.param(
            Topic.VIEW_AFFINITY,
            AffinityView("bob", "ann", 1.0, NOW),
            [("INSERT", "affinity")],
            id="affinity",
        ),
        pytest.param(
            Topic.VIEW_AFFINITY,
            AffinityView("bob", "ann", 1e-10, NOW),
            [("DELETE", "affinity")],
            id="no affinity",
        ),
        pytest.param(
            Topic.VIEW_SOURCES, SourceView("u:a", 3), [("INSERT", "sources")], id="a source"
        ),
        pytest.param(
            Topic.VIEW_RECENTS, HeavySource("u:a", True), [("INSERT", "heavy")], id="heavy"
        ),
        pytest.param(
            Topic.VIEW_RECENTS, HeavySource("u:a", False), [("DELETE", "heavy")], id="light"
        ),
        pytest.param(
            Topic.VIEW_RECENTS,
            RecentActivity("u:a", "p", "u:a", NOW, True),
            [("INSERT", "recents")],
            id="held",
        ),
        pytest.param(
            Topic.VIEW_RECENTS,
            RecentActivity("u:a", "p", "u:a", NOW, False),
            [("DELETE", "recents")],
            id="held no more",
        ),
    ],
)
def test_rows_of_views(
    database: Database, topic: Topic, view: Any, rows: list[tuple[str, str]]
) -> None:
    _write(database, topic, view)
    found = []
    for query, values in database.rows:
        words = query.split()
        found.append((words[0], words[2]))
        assert query.count("?") == len(values)
        assert values[-1 if words[0] == "INSERT" else 0] == timestamp_of(5, 0)
    assert found == rows


# Reactions, by time

LIKED = MineView("bob", "p", "like", NOW, is_again=True)
SHARED = MineView("bob", "p", None, NOW, True, NOW)
PLACE = ("bob", NOW - 5, "p")


def _places(database: Database) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Of `reactions_by_time`, the rows that go and those that come; write times left out."""
    rows = [(q.split()[0], v) for q, v in database.rows if "reactions_by_time" in q]
    return [v[1:] for what, v in rows if what == "DELETE"], [
        v[:-1] for what, v in rows if what == "INSERT"
    ]


@pytest.mark.parametrize(
    ("before", "views", "dropped", "put"),
    [
        pytest.param(
            [("wow", NOW - 5)], [LIKED], [PLACE], [(*PLACE[:1], NOW, "p", "like")], id="again"
        ),
        pytest.param([("wow", NOW)], [LIKED], [], [("bob", NOW, "p", "like")], id="the same place"),
        pytest.param([(None, NOW - 5)], [LIKED], [], [("bob", NOW, "p", "like")], id="taken back"),
        pytest.param([], [LIKED], [], [("bob", NOW, "p", "like")], id="none before"),
        pytest.param([("like", NOW - 5)], [SHARED], [PLACE], [], id="an unlike"),
        pytest.param([("like", NOW - 5)], [MineView("bob", "p")], [PLACE], [], id="erased"),
        pytest.param(
            [("like", NOW - 5)],
            [MineView("bob", "p"), MineView("bob", "p", "like", NOW)],
            [PLACE],
            [("bob", NOW, "p", "like")],
            id="erased, and a late one in the same batch",
        ),
    ],
)
def test_a_reaction_has_one_place(
    database: Database,
    before: list[tuple[str | None, int]],
    views: list[MineView],
    dropped: list[tuple[Any, ...]],
    put: list[tuple[Any, ...]],
) -> None:
    database.reactions["bob", "p"] = before
    _write(database, Topic.VIEW_MINE, *views)
    assert _places(database) == (dropped, put)


def test_a_first_reaction_reads_nothing(database: Database) -> None:
    database.reactions["bob", "p"] = [("like", NOW - 5)]
    _write(database, Topic.VIEW_MINE, MineView("bob", "p", "like", NOW))
    assert database.read == []
    assert _places(database) == ([], [("bob", NOW, "p", "like")])


def test_the_former_place_goes_before_what_names_it_and_the_new_one_comes_after(
    database: Database,
) -> None:
    """So wherever a write ends, what is there when it is done again names the place to drop."""
    database.reactions["bob", "p"] = [("wow", NOW - 5)]
    _write(database, Topic.VIEW_MINE, LIKED)
    written = [[query.split()[2] for query, _ in batch.rows] for batch in database.batches]
    assert written == [["reactions_by_time"], ["mine"], ["reactions_by_time"]]
    assert [query.split()[0] for query, _ in database.rows] == ["DELETE", "INSERT", "INSERT"]


def test_every_column_of_a_post_is_written(database: Database) -> None:
    _write(database, Topic.VIEW_POSTS, POST)
    query, values = database.rows[0]
    columns = query[query.index("(") + 1 : query.index(")")].split(", ")
    row = dict(zip(columns, values, strict=False))
    assert set(columns) == set(PostView.__struct_fields__) - {"former_places"}
    assert row["media"] == '[{"url":"u","kind":"image","width":null,"height":null,"alt":null}]'
    assert (row["audience"], row["hashtags"], row["at"]) == (["bob"], ["x"], NOW)


def test_only_the_newest_value_of_a_batch_is_written(database: Database) -> None:
    _write(database, Topic.VIEW_SOURCES, SourceView("u:a", 1), SourceView("u:a", 2))
    assert [row[1] for row in database.rows] == [("u:a", 2, 0, timestamp_of(6, 0))]


@pytest.mark.parametrize("topic", IN_CASSANDRA)
def test_a_null_writes_only_the_position(database: Database, topic: Topic) -> None:
    _opened(database, topic, 3).write(topic, 3, [Write(1, b"k", None)], 2)
    assert database.batches == []
    assert database.executed[-1][1] == (position_name(topic), 3, "log", 2, 2**52 + 2)


# Batches


@pytest.mark.parametrize(
    ("owners", "sizes"),
    [
        pytest.param(1, [1], id="one"),
        pytest.param(BATCH_ROWS, [BATCH_ROWS], id="a whole batch"),
        pytest.param(2 * BATCH_ROWS + 1, [BATCH_ROWS, BATCH_ROWS, 1], id="a row more than two"),
    ],
)
def test_batches_have_at_most_100_rows(database: Database, owners: int, sizes: list[int]) -> None:
    names = [f"u{n}" for n in range(owners)]
    _write_timelines(database, (1, [PushEntry("p", "u:a", NOW, names)]))
    assert [len(batch.rows) for batch in database.batches] == sizes


@pytest.mark.parametrize("letter", ["x", "日"], ids=["ASCII", "three bytes a letter"])
def test_batches_have_at_most_32_kib(database: Database, letter: str) -> None:
    posts = [PostView(letter * n, "ann", NOW, letter * 3_000) for n in range(1, 20)]
    writes = [Write(n, b"%d" % n, b"x", p) for n, p in enumerate(posts)]
    _opened(database, Topic.VIEW_POSTS).write(Topic.VIEW_POSTS, 0, writes, 99)
    assert len(database.rows) == 2 * len(posts)
    for batch in database.batches:
        size = sum(
            len(value.encode()) if isinstance(value, str) else 8
            for _, values in batch.rows
            for value in values
        )
        assert size <= BATCH_BYTES
    assert len(database.batches) < len(posts)


def test_a_row_larger_than_a_batch_goes_alone(database: Database) -> None:
    _write(database, Topic.VIEW_POSTS, PostView("p", "ann", NOW, "x" * 65_536))
    assert [len(batch.rows) for batch in database.batches] == [1, 1]


# Refusals

OVERLOADED = [
    WriteTimeout("x", write_type=0),
    OverloadedErrorMessage(0, "x", None),
]
AWAY = Unavailable("x")


def _positions(database: Database) -> list[int]:
    return [each[1][3] for each in database.executed if isinstance(each, tuple)]


def _push_to(database: Database, batches: int) -> None:
    names = [f"u{n}" for n in range(batches * BATCH_ROWS)]
    _write_timelines(database, (1, [PushEntry("p", "u:a", NOW, names)]))


@pytest.mark.parametrize("fault", OVERLOADED, ids=lambda fault: type(fault).__name__)
def test_what_an_overloaded_server_refuses_of_much_is_sent_again(
    database: Database, fault: Exception
) -> None:
    first, second = [fault, None] * 5, [fault, None, None, None, fault]
    database.faults = [*first, *second, fault]
    _push_to(database, 10)
    owners = [values[0] for _, values in database.rows]
    assert sorted(owners) == sorted(f"u{n}" for n in range(10 * BATCH_ROWS)), "each once"
    assert _positions(database) == [99]


def test_some_batches_are_in_flight_at_once(database: Database) -> None:
    _push_to(database, 3 * CONCURRENCY)
    assert (database.most_in_flight, database.in_flight) == (CONCURRENCY, 0)


def test_a_server_that_refuses_the_most_is_left_alone(database: Database) -> None:
    database.faults = [*OVERLOADED * 5, None, None, None]
    with pytest.raises(OverloadedErrorMessage):
        _push_to(database, 13)
    assert database.faults == [], "each was sent once"
    assert _positions(database) == []


def test_a_server_that_is_away_is_not_sent_the_rest(database: Database) -> None:
    database.faults = [None, AWAY]
    with pytest.raises(Unavailable):
        _push_to(database, 10 * CONCURRENCY)
    assert len(database.batches) == CONCURRENCY
    assert _positions(database) == []


# Months


@pytest.mark.parametrize(
    ("at", "month"),
    [
        (0, 197001),
        (951_782_400_000, 200002),
        (951_868_800_000, 200003),
        (1_704_067_199_999, 202312),
    ],
)
def test_months(at: int, month: int) -> None:
    assert month_of(at) == month


@pytest.mark.parametrize("day", range(0, 800, 7))
def test_the_months_of_30_days_hold_every_entry_that_lives(day: int) -> None:
    now = NOW + day * DAY
    months = months_back(now, 30)
    assert months == sorted(set(months), reverse=True)
    assert len(months) <= 3
    for age in (-300_000, 0, *(n * DAY for n in range(31)), 30 * DAY - 1):
        assert month_of(now - age) in months


def test_a_post_that_moved_leaves_its_former_places(database: Database) -> None:
    view = PostView("p", "ann", 1, former_places=(("ann", 2), ("bob", 3)))
    _write(database, Topic.VIEW_POSTS, view)
    dropped = [
        values[1:] for query, values in database.rows if query.startswith("DELETE FROM posts_by")
    ]
    assert dropped == [("ann", 2, "p"), ("bob", 3, "p")]


def test_a_comment_that_moved_leaves_its_former_places(database: Database) -> None:
    view = CommentView("p", "c", "bob", 1, "hi", former_times=(2, 3))
    _write(database, Topic.VIEW_COMMENTS, view)
    dropped = [
        values[1:] for query, values in database.rows if query.startswith("DELETE FROM comments_by")
    ]
    assert dropped == [("p", 2, "c"), ("p", 3, "c")]
