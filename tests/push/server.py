"""A small HTTP server on loopback: HTTP/1.1 or HTTP/2, with TLS or (HTTP/1.1 only) without."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

import h2.config
import h2.connection
import h2.events
import msgspec
from msgspec import Struct

from tests.push.certificate import Certificate


class Request(Struct, frozen=True):
    """What came in; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Answer(Struct, frozen=True):
    """What goes out; `None` as the status: nothing, for as long as the client waits."""

    status: int | None
    body: bytes = b""
    headers: Mapping[str, str] = {}


SILENCE = Answer(None)


def said(status: int, body: object = None, **headers: str) -> Answer:
    """An answer with JSON, or without a body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, b"" if body is None else msgspec.json.encode(body), named)


class StandIn:
    """Serves in the event loop while its context is open.

    What is in `script` is answered first, whatever was asked; then `judge` answers.
    """

    def __init__(self, certificate: Certificate | None = None, *, http2: bool = False) -> None:
        self._certificate = certificate
        self._http2 = http2
        self._tasks: set[asyncio.Task[None]] = set()
        self.script: deque[Answer] = deque()
        self.requests: list[Request] = []
        self.connections = 0

    async def judge(self, request: Request) -> Answer:
        """What the real service would answer."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        tls = None
        if self._certificate is not None:
            tls = self._certificate.server("h2" if self._http2 else "http/1.1")
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=tls)
        self.port = int(self._server.sockets[0].getsockname()[1])
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                if self._http2:
                    await self._serve_http2(reader, writer)
                else:
                    await self._serve_http1(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, request: Request) -> Answer:
        self.requests.append(request)
        found = self.script.popleft() if self.script else await self.judge(request)
        if found.status is None:
            await asyncio.Event().wait()
        return found

    async def _serve_http1(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ")
            named = (line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in named}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            answer = await self._answer(Request(method, path, headers, body))
            lines = [f"HTTP/1.1 {answer.status} x", f"content-length: {len(answer.body)}"]
            lines += [f"{name}: {value}" for name, value in answer.headers.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode() + answer.body)
            await writer.drain()

    async def _serve_http2(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        connection = h2.connection.H2Connection(config)
        connection.initiate_connection()
        heads: dict[int, dict[str, str]] = {}
        bodies: dict[int, bytearray] = {}
        while True:
            writer.write(connection.data_to_send())
            await writer.drain()
            data = await reader.read(65_536)
            if not data:
                return
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    heads[event.stream_id] = dict(event.headers)
                    bodies[event.stream_id] = bytearray()
                elif isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] += event.data
                    connection.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
                elif isinstance(event, h2.events.StreamEnded):
                    head = heads.pop(event.stream_id)
                    body = bytes(bodies.pop(event.stream_id))
                    request = Request(head[":method"], head[":path"], head, body)
                    answer = await self._answer(request)
                    shown = [(":status", str(answer.status)), *answer.headers.items()]
                    connection.send_headers(event.stream_id, shown)
                    connection.send_data(event.stream_id, answer.body, end_stream=True)
