"""Heads of requests have a bound, however they are sent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import FastAPI

from api.bounded_http import MAX_HEAD_BYTES
from headrace.commands.api import server_of

STEP = 8 * 1024
ENDLESS = {
    "path": [b"GET /"],
    "header": [b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: "],
    "trailer": [
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
        b"0\r\nX-Long: ",
    ],
}


def _served(client: Callable[[int], Awaitable[None]]) -> None:
    """Run a client against a server, which is given its port."""
    app = FastAPI()
    app.state.live = None

    @app.post("/")
    @app.get("/")
    async def root() -> dict[str, Any]:
        return {}

    async def run() -> None:
        server = server_of(app)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            try:
                await client(listening.getsockname()[1])
            finally:
                server.should_exit = True
                await serving

    asyncio.run(run())


@pytest.mark.parametrize("where", ENDLESS)
def test_what_never_ends_is_refused(where: str) -> None:
    sent = 0

    async def client(port: int) -> None:
        nonlocal sent
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for part in ENDLESS[where]:
            writer.write(part)
        answer = asyncio.create_task(reader.read())
        while not answer.done() and sent < 10 * MAX_HEAD_BYTES:
            writer.write(b"x" * STEP)
            sent += STEP
            await asyncio.sleep(0.01)
        assert b" 400 " in await asyncio.wait_for(answer, 5)
        writer.close()

    _served(client)
    assert MAX_HEAD_BYTES <= sent < 5 * MAX_HEAD_BYTES


def test_what_ends_is_served_again_and_again() -> None:
    async def client(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = b"POST / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * (MAX_HEAD_BYTES // 2)
        for _ in range(5):
            writer.write(head + b"\r\nContent-Length: 100000\r\n\r\n")
            writer.write(b"y" * 100_000)
            assert b" 200 " in await reader.readline()
            await reader.readuntil(b"\r\n\r\n{}")
        writer.close()

    _served(client)
