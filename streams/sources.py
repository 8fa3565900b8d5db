"""Sources: who follows them, what they lately spread, and the fan-out to their audience.

A source with many followers is heavy: what it spreads is not pushed onto their timelines; readers
pull the activities that it holds.
"""

from __future__ import annotations

from itertools import islice
from typing import get_args

from msgspec import Struct
from msgspec.structs import replace

from connectors.records import Record
from schemas.codec import UndecodableError
from schemas.events import Visibility
from schemas.generation import place_of
from schemas.topics import Topic
from schemas.views import HeavySource, RecentActivity, SourceView
from streams.engine.outbox import Outbox
from streams.engine.owners import of_sub
from streams.engine.records import decode_record
from streams.engine.replica import Fold
from streams.engine.state import State
from streams.facts import (
    Activity,
    Dormant,
    Fact,
    FollowerErased,
    Handling,
    How,
    Refill,
    RelationFact,
    Removal,
    SourceErased,
    TargetErased,
    Tick,
    TopicActs,
)
from streams.fan_out import FanOut, SourceRelation, Spread, to_timelines
from streams.favourites import Favourites
from streams.relations import NEVER, Stamp, advance
from streams.trending import TopicTrends

RECENT_ACTIVITIES = 100
BACKFILL_ACTIVITIES = 20
HEAVY_FOLLOWERS = 10_000
LIGHT_SHARE = 0.9
USER = "u:"
SEPARATOR = "\0"
_ALL = ""


class Held(Struct, frozen=True, array_like=True, gc=False):
    """An activity that a source holds; its post and reason are the row's key."""

    at: int
    visibility: Visibility
    audience: tuple[str, ...]
    author_id: str
    is_pushed: bool = True


class Source(Struct, frozen=True, array_like=True, gc=False):
    """The size of a source's audience, how many public posts are by it or about it, whether the
    audience is too large to push to, and what an operator said of that last. One that is erased has
    none, and takes in nothing more."""

    followers: int = 0
    posts: int = 0
    is_heavy: bool = False
    handling: How = "auto"
    handled: Stamp = NEVER
    is_erased: bool = False


class Floor(Struct, frozen=True, array_like=True, gc=False):
    """Of what a source spread at or before the time `at` (ms) it holds not all any more."""

    at: int = 0


class Erasing(Struct, frozen=True, array_like=True, gc=False):
    """A source is being erased: relations to it are still to go."""


_Fact = (
    Activity | Removal | RelationFact | Handling | Refill | Dormant | SourceErased | FollowerErased
)
_FACTS = get_args(_Fact)  # a tuple: ten times as fast
_KNOWN = (*_FACTS, Tick, TopicActs)


class SourceFold(Fold):
    """Folds a source's log: activities, removals and relations, into its audience's timelines.

    A source becomes heavy at `heavy_followers`, and light again below `LIGHT_SHARE` of them, so
    that one that grows and shrinks about there does not cross all the time; or as it is handled.

    A follow costs O(1) rows; an activity costs O(1) rows, and O(audience) timeline operations while
    the source is light, now or later (see `FanOut`). Becoming light costs as much for each activity
    held. Erasing a source costs O(relations to it), put off piece by piece.
    """

    writes = (
        *(Topic.BY_USER, Topic.TIMELINE_WRITES),
        *(Topic.VIEW_SOURCES, Topic.VIEW_RECENTS, Topic.VIEW_TRENDING),
    )

    def __init__(
        self, state: State, outbox: Outbox, *, heavy_followers: int = HEAVY_FOLLOWERS
    ) -> None:
        self._sources = state.table("source", Source)
        self._recent = state.group_table("recent", Held)
        self._floors = state.table("floor", Floor)
        self._relations = state.group_table("relation", SourceRelation)
        self._fan_out = FanOut(state, self._relations, to_timelines(outbox))
        self._favourites = Favourites(state, outbox)
        self._erasing = state.group_table("erasing", Erasing, of_sub)
        self._trends = TopicTrends(state, outbox)
        self._outbox = outbox
        self._heavy_followers = heavy_followers
        outbox.show_table(Topic.VIEW_SOURCES, self._sources, _view)

    @property
    def backlog(self) -> int:
        """The fan-outs and erasures that waited at the last checkpoint."""
        return self._fan_out.backlog + self._favourites.backlog + self._erasing.count()

    def work(self, limit: int) -> int:
        """A checkpoint begins: go on with what waits, for `limit` followers."""
        done = self._erase_relations((limit + 1) // 2)
        done += self._favourites.work((limit - done + 1) // 2)
        return done + self._fan_out.work(limit - done)

    def apply(self, record: Record) -> None:
        """Fold one record of the by-source log."""
        fact = decode_record(record.value)
        if not isinstance(fact, _KNOWN):
            raise UndecodableError("wrong_topic", f"a {type(fact).__name__} in a source's log")
        self.fold(fact, place_of(record.offset))

    def fold(self, fact: Fact, place: int) -> None:
        """Fold one fact, which stands at `place` in the log."""
        if isinstance(fact, (Tick, TopicActs)):
            self._trends.fold(fact)
        if not isinstance(fact, _FACTS):
            return
        if self._source(fact.source).is_erased:
            self._answer(fact)
            return
        match fact:
            case Activity():
                self._add(fact, place)
            case Removal():
                self._remove(fact, place)
            case RelationFact():
                self._relate(fact, place)
            case Handling():
                self._handle(fact, place)
            case Refill():
                self._refill(fact)
            case Dormant(source, user_id):
                self._let_sleep(source, user_id)
            case SourceErased(source):
                self._erase(source)
            case FollowerErased(source, user_id):
                self._erase_follower(source, user_id, place)

    def _add(self, activity: Activity, place: int) -> None:
        source = self._count_post(activity, 1)
        held = Held(
            activity.at,
            activity.visibility,
            activity.audience,
            activity.author_id,
            is_pushed=not source.is_heavy,
        )
        self._hold(activity, held)
        self._outbox.push(activity.post_id, activity.reason, activity.at, _own(activity.source))
        if not source.is_heavy:
            spread = _push(_key(activity), held)
            self._fan_out.spread(activity.source, spread, place, source.followers)
        self._favourites.announce(activity, place)

    def _count_post(self, what: Activity | Removal, change: int) -> Source:
        """The source, with a public post more or less, if it is not a share."""
        source = self._source(what.source)
        if what.reason == what.source and what.visibility == "public":
            source = replace(source, posts=source.posts + change)
            self._sources.put(what.source, source)
        return source

    def _hold(self, activity: Activity, held: Held) -> None:
        source = activity.source
        self._recent.put(source, _key(activity), held)
        if not held.is_pushed:
            self._show_recent(source, _key(activity), held, is_held=True, is_news=True)
        rows = list(self._recent.scan(source))
        if len(rows) > RECENT_ACTIVITIES:
            key, oldest = min(rows, key=lambda row: (row[1].at, row[0]))
            self._recent.delete(source, key)
            self._floors.put(source, Floor(max(oldest.at, self._floor(source))))
            if not held.is_pushed:
                self._show_recent(source, key, oldest, is_held=False)

    def _remove(self, removal: Removal, place: int) -> None:
        """Of a heavy source, what it did not push is on its own timeline at most; of what it no
        longer holds that is not known."""
        source = self._count_post(removal, -1)
        key = _key(removal)
        held = self._recent.get(removal.source, key)
        self._recent.delete(removal.source, key)
        if source.is_heavy and held is not None:
            self._show_recent(removal.source, key, held, is_held=False, is_news=True)
        entry = removal.post_id, removal.reason, removal.at
        self._outbox.remove(*entry, _own(removal.source), removal.visibility)
        if held is None or held.is_pushed:
            spread = Spread(False, *entry, removal.visibility, removal.audience)
            self._fan_out.spread(removal.source, spread, place, source.followers)
        self._favourites.withdraw(removal)

    def _relate(self, fact: RelationFact, place: int) -> None:
        before = self._relations.get(fact.source, fact.user_id) or SourceRelation()
        after = advance(before, fact)
        if after is None:
            return
        if after.is_following and not before.is_following:
            after = replace(after, since=place, is_dormant=False)
        self._relations.put(fact.source, fact.user_id, after)
        self._favourites.favour(fact.source, fact.user_id, before, after, place)
        if after.is_following and not before.is_following:
            now = self._resize(fact.source, 1, place)
            if not now.is_heavy:
                self._backfill(fact.source, fact.user_id)
        elif before.is_following and not after.is_following:
            self._leave(fact.source, fact.user_id, place)

    def _leave(self, source: str, user_id: str, place: int) -> None:
        """A follower is one no longer."""
        self._resize(source, -1, place)
        self._outbox.remove_source(user_id, reasons_of(source))

    def _resize(self, name: str, change: int, place: int) -> Source:
        source = self._source(name)
        return self._weigh(name, replace(source, followers=source.followers + change), place)

    def _handle(self, fact: Handling, place: int) -> None:
        source = self._source(fact.source)
        stamp = (fact.at, fact.event_id)
        if stamp > source.handled:
            self._weigh(fact.source, replace(source, handling=fact.how, handled=stamp), place)

    def _weigh(self, name: str, source: Source, place: int) -> Source:
        """Put a source's row, with whether it is heavy now; cross if it was not, or no longer."""
        now = replace(source, is_heavy=self._is_heavy(source))
        self._sources.put(name, now)
        if now.is_heavy != source.is_heavy:
            self._cross(name, now, place)
        return now

    def _is_heavy(self, source: Source) -> bool:
        """Whether a source is, given whether it was."""
        if source.handling != "auto":
            return source.handling == "heavy"
        return source.followers >= self._heavy_followers * (LIGHT_SHARE if source.is_heavy else 1)

    def _cross(self, source: str, now: Source, place: int) -> None:
        """Show what is held when a source becomes heavy; push it when it becomes light."""
        heavy = HeavySource(source, now.is_heavy)
        self._outbox.show(Topic.VIEW_RECENTS, source, source, heavy)
        for key, held in list(self._recent.scan(source)):
            self._show_recent(source, key, held, is_held=now.is_heavy)
            if not now.is_heavy:
                self._recent.put(source, key, replace(held, is_pushed=True))
                self._fan_out.spread(source, _push(key, held), place, now.followers)

    def _show_recent(
        self, source: str, key: str, held: Held, *, is_held: bool, is_news: bool = False
    ) -> None:
        post_id, _, reason = key.partition(SEPARATOR)
        view = RecentActivity(source, post_id, reason, held.at, is_held, is_news, held.visibility)
        self._outbox.show(Topic.VIEW_RECENTS, source, f"{source}{SEPARATOR}{key}", view)

    def _source(self, source: str) -> Source:
        return self._sources.get(source) or Source()

    def _backfill(self, source: str, user_id: str) -> None:
        held = ((row.at, key, _push(key, row)) for key, row in self._recent.scan(source))
        seen = sorted(each for each in held if each[2].is_for(user_id))
        newest = [(each.post_id, each.reason, each.at) for *_, each in seen[-BACKFILL_ACTIVITIES:]]
        if newest:
            self._outbox.fill(user_id, newest)

    def _refill(self, fact: Refill) -> None:
        """Answer with what is held of a timeline: all for the source's own, else what was pushed
        and is for the follower; what is not pushed is pulled. A follower is awake from then on."""
        is_own = fact.owner in _own(fact.source)
        relation = self._relations.get(fact.source, fact.owner)
        entries: list[tuple[str, str, int]] = []
        if relation is not None and relation.is_dormant:
            self._relations.put(fact.source, fact.owner, replace(relation, is_dormant=False))
        if is_own or (relation is not None and relation.is_following):
            held = ((_push(key, row), row) for key, row in self._recent.scan(fact.source))
            entries = sorted(
                (each.post_id, each.reason, each.at)
                for each, row in held
                if is_own or (row.is_pushed and each.is_for(fact.owner))
            )
        self._outbox.refill(fact.owner, fact.epoch, self._floor(fact.source), entries)

    def _let_sleep(self, source: str, user_id: str) -> None:
        relation = self._relations.get(source, user_id)
        if relation is not None and relation.is_following and not relation.is_dormant:
            self._relations.put(source, user_id, replace(relation, is_dormant=True))

    def _floor(self, source: str) -> int:
        return (self._floors.get(source) or Floor()).at

    # Erasure

    def _erase(self, source: str) -> None:
        """Nothing of the source is on any timeline any more, as soon as its followers are gone."""
        if self._source(source).is_heavy:
            self._outbox.show(Topic.VIEW_RECENTS, source, source, HeavySource(source, False))
        for key, held in list(self._recent.scan(source)):
            self._show_recent(source, key, held, is_held=False, is_news=True)
            self._recent.delete(source, key)
        for owner in _own(source):
            self._outbox.remove_source(owner, reasons_of(source))
        self._floors.delete(source)
        self._sources.put(source, Source(is_erased=True))
        self._erasing.put(_ALL, source, Erasing())

    def _erase_relations(self, limit: int) -> int:
        """Go on with the sources that are being erased; how many relations went."""
        done = 0
        for source, _ in list(islice(self._erasing.scan(_ALL), limit)):
            for user_id, relation in list(islice(self._relations.scan(source), limit - done)):
                self._relations.delete(source, user_id)
                if relation.is_following:
                    self._outbox.remove_source(user_id, reasons_of(source))
                if relation.favours:
                    self._favourites.drop(source, user_id)
                self._tell_erasure(source, user_id)
                done += 1
            done += self._favourites.erase(source, limit - done)
            if done == limit:
                break
            self._erasing.delete(_ALL, source)
        return done

    def _answer(self, fact: _Fact) -> None:
        """What comes of a source that is erased is without effect, and who relates to it is told;
        relations that were there are erased in their turn."""
        match fact:
            case RelationFact(source, user_id):
                self._tell_erasure(source, user_id)
            case Refill(_, owner, epoch):
                self._outbox.refill(owner, epoch, 0, [])

    def _tell_erasure(self, source: str, user_id: str) -> None:
        told = TargetErased(user_id, source.removeprefix(USER))
        self._outbox.tell(Topic.BY_USER, user_id, told)

    def _erase_follower(self, source: str, user_id: str, place: int) -> None:
        relation = self._relations.get(source, user_id)
        self._relations.delete(source, user_id)
        if relation is not None and relation.is_following:
            self._leave(source, user_id, place)
            self._favourites.favour(source, user_id, relation, SourceRelation(), place)


def _view(source: str, row: Source) -> SourceView:
    return SourceView(source, row.followers, row.posts)


def _key(activity: Activity | Removal) -> str:
    """The key of a held activity among its source's; ids have no control characters."""
    return f"{activity.post_id}{SEPARATOR}{activity.reason}"


def _push(key: str, held: Held) -> Spread:
    post_id, _, reason = key.partition(SEPARATOR)
    return Spread(True, post_id, reason, held.at, held.visibility, held.audience)


def reasons_of(source: str) -> list[str]:
    """The reasons for which a source brings entries: as an author or topic, and as a sharer."""
    if source.startswith(USER):
        return [source, f"s:{source.removeprefix(USER)}"]
    return [source]


def _own(source: str) -> list[str]:
    """The owner of the timeline on which a source's own activities stand."""
    return [source.removeprefix(USER)] if source.startswith(USER) else []
