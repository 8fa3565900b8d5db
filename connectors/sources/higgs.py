"""The tweets around the Higgs announcement (SNAP Higgs Twitter) as events.

The file has lines `a b unix_seconds RT|MT|RE` in time order, but no post ids. The rule:

- `MT`: `a` posts, mentioning `b`; the post is `h:<line>`.
- `RE`: `a` posts a reply (`h:<line>`) to the newest earlier post by `b`, and comments on it;
  if `b` has none, `a` posts, mentioning `b`.
- `RT`: `a` shares the newest earlier post by `b`; if `b` has none, `b` is given one a second
  before (`h:<line>:o`).

Lines count from 1; "earlier" is by line. Times are shifted so that the last action is at the
time asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from connectors.sources.files import HIGGS_KINDS, SourceError, lines_of
from schemas.events import Engagement, Event, Post

ORIGINAL_TEXT = "The original of a retweet"
REPLY_TEXT = "A reply"


class HiggsSpan(Struct, frozen=True):
    """The first and last second of an activity file, and its number of actions."""

    first_s: int
    last_s: int
    actions: int


class _Action(Struct, frozen=True):
    line: int
    user: str
    other: str
    at_s: int
    kind: str


def _actions(path: Path | str) -> Iterator[_Action]:
    for number, line in lines_of(path):
        columns = line.split()
        if len(columns) != 4 or columns[3] not in HIGGS_KINDS or not columns[2].isdecimal():
            raise SourceError(
                f"{path}, line {number} is not an action.\nIt is {line[:80]!r}.\n"
                "hint: an action is `a b unix_seconds RT|MT|RE`."
            )
        yield _Action(number, columns[0], columns[1], int(columns[2]), columns[3])


def higgs_span(path: Path | str) -> HiggsSpan:
    """When the file's actions were, and how many they are.

    Raises:
        SourceError: a line is not an action, or the file cannot be read.
    """
    first = last = None
    count = 0
    for action in _actions(path):
        if first is None or last is None:
            first = last = action.at_s
        first, last = min(first, action.at_s), max(last, action.at_s)
        count += 1
    if first is None or last is None:
        raise SourceError(f"{path} is empty.")
    return HiggsSpan(first, last, count)


def load_higgs(path: Path | str, end_at_ms: int) -> Iterator[Event]:
    """The events of an activity file, the last action at `end_at_ms`; the file is read twice.

    Raises:
        SourceError: a line is not an action, or the file cannot be read.
    """
    shift_ms = end_at_ms - higgs_span(path).last_s * 1000
    newest: dict[str, str] = {}  # user -> id of their newest post so far
    for action in _actions(path):
        at = action.at_s * 1000 + shift_ms
        post_id = f"h:{action.line}"
        earlier = newest.get(action.other)
        if action.kind == "RT":
            if earlier is None:
                earlier = newest[action.other] = f"{post_id}:o"
                yield _post(earlier, action.other, at - 1000, ORIGINAL_TEXT)
            yield Engagement(
                event_id=f"{post_id}:s",
                action="share",
                user_id=action.user,
                post_id=earlier,
                share_id=f"{post_id}:s",
                at=at,
            )
            continue
        if action.kind == "RE" and earlier is not None:
            yield _post(post_id, action.user, at, REPLY_TEXT, reply_to=earlier)
            yield Engagement(
                event_id=f"{post_id}:c",
                action="comment",
                user_id=action.user,
                post_id=earlier,
                comment_id=f"{post_id}:c",
                text=REPLY_TEXT,
                at=at,
            )
        else:
            yield _post(post_id, action.user, at, f"@{action.other}")
        newest[action.user] = post_id


def _post(post_id: str, author: str, at: int, content: str, reply_to: str | None = None) -> Post:
    return Post(
        event_id=post_id,
        action="created",
        post_id=post_id,
        author_id=author,
        at=at,
        content=content,
        reply_to=reply_to,
    )
