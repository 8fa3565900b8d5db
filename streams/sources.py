"""Sources: who follows them, what they lately spread, and the fan-out to their audience.

A source with many followers is heavy: what it spreads is not pushed onto their timelines; readers
pull the activities that it holds.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from connectors.records import Record
from schemas.codec import UndecodableError
from schemas.topics import Topic
from schemas.views import HeavySource, RecentActivity, SourceView
from streams.engine.outbox import Outbox
from streams.engine.records import decode_record
from streams.engine.state import State
from streams.facts import Activity, Fact, RelationFact, Removal, Tick
from streams.relations import Relation, advance

RECENT_ACTIVITIES = 100
BACKFILL_ACTIVITIES = 20
HEAVY_FOLLOWERS = 10_000
LIGHT_SHARE = 0.9
USER = "u:"
SEPARATOR = "\0"


class Held(Struct, frozen=True, array_like=True, gc=False):
    """An activity that a source holds; its post and reason are the row's key."""

    at: int
    visibility: str
    audience: tuple[str, ...]
    author_id: str
    is_pushed: bool = True


class Source(Struct, frozen=True, array_like=True, gc=False):
    """The size of a source's audience, and whether it is too large to push to."""

    followers: int = 0
    is_heavy: bool = False


def may_see(held: Held | Activity, user_id: str) -> bool:
    """Whether an entry is for a follower. Who is a friend is judged where it is read."""
    match held.visibility:
        case "public" | "followers" | "friends":
            return True
        case "custom":
            return user_id in held.audience
        case _:
            return False


class SourceFold:
    """Folds a source's log: activities, removals and relations, into its audience's timelines.

    A source becomes heavy at `heavy_followers`, and light again below `LIGHT_SHARE` of them, so
    that one that grows and shrinks about there does not cross all the time.

    A follow costs O(1) rows; an activity costs O(1) rows, and O(audience) timeline operations while
    the source is light. Becoming light costs O(audience) operations for each activity held.
    """

    def __init__(
        self, state: State, outbox: Outbox, *, heavy_followers: int = HEAVY_FOLLOWERS
    ) -> None:
        self._sources = state.table("source", Source)
        self._recent = state.group_table("recent", Held)
        self._relations = state.group_table("relation", Relation)
        self._outbox = outbox
        self._heavy_followers = heavy_followers
        outbox.show_table(Topic.VIEW_SOURCES, self._sources, _view)

    def apply(self, record: Record) -> None:
        """Fold one record of the by-source log."""
        fact = decode_record(record.value)
        if not isinstance(fact, (Activity, Removal, RelationFact, Tick)):
            raise UndecodableError("wrong_topic", f"a {type(fact).__name__} in a source's log")
        self.fold(fact)

    def fold(self, fact: Fact) -> None:
        """Fold one fact."""
        match fact:
            case Activity():
                self._add(fact)
            case Removal():
                self._remove(fact)
            case RelationFact():
                self._relate(fact)

    def _add(self, activity: Activity) -> None:
        is_heavy = self._source(activity.source).is_heavy
        self._hold(activity, is_heavy)
        owners = [] if is_heavy else self._audience(activity.source, activity)
        owners += _own(activity.source)
        self._outbox.push(activity.post_id, activity.reason, activity.at, owners)

    def _hold(self, activity: Activity, is_heavy: bool) -> None:
        source = activity.source
        held = Held(
            activity.at,
            activity.visibility,
            activity.audience,
            activity.author_id,
            is_pushed=not is_heavy,
        )
        self._recent.put(source, _key(activity), held)
        if is_heavy:
            self._show_recent(source, _key(activity), held.at, is_held=True)
        keys = [(row.at, key) for key, row in self._recent.scan(source)]
        if len(keys) > RECENT_ACTIVITIES:
            at, oldest = min(keys)
            self._recent.delete(source, oldest)
            if is_heavy:
                self._show_recent(source, oldest, at, is_held=False)

    def _remove(self, removal: Removal) -> None:
        """Of a heavy source, what it did not push is on its own timeline at most; of what it no
        longer holds that is not known."""
        source = removal.source
        is_heavy = self._source(source).is_heavy
        held = self._recent.get(source, _key(removal))
        self._recent.delete(source, _key(removal))
        if is_heavy and held is not None:
            self._show_recent(source, _key(removal), held.at, is_held=False)
        owners = self._audience(source) if held is None or held.is_pushed else []
        owners += _own(source)
        self._outbox.remove(removal.post_id, removal.reason, removal.at, owners)

    def _relate(self, fact: RelationFact) -> None:
        before = self._relations.get(fact.source, fact.user_id) or Relation()
        after = advance(before, fact.kind, (fact.at, fact.event_id))
        if after is None:
            return
        self._relations.put(fact.source, fact.user_id, after)
        if after.is_following == before.is_following:
            return
        was = self._source(fact.source)
        followers = was.followers + (1 if after.is_following else -1)
        now = Source(followers, self._is_heavy(followers, was.is_heavy))
        self._sources.put(fact.source, now)
        if now.is_heavy != was.is_heavy:
            self._cross(fact.source, now.is_heavy)
        if not after.is_following:
            self._outbox.remove_source(fact.user_id, reasons_of(fact.source))
        elif not now.is_heavy:
            self._backfill(fact.source, fact.user_id)

    def _is_heavy(self, followers: int, was_heavy: bool) -> bool:
        least = self._heavy_followers * (LIGHT_SHARE if was_heavy else 1)
        return followers >= least

    def _cross(self, source: str, is_heavy: bool) -> None:
        """Show what is held when a source becomes heavy; push it when it becomes light."""
        self._outbox.show(Topic.VIEW_RECENTS, source, source, HeavySource(source, is_heavy))
        for key, held in list(self._recent.scan(source)):
            self._show_recent(source, key, held.at, is_held=is_heavy)
            if not is_heavy:
                self._recent.put(source, key, replace(held, is_pushed=True))
                post_id, _, reason = key.partition(SEPARATOR)
                self._outbox.push(post_id, reason, held.at, self._audience(source, held))

    def _show_recent(self, source: str, key: str, at: int, *, is_held: bool) -> None:
        post_id, _, reason = key.partition(SEPARATOR)
        view = RecentActivity(source, post_id, reason, at, is_held)
        self._outbox.show(Topic.VIEW_RECENTS, source, f"{source}{SEPARATOR}{key}", view)

    def _source(self, source: str) -> Source:
        return self._sources.get(source) or Source()

    def _audience(self, source: str, what: Held | Activity | None = None) -> list[str]:
        """The followers, of whom only those that may see `what`, if given."""
        return [
            user_id
            for user_id, relation in self._relations.scan(source)
            if relation.is_following and (what is None or may_see(what, user_id))
        ]

    def _backfill(self, source: str, user_id: str) -> None:
        seen = sorted(
            (held.at, key) for key, held in self._recent.scan(source) if may_see(held, user_id)
        )
        entries = []
        for at, key in seen[-BACKFILL_ACTIVITIES:]:
            post_id, _, reason = key.partition(SEPARATOR)
            entries.append((post_id, reason, at))
        if entries:
            self._outbox.fill(user_id, entries)


def _view(source: str, row: Source) -> SourceView:
    return SourceView(source, row.followers)


def _key(activity: Activity | Removal) -> str:
    """The key of a held activity among its source's; ids have no control characters."""
    return f"{activity.post_id}{SEPARATOR}{activity.reason}"


def reasons_of(source: str) -> list[str]:
    """The reasons for which a source brings entries: as an author or topic, and as a sharer."""
    if source.startswith(USER):
        return [source, f"s:{source.removeprefix(USER)}"]
    return [source]


def _own(source: str) -> list[str]:
    """The owner of the timeline on which a source's own activities stand."""
    return [source.removeprefix(USER)] if source.startswith(USER) else []
