"""What tests of folds need: events, a fold with its state and outbox, and what came out."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from aiokafka import ConsumerRecord as _Record

from connectors.records import Record
from schemas.events import (
    Engagement,
    EngagementAction,
    Event,
    Feedback,
    FeedbackAction,
    Follow,
    FollowAction,
    Moderation,
    ModerationAction,
    Post,
    User,
    UserAction,
)
from schemas.topics import Topic
from schemas.views import (
    AffinityView,
    CloseTimeline,
    CommentCountsView,
    CommentView,
    CountersView,
    DevicesView,
    FillTimeline,
    InterestView,
    MineView,
    ModerationView,
    NameView,
    Notification,
    OpenTimeline,
    PostView,
    PushEntry,
    Recent,
    RefillTimeline,
    RelationView,
    RemoveEntry,
    RemoveSource,
    SourceView,
    TimelineOp,
    TrendingView,
    UserView,
)
from streams.engine.outbox import Outbox, Output
from streams.engine.records import tags_header
from streams.engine.state import State
from streams.facts import (
    Activity,
    AffinityFact,
    AversionFact,
    Fact,
    Met,
    Notice,
    NoticesGone,
    RelationFact,
    RelationKind,
    Removal,
    TopicActs,
    Touched,
    decode_fact,
)
from streams.intake import extract
from streams.sources import SourceFold

PARTITIONS = 3
NOW = 1_700_000_000_000
MINUTE = 60_000
DAY = 86_400_000

VIEW_TYPES: dict[str, Any] = {
    Topic.VIEW_POSTS: PostView,
    Topic.VIEW_COUNTERS: CountersView,
    Topic.VIEW_COMMENTS: CommentView,
    Topic.VIEW_COMMENT_COUNTS: CommentCountsView,
    Topic.VIEW_MINE: MineView,
    Topic.VIEW_USERS: UserView,
    Topic.VIEW_RELATIONS: RelationView,
    Topic.VIEW_AFFINITY: AffinityView,
    Topic.VIEW_SOURCES: SourceView,
    Topic.VIEW_RECENTS: Recent,
    Topic.VIEW_MODERATION: ModerationView,
    Topic.VIEW_NAMES: NameView,
    Topic.VIEW_DEVICES: DevicesView,
    Topic.VIEW_INTERESTS: InterestView,
    Topic.VIEW_NOTIFICATIONS: Notification,
    Topic.VIEW_TRENDING: TrendingView,
}

Timelines = dict[str, dict[tuple[str, str], int]]
"""Owner to (post id, reason) to time."""

_numbers = itertools.count(1)


def _event_id(given: str | None) -> str:
    return given if given is not None else f"e{next(_numbers):09}"


# Events; `at` is in minutes after NOW


def created(
    author: str | None = "ann",
    at: float = 0,
    *,
    post: str = "p",
    id: str | None = None,
    **more: Any,
) -> Post:
    """A post was made."""
    return _post("created", author, at, post, id, more)


def edited(
    author: str | None = None, at: float = 0, *, post: str = "p", id: str | None = None, **more: Any
) -> Post:
    """A post was edited."""
    return _post("edited", author, at, post, id, more)


def deleted(at: float = 0, *, post: str = "p", id: str | None = None) -> Post:
    """A post was deleted."""
    return _post("deleted", None, at, post, id, {})


def _post(
    action: str, author: str | None, at: float, post: str, id: str | None, more: dict[str, Any]
) -> Post:
    return Post(
        event_id=_event_id(id),
        action=action,  # type: ignore[arg-type]
        post_id=post,
        author_id=author,
        at=time(at),
        **more,
    )


def engaged(
    action: EngagementAction,
    user: str = "bob",
    at: float = 0,
    *,
    post: str | None = "p",
    id: str | None = None,
    **more: Any,
) -> Engagement:
    """A user did something with a post."""
    return Engagement(
        event_id=_event_id(id), action=action, user_id=user, at=time(at), post_id=post, **more
    )


def judged(
    action: ModerationAction, at: float = 0, *, post: str = "p", id: str | None = None
) -> Moderation:
    """A moderator judged a post."""
    return Moderation(
        event_id=_event_id(id), action=action, post_id=post, moderator_id="mod", at=time(at)
    )


def said(
    action: FeedbackAction,
    subject: str,
    user: str = "bob",
    at: float = 0,
    *,
    id: str | None = None,
) -> Feedback:
    """A user said whether a subject is of interest."""
    return Feedback(
        event_id=_event_id(id), action=action, user_id=user, subject=subject, at=time(at)
    )


def contacted(
    action: EngagementAction, user: str, target: str, at: float = 0, *, id: str | None = None
) -> Engagement:
    """A user viewed another's profile, or wrote to them."""
    return engaged(action, user, at, post=None, id=id, target=target)


def followed(
    action: FollowAction,
    user: str = "bob",
    target: str = "u:ann",
    at: float = 0,
    *,
    id: str | None = None,
    is_favourite: bool = False,
) -> Follow:
    """A user's relation to a source changed."""
    return Follow(
        event_id=_event_id(id),
        action=action,
        user_id=user,
        target=target,
        at=time(at),
        is_favourite=is_favourite,
    )


def user(
    action: UserAction, user: str = "ann", at: float = 0, *, id: str | None = None, **more: Any
) -> User:
    """A user's profile or standing changed."""
    return User(event_id=_event_id(id), action=action, user_id=user, at=time(at), **more)


def time(minutes: float) -> int:
    """Minutes after NOW, in ms since 1970."""
    return NOW + int(minutes * MINUTE)


# Facts


def activity(
    post: str = "p",
    at: float = 0,
    *,
    author: str = "ann",
    sharer: str | None = None,
    visibility: str = "public",
    audience: tuple[str, ...] = (),
    is_reply: bool = False,
) -> Activity:
    """A source spreads a post: its author, or who shared it."""
    source = f"u:{sharer or author}"
    reason = f"s:{sharer}" if sharer else source
    return Activity(source, reason, post, time(at), visibility, audience, author, is_reply)  # type: ignore[arg-type]


def removal(of: Activity) -> Removal:
    """An activity holds no more."""
    return Removal(of.source, of.reason, of.post_id, of.at, of.visibility, of.audience)


def relation(
    kind: RelationKind,
    user: str = "bob",
    at: float = 0,
    *,
    source: str = "u:ann",
    id: str = "e",
    is_favourite: bool = False,
) -> RelationFact:
    """A new greatest stamp of a relation."""
    return RelationFact(source, user, kind, time(at), id, is_favourite)


# Folding


class Folded:
    """A fold with its state and outbox, and what it has put out."""

    def __init__(self, make_fold: Callable[[State, Outbox], Any]) -> None:
        self.state = State()
        self.outbox = Outbox(PARTITIONS)
        self.fold = make_fold(self.state, self.outbox)
        self._written: list[Output] = []
        self._settled = 0

    def add(self, *events: Event | Fact) -> Folded:
        """Fold more events in; posts come with the tags that intake finds."""
        for event in events:
            if isinstance(event, Post):
                self.fold.fold(event, extract(event.content))
            elif isinstance(self.fold, SourceFold):
                self.fold.fold(event, next(_numbers))
            else:
                self.fold.fold(event)
        return self

    def settle(self) -> Folded:
        """What is told to users and names is folded, too, until there is nothing more."""
        while len(facts := self.facts(Topic.BY_USER)) > self._settled:
            new, self._settled = facts[self._settled :], len(facts)
            self.add(*new)
        return self

    def checkpoint(self) -> Folded:
        """What was put out is written, and the changes are the state."""
        self._written += self.outbox.outputs()
        self.outbox.clear()
        position = (self.state.position or 0) + 1
        self.state.commit(position, position)
        return self

    def outputs(self, topic: Topic) -> list[Output]:
        """Everything put out to a topic, in order."""
        return [o for o in (*self._written, *self.outbox.outputs()) if o.topic == topic]

    def views(self, topic: Topic) -> dict[str, Any]:
        """Key to the newest value of a view, with / for the separator."""
        decode = msgspec.msgpack.Decoder(VIEW_TYPES[topic]).decode
        return {
            (output.key or b"").decode().replace("\0", "/"): decode(output.value or b"")
            for output in self.outputs(topic)
        }

    def view(self, topic: Topic) -> Any:
        """The only value of a view."""
        (view,) = self.views(topic).values()
        return view

    def facts(self, topic: Topic) -> list[Fact]:
        """The facts told to the entities of an internal log, in order, but those of where
        something of a user is, and who acts upon posts."""
        told = (decode_fact(output.value or b"") for output in self.outputs(topic))
        return [fact for fact in told if not isinstance(fact, Touched | Met | TopicActs)]

    def topic_acts(self) -> list[TopicActs]:
        """The facts told to topics of who acts upon their posts, in order."""
        told = (decode_fact(output.value or b"") for output in self.outputs(Topic.BY_SOURCE))
        return [fact for fact in told if isinstance(fact, TopicActs)]

    def traces(self) -> list[Fact]:
        """The facts told to users of where something of them is, in order."""
        told = (decode_fact(output.value or b"") for output in self.outputs(Topic.BY_USER))
        return [fact for fact in told if isinstance(fact, Touched | Met)]

    def operations(self) -> list[TimelineOp]:
        """The timeline operations, in order per partition."""
        decode = msgspec.msgpack.Decoder(list[TimelineOp]).decode
        return [
            operation
            for output in self.outputs(Topic.TIMELINE_WRITES)
            for operation in decode(output.value or b"")
        ]

    def timelines(self) -> Timelines:
        """What the timeline operations come to."""
        return timelines(self.operations())


def fold_all(make_fold: Callable[[State, Outbox], Any], events: Iterable[Event | Fact]) -> Folded:
    """A fold that has seen `events`."""
    return Folded(make_fold).add(*events)


def timelines(operations: Iterable[TimelineOp]) -> Timelines:
    """Timeline operations, applied one by one by a plain model; empty timelines are left out."""
    found: Timelines = {}
    for operation in operations:
        match operation:
            case PushEntry(post_id, reason, at, owners):
                for owner in owners:
                    found.setdefault(owner, {})[post_id, reason] = at
            case RemoveEntry(post_id, reason, _, owners):
                for owner in owners:
                    found.get(owner, {}).pop((post_id, reason), None)
            case FillTimeline(owner, entries) | RefillTimeline(owner, _, _, entries):
                for post_id, reason, at in entries:
                    found.setdefault(owner, {})[post_id, reason] = at
            case RemoveSource(owner, reasons):
                for entry in [e for e in found.get(owner, {}) if e[1] in reasons]:
                    del found[owner][entry]
    return {owner: entries for owner, entries in found.items() if entries}


class Feed:
    """A feed by a plain model: what it was opened by, its floor, and what stands in it."""

    def __init__(self, epoch: str, missing: int) -> None:
        self.epoch = epoch
        self.missing = missing
        self.floor = 0
        self.entries: dict[tuple[str, str], int] = {}


def feeds(operations: Iterable[TimelineOp]) -> dict[str, Feed]:  # noqa: C901  (one case each)
    """The feeds that are kept for readers, without trimming: operations applied one by one."""
    found: dict[str, Feed] = {}
    for operation in operations:
        match operation:
            case OpenTimeline(owner, epoch, answers):
                feed = found.setdefault(owner, Feed(epoch, answers))
                if feed.missing:
                    feed.epoch, feed.missing = epoch, answers
            case CloseTimeline(owner):
                found.pop(owner, None)
            case RefillTimeline(owner, epoch, floor, entries) if owner in found:
                feed = found[owner]
                feed.entries |= {(post_id, reason): at for post_id, reason, at in entries}
                if feed.missing and feed.epoch == epoch:
                    feed.missing -= 1
                    feed.floor = max(feed.floor, floor)
            case FillTimeline(owner, entries) if owner in found:
                found[owner].entries |= {(post_id, reason): at for post_id, reason, at in entries}
            case RemoveSource(owner, reasons) if owner in found:
                kept = found[owner].entries
                found[owner].entries = {e: at for e, at in kept.items() if e[1] not in reasons}
            case PushEntry(post_id, reason, at, owners):
                for owner in filter(found.__contains__, owners):
                    found[owner].entries[post_id, reason] = at
            case RemoveEntry(post_id, reason, _, owners):
                for owner in filter(found.__contains__, owners):
                    found[owner].entries.pop((post_id, reason), None)
    return found


def standing(facts: Iterable[Fact]) -> dict[tuple[str, str], Activity]:
    """What activities and removals come to, applied in order: (reason, post id) to activity."""
    found: dict[tuple[str, str], Activity] = {}
    for fact in facts:
        if isinstance(fact, Activity):
            found[fact.reason, fact.post_id] = fact
        elif isinstance(fact, Removal):
            del found[fact.reason, fact.post_id]
    return found


def noticed(facts: Iterable[Fact]) -> set[tuple[str, str, str, str, int, str]]:
    """What notices come to: (receiver, kind, subject, actor, time, item), each once at most."""
    counts: Counter[tuple[str, str, str, str, int, str]] = Counter()
    for fact in facts:
        match fact:
            case Notice():
                about = (fact.user_id, fact.kind, fact.subject)
                counts[*about, fact.actor_id, fact.at, fact.item] += fact.change
            case NoticesGone(user_id, kind, subject):
                for key in [key for key in counts if key[:3] == (user_id, kind, subject)]:
                    del counts[key]
    assert set(counts.values()) <= {0, 1}
    return {key for key, count in counts.items() if count}


def interest_sums(
    facts: Iterable[Fact], now: int = NOW + 30 * DAY
) -> dict[tuple[str, str, bool], float]:
    """The sum of what facts tell of (user, subject), as likings (True) and aversions, at a time."""
    sums: dict[tuple[str, str, bool], float] = {}
    for fact in facts:
        match fact:
            case AffinityFact(user_id, _, weight, at, subjects):
                key, per_day = True, 0.9
            case AversionFact(user_id, subjects, weight, at):
                key, per_day = False, 0.72
            case _:
                continue
        for subject in subjects:
            before = sums.get((user_id, subject, key), 0.0)
            sums[user_id, subject, key] = before + weight * per_day ** ((now - at) / DAY)
    return {key: score for key, score in sums.items() if abs(score) > 1e-9}


def affinity_sums(facts: Iterable[Fact], now: int = NOW + 30 * DAY) -> dict[tuple[str, str], float]:
    """The sum of affinity facts per (user, other), at one time."""
    sums: dict[tuple[str, str], float] = {}
    for fact in facts:
        if isinstance(fact, AffinityFact):
            pair = (fact.user_id, fact.target_id)
            sums[pair] = sums.get(pair, 0.0) + fact.weight * 0.9 ** ((now - fact.at) / DAY)
    return {pair: score for pair, score in sums.items() if abs(score) > 1e-9}


def record(
    value: bytes | None,
    *,
    topic: str = "posts",
    partition: int = 0,
    offset: int = 0,
    timestamp: int = NOW,
    key: bytes | None = None,
    headers: tuple[tuple[str, bytes], ...] = (),
) -> Record:
    """A record as the consumer hands it over; `timestamp` is the broker's time in ms."""
    return _Record(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=timestamp,
        timestamp_type=1,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=len(key or b""),
        serialized_value_size=len(value or b""),
        headers=headers,
    )


def tags_of_text(content: str) -> tuple[str, bytes]:
    """The header that intake puts beside a post with this text."""
    return tags_header(extract(content))
