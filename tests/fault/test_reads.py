"""Reads while a store is away, a heavy source cannot be read, or the ranker fails: all are served,
and say what was missing."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from api.app import create_app
from api.auth import issue
from api.ranking.features import Features
from api.ranking.scores import Score
from connectors.redis_keys import Keys
from connectors.settings import settings
from connectors.stack.local import LocalStack
from schemas.views import (
    CountersView,
    HeavySource,
    PostView,
    RecentActivity,
    RelationView,
    UserView,
)
from tests.fault.test_outages import start_empty
from tests.integration.test_api import KEY, Sinks
from tests.proxy import Proxy

POSTS = 60
READS_PER_S = 20
RECOVERY_SECONDS = 5.0
AWAY_SECONDS = 3.0
STUCK, SUN = "stuck", "sun"
"""Two with many followers."""

WARM, COLD = "warm", "cold"
"""One whose timeline Redis holds, and one whose timeline Cassandra alone has."""

LATEST = WARM, "latest"


class Failing:
    """A ranker that raises."""

    name = "failing"

    def scores(self, rows: Sequence[Features]) -> Sequence[Score]:
        """None."""
        raise ValueError(f"{len(rows)} rows")


class Reads:
    """Pages of both readers, ordered by time and ranked, at a steady rate."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api")
        self._headers = {
            user: {"Authorization": f"Bearer {issue(KEY, user, 600)}"} for user in (WARM, COLD)
        }
        self._pending: set[asyncio.Task[None]] = set()
        self._steady: asyncio.Task[None] | None = None
        self.answers: list[tuple[float, str, str, int, Any]] = []
        """When it was asked for, by whom, in which mode, and what came."""

    async def __aenter__(self) -> Reads:
        self._steady = asyncio.create_task(self._keep_reading())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._steady is not None
        self._steady.cancel()
        await asyncio.gather(*self._pending)
        await self._client.aclose()

    async def ready(self) -> Any:
        """What the API says of the stores."""
        return (await self._client.get("/readyz")).json()["checks"]

    def degraded(self, since: float) -> set[tuple[str, str, str]]:
        """Who read in which mode without what."""
        return {
            (user, mode, part)
            for at, user, mode, _, page in self.answers
            if at >= since
            for part in page.get("degraded", ())
        }

    async def settled(self, since: float) -> float:
        """Seconds from a moment to the last read that lacks something, once a second is over."""
        while True:
            lacking = [at for at, *_, page in self.answers if at >= since and page.get("degraded")]
            last = max(lacking, default=since)
            if time.monotonic() > last + 1 and any(at > last for at, *_ in self.answers):
                return last - since
            assert time.monotonic() < since + 30, "it does not recover"
            await asyncio.sleep(0.05)

    async def _keep_reading(self) -> None:
        for user, mode in itertools.cycle(itertools.product((WARM, COLD), ("latest", "ranked"))):
            task = asyncio.create_task(self._read(user, mode))
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)
            await asyncio.sleep(1 / READS_PER_S)

    async def _read(self, user: str, mode: str) -> None:
        at = time.monotonic()
        path = f"/api/v1/feed?mode={mode}"
        answer = await self._client.get(path, headers=self._headers[user])
        self.answers.append((at, user, mode, answer.status_code, answer.json()))


@pytest.fixture
def filled(own_stack: LocalStack) -> Iterator[LocalStack]:
    """Parts with posts by bob on both timelines."""
    now = time.time_ns() // 1_000_000
    entries = [(f"p{number:02}", "u:bob", now - number) for number in range(POSTS)]
    with closing(Sinks(own_stack.addresses)) as sinks:
        sinks.write(*(PostView(post, "bob", at, "a view") for post, _, at in entries))
        sinks.write(*(CountersView(post) for post, _, _ in entries))
        sinks.write(*(UserView(user, user) for user in ("bob", WARM, COLD)))
        sinks.push(WARM, entries)
        sinks.push(COLD, entries, redis=False)
        for star in (STUCK, SUN):
            sinks.write(UserView(star, star), HeavySource(f"u:{star}", True))
            sinks.write(RelationView(WARM, f"u:{star}", True, now))
            spread(sinks, star, now)
        yield own_stack


def spread(sinks: Sinks, star: str, at: int) -> None:
    """A heavy source writes a post."""
    post = f"by-{star}-{at}"
    sinks.write(PostView(post, star, at, "a view"), CountersView(post))
    sinks.write(RecentActivity(f"u:{star}", post, f"u:{star}", at, True))


def test_reads_go_on_whatever_is_away(filled: LocalStack) -> None:
    with Proxy(port_of(filled.addresses.redis)) as proxy, closing(Sinks(filled.addresses)) as sinks:
        asyncio.run(_run(filled, proxy, sinks))


def port_of(url: str) -> int:
    return urlsplit(url).port or 0


async def _run(stack: LocalStack, proxy: Proxy, sinks: Sinks) -> None:
    config = settings().model_copy(update={"jwt_secret": SecretStr(KEY)})
    addresses = replace(stack.addresses, redis=f"redis://127.0.0.1:{proxy.port}/0")
    app = create_app(config, addresses)
    async with app.router.lifespan_context(app), Reads(app) as reads:
        began = time.monotonic()
        await asyncio.sleep(2)
        assert reads.degraded(began) == set()

        services = app.state.services
        ranker, services.ranker = services.ranker, Failing()
        since = time.monotonic()
        await asyncio.sleep(1)
        assert reads.degraded(since) == {(WARM, "ranked", "ranker"), (COLD, "ranked", "ranker")}
        services.ranker = ranker
        assert await reads.settled(time.monotonic()) < 1

        await _one_source_away(proxy, reads, sinks)

        missing = await _away(stack, reads, "cassandra", stack.restart)
        assert missing == {(COLD, mode, "cassandra") for mode in ("latest", "ranked")}

        def start(_: str) -> None:
            start_empty(stack)
            sinks.fill()

        missing = await _away(stack, reads, "redis", start)
        both = itertools.product((WARM, COLD), ("latest", "ranked"))
        assert missing == {(user, mode, "redis") for user, mode in both}
    assert {status for *_, status, _ in reads.answers} == {200}
    pages = [page for _, user, _, _, page in reads.answers if user == WARM]
    assert all(len(page["posts"]) == 20 for page in pages), "a page that lacks posts"


async def _one_source_away(proxy: Proxy, reads: Reads, sinks: Sinks) -> None:
    """What one heavy source holds is asked for in vain."""
    key = Keys(settings().partitions).recent(f"u:{STUCK}")
    proxy.swallow(key.encode())
    since, at = time.monotonic(), time.time_ns() // 1_000_000
    await asyncio.to_thread(spread, sinks, STUCK, at)
    await asyncio.to_thread(spread, sinks, SUN, at)
    await asyncio.sleep(AWAY_SECONDS)
    assert proxy.lost > 1
    assert reads.degraded(since) == {(WARM, mode, "sources") for mode in ("latest", "ranked")}
    assert set((await reads.ready()).values()) == {"ok"}
    lacking = [page for *_, page in reads.answers if page.get("degraded") == ["sources"]]
    assert f"by-{SUN}-{at}" in [post["post_id"] for post in lacking[-1]["posts"]]
    proxy.swallow(b"")
    assert await reads.settled(time.monotonic()) < RECOVERY_SECONDS
    tops = [page["posts"][:2] for _, user, mode, _, page in reads.answers if (user, mode) == LATEST]
    assert {post["post_id"] for post in tops[-1]} == {f"by-{SUN}-{at}", f"by-{STUCK}-{at}"}


async def _away(
    stack: LocalStack, reads: Reads, part: str, start: Callable[[str], object]
) -> set[tuple[str, str, str]]:
    """Who read without what while a part was away, for some time; and then it has come back."""
    await asyncio.to_thread(stack.kill, part)
    since = time.monotonic()
    await asyncio.sleep(AWAY_SECONDS)
    checks = await reads.ready()
    assert [store for store, answer in checks.items() if answer != "ok"] == [part]
    missing = reads.degraded(since)
    await asyncio.to_thread(start, part)
    assert await reads.settled(time.monotonic()) < RECOVERY_SECONDS
    assert set((await reads.ready()).values()) == {"ok"}
    return missing
