"""The limit of `headrace bench read`: `python -m bench.read_bare PLAN PORT`, with the addresses in
the environment.

For each reader a handler asks Redis for all that a page of `latest` is made from, as the API does
(recorded when its own code made the page) whenever it has kept nothing, and sends bytes that were
prepared.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from msgspec.structs import replace

from api.app import open_stores
from api.cache import RedisCache
from api.held import Entries
from api.kept_views import Lookup, Question
from api.latest import latest_page
from api.redis_calls import Client, ask, connect, look_up_all
from api.sent_page import as_json
from api.timeline import Timeline
from api.views import Absent, Reader
from api.writes import now_ms
from bench.read_load import Plan
from bench.read_town import PAGE
from connectors.addresses import resolve
from connectors.settings import settings

_TRIES = 20

Commands = Sequence[Sequence[Any]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Recorder(RedisCache):
    """Notes each round trip; keeps no views and nothing of what heavy sources hold, so that all is
    asked for."""

    def __init__(self, url: str, partitions: int) -> None:
        super().__init__(url, partitions)
        self.trips: list[Commands] = []

    async def _pipeline(self, commands: Commands) -> list[Any]:
        self.trips.append(commands)
        return await super()._pipeline(commands)

    async def _ask_within(self, commands: Commands, seconds: float) -> list[Any]:
        self.trips.append(commands)
        return await super()._ask_within(commands, seconds)

    async def _look_up(
        self, lookups: Sequence[Lookup], question: Question, _since: float
    ) -> list[Any]:
        return await look_up_all(self._pipeline, lookups, question, lambda keys: [[*keys]])

    async def _entries(
        self, question: Sequence[Any], commands: Commands
    ) -> tuple[Entries, list[Any]]:
        flat, *answers = await self._pipeline([question, *commands])
        return Entries(flat), answers

    async def _connect(self) -> Client:
        client = await super()._connect()
        await self._heavy.close()
        return client


class Bare:
    """An ASGI application: `/<number>` is a page of a reader."""

    def __init__(self, plan: Plan) -> None:
        self._readers = [f"reader{number:04}" for number in range(len(plan.readers))]
        self._pages: list[tuple[list[Commands], bytes]] = []
        self._redis: Client | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await receive()
            await self._prepare()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            assert self._redis is not None
            await self._redis.aclose()
            await send({"type": "lifespan.shutdown.complete"})
            return
        assert self._redis is not None
        trips, body = self._pages[int(scope["path"][1:])]
        for trip in trips:
            await ask(self._redis, trip)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _prepare(self) -> None:
        config, addresses = settings(), resolve()
        recorder = Recorder(addresses.redis, config.partitions)
        stores = replace(await open_stores(config, addresses), cache=recorder)
        for name in (self._readers[0], *self._readers):  # the first warms up what all share
            for _ in range(_TRIES):  # on a full machine Redis may take too long now and then
                recorder.trips = []
                reader = Reader(stores, Absent(), name)
                page = await latest_page(reader, Timeline(reader, name, None, now_ms()), PAGE)
                if not page.degraded:
                    break
            self._pages.append((recorder.trips, as_json(page)))
        del self._pages[0]
        await stores.close()
        self._redis = await connect(addresses.redis)


def main(plan_file: str, port: str) -> None:
    """Serve until SIGTERM."""
    plan = msgspec.msgpack.decode(Path(plan_file).read_bytes(), type=Plan)
    config = uvicorn.Config(
        Bare(plan), port=int(port), loop="uvloop", log_config=None, access_log=False
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
