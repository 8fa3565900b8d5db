"""Stock Faust's process of the mix: `faust -A bench.stock_mix:app worker`.

Tables in memory with their changelogs, one event at a time. What concerns a user is sent on to a
second agent, by user: whom the user comes closer to or wants to see less of, and what others did
with the user's posts. Who wrote each post it is told for nothing. Once a quarter of a second, a
timer writes what changed since into Redis, in one pipeline; once in 10 s another what is trending.
"""

from __future__ import annotations

import time
from typing import Any

import faust
import msgspec
from redis.asyncio import Redis

from bench import marks
from bench.engagements import PARTITIONS
from bench.mix import authors
from bench.mix_tally import AVERSION_PER_DAY, DAY_MS, DECAY_PER_DAY, WEIGHTS
from bench.stock_trends import StockTrends
from bench.topic import FACTS, SHORT, STOCK_MIX, STOCK_POST_TABLES, STOCK_USER_TABLES
from connectors.settings import settings
from schemas.codec import UndecodableError, decode
from schemas.events import Engagement
from schemas.topics import Topic
from schemas.validation import validate
from streams.clock import TICK_SECONDS
from streams.engine.records import RejectedError
from streams.notices import NAMED
from streams.post_rows import after_change

WRITE_EVERY_S = 0.25
TRENDING_TTL_S = 15 * 60
COMMENTS, SHARES, HIDES = 1, 2, 5
MARKS = {"view": 3, "click": 4, "report": 6}
"""Places in a row of counts, behind the reactions by kind: as in `CountersView`."""

config = settings()
app = faust.App(
    STOCK_MIX,
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
refused = app.topic(str(Topic.DEAD_LETTERS), key_serializer="raw", value_serializer="raw")
reactions, shares, hides, comments, comment_likes, comment_counts, answers, marked, counts, acts = (
    app.Table(name, partitions=PARTITIONS) for name in STOCK_POST_TABLES
)
seen, affinities, aversions, notices = (
    app.Table(name, partitions=PARTITIONS) for name in STOCK_USER_TABLES
)
trends = StockTrends(acts)
changed: dict[tuple[str, str], Any] = {}
"""By key, and field where the key is a hash: what is there now, None for nothing any more."""

client = Redis.from_url(config.redis_url)


@app.agent(events)  # type: ignore[untyped-decorator]
async def count(stream: Any) -> None:
    """What is an event, by the checks of intake, is folded; the rest goes to the dead letters."""
    has_begun = False
    async for record in stream.events():
        if not has_begun:
            has_begun = True
            marks.write(marks.START, marks.now())
        message = record.message
        try:
            event = decode(record.value, Engagement)
            assert isinstance(event, Engagement)
            validate(event, int(message.timestamp * 1_000))
        except (UndecodableError, RejectedError) as error:
            code = {"code": error.code.encode()}
            await refused.send(key=message.key, value=record.value, headers=code)
        else:
            await fold(event)


async def fold(event: Engagement) -> None:
    """The rules of docs/rules.md for engagements."""
    match event.action:
        case "message" | "profile_view":
            closer = ["close", event.target, WEIGHTS[event.action], event.at, event.event_id]
            await facts.send(key=event.user_id, value=closer)
        case "comment" | "comment_deleted":
            await comment(event)
        case "share" | "unshare":
            await share(event)
        case "view" | "click" | "report":
            mark(event)
        case "hide":
            await hide(event)
        case _ if event.comment_id:
            like_comment(event)
        case _:
            await react(event)


async def react(event: Engagement) -> None:
    """The newest reaction of a user counts."""
    kind = None if event.action == "unlike" else event.kind or "like"
    _act(event, kind is not None)
    before = _newest(reactions, f"{event.post_id}/{event.user_id}", event, kind)
    if before is None:
        return
    row = _counts(event.post_id)
    row[0] = after_change(row[0], before[2], kind)
    _put_counts(event.post_id, row)
    _show_mine(event)
    await _tell_change(event, "like", before[2] is not None, before[0], kind is not None)


async def share(event: Engagement) -> None:
    """The newest share or unshare of a user counts."""
    is_shared = event.action == "share"
    _act(event, is_shared)
    before = _newest(shares, f"{event.post_id}/{event.user_id}", event, is_shared)
    if before is None:
        return
    _add(event.post_id, SHARES, is_shared - bool(before[2]))
    _show_mine(event)
    await _tell_change(event, "share", bool(before[2]), before[0], is_shared)


async def hide(event: Engagement) -> None:
    """A user hides a post, since the oldest event that says so."""
    key = f"{event.post_id}/{event.user_id}"
    before = hides.get(key)
    if before is not None and before <= event.at:
        return
    hides[key] = event.at
    _show_mine(event)
    if before is None:
        _add(event.post_id, HIDES, 1)
    else:
        await _avert(event, -WEIGHTS["hide"], before)
    await _avert(event, WEIGHTS["hide"], event.at)


async def comment(event: Engagement) -> None:
    """A comment is the oldest event with its id; a deletion wins for ever."""
    _act(event, event.action == "comment")
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
            await _tell(row[2], event, "comment", row[0], change)
            await _tell_answers(event, row, change)
    if is_there:
        _count_comment(key, 0, 0)


async def _tell_answers(event: Engagement, row: list[Any], change: int) -> None:
    """A comment comes or goes: who wrote what it answers hears of it, and who wrote it of its
    answers."""
    key, (_, _, _, _, parent, _) = f"{event.post_id}/{event.comment_id}", row
    for name in answers.get(key) or []:
        await _tell_answer(event, name, row, comments[f"{event.post_id}/{name}"], change)
    if parent is not None:
        others = answers.get(f"{event.post_id}/{parent}") or []
        if event.comment_id not in others:
            answers[f"{event.post_id}/{parent}"] = [*others, event.comment_id]
        answered = comments.get(f"{event.post_id}/{parent}")
        await _tell_answer(event, event.comment_id, answered, row, change)


async def _tell_answer(
    event: Engagement, name: str | None, answered: list[Any] | None, row: list[Any], change: int
) -> None:
    at, _, user_id, _, _, is_deleted = row
    if answered is None or is_deleted or not answered[2] or answered[5]:
        return
    if answered[2] not in (user_id, authors()[event.post_id or ""]):
        notified = ["notice", f"comment_reply/{event.post_id}", at, user_id, name, change]
        await facts.send(key=answered[2], value=notified)


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
async def concern(stream: Any) -> None:
    """What concerns a user."""
    async for key, fact in stream.items():
        user_id = key.decode() if isinstance(key, bytes) else key
        match fact:
            case "close", other, weight, at, event_id:
                come_closer(user_id, other, weight, at, event_id)
            case "averse", other, weight, at:
                _fade(aversions, f"averse:{user_id}", user_id, other, weight, at, AVERSION_PER_DAY)
            case "notice", about, *actor, change:
                notice(user_id, about, actor, change)


def come_closer(user_id: str, other: str, weight: int, at: int, event_id: str) -> None:
    """The decayed sum of facts, by user; each message and profile view once."""
    if event_id:
        if f"{user_id}/{event_id}" in seen:
            return
        seen[f"{user_id}/{event_id}"] = True
    if other != user_id:
        _fade(affinities, f"affinity:{user_id}", user_id, other, weight, at, DECAY_PER_DAY)


def notice(user_id: str, about: str, actor: list[Any], change: int) -> None:
    """Acts of one kind at one post form a group: how many are in force, and the newest."""
    count, named = notices.get(f"{user_id}/{about}") or [0, []]
    count += change
    if change > 0:
        named = named if actor in named else sorted([*named, actor], reverse=True)[:NAMED]
    else:
        named = [each for each in named if each != actor]
    group = [count, named]
    if count:
        notices[f"{user_id}/{about}"] = group
    else:
        notices.pop(f"{user_id}/{about}", None)
    changed[f"notices:{user_id}", about] = group if count else None


def _fade(
    table: Any, name: str, user_id: str, other: str, weight: int, at: int, per_day: float
) -> None:
    """Add to a sum that fades to `per_day` in a day."""
    score, newest = table.get(f"{user_id}/{other}") or [0.0, at]
    now = max(newest, at)
    score *= per_day ** ((now - newest) / DAY_MS)
    score += weight * per_day ** ((now - at) / DAY_MS)
    table[f"{user_id}/{other}"] = [score, now]
    changed[name, other] = [score, now]


def _act(event: Engagement, is_done: bool) -> None:
    """What is done makes a post rise, whatever becomes of it."""
    if is_done:
        trends.act(event.post_id or "", event.user_id, event.at)


def _show_mine(event: Engagement) -> None:
    """What a user did with a post: the reaction's kind, and since when that, a share and a hide
    are in force, 0 for not at all."""
    key = f"{event.post_id}/{event.user_id}"
    reacted_at, _, kind = reactions.get(key) or [0, "", None]
    shared_at, _, is_shared = shares.get(key) or [0, "", False]
    row = [kind, reacted_at if kind else 0, shared_at if is_shared else 0, hides.get(key) or 0]
    changed[f"mine:{event.user_id}", event.post_id or ""] = row if any(row) else None


async def _tell_change(event: Engagement, kind: str, was: bool, since: int, is_now: bool) -> None:
    if was:
        await _tell(event.user_id, event, kind, since, -1)
    if is_now:
        await _tell(event.user_id, event, kind, event.at, 1)


async def _tell(user_id: str, event: Engagement, kind: str, at: int, change: int) -> None:
    """Both hear of what one does with the other's post."""
    author_id = authors()[event.post_id or ""]
    if author_id != user_id:
        item = event.comment_id or ""
        notified = ["notice", f"{kind}/{event.post_id}", at, user_id, item, change]
        await facts.send(key=author_id, value=notified)
        await facts.send(key=user_id, value=["close", author_id, change * WEIGHTS[kind], at, ""])


async def _avert(event: Engagement, weight: int, at: int) -> None:
    author_id = authors()[event.post_id or ""]
    if author_id != event.user_id:
        await facts.send(key=event.user_id, value=["averse", author_id, weight, at])


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
    changed[f"counts:{post_id}", ""] = row


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
    changed[f"comment:{key}", ""] = row


@app.timer(interval=WRITE_EVERY_S)  # type: ignore[untyped-decorator]
async def write() -> None:
    """Write what changed since the last time."""
    if not changed:
        return
    pipe = client.pipeline(transaction=False)
    for (key, field), value in changed.items():
        if value is None:
            pipe.hdel(key, field)
        elif field:
            pipe.hset(key, field, msgspec.json.encode(value))
        else:
            pipe.set(key, msgspec.json.encode(value))
    changed.clear()
    await pipe.execute()


@app.timer(interval=TICK_SECONDS)  # type: ignore[untyped-decorator]
async def tick() -> None:
    """Show what is trending."""
    for window, entries in trends.tick(time.time_ns() // 1_000_000).items():
        await client.set(f"trending:{window}", msgspec.json.encode(entries), ex=TRENDING_TTL_S)
