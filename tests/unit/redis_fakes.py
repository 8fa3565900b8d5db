"""A server of Redis in a test's own code, as the API asks it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from api.kept_views import KeptViews
from api.redis_calls import OneServer
from api.redis_link import Link, Told

Commands = Sequence[Sequence[Any]]
Ask = Callable[[Commands], Awaitable[list[Any]]]


class FakeLink(Link):
    """Answers what is about the connection itself, and the rest by `ask`."""

    def __init__(self, told: Told, ask: Ask) -> None:
        super().__init__(told)
        self._answer = ask

    @property
    def is_open(self) -> bool:
        """It is."""
        return True

    async def ask(self, commands: Commands) -> list[Any]:
        """The answers to commands."""
        asked = [each for each in commands if each[0] != "CLIENT"]
        answers = iter(await self._answer(asked) if asked else ())
        return [b"OK" if each[0] == "CLIENT" else next(answers) for each in commands]


def one_server(ask: Ask) -> OneServer:
    """A client of a server that answers by `ask`."""

    async def open_link(told: Told, _protocol: int) -> Link:
        return FakeLink(told, ask)

    client = OneServer.__new__(OneServer)
    client.ask = ask  # type: ignore[method-assign]
    client.views = KeptViews(open_link)
    return client
