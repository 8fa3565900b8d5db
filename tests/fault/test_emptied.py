"""Redis loses all that it had while a block is in force: nobody takes that for no block."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from pydantic import SecretStr

from api.app import create_app
from api.auth import issue
from connectors.lag import wait_until_quiet
from connectors.publisher import publish
from connectors.redis import connect
from connectors.redis_keys import Keys
from connectors.settings import settings
from connectors.stack.local import LocalStack
from headrace.supervisor import Supervisor
from schemas.events import Event, Follow, Post
from schemas.partitioning import partition_of
from schemas.topics import Topic
from tests.fault.test_outages import has_ended
from tests.integration.test_api import KEY

ALICE, BOB, CAROL = "alice", "bob", "carol"
"""Alice has blocked Bob, not Carol; her post is for both."""

POST = "for-both"
READS = 5
"""While nothing is there and nothing fills it."""

PATIENCE_SECONDS = 180.0
"""For the views to be there, and to be there again."""


class Answer(NamedTuple):
    at: float
    status: int
    body: Any


class Reader:
    """Asks the API again and again for a post and for feeds, and keeps the answers."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.posts: dict[str, list[Answer]] = {BOB: [], CAROL: []}
        self.feeds: list[Answer] = []
        self._missing = 0
        self._is_enough = asyncio.Event()

    async def more_reads(self) -> None:
        """Return when `READS` more were begun and answered."""
        self._missing = READS + 1
        self._is_enough.clear()
        await self._is_enough.wait()

    async def read(self) -> None:
        """Ask once."""
        for user, answers in self.posts.items():
            answers.append(await self._get(user, f"/api/v1/posts/{POST}"))
        self.feeds.append(await self._get(BOB, "/api/v1/feed"))
        self._missing -= 1
        if self._missing == 0:
            self._is_enough.set()

    async def read_on(self) -> None:
        """Ask until it is cancelled."""
        while True:
            await self.read()
            await asyncio.sleep(0.02)

    async def until_settled(self) -> None:
        """Ask until all is told as it is without a fault."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            await self.read()
            statuses = [answers[-1].status for answers in self.posts.values()]
            feed = self.feeds[-1]
            if statuses == [404, 200] and feed.status == 200 and not feed.body["degraded"]:
                return
            assert time.monotonic() < until, (statuses, feed)
            await asyncio.sleep(0.1)

    async def _get(self, user: str, path: str) -> Answer:
        at = time.monotonic()
        headers = {"Authorization": f"Bearer {issue(KEY, user, 600)}"}
        answer = await self._client.get(path, headers=headers)
        return Answer(at, answer.status_code, answer.json())


@pytest.fixture
def blocked(own_stack: LocalStack) -> LocalStack:
    """Parts with a post for two, of whom the author has blocked one, and others' blocks so that
    there is something to fill."""
    now = time.time_ns() // 1_000_000
    events: list[Event] = [
        Post(
            event_id="e0",
            action="created",
            post_id=POST,
            author_id=ALICE,
            at=now - 2,
            content="for two",
            visibility="custom",
            audience=(BOB, CAROL),
        ),
        Follow(event_id="e1", action="follow", user_id=CAROL, target=f"u:{ALICE}", at=now - 1),
        Follow(event_id="e2", action="block", user_id=ALICE, target=f"u:{BOB}", at=now),
    ]
    events += [
        Follow(event_id=f"o{n}", action="block", user_id=f"u{n}", target=f"u:v{n}", at=now)
        for n in range(2_000)
    ]
    publish(own_stack.addresses.kafka, events)
    return own_stack


def test_an_emptied_redis_is_no_end_of_a_block(blocked: LocalStack, tmp_path: Path) -> None:
    apps = ("app", "views", "archive")
    with Supervisor(blocked.addresses, apps, log_dir=tmp_path) as supervisor:
        asyncio.run(_run(blocked, supervisor))


async def _run(stack: LocalStack, supervisor: Supervisor) -> None:
    config = settings().model_copy(update={"jwt_secret": SecretStr(KEY)})
    keys = Keys(config.partitions)
    mark = keys.position(Topic.VIEW_RELATIONS, partition_of(BOB, config.partitions))
    redis = connect(stack.addresses.redis)
    app = create_app(config, stack.addresses)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://api") as client,
    ):
        reader = Reader(client)
        await reader.until_settled()
        # What the archive lacks cannot be known without Redis.
        await asyncio.to_thread(wait_until_quiet, stack.addresses.kafka, PATIENCE_SECONDS)
        assert redis.sismember(keys.blocks(BOB), f"u:{ALICE}"), "no block in force"
        supervisor.check()

        reading = asyncio.create_task(reader.read_on())
        await asyncio.sleep(0.2)
        began, held = time.monotonic(), redis.dbsize()
        redis.flushall()
        assert held > 2_000
        await asyncio.to_thread(_wait_for_end, supervisor)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await reader.more_reads()
        assert not redis.exists(mark), "something fills it already"
        assert not redis.exists(keys.blocks(BOB))
        empty_until = time.monotonic()
        await asyncio.to_thread(supervisor.tend)
        await asyncio.sleep(0)
        reading.cancel()
        await reader.until_settled()
        supervisor.check()
    assert redis.sismember(keys.blocks(BOB), f"u:{ALICE}")
    redis.close()

    told = [answer.status for answer in reader.posts[BOB] if answer.at >= began]
    assert 200 not in told, "who is blocked was shown the post"
    assert set(told) <= {404, 503}
    during = [each for each in reader.feeds if began + 0.1 <= each.at <= empty_until]
    assert len(during) >= READS
    assert all(each.status == 503 or "redis" in each.body["degraded"] for each in during)
    shown = [answer.status for answer in reader.posts[CAROL] if began <= answer.at < empty_until]
    assert len(shown) >= READS
    assert set(shown) <= {200, 503}


def _wait_for_end(supervisor: Supervisor) -> None:
    """Until the sink has found out, and ended."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not has_ended(supervisor):
        assert time.monotonic() < until, "the sink goes on behind what was lost"
        time.sleep(0.1)
