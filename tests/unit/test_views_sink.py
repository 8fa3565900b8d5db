"""The Redis sink: which commands a batch of records comes to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec
import pytest
from hiredis import Reader
from redis import Redis
from redis.exceptions import ConnectionError

from connectors import redis_fence
from connectors.redis import RAISE_FLOOR, REMOVE_REASONS, TRIM_FEED, TRIM_WITH_HASH, digest_of
from connectors.redis_fence import Mark
from connectors.redis_keys import fading_rank
from schemas.topics import IN_REDIS, Topic
from schemas.views import (
    AffinityView,
    CloseTimeline,
    CommentCountsView,
    CountersView,
    DevicesView,
    FillTimeline,
    HeavySource,
    InterestView,
    MineView,
    ModerationView,
    NameView,
    NotificationsSeen,
    NotificationView,
    OpenTimeline,
    PostView,
    PushEntry,
    RecentActivity,
    RefillTimeline,
    RelationView,
    RemoveEntry,
    RemoveSource,
    SourceView,
    TimelineOp,
    TrendingView,
    UserView,
)
from streams.engine.sink import Write
from streams.feeds import ENTRIES_PER_TRIM, FEED_ENTRIES, Feed
from streams.views_sink import RedisStore
from tests.unit.folds import NOW

FEED = "feed:{p0}:bob"
FLOOR = "floor:{p0}:bob"
OPENED = "opened:{p0}"
SECONDS_7_DAYS = 604_800

Command = tuple[str, ...]
"""As sent, numbers as text."""


class Connection:
    """Takes what is sent and answers as Redis does; keeps what is set beside the views."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._answers: deque[Any] = deque()
        self._queue: list[Command] | None = None

    def send_packed_command(self, packed: Iterable[bytes]) -> None:
        reader = Reader(encoding="utf-8", errors="surrogateescape")
        for part in packed:
            reader.feed(part)
        while (command := reader.gets()) is not False:
            self._answers.append(self._answer(tuple(command)))

    def read_response(self, *, disable_decoding: bool) -> Any:
        assert disable_decoding
        answer = self._answers.popleft()
        if self._client.loses_answers and isinstance(answer, list):
            raise ConnectionError("Connection reset by peer")
        return answer

    def disconnect(self) -> None:
        self._queue = None

    def _answer(self, command: Command) -> Any:
        match command:
            case ("WATCH", str(key)):
                assert key.startswith("pos:")
                return b"OK"
            case ("GET", str(key)):
                return self._client.marks.get(key)
            case ("MULTI",):
                self._queue = []
                return b"OK"
            case ("EXEC",):
                return self._execute()
            case _:
                assert self._queue is not None, "a command outside of a transaction"
                self._queue.append(command)
                return b"QUEUED"

    def _execute(self) -> list[bytes]:
        assert self._queue is not None
        known = {digest_of(each[2]) for each in self._queue if each[:2] == ("SCRIPT", "LOAD")}
        run = {each[1] for each in self._queue if each[0] == "EVALSHA"}
        assert run <= known, "a script that the server may not know"
        marks = [each for each in self._queue if each[1].startswith("pos:")]
        for _, key, mark in marks:
            self._client.marks[key] = mark.encode()
        sent = [each for each in self._queue if each not in marks and each[0] != "SCRIPT"]
        self._client.sent.append(sent)
        self._queue = None
        return [b"OK"]


NO_TRIM = 1.0


class Client:
    """A client with no server, and its pool of connections."""

    def __init__(self) -> None:
        self.sent: list[list[Command]] = []
        self.marks: dict[str, bytes] = {}
        self.feeds: dict[bytes, bytes] = {}
        self.loses_answers = False
        self.connection_pool = self

    @property
    def positions(self) -> dict[str, int | None]:
        return {
            key: msgspec.json.decode(mark, type=Mark).position for key, mark in self.marks.items()
        }

    def hgetall(self, key: str) -> dict[bytes, bytes]:
        assert key == OPENED
        return self.feeds

    def get_connection(self) -> Connection:
        return Connection(self)

    def release(self, connection: Connection) -> None:
        assert connection._queue is None, "a transaction was left open"


OWNERS = ("bob", "cy", *(f"user{n}" for n in range(25)))
THERE = msgspec.msgpack.encode(Feed("e0", 0))


def _store(
    topic: Topic = Topic.TIMELINE_WRITES, chance: float = NO_TRIM, owners: Sequence[str] = OWNERS
) -> tuple[RedisStore, Client]:
    """A store with the feeds of `owners`."""
    client = Client()
    client.feeds = {owner.encode(): THERE for owner in owners}
    store = RedisStore(cast(Redis, client), 1, "log", lambda: chance)
    assert store.open(topic, 0) is None
    client.sent.clear()
    return store, client


def _write(offset: int, key: bytes | None, view: Any) -> Write:
    return Write(offset, key, msgspec.msgpack.encode(view), view)


def _text(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")


def _timeline_commands(*records: Sequence[TimelineOp]) -> list[Command]:
    store, client = _store()
    writes = [_write(n, None, list(r)) for n, r in enumerate(records)]
    store.write(Topic.TIMELINE_WRITES, 0, writes, 9)
    (commands,) = client.sent
    assert client.positions == {"pos:{p0}:timeline-writes": 9}
    return commands


def _view_commands(topic: Topic, views: Iterable[tuple[str, Any]]) -> list[Command]:
    store, client = _store(topic)
    writes = [_write(n, key.encode(), view) for n, (key, view) in enumerate(views)]
    store.write(topic, 0, writes, 9)
    (commands,) = client.sent
    assert client.positions == {f"pos:{{p0}}:{topic}": 9}
    return commands


PUSH_P = PushEntry("p", "u:a", 1, ["bob"])
PUSH_Q = PushEntry("q", "u:b", 2, ["bob"])
REMOVE_P = RemoveEntry("p", "u:a", 1, ["bob"])
LEAVE_A = RemoveSource("bob", ["u:a", "s:a"])
FILL = FillTimeline("bob", [("p", "u:a", 1), ("r", "s:a", 3)])
DROP_A = ("EVALSHA", digest_of(REMOVE_REASONS), "1", FEED, "u:a", "s:a")


@pytest.mark.parametrize(
    ("operations", "commands"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([PUSH_P], [("ZADD", FEED, "1", "p\0u:a")], id="a push"),
        pytest.param(
            [PUSH_P, PUSH_Q], [("ZADD", FEED, "1", "p\0u:a", "2", "q\0u:b")], id="pushes are one"
        ),
        pytest.param([REMOVE_P], [("ZREM", FEED, "p\0u:a")], id="a removal"),
        pytest.param([PUSH_P, REMOVE_P], [("ZREM", FEED, "p\0u:a")], id="pushed and removed"),
        pytest.param([REMOVE_P, PUSH_P], [("ZADD", FEED, "1", "p\0u:a")], id="removed and pushed"),
        pytest.param(
            [PUSH_P, PUSH_Q, REMOVE_P],
            [("ZADD", FEED, "2", "q\0u:b"), ("ZREM", FEED, "p\0u:a")],
            id="one of two removed",
        ),
        pytest.param(
            [PUSH_P, PushEntry("p", "u:a", 5, ["bob"])],
            [("ZADD", FEED, "5", "p\0u:a")],
            id="the last time counts",
        ),
        pytest.param(
            [PUSH_P, PushEntry("p", "s:c", 5, ["bob"])],
            [("ZADD", FEED, "1", "p\0u:a", "5", "p\0s:c")],
            id="one post for two reasons",
        ),
        pytest.param([FILL], [("ZADD", FEED, "1", "p\0u:a", "3", "r\0s:a")], id="a filling"),
        pytest.param(
            [REMOVE_P, FILL],
            [("ZADD", FEED, "1", "p\0u:a", "3", "r\0s:a")],
            id="a removal before a filling",
        ),
        pytest.param([LEAVE_A], [DROP_A], id="a source leaves"),
        pytest.param(
            [PUSH_P, LEAVE_A],
            [("ZADD", FEED, "1", "p\0u:a"), DROP_A],
            id="what was pushed before the source left is met by it",
        ),
        pytest.param(
            [LEAVE_A, FILL],
            [DROP_A, ("ZADD", FEED, "1", "p\0u:a", "3", "r\0s:a")],
            id="what comes after it stays",
        ),
        pytest.param(
            [PUSH_P, LEAVE_A, PUSH_P, REMOVE_P, LEAVE_A, PUSH_Q],
            [
                ("ZADD", FEED, "1", "p\0u:a"),
                DROP_A,
                ("ZREM", FEED, "p\0u:a"),
                DROP_A,
                ("ZADD", FEED, "2", "q\0u:b"),
            ],
            id="in the order of the log",
        ),
    ],
)
def test_operations_on_one_feed(operations: list[TimelineOp], commands: list[Command]) -> None:
    assert _timeline_commands(operations) == commands
    assert _timeline_commands(*([each] for each in operations)) == commands


def test_feeds_are_apart() -> None:
    push = PushEntry("p", "u:a", 1, ["bob", "cy"])
    commands = _timeline_commands([push, RemoveEntry("p", "u:a", 1, ["cy"]), LEAVE_A])
    assert commands == [
        ("ZADD", FEED, "1", "p\0u:a"),
        DROP_A,
        ("ZREM", "feed:{p0}:cy", "p\0u:a"),
    ]


# Feeds of who reads

OPEN = OpenTimeline("dan", "e1", 2)
DAN, DAN_FLOOR = "feed:{p0}:dan", "floor:{p0}:dan"
DROPPED = ("DEL", DAN, DAN_FLOOR)
BEGUN = [DROPPED, ("SET", DAN_FLOOR, "?0")]
PUSH_DAN = PushEntry("p", "u:a", 1, ["dan"])
ADDED = ("ZADD", DAN, "1", "p\0u:a")


def _answer(floor: int, epoch: str = "e1", **more: Any) -> RefillTimeline:
    return RefillTimeline("dan", epoch, floor, **{"entries": [], **more})


def _raised(floor: int, *, is_last: bool) -> Command:
    return ("EVALSHA", digest_of(RAISE_FLOOR), "1", DAN_FLOOR, str(floor), "1" if is_last else "0")


def _known(missing: int, epoch: str = "e1") -> Command:
    return ("HSET", OPENED, "dan", _text(msgspec.msgpack.encode(Feed(epoch, missing))))


TRIMMED = ("EVALSHA", digest_of(TRIM_FEED), "2", DAN, DAN_FLOOR, str(FEED_ENTRIES))


@pytest.mark.parametrize(
    ("operations", "commands"),
    [
        pytest.param(
            [
                PUSH_DAN,
                RemoveEntry("p", "u:a", 1, ["dan"]),
                FillTimeline("dan", [("p", "u:a", 1)]),
                RemoveSource("dan", ["u:a"]),
                _answer(5),
            ],
            [],
            id="nothing is kept for who does not read",
        ),
        pytest.param([PUSH_DAN, OPEN], [*BEGUN, _known(2)], id="nor what came before"),
        pytest.param([OPEN, PUSH_DAN], [*BEGUN, ADDED, _known(2)], id="what comes after is kept"),
        pytest.param(
            [OPEN, _answer(5)],
            [*BEGUN, _raised(5, is_last=False), _known(1)],
            id="an answer is missing",
        ),
        pytest.param(
            [OPEN, _answer(5), _answer(3, entries=[("p", "u:a", 1)])],
            [*BEGUN, ADDED, _raised(5, is_last=True), TRIMMED, _known(0)],
            id="all answers, the highest floor",
        ),
        pytest.param(
            [OPEN, _answer(5, "e0"), _answer(6)],
            [*BEGUN, _raised(6, is_last=False), _known(1)],
            id="an answer to another opening does not count",
        ),
        pytest.param(
            [OPEN, _answer(5), OpenTimeline("dan", "e2", 2), _answer(6), _answer(7, "e2")],
            [*BEGUN, _raised(7, is_last=False), _known(1, "e2")],
            id="opened anew before all have answered",
        ),
        pytest.param(
            [OPEN, _answer(5), _answer(6), OpenTimeline("dan", "e2", 1), _answer(9, "e2")],
            [*BEGUN, _raised(6, is_last=True), TRIMMED, _known(0)],
            id="opened anew when it is there",
        ),
        pytest.param(
            [OPEN, PUSH_DAN, _answer(5), CloseTimeline("dan"), PUSH_DAN],
            [*BEGUN, DROPPED, ("HDEL", OPENED, "dan")],
            id="closed",
        ),
        pytest.param(
            [CloseTimeline("dan"), OPEN], [DROPPED, *BEGUN, _known(2)], id="closed and opened"
        ),
    ],
)
def test_feeds_of_readers(operations: list[TimelineOp], commands: list[Command]) -> None:
    assert _timeline_commands(operations) == commands


def test_what_feeds_there_are_is_known_from_batch_to_batch() -> None:
    store, client = _store()
    batches: list[list[TimelineOp]] = [[OPEN], [_answer(5)], [_answer(6)], [PUSH_DAN]]
    batches += [[CloseTimeline("dan")], [PUSH_DAN]]
    for n, batch in enumerate(batches):
        store.write(Topic.TIMELINE_WRITES, 0, [_write(n, None, batch)], n + 1)
    assert client.sent[1:] == [
        [_raised(5, is_last=False), _known(1)],
        [_raised(6, is_last=True), TRIMMED, _known(0)],
        [ADDED],
        [DROPPED, ("HDEL", OPENED, "dan")],
        [],
    ]


def test_after_a_lost_answer_it_is_looked_up_what_feeds_there_are() -> None:
    store, client = _store()
    write = (Topic.TIMELINE_WRITES, 0, [_write(0, None, [OPEN])], 1)
    client.loses_answers = True
    with pytest.raises(ConnectionError):
        store.write(*write)
    client.loses_answers = False
    client.feeds[b"dan"] = msgspec.msgpack.encode(Feed("e1", 2))
    store.write(*write)
    store.write(Topic.TIMELINE_WRITES, 0, [_write(1, None, [PUSH_DAN])], 2)
    assert client.sent[-1] == [ADDED]


def test_an_empty_record_is_nothing() -> None:
    store, client = _store()
    store.write(Topic.TIMELINE_WRITES, 0, [Write(1, None, None)], 2)
    assert client.sent == [[]]
    assert client.positions == {"pos:{p0}:timeline-writes": 2}


@pytest.mark.parametrize(
    ("entries", "chance", "is_trimmed"),
    [
        (1, 0.0, True),
        (1, 1 / ENTRIES_PER_TRIM, False),
        (3, 2.9 / ENTRIES_PER_TRIM, True),
        (3, 3 / ENTRIES_PER_TRIM, False),
        (ENTRIES_PER_TRIM, 0.999, True),
    ],
)
def test_one_in_200_entries_has_its_feed_trimmed(
    entries: int, chance: float, is_trimmed: bool
) -> None:
    """By chance, so that nothing is remembered of each feed."""
    store, client = _store(chance=chance)
    pushes = [PushEntry(f"p{n}", "u:a", n, ["bob"]) for n in range(entries)]
    store.write(Topic.TIMELINE_WRITES, 0, [_write(0, None, pushes)], 1)
    trim = ("EVALSHA", digest_of(TRIM_FEED), "2", FEED, FLOOR, str(FEED_ENTRIES))
    (commands,) = client.sent
    assert commands[0][0] == "ZADD"
    assert commands[1:] == ([trim] if is_trimmed else [])


def test_a_large_batch_takes_several_round_trips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_fence, "COMMANDS_PER_ROUND_TRIP", 10 + 3)  # three scripts
    store, client = _store()
    leaves = [RemoveSource(f"user{n}", ["u:a"]) for n in range(25)]
    store.write(Topic.TIMELINE_WRITES, 0, [_write(0, None, leaves)], 1)
    assert [len(commands) for commands in client.sent] == [10, 10, 5]
    assert client.positions == {"pos:{p0}:timeline-writes": 1}


def test_a_batch_whose_answer_was_lost_is_not_written_again() -> None:
    store, client = _store()
    write = (Topic.TIMELINE_WRITES, 0, [_write(0, None, [PUSH_P])], 1)
    client.loses_answers = True
    with pytest.raises(ConnectionError):
        store.write(*write)
    client.loses_answers = False
    store.write(*write)
    pushed = [("ZADD", FEED, "1", "p\0u:a")]
    assert client.sent == [pushed, []], "and then only a new mark"
    assert client.positions == {"pos:{p0}:timeline-writes": 1}
    store.write(Topic.TIMELINE_WRITES, 0, [_write(1, None, [PUSH_Q])], 2)
    assert client.positions == {"pos:{p0}:timeline-writes": 2}


WHOLE_VIEWS = [
    (Topic.VIEW_POSTS, "post:{p0}:p", lambda n: PostView("p", "ann", n), SECONDS_7_DAYS),
    (Topic.VIEW_COUNTERS, "counters:{p0}:p", lambda n: CountersView("p", shares=n), SECONDS_7_DAYS),
    (Topic.VIEW_USERS, "user:{p0}:ann", lambda n: UserView("ann", following=n), None),
    (Topic.VIEW_SOURCES, "source:{p0}:u:ann", lambda n: SourceView("u:ann", n), None),
    (
        Topic.VIEW_TRENDING,
        "trending:{p0}:posts/1h/en",
        lambda n: TrendingView("posts", "1h", "en", 0, n),
        15 * 60,
    ),
]


@pytest.mark.parametrize(("topic", "key", "view", "ttl"), WHOLE_VIEWS)
def test_the_newest_value_is_set_as_it_is(
    topic: Topic, key: str, view: Any, ttl: int | None
) -> None:
    commands = _view_commands(topic, [("k", view(1)), ("k", view(2))])
    expires = () if ttl is None else ("EX", str(ttl))
    assert commands == [("SET", key, _text(msgspec.msgpack.encode(view(2))), *expires)]


REACTED, KINDS, SHARED = "reacted:{p0}:bob", "kinds:{p0}:bob", "shared:{p0}:bob"


@pytest.mark.parametrize(
    ("view", "commands"),
    [
        pytest.param(
            MineView("bob", "p", "like", 7),
            [("ZADD", REACTED, "7", "p"), ("HDEL", KINDS, "p"), ("ZREM", SHARED, "p")],
            id="liked",
        ),
        pytest.param(
            MineView("bob", "p", "wow", 7, True, 8),
            [("ZADD", REACTED, "7", "p"), ("HSET", KINDS, "p", "wow"), ("ZADD", SHARED, "8", "p")],
            id="another reaction and shared",
        ),
        pytest.param(
            MineView("bob", "p", None, 7, False, 8),
            [("ZREM", REACTED, "p"), ("HDEL", KINDS, "p"), ("ZREM", SHARED, "p")],
            id="taken back",
        ),
    ],
)
def test_what_a_user_did(view: MineView, commands: list[Command]) -> None:
    *found, reactions, shares = _view_commands(Topic.VIEW_MINE, [("bob\0p", view)])
    assert found == commands
    assert reactions == ("EVALSHA", digest_of(TRIM_WITH_HASH), "2", REACTED, KINDS, "10000")
    assert shares == ("ZREMRANGEBYRANK", SHARED, "0", "-10001")


@pytest.mark.parametrize(
    ("view", "command"),
    [
        (HeavySource("u:ann", True), ("SADD", "heavy:{p0}", "u:ann")),
        (HeavySource("u:ann", False), ("SREM", "heavy:{p0}", "u:ann")),
        (
            RecentActivity("u:ann", "p", "s:ann", 7, True),
            ("ZADD", "recent:{p0}:u:ann", "7", "p\0s:ann"),
        ),
        (
            RecentActivity("u:ann", "p", "s:ann", 7, False),
            ("ZREM", "recent:{p0}:u:ann", "p\0s:ann"),
        ),
    ],
)
def test_heavy_sources(view: Any, command: Command) -> None:
    assert _view_commands(Topic.VIEW_RECENTS, [("k", view)]) == [command]


FOLLOWING, BLOCKS = "following:{p0}:bob", "blocks:{p0}:bob"
NO_FAVOURITE = ("SREM", "favourites:{p0}:bob", "u:ann")


@pytest.mark.parametrize(
    ("view", "commands"),
    [
        pytest.param(
            RelationView("bob", "u:ann", True, 7),
            [("ZADD", FOLLOWING, "7", "u:ann"), ("SREM", BLOCKS, "u:ann"), NO_FAVOURITE],
            id="follows",
        ),
        pytest.param(
            RelationView("bob", "u:ann", True, 7, is_favourite=True),
            [
                ("ZADD", FOLLOWING, "7", "u:ann"),
                ("SREM", BLOCKS, "u:ann"),
                ("SADD", *NO_FAVOURITE[1:]),
            ],
            id="favours",
        ),
        pytest.param(
            RelationView("bob", "u:ann", False),
            [("ZREM", FOLLOWING, "u:ann"), ("SREM", BLOCKS, "u:ann"), NO_FAVOURITE],
            id="nothing",
        ),
        *(
            pytest.param(
                RelationView("bob", "u:ann", False, 0, *blocks),
                [("ZREM", FOLLOWING, "u:ann"), ("SADD", BLOCKS, "u:ann"), NO_FAVOURITE],
                id=name,
            )
            for name, blocks in {"blocks": (True, False), "is blocked": (False, True)}.items()
        ),
    ],
)
def test_relations(view: RelationView, commands: list[Command]) -> None:
    assert _view_commands(Topic.VIEW_RELATIONS, [("bob\0u:ann", view)]) == commands


@pytest.mark.parametrize("status", ["active", "deactivated", "deleted"])
def test_what_was_delivered_to_a_user_goes_with_the_user(status: str) -> None:
    view = UserView("ann", status=status)
    _, *rest = _view_commands(Topic.VIEW_USERS, [("ann", view)])
    assert (("DEL", "told:{p0}:ann") in rest) == (status == "deleted")


def test_comments_by_likes() -> None:
    views = [
        ("p\0c", CommentCountsView("p", "c", 1)),
        ("p\0c", CommentCountsView("p", "c", 2, 7)),
        ("p\0d", CommentCountsView("p", "d")),
        ("p\0e", CommentCountsView("p", "e", is_deleted=True)),
    ]
    key = "best_comments:{p0}:p"
    assert _view_commands(Topic.VIEW_COMMENT_COUNTS, views) == [
        ("ZADD", key, "2", "c"),
        ("ZADD", key, "0", "d"),
        ("ZREM", key, "e"),
        ("ZREMRANGEBYRANK", key, "0", "-2001"),
    ]


@pytest.mark.parametrize(("is_muting", "command"), [(True, "SADD"), (False, "SREM")])
def test_mutes(is_muting: bool, command: str) -> None:
    view = RelationView("bob", "u:ann", False, is_muting=is_muting)
    commands = _view_commands(Topic.VIEW_RELATIONS, [("bob\0u:ann", view)])
    assert commands[-1] == (command, "mutes:{p0}:bob", "u:ann")
    assert len(commands) == 4


@pytest.mark.parametrize(
    ("score", "is_there"), [(8.0, True), (1e-8, True), (1e-10, False), (0.0, False), (-1.0, False)]
)
def test_affinity(score: float, is_there: bool) -> None:
    key = "affinity:{p0}:bob"
    commands = _view_commands(
        Topic.VIEW_AFFINITY, [("bob\0ann", AffinityView("bob", "ann", score, NOW))]
    )
    if is_there:
        assert commands == [("ZADD", key, repr(fading_rank(score, NOW)), "ann")]
    else:
        assert commands == [("ZREM", key, "ann")]


def test_only_the_newest_relation_of_a_batch_is_written() -> None:
    views = [("k", RelationView("bob", "u:ann", True, n)) for n in (1, 2)]
    assert _view_commands(Topic.VIEW_RELATIONS, views)[0] == ("ZADD", FOLLOWING, "2", "u:ann")


@pytest.mark.parametrize("topic", [topic for topic in IN_REDIS if topic != Topic.TIMELINE_WRITES])
def test_a_deletion_in_a_view_topic_writes_nothing(topic: Topic) -> None:
    store, client = _store(topic)
    store.write(topic, 0, [Write(1, b"k", None)], 2)
    assert client.sent == [[]]
    assert client.positions == {f"pos:{{p0}}:{topic}": 2}


def test_who_is_deleted_leaves_nothing_that_the_api_keeps_to_rank() -> None:
    kept = [f"{kind}:{{p0}}:ann" for kind in ("viewed", "viewed_before", "rankings", "ranked")]
    for status in ("active", "deactivated", "deleted"):
        sent = _view_commands(Topic.VIEW_USERS, [("ann", UserView("ann", status=status))])
        deleted = [command for command in sent if command[0] == "DEL"]
        assert (("DEL", *kept) in deleted) == (status == "deleted")


def test_what_a_user_hides() -> None:
    hidden = "hidden:{p0}:bob"
    view = MineView("bob", "p", None, 0, False, 0, 7)
    assert ("ZADD", hidden, "7", "p") in _view_commands(Topic.VIEW_MINE, [("bob\0p", view)])
    gone = MineView("bob", "p", None, 0, False, 0, 0)
    assert ("ZREM", hidden, "p") in _view_commands(Topic.VIEW_MINE, [("bob\0p", gone)])
    never = MineView("bob", "p", "like", 5)
    assert not [c for c in _view_commands(Topic.VIEW_MINE, [("bob\0p", never)]) if hidden in c]


@pytest.mark.parametrize(
    ("view", "command"),
    [
        (NameView("sam", "u1"), ("SET", "name:{p0}:sam", "u1")),
        (NameView("sam", ""), ("DEL", "name:{p0}:sam")),
    ],
)
def test_names(view: NameView, command: Command) -> None:
    assert _view_commands(Topic.VIEW_NAMES, [("sam", view)]) == [command]


@pytest.mark.parametrize(
    ("view", "command"),
    [
        (ModerationView("p", 7, True), ("ZADD", "awaiting:{p0}", "7", "p")),
        (ModerationView("p", 7, False), ("ZREM", "awaiting:{p0}", "p")),
    ],
)
def test_what_awaits_a_moderator(view: ModerationView, command: Command) -> None:
    assert _view_commands(Topic.VIEW_MODERATION, [("p", view)]) == [command]


def test_devices() -> None:
    view = DevicesView("bob", ("fcm:x",))
    raw = _text(msgspec.msgpack.encode(view))
    assert _view_commands(Topic.VIEW_DEVICES, [("bob", view)]) == [("SET", "devices:{p0}:bob", raw)]
    none = DevicesView("bob")
    assert _view_commands(Topic.VIEW_DEVICES, [("bob", none)]) == [("DEL", "devices:{p0}:bob")]


INTERESTS, AVERSIONS = "interests:{p0}:bob", "aversions:{p0}:bob"


@pytest.mark.parametrize(
    ("view", "commands"),
    [
        pytest.param(
            InterestView("bob", "t:x", 2.0, NOW),
            [("ZADD", INTERESTS, repr(fading_rank(2.0, NOW)), "t:x")],
            id="likes",
        ),
        pytest.param(
            InterestView("bob", "t:x", 0.0, NOW, 5.0, NOW),
            [
                ("ZREM", INTERESTS, "t:x"),
                ("ZADD", AVERSIONS, repr(fading_rank(5.0, NOW, 0.72)), "t:x"),
            ],
            id="is averse",
        ),
        pytest.param(
            InterestView("bob", "t:x", 0.0, 0, 0.0, 0),
            [("ZREM", INTERESTS, "t:x"), ("ZREM", AVERSIONS, "t:x")],
            id="is no longer",
        ),
    ],
)
def test_interests(view: InterestView, commands: list[Command]) -> None:
    assert _view_commands(Topic.VIEW_INTERESTS, [("bob\0t:x", view)]) == commands


def test_an_aversion_to_a_user() -> None:
    view = AffinityView("bob", "ann", 0.0, 0, 5.0, NOW)
    assert _view_commands(Topic.VIEW_AFFINITY, [("bob\0ann", view)]) == [
        ("ZREM", "affinity:{p0}:bob", "ann"),
        ("ZADD", AVERSIONS, repr(fading_rank(5.0, NOW, 0.72)), "u:ann"),
    ]


def test_notifications() -> None:
    shown, notices = "notifications:{p0}:bob", "notices:{p0}:bob"
    view = NotificationView("bob", "like", "p", 2, ((9, "ann", ""), (7, "cy", "")))
    raw = _text(msgspec.msgpack.encode(view))
    assert _view_commands(Topic.VIEW_NOTIFICATIONS, [("bob\0like\0p", view)]) == [
        ("ZADD", shown, "9", "like\0p"),
        ("HSET", notices, "like\0p", raw),
        ("EVALSHA", digest_of(TRIM_WITH_HASH), "2", shown, notices, "500"),
    ]
    gone = NotificationView("bob", "like", "p", 0)
    assert _view_commands(Topic.VIEW_NOTIFICATIONS, [("bob\0like\0p", gone)]) == [
        ("ZREM", shown, "like\0p"),
        ("HDEL", notices, "like\0p"),
    ]


@pytest.mark.parametrize(
    ("at", "command"), [(7, ("SET", "seen:{p0}:bob", "7")), (0, ("DEL", "seen:{p0}:bob"))]
)
def test_what_was_read(at: int, command: Command) -> None:
    view = NotificationsSeen("bob", at)
    assert _view_commands(Topic.VIEW_NOTIFICATIONS, [("bob", view)]) == [command]
