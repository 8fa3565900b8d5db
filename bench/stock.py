"""Stock Faust's process of the job: `faust -A bench.stock:app worker`.

Tables in memory with their changelogs, one event at a time; once a quarter of a second, a timer
writes the counts that changed since into Redis, in one pipeline.
"""

from __future__ import annotations

from typing import Any

import faust
from redis.asyncio import Redis

from bench import marks
from bench.engagements import PARTITIONS
from bench.topic import SHORT, STOCK, STOCK_TABLES
from connectors.settings import settings
from schemas.codec import decode
from schemas.events import Engagement

WRITE_EVERY_S = 0.25

config = settings()
app = faust.App(
    STOCK,
    broker=f"kafka://{config.kafka_brokers}",
    datadir=str(config.data_dir / "stock"),
    store="memory://",
    topic_partitions=PARTITIONS,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    autodiscover=False,
)
events = app.topic(SHORT, key_serializer="raw", value_serializer="raw")
_reactions, _counts = STOCK_TABLES
reactions = app.Table(_reactions, partitions=PARTITIONS)
counts = app.Table(_counts, default=int, partitions=PARTITIONS)
changed: dict[str, int] = {}
client = Redis.from_url(config.redis_url)
assigned: list[marks.Start] = []


@app.agent(events)  # type: ignore[untyped-decorator]
async def count(stream: Any) -> None:
    """A like counts once per user, the newest by (at, event id) wins."""
    has_begun = False
    async for raw in stream:
        if not has_begun:
            has_begun = True
            marks.write(marks.START, marks.now())
        event = decode(raw)
        assert isinstance(event, Engagement)
        assert event.post_id is not None
        key = f"{event.post_id}/{event.user_id}"
        before = reactions.get(key)
        is_liked = event.action == "like"
        after = [event.at, event.event_id, is_liked]
        if before is not None and after[:2] <= before[:2]:
            continue
        reactions[key] = after
        if is_liked != (before is not None and before[2]):
            counts[event.post_id] += 1 if is_liked else -1
            changed[event.post_id] = counts[event.post_id]


@app.timer(interval=WRITE_EVERY_S)  # type: ignore[untyped-decorator]
async def write() -> None:
    """Write what changed since the last time."""
    if not changed:
        return
    pipe = client.pipeline(transaction=False)
    for post_id, likes in changed.items():
        pipe.set(f"likes:{post_id}", likes)
    changed.clear()
    await pipe.execute()


@app.on_partitions_assigned.connect  # type: ignore[untyped-decorator]
async def note_assigned(*_: Any, **__: Any) -> None:
    """The tables are about to be restored."""
    assigned.append(marks.now())


@counts.on_recover  # type: ignore[untyped-decorator]
async def note_restored() -> None:
    """All tables are restored. Faust drops what is raised here, and goes on without it."""
    end, start = marks.now(), assigned[-1]
    marks.write(
        marks.RESTORED,
        marks.Restored(end.at - start.at, end.cpu - start.cpu, None, len(reactions)),
    )
