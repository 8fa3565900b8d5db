"""Round trips to one server of Redis: connections that are kept, and what becomes of a failure."""

from __future__ import annotations

import asyncio
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from api import redis_calls
from api.deadline import bound_by, time_left
from api.redis_calls import Client, ask, connect
from api.stores import StoreDownError

ANSWERS = {
    b"HELLO": b"*2\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n",
    b"BAD": b"-WRONGTYPE of another kind\r\n",
    b"OOM": b"-OOM used too much\r\n",
    b"HANG": b"",
}


class Server:
    """Answers OK, but for some commands."""

    def __init__(self) -> None:
        self.connections: list[StreamWriter] = []
        self.heard: list[list[bytes]] = []

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.connections.append(writer)
        with suppress(ConnectionError):
            while line := await reader.readline():
                command = []
                for _ in range(int(line[1:])):
                    length = int((await reader.readline())[1:])
                    command.append((await reader.readexactly(length + 2))[:-2])
                self.heard.append(command)
                writer.write(ANSWERS.get(command[0], b"+OK\r\n"))
        writer.close()


def run(case: Callable[[Server, Client], Awaitable[None]]) -> None:
    async def served() -> None:
        server = Server()
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        client = await connect(f"redis://127.0.0.1:{port}/0")
        await case(server, client)
        await client.aclose()
        listening.close()
        await asyncio.sleep(0.01)

    asyncio.run(served())


async def failure(client: Client, *commands: tuple[object, ...]) -> StoreDownError:
    with pytest.raises(StoreDownError) as raised:
        await ask(client, commands)
    return raised.value


def test_a_connection_is_kept() -> None:
    async def case(server: Server, client: Client) -> None:
        assert await ask(client, [("SET", "é", 1, 2.5), ("GET", b"x")]) == [b"OK", b"OK"]
        await ask(client, [("GET", "y")])
        assert [b"SET", "é".encode(), b"1", b"2.5"] in server.heard
        assert len(server.connections) == 1
        await asyncio.gather(*(ask(client, [("GET", "z")]) for _ in range(3)))
        assert len(server.connections) == 3

    run(case)


def test_a_refusal_is_no_outage_and_leaves_the_connection_in_order() -> None:
    async def case(server: Server, client: Client) -> None:
        error = await failure(client, ("GET", "x"), ("BAD",), ("GET", "y"))
        assert (error.reason, error.is_outage) == ("ResponseError", False)
        assert (await failure(client, ("OOM",))).is_outage
        assert await ask(client, [("GET", "x")]) == [b"OK"]
        assert len(server.connections) == 1

    run(case)


def test_a_connection_that_is_gone_is_made_anew() -> None:
    async def case(server: Server, client: Client) -> None:
        await asyncio.gather(*(ask(client, [("GET", "z")]) for _ in range(3)))
        for connection in server.connections:
            connection.close()
        await asyncio.sleep(0.01)
        assert await ask(client, [("GET", "x")]) == [b"OK"]
        assert len(server.connections) == 4

    run(case)


def test_no_answer_in_time_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_calls, "TIMEOUT_SECONDS", 0.2)

    async def case(_: Server, client: Client) -> None:
        began = time.monotonic()
        assert (await failure(client, ("HANG",))).is_outage
        assert 0.15 < time.monotonic() - began < 2
        assert await ask(client, [("GET", "x")]) == [b"OK"], "an answer to another question"

    run(case)


def test_what_the_request_cuts_short_is_no_outage() -> None:
    async def case(_: Server, client: Client) -> None:
        async with asyncio.timeout(0.3) as patience:
            with bound_by(patience):
                error = await failure(client, ("HANG",))
                assert (error.reason, error.is_outage) == ("TimeoutError", False)
                assert time_left() == 0

    run(case)
