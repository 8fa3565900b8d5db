"""The connection over which all requests ask one server of Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from redis.asyncio import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError

from api import redis_link
from api.redis_link import Link, open_link

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GREETED = b"%1\r\n$5\r\nproto\r\n:3\r\n"


async def linked(serve: Serve, use: Callable[[Link, list[Any]], Awaitable[None]]) -> None:
    """Use a link to a server that serves so, once it has greeted."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(GREETED)
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    told: list[Any] = []
    try:
        port = server.sockets[0].getsockname()[1]
        link = await open_link(Connection(host="127.0.0.1", port=port), told.append, 3)
        try:
            await use(link, told)
        finally:
            link.close()
    finally:
        server.close()


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


def saying(*parts: bytes) -> Serve:
    """Answers what is asked first, in parts."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.01)
        await reader.read()

    return serve


async def late(link: Link, seconds: float) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await link.ask([("PING",)])


def test_answers_come_to_who_asked_whatever_is_told_between_and_however_they_are_cut() -> None:
    said = b"+one\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n*1\r\n$3\r\ntwo\r\n#f\r\n"

    async def use(link: Link, told: Sequence[Any]) -> None:
        first = link.ask([("GET", "a"), ("MGET", "b")])
        assert await asyncio.gather(first, link.ask([("GET", "c")])) == [
            [b"one", [b"two"]],
            [False],
        ]
        assert told == [[b"k"]]

    for cut in range(1, len(said), 3):
        asyncio.run(linked(saying(said[:cut], said[cut:]), use))


def test_a_refusal_is_raised_and_others_have_their_answers() -> None:
    async def use(link: Link, _told: Sequence[Any]) -> None:
        refused, found = await asyncio.gather(
            link.ask([("GET", "a"), ("GET", "b")]), link.ask([("GET", "c")]), return_exceptions=True
        )
        assert isinstance(refused, NoPermissionError)
        assert found == [b"c"]

    asyncio.run(linked(saying(b"-NOPERM no\r\n+b\r\n+c\r\n"), use))


def test_who_stops_waiting_for_a_slow_answer_leaves_it_to_nobody_else() -> None:
    async def use(link: Link, _told: Sequence[Any]) -> None:
        asking = asyncio.create_task(link.ask([("GET", "a")]))
        await asyncio.sleep(0)
        asking.cancel()
        assert await link.ask([("GET", "b")]) == [b"b"]

    asyncio.run(linked(saying(b"+a\r\n", b"+b\r\n"), use))


def test_a_server_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_link, "SILENT_SECONDS", 0.2)

    async def use(link: Link, told: Sequence[Any]) -> None:
        waiting = asyncio.create_task(link.ask([("GET", "a")]))
        await late(link, 0.05)
        assert link.is_open
        await late(link, 0.3)
        assert not link.is_open
        assert told == [None]
        with pytest.raises(RedisConnectionError):
            await waiting
        with pytest.raises(RedisConnectionError):
            await link.ask([("GET", "a")])

    asyncio.run(linked(silent, use))


def test_who_waits_is_told_when_the_connection_goes() -> None:
    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)

    async def use(link: Link, told: Sequence[Any]) -> None:
        with pytest.raises(RedisConnectionError):
            await link.ask([("GET", "a")])
        assert not link.is_open
        assert told == [None]

    asyncio.run(linked(serve, use))
