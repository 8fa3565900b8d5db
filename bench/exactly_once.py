"""Headrace's processes of the job: `faust -A bench.exactly_once:fold worker`, and `:sink`."""

from __future__ import annotations

import asyncio
from typing import Any

from bench import marks
from bench.likes import LikeFold
from connectors import redis
from connectors.addresses import resolve_or_default
from connectors.log_id import log_id_of
from connectors.settings import settings
from schemas.topics import Topic
from streams.engine.app import App
from streams.engine.monitor import add_pages
from streams.engine.sink import Reach
from streams.engine.stage import Stage
from streams.views_sink import RedisStore


class MeasuredStage(Stage):
    """A stage that begins with all its partitions together, and says when."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._together = asyncio.Barrier(self.partitions)

    async def open(self, partition: int) -> int | None:
        """Open as ever, and wait until the others are open too: nothing was fetched yet."""
        position = await super().open(partition)
        if await self._together.wait() == 0:
            marks.write(marks.START, marks.now())
        return position


def fold_app(name: str) -> App:
    """The app of the fold; what it emits goes to `view.counters`."""
    addresses, config = resolve_or_default(), settings()
    app = App(name, addresses, config, config.monitor_port)
    app.add(
        MeasuredStage(
            Topic.ENGAGEMENTS,
            LikeFold,
            app_id=app.conf.id,
            brokers=addresses.kafka,
            partitions=config.partitions,
            pool=app.pool,
            turn=app.turn,
        )
    )
    add_pages(app)
    return app


def sink_app(name: str) -> App:
    """The app of the Redis sink, with the product's own store."""
    addresses, config = resolve_or_default(), settings()
    app = App(name, addresses, config, config.monitor_port + 1)
    app.sinks(
        (Topic.VIEW_COUNTERS,),
        Reach(
            "redis",
            lambda: RedisStore(
                redis.connect(addresses.redis), config.partitions, log_id_of(addresses.kafka)
            ),
            redis.is_passing,
        ),
    )
    add_pages(app)
    return app


fold = fold_app("bench-fold")
sink = sink_app("bench-sink")
