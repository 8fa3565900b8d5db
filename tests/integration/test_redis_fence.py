"""The fence on a real server: who may write, and what is found out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from connectors import redis, redis_fence
from connectors.log_id import ForeignStoreError
from connectors.redis_fence import Fence, StoreMovedError
from connectors.stack.local import LocalStack

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
        pipe.commands.set("{p3}", value)


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
            pipe.commands.set("{p3}", "stale")
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
                pipe.commands.rpush("{p3}", n)
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
