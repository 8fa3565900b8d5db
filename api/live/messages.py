"""Messages to clients, as Server-Sent Events and as JSON for WebSockets."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

MessageType = Literal[
    "hello",
    "entry",
    "remove",
    "counts",
    "notification",
    "heartbeat",
    "degraded",
    "gap",
    "end",
]
GapReason = Literal["expired", "log", "opening", "slow", "too_much", "views"]
EndReason = Literal["token", "time", "restart", "slow", "log"]


class Message(NamedTuple):
    """What a client is told; `data` is a JSON object without line breaks, and `id` the token from
    which a later stream goes on behind it, if there is one yet."""

    type: MessageType
    data: bytes
    id: str | None = None


def message(type_: MessageType, data: Any, id_: str | None = None) -> Message:
    """A message of plain values."""
    return Message(type_, msgspec.json.encode(data), id_)


def as_event(said: Message) -> bytes:
    """An event of an event stream (WHATWG HTML, 9.2.6)."""
    id_ = b"" if said.id is None else b"id: %b\n" % said.id.encode()
    return b"%bevent: %b\ndata: %b\n\n" % (id_, said.type.encode(), said.data)


def as_text(said: Message) -> str:
    """A JSON object with `type`, `id` and `data`."""
    id_ = "null" if said.id is None else f'"{said.id}"'
    return f'{{"type":"{said.type}","id":{id_},"data":{said.data.decode()}}}'


def retry(milliseconds: int) -> bytes:
    """Tells an event stream's client how long to wait before it comes back."""
    return b"retry: %d\n\n" % milliseconds
