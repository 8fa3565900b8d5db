"""Posts, comments, counters and `mine` by a plain fold of the events (docs/rules.md)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from schemas.events import Engagement, Post
from tests.oracle.events import Stamp

TAGS = 64
ID_BYTES = 256
_HASHTAG = re.compile(r"(?<![\w&/#])#(\w+)")
_MENTION = re.compile(r"(?<![\w@/.])@([\w.:-]+)")
Key = TypeVar("Key", tuple[str, str], tuple[str, str, str])
_SEEN = {"view": "views", "click": "clicks", "hide": "hides", "report": "reports"}


@dataclass(slots=True)
class PostState:
    """What the events say of one post so far."""

    created: Post | None = None
    versions: list[Post] = field(default_factory=list)
    is_deleted: bool = False

    def settle(self) -> Post | None:
        """The newest version by the post's author; None when the post was not created."""
        if self.created is None:
            return None
        author = self.created.author_id
        return max(
            (v for v in self.versions if v.author_id == author or _edits_unnamed(v)),
            key=stamp,
        )


def _edits_unnamed(event: Post) -> bool:
    return event.action == "edited" and not event.author_id


def stamp(event: Post | Engagement) -> Stamp:
    """(at, event id) of an event."""
    return (event.at, event.event_id)


def fold_posts(events: Iterable[Post]) -> dict[str, PostState]:
    """The state of every post that an event names."""
    posts: dict[str, PostState] = {}
    for event in events:
        state = posts.get(event.post_id)
        if state is None:
            state = posts[event.post_id] = PostState()
        if event.action == "deleted":
            state.is_deleted = True
            continue
        state.versions.append(event)
        if event.action == "created" and (
            state.created is None or stamp(event) < stamp(state.created)
        ):
            state.created = event
    return posts


@dataclass(slots=True)
class Reactions:
    """What the engagements with posts come to."""

    reacted: dict[tuple[str, str], Engagement] = field(default_factory=dict)
    """(post, user) to the newest like, react or unlike."""
    reacted_to_comments: dict[tuple[str, str, str], Engagement] = field(default_factory=dict)
    """(post, comment id, user) to the same, of a comment."""
    shared: dict[tuple[str, str], Engagement] = field(default_factory=dict)
    """(post, user) to the newest share or unshare."""
    comments: dict[tuple[str, str], Engagement] = field(default_factory=dict)
    """(post, comment id) to the comment with the smallest stamp, deleted ones too."""
    deleted_comments: set[tuple[str, str]] = field(default_factory=set)
    hidden: dict[tuple[str, str], int] = field(default_factory=dict)
    """(post, user) to the time at which the user hid it first."""
    seen: dict[str, set[tuple[str, str]]] = field(
        default_factory=lambda: {name: set() for name in _SEEN.values()}
    )
    """views, clicks, hides, reports to the (post, user) that did so."""

    def reaction_of(self, event: Engagement) -> str | None:
        """The kind of reaction that an event leaves in force."""
        if event.action == "unlike":
            return None
        return "like" if event.action == "like" else event.kind

    def comments_there(self) -> Iterable[Engagement]:
        """The comments that are there."""
        return (c for key, c in self.comments.items() if key not in self.deleted_comments)


def fold_engagements(events: Iterable[Engagement]) -> Reactions:
    """What the engagements with posts come to, in whatever order they are."""
    found = Reactions()
    for event in events:
        if event.post_id is None or event.action in ("profile_view", "message"):
            continue
        pair = (event.post_id, event.user_id)
        if event.action in ("like", "react", "unlike") and event.comment_id is not None:
            key = (event.post_id, event.comment_id, event.user_id)
            _keep_newest(found.reacted_to_comments, key, event)
        elif event.action in ("like", "react", "unlike"):
            _keep_newest(found.reacted, pair, event)
        elif event.action in ("share", "unshare"):
            _keep_newest(found.shared, pair, event)
        elif event.action == "comment":
            comment = (event.post_id, event.comment_id or "")
            before = found.comments.get(comment)
            if before is None or stamp(event) < stamp(before):
                found.comments[comment] = event
        elif event.action == "comment_deleted":
            found.deleted_comments.add((event.post_id, event.comment_id or ""))
        else:
            found.seen[_SEEN[event.action]].add(pair)
        if event.action == "hide":
            found.hidden[pair] = min(event.at, found.hidden.get(pair, event.at))
    return found


def _keep_newest(rows: dict[Key, Engagement], key: Key, event: Engagement) -> None:
    before = rows.get(key)
    if before is None or stamp(event) > stamp(before):
        rows[key] = event


def post_views(
    posts: dict[str, PostState], hidden: Mapping[str, str]
) -> dict[str, dict[str, object]]:
    """Post id to the fields that its view must show; a deleted post shows only that."""
    views: dict[str, dict[str, object]] = {}
    for post_id, state in posts.items():
        newest = state.settle()
        if newest is None or state.created is None:
            continue
        row: dict[str, object] = {
            "author_id": state.created.author_id,
            "at": state.created.at,
            "is_deleted": state.is_deleted,
        }
        if not state.is_deleted:
            row |= content_of(newest) | {"hidden_by": hidden.get(post_id)}
        views[post_id] = row
    return views


def content_of(post: Post) -> dict[str, object]:
    """The part of a view that the newest version decides."""
    return {
        "content": post.content,
        "media": post.media,
        "visibility": post.visibility,
        "audience": post.audience,
        "reply_to": post.reply_to,
        "quote_of": post.quote_of,
        "language": post.language,
        "location": post.location,
        "hashtags": hashtags(post.content),
        "mentions": mentions(post.content),
        "edited_at": post.at if post.action == "edited" else None,
    }


def hashtags(content: str) -> tuple[str, ...]:
    """Words after `#` that have a letter, case folded, each once, at most 64."""
    found = (tag.casefold() for tag in _HASHTAG.findall(content) if any(map(str.isalpha, tag)))
    return tuple(dict.fromkeys(found))[:TAGS]


def topics(content: str) -> tuple[str, ...]:
    """The topics of a text: `t:` and a hashtag, if that is an id of at most 256 bytes."""
    return tuple(f"t:{tag}" for tag in hashtags(content) if len(tag.encode()) <= ID_BYTES - 2)


def mentions(content: str) -> tuple[str, ...]:
    """User names after `@`, with dots, colons and hyphens inside them, each once, at most 64."""
    found = (name.rstrip(".:-") for name in _MENTION.findall(content) if name[0] not in ".:-")
    return tuple(dict.fromkeys(found))[:TAGS]


def counters(found: Reactions) -> dict[str, dict[str, object]]:
    """Post id to its counts; posts whose counts are all nought are left out."""
    kinds: dict[str, Counter[str]] = {}
    for (post_id, _), event in found.reacted.items():
        kind = found.reaction_of(event)
        if kind is not None:
            kinds.setdefault(post_id, Counter())[kind] += 1
    counts: dict[str, Counter[str]] = {}
    for (post_id, _), event in found.shared.items():
        if event.action == "share":
            counts.setdefault(post_id, Counter())["shares"] += 1
    for comment in found.comments_there():
        counts.setdefault(str(comment.post_id), Counter())["comments"] += 1
    for name, pairs in found.seen.items():
        for post_id, _ in pairs:
            counts.setdefault(post_id, Counter())[name] += 1
    names = ("comments", "shares", *_SEEN.values())
    return {
        post_id: {
            "reactions": dict(kinds.get(post_id, {})),
            **{name: counts.get(post_id, Counter())[name] for name in names},
        }
        for post_id in kinds.keys() | counts.keys()
    }


def comment_views(found: Reactions) -> dict[tuple[str, str], dict[str, object]]:
    """(post, comment id) to the comment that is there."""
    return {
        (str(c.post_id), str(c.comment_id)): {
            "user_id": c.user_id,
            "at": c.at,
            "text": c.text or "",
            "parent": c.parent,
        }
        for c in found.comments_there()
    }


def comment_counts(found: Reactions) -> dict[tuple[str, str], tuple[int, int]]:
    """(post, comment id) of each comment that is there to its likes and the answers to it."""
    likes: Counter[tuple[str, str]] = Counter()
    for (post_id, comment_id, _), event in found.reacted_to_comments.items():
        likes[post_id, comment_id] += found.reaction_of(event) is not None
    replies = Counter((str(c.post_id), c.parent) for c in found.comments_there())
    return {
        (str(c.post_id), str(c.comment_id)): (
            likes[str(c.post_id), str(c.comment_id)],
            replies[str(c.post_id), c.comment_id],
        )
        for c in found.comments_there()
    }


NOTHING_DONE = {
    "reaction": None,
    "reacted_at": 0,
    "is_shared": False,
    "shared_at": 0,
    "hidden_at": 0,
}


def mine(found: Reactions) -> dict[tuple[str, str], dict[str, object]]:
    """(user, post) to the reaction, share and hide in force, with their times; 0 where there is
    none."""
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for (post_id, user_id), event in found.reacted.items():
        kind = found.reaction_of(event)
        if kind is not None:
            row = {**NOTHING_DONE, "reaction": kind, "reacted_at": event.at}
            rows[user_id, post_id] = row
    for (post_id, user_id), event in found.shared.items():
        if event.action == "share":
            row = rows.setdefault((user_id, post_id), dict(NOTHING_DONE))
            row["is_shared"], row["shared_at"] = True, event.at
    for (post_id, user_id), at in found.hidden.items():
        rows.setdefault((user_id, post_id), dict(NOTHING_DONE))["hidden_at"] = at
    return rows
