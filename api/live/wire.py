"""Streams on the wire: as Server-Sent Events and over WebSockets."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, NamedTuple

import msgspec
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.live.figures import Figures
from api.live.messages import Message, as_event, as_text, retry

RETRY_MS = 1_000, 5_000
EVENT_STREAM = "text/event-stream"
PROTOCOL = "headrace.v1"
CLOSE_CODES: dict[str, int] = {
    "token": 4401,
    "time": 1001,
    "restart": 1012,
    "slow": 1013,
    "log": 1012,
}
GONE = "gone"
UNWANTED = 1008
"""What a client is closed with that says something: a stream goes one way."""

log = structlog.get_logger(__name__)


class Told(NamedTuple):
    """A stream's messages, where they are counted, what is done when it has ended, and for how long
    a client may take nothing."""

    messages: AsyncGenerator[Message]
    figures: Figures
    leave: Callable[[], None]
    idle_seconds: float


class EventStream(Response):
    """A response of Server-Sent Events; a client that takes nothing is dropped."""

    media_type = EVENT_STREAM

    def __init__(self, told: Told) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._told = told

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send all messages, unless the client goes."""

        async def put(body: bytes, *, is_more: bool = True) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": is_more})

        async def stream() -> str:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await put(retry(random.randint(*RETRY_MS)))
            reason = await _tell(self._told, lambda said: put(as_event(said)))
            await put(b"", is_more=False)
            return reason

        async def gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        await _until_gone(self._told, "sse", stream(), gone())


async def serve_socket(socket: WebSocket, told: Told) -> None:
    """Send all messages over a WebSocket that was accepted, and close it."""

    async def stream() -> str:
        reason = await _tell(told, lambda said: socket.send_text(as_text(said)))
        await socket.close(CLOSE_CODES[reason], reason)
        return reason

    async def gone() -> None:
        if (await socket.receive())["type"] != "websocket.disconnect":
            await socket.close(UNWANTED, "a stream goes one way")

    await _until_gone(told, "websocket", stream(), gone())


async def _tell(told: Told, put: Callable[[Message], Awaitable[None]]) -> str:
    """Put all messages; why they have ended."""
    reason = GONE
    async with aclosing(told.messages) as messages:
        async for said in messages:
            async with asyncio.timeout(told.idle_seconds):
                await put(said)
            told.figures.messages.labels(said.type).inc()
            if said.type == "end":
                reason = msgspec.json.decode(said.data)["reason"]
    return reason


async def _until_gone(
    told: Told, transport: str, stream: Coroutine[Any, Any, str], gone: Coroutine[Any, Any, None]
) -> None:
    """Stream until the messages end, or the client goes, or takes nothing any more."""
    started = time.monotonic()
    reason = GONE
    tasks = streaming, _ = asyncio.create_task(stream), asyncio.create_task(gone)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if streaming.done():
            reason = streaming.result()
    except TimeoutError:
        reason = "idle"
    except (OSError, WebSocketDisconnect):
        reason = GONE
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        told.leave()
        told.figures.ends.labels(reason).inc()
        seconds = round(time.monotonic() - started, 1)
        log.info("stream ended", transport=transport, reason=reason, seconds=seconds)
