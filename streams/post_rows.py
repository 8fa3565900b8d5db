"""The rows of a post's state: what it says, and one row for each who did something with it."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from schemas.events import Media, Post, Visibility
from schemas.views import CountersView
from streams.engine.records import RejectedError, Tags
from streams.relations import NEVER, Stamp

MAX_PLACES = 64
MAX_KINDS = 256


class Body(Struct, frozen=True, array_like=True, gc=False):
    """What a post says, as of one event."""

    stamp: Stamp
    is_edit: bool
    content: str
    media: tuple[Media, ...]
    visibility: Visibility
    audience: tuple[str, ...]
    reply_to: str | None
    quote_of: str | None
    language: str | None
    location: str | None
    tags: Tags


class PostRow(Struct, frozen=True, array_like=True, gc=False):
    """A post: made by `author_id` (None while only other events were seen), the places
    (author, time) of all `created` events seen, those of their authors who are erased, and what the
    oldest of the events says that it is about (see `subjects`)."""

    author_id: str | None = None
    created: Stamp = NEVER
    is_deleted: bool = False
    places: tuple[tuple[str, int], ...] = ()
    erased: tuple[str, ...] = ()
    about: tuple[str, ...] = ()

    @property
    def is_known(self) -> bool:
        return self.author_id is not None

    @property
    def liked_author(self) -> str | None:
        """To whom what others do with the post brings them closer."""
        return None if self.author_id in self.erased else self.author_id

    def is_claimed_by(self, user_id: str) -> bool:
        """Whether a `created` event names the user as the author."""
        return any(author == user_id for author, _ in self.places)

    @property
    def former_places(self) -> tuple[tuple[str, int], ...]:
        """Where the post may have been shown before, and is not now."""
        now = (self.author_id, self.created[0])
        return tuple(place for place in self.places if place != now)


class Counters(Struct, frozen=True, array_like=True, gc=False):
    """A post's counts; views, clicks, hides and reports are of distinct users."""

    reactions: dict[str, int] = {}
    comments: int = 0
    shares: int = 0
    views: int = 0
    clicks: int = 0
    hides: int = 0
    reports: int = 0


def after_change(
    reactions: dict[str, int], before: str | None, after: str | None
) -> dict[str, int]:
    """Counts by kind after one user's reaction changed from `before` to `after`; None is none.

    Raises:
        RejectedError: `too_many_kinds`, for the 257th kind that a post's reactions have at once.
    """
    changed = dict(reactions)
    if before is not None:
        changed[before] -= 1
        if not changed[before]:
            del changed[before]
    if after is not None:
        if after not in changed and len(changed) == MAX_KINDS:
            raise RejectedError("too_many_kinds", f"the post has reactions of {MAX_KINDS} kinds")
        changed[after] = changed.get(after, 0) + 1
    return changed


def counters_view(post_id: str, row: Counters) -> CountersView:
    """What is shown of a post's counts."""
    return CountersView(
        post_id,
        row.reactions,
        row.comments,
        row.shares,
        row.views,
        row.clicks,
        row.hides,
        row.reports,
    )


def after_event(row: PostRow, event: Post, subjects: tuple[str, ...]) -> PostRow:
    """The row after a post event; `subjects` are what a `created` one is about.

    Raises:
        RejectedError: `too_many_claims`, for the 65th place that `created` events claim.
    """
    if event.action == "deleted":
        return replace(row, is_deleted=True)
    if event.action == "edited":
        return row
    places = tuple(sorted({*row.places, (event.author_id or "", event.at)}))
    if len(places) > MAX_PLACES:
        raise RejectedError(
            "too_many_claims", f"the post was created under {MAX_PLACES} other authors or times"
        )
    stamp = (event.at, event.event_id)
    if row.is_known and stamp > row.created:
        return replace(row, places=places)
    if event.author_id in row.erased:
        subjects = ()
    return replace(row, places=places, author_id=event.author_id, created=stamp, about=subjects)


def is_public(post: PostRow, body: Body | None) -> bool:
    """Whether anybody may see a post that says `body`."""
    return body is not None and not post.is_deleted and body.visibility == "public"


def body_of(event: Post, tags: Tags) -> Body:
    """What a `created` or `edited` event says."""
    return Body(
        (event.at, event.event_id),
        event.action == "edited",
        event.content,
        event.media,
        event.visibility,
        event.audience,
        event.reply_to,
        event.quote_of,
        event.language,
        event.location,
        tags,
    )
