"""Streams as events on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from prometheus_client import CollectorRegistry

from api.live.figures import Figures
from api.live.messages import Message, as_event, as_text, message
from api.live.wire import EventStream, Told

Send = Callable[[dict[str, Any]], Awaitable[None]]


def run(messages: AsyncGenerator[Message], send: Send, receive: Any) -> tuple[bool, Figures]:
    """Serve messages; whether the stream was left, and its figures."""
    figures = Figures(CollectorRegistry())
    left: list[bool] = []

    async def serve() -> None:
        told = Told(messages, figures, lambda: left.append(True), idle_seconds=0.1)
        await asyncio.wait_for(EventStream(told)({"type": "http"}, receive, send), 5)

    asyncio.run(serve())
    return left == [True], figures


def ends(figures: Figures) -> dict[str, float]:
    samples = [each for metric in figures.ends.collect() for each in metric.samples]
    return {each.labels["reason"]: each.value for each in samples if each.name.endswith("_total")}


async def forever() -> dict[str, Any]:
    await asyncio.Event().wait()
    return {}


async def greeting() -> AsyncGenerator[Message]:
    yield message("hello", {"a": "\n"}, "token")
    yield message("end", {"reason": "time"})


async def endless() -> AsyncGenerator[Message]:
    while True:
        yield message("heartbeat", {})
        await asyncio.sleep(0.01)


def test_events_have_an_id_a_type_and_one_line_of_data() -> None:
    sent: list[dict[str, Any]] = []

    async def send(said: dict[str, Any]) -> None:
        sent.append(said)

    is_left, figures = run(greeting(), send, forever)
    assert is_left
    assert ends(figures) == {"time": 1}
    assert dict(sent[0]["headers"])[b"content-type"].startswith(b"text/event-stream")
    body = b"".join(each.get("body", b"") for each in sent).split(b"\n\n")
    assert body[0].startswith(b"retry: ")
    assert body[1] == b'id: token\nevent: hello\ndata: {"a":"\\n"}'
    assert body[2] == b'event: end\ndata: {"reason":"time"}'
    assert sent[-1]["more_body"] is False


def test_a_client_that_takes_nothing_is_dropped() -> None:
    async def send(said: dict[str, Any]) -> None:
        if b"heartbeat" in said.get("body", b""):
            await asyncio.Event().wait()

    is_left, figures = run(endless(), send, forever)
    assert is_left
    assert ends(figures) == {"idle": 1}


def test_a_client_that_goes_is_left() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return {"type": "http.disconnect"}

    async def send(_: dict[str, Any]) -> None:
        pass

    is_left, figures = run(endless(), send, receive)
    assert is_left
    assert ends(figures) == {"gone": 1}


def test_a_message_is_the_same_in_both_forms() -> None:
    said = message("gap", {"reason": "slow"}, "t")
    assert as_text(said) == '{"type":"gap","id":"t","data":{"reason":"slow"}}'
    assert as_event(said) == b'id: t\nevent: gap\ndata: {"reason":"slow"}\n\n'
    assert as_text(said._replace(id=None)).startswith('{"type":"gap","id":null,')
