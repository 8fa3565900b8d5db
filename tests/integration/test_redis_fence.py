"""The fence on a real server: who may write, and what is found out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
from redis import Redis
from redis.exceptions import ConnectionError, ResponseError, WatchError

from connectors import redis, redis_fence
from connectors.log_id import ForeignStoreError
from connectors.redis_fence import Fence, StoreMovedError
from connectors.redis_keys import member, pack_reason, split_member
from connectors.stack.local import LocalStack
from tests.proxy import Proxy

KEY = "pos:{p3}:timeline-writes"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A server of this module alone."""
    with LocalStack(tmp_path_factory.mktemp("stack"), fresh=True, parts=("redis",)) as stack:
        client = redis.connect(stack.addresses.redis)
        yield client
        client.close()


@pytest.fixture
def client(server: Redis) -> Redis:
    """A client of an empty server."""
    server.flushall()
    return server


def _write(fence: Fence, value: str, position: int) -> None:
    with fence.write(KEY, position) as pipe:
        pipe.add("SET", "{p3}", value)


def _marked(client: Redis) -> tuple[int | None, int | None]:
    mark = redis_fence.read_mark(client.get(KEY))
    return mark.position, mark.reached


def test_a_new_partition_has_no_position(client: Redis) -> None:
    fence = Fence(client, "log")
    assert fence.take_over(KEY) is None
    assert fence.take_over(KEY) is None


def test_a_position_is_kept_with_what_was_written(client: Redis) -> None:
    fence = Fence(client, "log")
    fence.take_over(KEY)
    _write(fence, "a", 5)
    _write(fence, "b", 9)
    assert client.get("{p3}") == b"b"
    assert Fence(client, "log").take_over(KEY) == 9


def test_who_was_taken_over_can_write_no_longer(client: Redis) -> None:
    stale, owner = Fence(client, "log"), Fence(client, "log")
    stale.take_over(KEY)
    _write(stale, "a", 5)
    assert owner.take_over(KEY) == 5
    with pytest.raises(StoreMovedError):
        _write(stale, "stale", 6)
    assert client.get("{p3}") == b"a"
    _write(owner, "b", 6)
    assert client.get("{p3}") == b"b"


def test_a_takeover_in_the_middle_of_a_write_stops_it(client: Redis) -> None:
    """The mark was right when the writer looked, and is another's when its commands arrive."""
    stale, owner = Fence(client, "log"), Fence(client, "log")
    stale.take_over(KEY)

    def take_over_in_the_middle() -> None:
        with stale.write(KEY, 5) as pipe:
            pipe.add("SET", "{p3}", "stale")
            owner.take_over(KEY)

    with pytest.raises(StoreMovedError):
        take_over_in_the_middle()
    assert client.get("{p3}") is None
    _write(owner, "b", 5)
    assert client.get("{p3}") == b"b"


def test_each_round_trip_is_fenced(client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_fence, "COMMANDS_PER_ROUND_TRIP", 2)
    stale, owner = Fence(client, "log"), Fence(client, "log")
    stale.take_over(KEY)

    def take_over_between_two_round_trips() -> None:
        with stale.write(KEY, 5) as pipe:
            for n in range(4):
                pipe.add("RPUSH", "{p3}", n)
                pipe.send_when_long()
                if n == 1:
                    owner.take_over(KEY)

    with pytest.raises(StoreMovedError):
        take_over_between_two_round_trips()
    assert client.lrange("{p3}", 0, -1) == [b"0", b"1"]
    assert owner.take_over(KEY) is None


def test_a_server_that_lost_all_is_not_written(client: Redis) -> None:
    """What was lost would never be written again if the writer just went on."""
    fence = Fence(client, "log")
    fence.take_over(KEY)
    _write(fence, "a", 5)
    client.flushall()
    with pytest.raises(StoreMovedError):
        _write(fence, "b", 6)
    assert client.dbsize() == 0


def test_an_idle_writer_finds_out_too(client: Redis) -> None:
    fence = Fence(client, "log")
    fence.take_over(KEY)
    _write(fence, "a", 5)
    fence.check(KEY)
    client.flushall()
    with pytest.raises(StoreMovedError):
        fence.check(KEY)


def test_a_server_that_lost_some_is_not_written(client: Redis) -> None:
    fence = Fence(client, "log")
    fence.take_over(KEY)
    _write(fence, "a", 5)
    before = client.get(KEY)
    _write(fence, "b", 6)
    client.set(KEY, before)
    with pytest.raises(StoreMovedError):
        _write(fence, "c", 7)


def test_the_views_of_another_log_are_refused(client: Redis) -> None:
    Fence(client, "log").take_over(KEY)
    with pytest.raises(ForeignStoreError, match="cluster log, this is another"):
        Fence(client, "another").take_over(KEY)


# Answers that are lost


@pytest.fixture
def proxy(client: Redis) -> Iterator[Proxy]:
    """A proxy before the server."""
    with Proxy(client.connection_pool.connection_kwargs["port"]) as between:
        yield between


@pytest.fixture
def fence(proxy: Proxy) -> Iterator[Fence]:
    """The fence of a writer behind the proxy, which owns the partition and stands at 5."""
    through = redis.connect(f"redis://127.0.0.1:{proxy.port}/0")
    writer = Fence(through, "log")
    writer.take_over(KEY)
    _write(writer, "a", 5)
    yield writer
    through.close()


def _lose(fence: Fence, proxy: Proxy, *, reaches_server: bool) -> None:
    proxy.cut_after(b"EXEC", reaches_server=reaches_server)
    with pytest.raises(ConnectionError):
        _write(fence, "b", 9)
    assert proxy.lost == 1, "nothing was lost"


def test_a_write_whose_answer_was_lost_is_done(client: Redis, proxy: Proxy, fence: Fence) -> None:
    _lose(fence, proxy, reaches_server=True)
    assert client.get("{p3}") == b"b"
    fence.check(KEY)
    assert fence.position(KEY) == 9
    _write(fence, "c", 12)
    assert client.get("{p3}") == b"c"
    assert fence.position(KEY) == 12


def test_a_write_that_was_lost_is_written_again(client: Redis, proxy: Proxy, fence: Fence) -> None:
    _lose(fence, proxy, reaches_server=False)
    assert client.get("{p3}") == b"a"
    assert fence.position(KEY) == 5
    _write(fence, "b", 9)
    assert client.get("{p3}") == b"b"
    assert Fence(client, "log").take_over(KEY) == 9


@pytest.mark.parametrize("reaches_server", [True, False])
def test_whoever_was_faster_is_the_writer(
    client: Redis, proxy: Proxy, fence: Fence, reaches_server: bool
) -> None:
    _lose(fence, proxy, reaches_server=reaches_server)
    owner = Fence(client, "log")
    assert owner.take_over(KEY) == (9 if reaches_server else 5)
    with pytest.raises(StoreMovedError):
        fence.position(KEY)


def test_a_server_that_lost_all_meanwhile_is_not_written(
    client: Redis, proxy: Proxy, fence: Fence
) -> None:
    _lose(fence, proxy, reaches_server=True)
    client.flushall()
    with pytest.raises(StoreMovedError):
        fence.position(KEY)
    assert client.dbsize() == 0


def test_what_is_still_under_way_finds_another_mark(
    client: Redis, proxy: Proxy, fence: Fence
) -> None:
    """A round trip that a writer has given up may reach the server late: after it was repeated
    in part, it must not be applied again, between what follows it."""
    late = client.pipeline(transaction=True)
    late.watch(KEY)
    late.multi()
    late.set("{p3}", "late")
    _lose(fence, proxy, reaches_server=False)
    assert fence.position(KEY) == 5
    with pytest.raises(WatchError):
        late.execute()
    assert client.get("{p3}") == b"a"


def test_a_takeover_whose_answer_was_lost_is_repeated(client: Redis, proxy: Proxy) -> None:
    through = redis.connect(f"redis://127.0.0.1:{proxy.port}/0")
    writer = Fence(through, "log")
    proxy.cut_after(b"EXEC", reaches_server=True)
    with pytest.raises(ConnectionError):
        writer.take_over(KEY)
    assert proxy.lost == 1
    assert writer.take_over(KEY) is None
    _write(writer, "a", 5)
    assert client.get("{p3}") == b"a"
    through.close()


def test_a_command_that_is_refused_leaves_the_position(client: Redis) -> None:
    """Redis applies what stands beside it: the position must not move past what was not done."""
    fence = Fence(client, "log")
    fence.take_over(KEY)
    _write(fence, "a", 5)
    client.rpush("{p3}list", "x")

    def write_wrong_type() -> None:
        with fence.write(KEY, 9) as pipe:
            pipe.add("SET", "{p3}", "b")
            pipe.add("ZADD", "{p3}list", 1, "x")

    with pytest.raises(ResponseError, match="WRONGTYPE"):
        write_wrong_type()
    assert _marked(client) == (5, 9)
    assert Fence(client, "log").take_over(KEY) == 5


def test_scripts_are_known_also_after_a_restart(client: Redis) -> None:
    fence = Fence(client, "log")
    fence.take_over(KEY)
    script = "return redis.call('SET', KEYS[1], ARGV[1])"
    for n in range(2):
        client.script_flush()
        with fence.write(KEY, n, (script,)) as pipe:
            pipe.add("EVALSHA", redis.digest_of(script), 1, "{p3}", f"value {n}")
        assert client.get("{p3}") == b"value %d" % n


# How far it has reached


def _begin(fence: Fence, position: int) -> None:
    """Write the first of several round trips, and end there."""
    with suppress(ZeroDivisionError), fence.write(KEY, position) as pipe:
        for value in ("a", "b"):
            pipe.add("RPUSH", "{p3}begun", value)
        pipe.send_when_long()
        raise ZeroDivisionError


def test_a_write_in_one_round_trip_is_whole_or_not_there(client: Redis) -> None:
    fence = Fence(client, "log")
    fence.take_over(KEY)
    _write(fence, "a", 5)
    assert _marked(client) == (5, None)


def test_a_write_that_has_begun_says_how_far_it_may_have_come(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_fence, "COMMANDS_PER_ROUND_TRIP", 2)
    fence = Fence(client, "log")
    fence.take_over(KEY)
    _write(fence, "a", 5)
    _begin(fence, 9)
    assert _marked(client) == (5, 9)
    assert fence.position(KEY) == 5


def test_what_was_begun_is_said_until_all_of_it_is_written(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes over may cut its batches elsewhere."""
    monkeypatch.setattr(redis_fence, "COMMANDS_PER_ROUND_TRIP", 2)
    begun = Fence(client, "log")
    begun.take_over(KEY)
    _begin(begun, 9)
    owner = Fence(client, "log")
    assert owner.take_over(KEY) is None
    assert _marked(client) == (None, 9)
    _write(owner, "b", 7)
    assert _marked(client) == (7, 9)
    _begin(owner, 8)
    assert _marked(client) == (7, 9)
    assert owner.position(KEY) == 7
    _write(owner, "c", 9)
    assert _marked(client) == (9, None)


# The scripts of feeds, also where Redis has evicted the floor


@pytest.mark.parametrize("script", [redis.TRIM_FEED, redis.RAISE_FLOOR])
def test_a_feed_without_a_floor_stops_no_sink(client: Redis, script: str) -> None:
    """Readers take it for none; so does the trim."""
    client.zadd("{p3}feed", {"a": 1, "b": 2})
    if script is redis.TRIM_FEED:
        client.eval(script, 2, "{p3}feed", "{p3}floor", 1)
        assert not client.exists("{p3}feed")
    else:
        client.eval(script, 1, "{p3}floor", 5, 1)
    assert not client.exists("{p3}floor")


@pytest.mark.parametrize(("before", "after"), [("0", "1"), ("?0", "?1"), ("7", "7"), ("?7", "?7")])
def test_a_trim_raises_the_floor(client: Redis, before: str, after: str) -> None:
    client.zadd("{p3}feed", {"a": 1, "b": 2})
    client.set("{p3}floor", before)
    client.eval(redis.TRIM_FEED, 2, "{p3}feed", "{p3}floor", 1)
    assert client.zrange("{p3}feed", 0, -1) == [b"b"]
    assert client.get("{p3}floor") == after.encode()


@pytest.mark.parametrize(
    ("before", "floor", "is_last", "after"),
    [("?0", 5, 0, "?5"), ("?7", 5, 0, "?7"), ("?0", 5, 1, "5"), ("?7", 5, 1, "7")],
)
def test_an_answer_raises_the_floor(
    client: Redis, before: str, floor: int, is_last: int, after: str
) -> None:
    client.set("{p3}floor", before)
    client.eval(redis.RAISE_FLOOR, 1, "{p3}floor", floor, is_last)
    assert client.get("{p3}floor") == after.encode()


def test_reasons_are_removed_however_ids_are_packed(client: Redis) -> None:
    ids = ("p", "日本", "01JZ8B0V3QKX4M5T7N9R2C6DHE", "00000000-0000-0000-0000-000000000001")
    entries = [(post_id, f"{kind}:{other}") for post_id in ids for kind in "us" for other in ids]
    client.zadd("{p3}feed", {member(*entry): at for at, entry in enumerate(entries)})
    for gone in (f"{kind}:{other}" for kind in "us" for other in ids):
        dropped = client.eval(redis.REMOVE_REASONS, 1, "{p3}feed", pack_reason(gone))
        entries = [entry for entry in entries if entry[1] != gone]
        assert dropped == len(ids)
        assert [split_member(raw) for raw in client.zrange("{p3}feed", 0, -1)] == entries


def test_the_newest_reactions_stay_with_their_kinds(client: Redis) -> None:
    reacted, kinds = "{p3}reacted", "{p3}kinds"
    client.zadd(reacted, {f"post{n}": n for n in range(10)})
    client.hset(kinds, mapping={f"post{n}": "wow" for n in range(0, 10, 2)})
    assert client.eval(redis.TRIM_WITH_HASH, 2, reacted, kinds, 3) == 7
    assert client.zrange(reacted, 0, -1) == [b"post7", b"post8", b"post9"]
    assert client.hkeys(kinds) == [b"post8"]
    assert client.eval(redis.TRIM_WITH_HASH, 2, reacted, kinds, 3) == 0


# Whether all is there


def _is_filled(client: Redis) -> bool:
    return redis_fence.read_mark(client.get(KEY)).is_filled


def test_a_partition_is_filled_from_when_its_writer_says_so_until_it_is_lost(
    client: Redis,
) -> None:
    fence = Fence(client, "log")
    fence.take_over(KEY)
    _write(fence, "a", 5)
    assert not _is_filled(client)
    fence.fill(KEY)
    assert (_is_filled(client), fence.position(KEY)) == (True, 5)
    _write(fence, "b", 9)
    assert _is_filled(client)
    owner = Fence(client, "log")
    assert (owner.take_over(KEY), _is_filled(client)) == (9, True)
    client.flushall()
    assert (owner.take_over(KEY), _is_filled(client)) == (None, False)


def test_a_mark_of_before_says_nothing_of_whether_it_is_filled(client: Redis) -> None:
    client.set(KEY, '{"log_id":"log","epoch":"e","position":5,"reached":null}')
    assert not _is_filled(client)
    fence = Fence(client, "log")
    assert (fence.take_over(KEY), _is_filled(client)) == (5, False)


def test_who_was_taken_over_says_of_no_partition_that_it_is_filled(client: Redis) -> None:
    stale, owner = Fence(client, "log"), Fence(client, "log")
    stale.take_over(KEY)
    owner.take_over(KEY)
    with pytest.raises(StoreMovedError):
        stale.fill(KEY)
    assert not _is_filled(client)
    client.flushall()
    with pytest.raises(StoreMovedError):
        owner.fill(KEY)
    assert not client.exists(KEY)


def test_a_partition_is_filled_though_the_answer_was_lost(
    server: Redis, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    fence = Fence(client, "log")
    fence.take_over(KEY)
    execute = redis_fence.Transaction.execute

    def lose(transaction: redis_fence.Transaction) -> bool:
        execute(transaction)
        raise ConnectionError("lost")

    monkeypatch.setattr(redis_fence.Transaction, "execute", lose)
    with pytest.raises(ConnectionError, match="lost"):
        fence.fill(KEY)
    monkeypatch.setattr(redis_fence.Transaction, "execute", execute)
    fence.fill(KEY)
    assert _is_filled(server)
    _write(fence, "a", 5)
    assert (_is_filled(server), fence.position(KEY)) == (True, 5)
