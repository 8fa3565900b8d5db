"""Stock Faust's process of the mix: `faust -A bench.stock_mix:app worker`.

Tables in memory with their changelogs, one event at a time. What brings users closer is sent on to
a second agent, by user. Who wrote each post it is told for nothing. Once a quarter of a second, a
timer writes the counts and sums that changed since into Redis, in one pipeline.
"""

from __future__ import annotations

from typing import Any

import faust
import msgspec
from redis.asyncio import Redis

from bench import marks
from bench.engagements import PARTITIONS
from bench.mix import DAY_MS, DECAY_PER_DAY, WEIGHTS, authors
from bench.topic import FACTS, SHORT
from connectors.settings import settings
from schemas.codec import decode
from schemas.events import Engagement
from streams.post_rows import after_change

WRITE_EVERY_S = 0.25
COMMENTS, SHARES = 1, 2
MARKS = {"view": 3, "click": 4, "hide": 5, "report": 6}
"""Places in a row of counts, behind the reactions by kind: as in `CountersView`."""

config = settings()
app = faust.App(
    "bench-stock-mix",
    broker=f"kafka://{config.kafka_brokers}",
    datadir=str(config.data_dir / "stock-mix"),
    store="memory://",
    topic_partitions=PARTITIONS,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    autodiscover=False,
)
events = app.topic(SHORT, key_serializer="raw", value_serializer="raw")
facts = app.topic(FACTS, value_serializer="json")
reactions = app.Table("reactions", partitions=PARTITIONS)
shares = app.Table("shares", partitions=PARTITIONS)
comments = app.Table("comments", partitions=PARTITIONS)
comment_likes = app.Table("comment_likes", partitions=PARTITIONS)
comment_counts = app.Table("comment_counts", partitions=PARTITIONS)
marked = app.Table("marked", partitions=PARTITIONS)
counts = app.Table("counts", partitions=PARTITIONS)
seen = app.Table("seen", partitions=PARTITIONS)
affinities = app.Table("affinities", partitions=PARTITIONS)
changed: dict[str, Any] = {}
client = Redis.from_url(config.redis_url)


@app.agent(events)  # type: ignore[untyped-decorator]
async def count(stream: Any) -> None:
    """The rules of docs/rules.md for engagements."""
    has_begun = False
    async for raw in stream:
        if not has_begun:
            has_begun = True
            marks.write(marks.START, marks.now())
        event = decode(raw)
        assert isinstance(event, Engagement)
        match event.action:
            case "message" | "profile_view":
                weight = WEIGHTS[event.action]
                fact = [event.target, weight, event.at, event.event_id]
                await facts.send(key=event.user_id, value=fact)
            case "comment" | "comment_deleted":
                await comment(event)
            case "share" | "unshare":
                await share(event)
            case "view" | "click" | "hide" | "report":
                mark(event)
            case _ if event.comment_id:
                like_comment(event)
            case _:
                await react(event)


async def react(event: Engagement) -> None:
    """The newest reaction of a user counts."""
    kind = None if event.action == "unlike" else event.kind or "like"
    before = _newest(reactions, f"{event.post_id}/{event.user_id}", event, kind)
    if before is None:
        return
    row = _counts(event.post_id)
    row[0] = after_change(row[0], before[2], kind)
    _put_counts(event.post_id, row)
    await _closer(event, "reaction", before[2] is not None, before[0], kind is not None)


async def share(event: Engagement) -> None:
    """The newest share or unshare of a user counts."""
    is_shared = event.action == "share"
    before = _newest(shares, f"{event.post_id}/{event.user_id}", event, is_shared)
    if before is None:
        return
    _add(event.post_id, SHARES, is_shared - bool(before[2]))
    await _closer(event, "share", bool(before[2]), before[0], is_shared)


async def comment(event: Engagement) -> None:
    """A comment is the oldest event with its id; a deletion wins for ever."""
    key = f"{event.post_id}/{event.comment_id}"
    before = comments.get(key) or [0, "", "", "", None, False]
    at, event_id, user_id, _, parent, is_deleted = before
    if event.action == "comment_deleted":
        after = [at, event_id, user_id, "", parent, True]
    elif event_id and [event.at, event.event_id] >= [at, event_id]:
        return
    else:
        after = [event.at, event.event_id, event.user_id, event.text, event.parent, is_deleted]
    if after == before:
        return
    comments[key] = after
    was_there, is_there = (bool(row[2]) and not row[5] for row in (before, after))
    _add(event.post_id, COMMENTS, is_there - was_there)
    for row, there, change in ((before, was_there, -1), (after, is_there, 1)):
        if there and row[4]:
            _count_comment(f"{event.post_id}/{row[4]}", 1, change)
        if there:
            await _tell(row[2], event.post_id, change * WEIGHTS["comment"], row[0])
    if is_there:
        _count_comment(key, 0, 0)


def like_comment(event: Engagement) -> None:
    """The newest reaction of a user to a comment counts as a like."""
    key = f"{event.post_id}/{event.comment_id}"
    is_liked = event.action != "unlike"
    before = _newest(comment_likes, f"{key}/{event.user_id}", event, is_liked)
    if before is not None:
        _count_comment(key, 0, is_liked - bool(before[2]))


def mark(event: Engagement) -> None:
    """A user counts once for each action at a post."""
    key = f"{event.post_id}/{event.action}/{event.user_id}"
    if key not in marked:
        marked[key] = True
        _add(event.post_id, MARKS[event.action], 1)


@app.agent(facts)  # type: ignore[untyped-decorator]
async def come_closer(stream: Any) -> None:
    """The decayed sum of facts, by user; each message and profile view once."""
    async for user_id, (other, weight, at, event_id) in stream.items():
        user = user_id.decode() if isinstance(user_id, bytes) else user_id
        if event_id:
            if f"{user}/{event_id}" in seen:
                continue
            seen[f"{user}/{event_id}"] = True
        if other == user:
            continue
        key = f"{user}/{other}"
        score, newest = affinities.get(key) or [0.0, at]
        now = max(newest, at)
        score *= DECAY_PER_DAY ** ((now - newest) / DAY_MS)
        score += weight * DECAY_PER_DAY ** ((now - at) / DAY_MS)
        affinities[key] = [score, now]
        changed[f"affinity:{key}"] = [score, now]


async def _closer(event: Engagement, what: str, was: bool, since: int, is_now: bool) -> None:
    if was:
        await _tell(event.user_id, event.post_id, -WEIGHTS[what], since)
    if is_now:
        await _tell(event.user_id, event.post_id, WEIGHTS[what], event.at)


async def _tell(user_id: str, post_id: str | None, weight: int, at: int) -> None:
    author_id = authors()[post_id or ""]
    if author_id != user_id:
        await facts.send(key=user_id, value=[author_id, weight, at, ""])


def _newest(table: Any, key: str, event: Engagement, value: object) -> list[Any] | None:
    """Keep the value if the event is the newest of the key; the row before it, None if not."""
    before = table.get(key) or [0, "", None]
    after = [event.at, event.event_id, value]
    if after[:2] <= before[:2]:
        return None
    table[key] = after
    return list(before)


def _counts(post_id: str | None) -> list[Any]:
    return list(counts.get(post_id) or [{}, 0, 0, 0, 0, 0, 0])


def _put_counts(post_id: str | None, row: list[Any]) -> None:
    counts[post_id] = row
    changed[f"counts:{post_id}"] = row


def _add(post_id: str | None, place: int, change: int) -> None:
    if change:
        row = _counts(post_id)
        row[place] += change
        _put_counts(post_id, row)


def _count_comment(key: str, place: int, change: int) -> None:
    """Likes stand first, replies second."""
    row = list(comment_counts.get(key) or [0, 0])
    row[place] += change
    comment_counts[key] = row
    changed[f"comment:{key}"] = row


@app.timer(interval=WRITE_EVERY_S)  # type: ignore[untyped-decorator]
async def write() -> None:
    """Write what changed since the last time."""
    if not changed:
        return
    pipe = client.pipeline(transaction=False)
    for key, value in changed.items():
        pipe.set(key, msgspec.json.encode(value))
    changed.clear()
    await pipe.execute()
