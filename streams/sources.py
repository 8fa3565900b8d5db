"""Sources: who follows them, what they lately spread, and the fan-out to their audience."""

from __future__ import annotations

from msgspec import Struct

from connectors.records import Record
from schemas.codec import UndecodableError
from schemas.topics import Topic
from schemas.views import SourceView
from streams.engine.outbox import Outbox
from streams.engine.records import decode_record
from streams.engine.state import State
from streams.facts import Activity, Fact, RelationFact, Removal, Tick
from streams.relations import Relation, advance

RECENT_ACTIVITIES = 100
BACKFILL_ACTIVITIES = 20
USER = "u:"
SEPARATOR = "\0"


class Held(Struct, frozen=True, array_like=True, gc=False):
    """An activity that a source holds; its post and reason are the row's key."""

    at: int
    visibility: str
    audience: tuple[str, ...]
    author_id: str


class Source(Struct, frozen=True, array_like=True, gc=False):
    """The size of a source's audience."""

    followers: int = 0


def may_see(held: Held | Activity, user_id: str) -> bool:
    """Whether a follower may see the activity's post."""
    match held.visibility:
        case "public" | "followers":
            return True
        case "custom":
            return user_id in held.audience
        case _:
            return False


class SourceFold:
    """Folds a source's log: activities, removals and relations, into its audience's timelines.

    A follow costs O(1) rows; an activity costs O(1) rows and O(audience) timeline operations.
    """

    def __init__(self, state: State, outbox: Outbox) -> None:
        self._sources = state.table("source", Source)
        self._recent = state.group_table("recent", Held)
        self._relations = state.group_table("relation", Relation)
        self._outbox = outbox
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
        held = Held(activity.at, activity.visibility, activity.audience, activity.author_id)
        self._recent.put(activity.source, _key(activity), held)
        keys = [(row.at, key) for key, row in self._recent.scan(activity.source)]
        if len(keys) > RECENT_ACTIVITIES:
            self._recent.delete(activity.source, min(keys)[1])
        owners = [
            user_id
            for user_id, relation in self._relations.scan(activity.source)
            if relation.is_following and may_see(activity, user_id)
        ]
        owners += _own(activity.source)
        self._outbox.push(activity.post_id, activity.reason, activity.at, owners)

    def _remove(self, removal: Removal) -> None:
        self._recent.delete(removal.source, _key(removal))
        owners = [
            user_id
            for user_id, relation in self._relations.scan(removal.source)
            if relation.is_following
        ]
        owners += _own(removal.source)
        self._outbox.remove(removal.post_id, removal.reason, removal.at, owners)

    def _relate(self, fact: RelationFact) -> None:
        before = self._relations.get(fact.source, fact.user_id) or Relation()
        after = advance(before, fact.kind, (fact.at, fact.event_id))
        if after is None:
            return
        self._relations.put(fact.source, fact.user_id, after)
        if after.is_following == before.is_following:
            return
        source = self._sources.get(fact.source) or Source()
        followers = source.followers + (1 if after.is_following else -1)
        self._sources.put(fact.source, Source(followers))
        if after.is_following:
            self._backfill(fact.source, fact.user_id)
        else:
            self._outbox.remove_source(fact.user_id, reasons_of(fact.source))

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
