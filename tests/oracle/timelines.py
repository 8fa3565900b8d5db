"""Timelines by a plain fold: what stands comes from the events, the order from the log.

The by-source log is read for the order of activities and follows only. What is in it at the
end is checked against the events (`log_differences`), so a fault in the product's routing is
reported and not taken over.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from schemas.events import Engagement
from streams.facts import (
    Activity,
    FollowerErased,
    Handling,
    Refill,
    RelationFact,
    Removal,
    SourceErased,
)
from tests.oracle.posts import PostState, topics
from tests.oracle.read_log import Placed
from tests.oracle.relations import KINDS, Relations, Row, empty_row, follows

FOR_ALL = ("public", "followers", "friends")
HEAVY_FOLLOWERS = 10_000
HELD = 100
BACKFILLED = 20

Key = tuple[str, str]
"""Reason and post id: an activity within its source."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An activity that the events imply."""

    at: int
    visibility: str
    audience: frozenset[str]
    author_id: str
    is_reply: bool = False
    """Of what an author posts: whether it answers a post."""


@dataclass(slots=True)
class Added:
    """An activity as it stands in the log, the place where it was added, and the last place where
    all followers got it; 0 if there is none."""

    what: Standing
    place: int
    pushed: int


@dataclass(slots=True)
class SourceLog:
    """What the log of one source came to."""

    place: int = 0
    partitions: set[int] = field(default_factory=set)
    relations: dict[str, Row] = field(default_factory=dict)
    followers: dict[str, list[tuple[int, tuple[Key, ...]]]] = field(default_factory=dict)
    """User to the places where the follow in force began and where the timeline was opened, and
    what was given there."""
    wanted: dict[str, bool] = field(default_factory=dict)
    """User to whether the greatest follow says that the source is a favourite."""
    favourers: dict[str, int] = field(default_factory=dict)
    """User whose favourite the source is, to the place where that began."""
    activities: dict[Key, Added] = field(default_factory=dict)
    held: list[tuple[int, str, str]] = field(default_factory=list)
    """The newest activities that the source holds: time, post id, reason, ascending."""
    is_heavy: bool = False
    is_erased: bool = False
    handling: tuple[int, str, str] = (-1, "", "auto")
    """Time, event id, and what an operator said last of the source."""
    floor: int = 0
    """The newest time of what it spread and holds no more for its age."""
    shrunk: set[str] = field(default_factory=set)
    """Users who lost an entry of this source."""
    backfill: tuple[Key, ...] | None = None
    """What any follower is given at this place; None when it is not known or not the same."""


def member(post_id: str, reason: str) -> str:
    """An entry's name: no id holds a NUL."""
    return f"{post_id}\0{reason}"


def fold_log(
    records: Iterable[Placed], heavy_followers: int = HEAVY_FOLLOWERS
) -> dict[str, SourceLog]:
    """What the log of each source came to, its records in order."""
    sources: dict[str, SourceLog] = {}
    for partition, record in records:
        log = sources.get(record.source)
        if log is None:
            log = sources[record.source] = SourceLog()
        log.partitions.add(partition)
        log.place += 1
        if log.is_erased:
            continue
        if isinstance(record, RelationFact):
            _relate(log, record, heavy_followers)
        elif isinstance(record, Activity):
            _add(log, record)
        elif isinstance(record, Removal):
            _remove(log, record)
        elif isinstance(record, Handling):
            log.handling = max(log.handling, (record.at, record.event_id, record.how))
            _weigh(log, heavy_followers)
        elif isinstance(record, Refill):
            _refill(log, record.owner)
        elif isinstance(record, FollowerErased):
            log.relations.pop(record.user_id, None)
            _leave(log, record.user_id, heavy_followers)
        elif isinstance(record, SourceErased):
            _erase(log)
    return sources


def _erase(log: SourceLog) -> None:
    for key, added in list(log.activities.items()):
        _take(log, key, added)
    log.shrunk.update(log.followers)
    log.relations.clear()
    log.followers.clear()
    log.favourers.clear()
    log.is_heavy = False
    log.is_erased = True


def _relate(log: SourceLog, fact: RelationFact, heavy_followers: int) -> None:
    row = log.relations.get(fact.user_id)
    if row is None:
        row = log.relations[fact.user_id] = empty_row()
    kind = KINDS.index(fact.kind)
    if fact.kind == "follow" and (fact.at, fact.event_id) > row[kind]:
        log.wanted[fact.user_id] = fact.is_favourite
    row[kind] = max(row[kind], (fact.at, fact.event_id))
    if not follows(row) or not log.wanted[fact.user_id]:
        log.favourers.pop(fact.user_id, None)
    else:
        log.favourers.setdefault(fact.user_id, log.place)
    if not follows(row):
        _leave(log, fact.user_id, heavy_followers)
    elif fact.user_id not in log.followers:
        log.followers[fact.user_id] = [(log.place, ())]
        _weigh(log, heavy_followers)
        if not log.is_heavy:
            log.followers[fact.user_id] = [(log.place, _backfill(log, fact.user_id))]


def _refill(log: SourceLog, user_id: str) -> None:
    """The timeline of a follower is given all that was pushed of what is held."""
    if user_id in log.followers:
        keys = ((reason, post_id) for _, post_id, reason in log.held)
        given = tuple(
            key
            for key in keys
            if log.activities[key].pushed and may_see(log.activities[key].what, user_id)
        )
        log.followers[user_id].append((log.place, given))


def _leave(log: SourceLog, user_id: str, heavy_followers: int) -> None:
    log.favourers.pop(user_id, None)
    if log.followers.pop(user_id, None) is not None:
        log.shrunk.add(user_id)
    _weigh(log, heavy_followers)


def _weigh(log: SourceLog, heavy_followers: int) -> None:
    """Whether the source is heavy, as it is handled or by its followers of now; becoming light, it
    pushes."""
    size = len(log.followers)
    was_heavy = log.is_heavy
    if log.handling[2] == "auto":
        log.is_heavy = size * 10 >= heavy_followers * 9 if was_heavy else size >= heavy_followers
    else:
        log.is_heavy = log.handling[2] == "heavy"
    if was_heavy and not log.is_heavy:
        for _, post_id, reason in log.held:
            log.activities[(reason, post_id)].pushed = log.place


def _backfill(log: SourceLog, user_id: str) -> tuple[Key, ...]:
    if log.backfill is not None:
        return log.backfill
    newest: list[Key] = []
    is_everyones = True
    for _, post_id, reason in reversed(log.held):
        what = log.activities[(reason, post_id)].what
        is_everyones = is_everyones and what.visibility in FOR_ALL
        if may_see(what, user_id):
            newest.append((reason, post_id))
            if len(newest) == BACKFILLED:
                break
    found = tuple(newest)
    if is_everyones:
        log.backfill = found
    return found


def may_see(what: Standing, user_id: str) -> bool:
    """Whether a follower may see an activity."""
    if what.visibility == "custom":
        return user_id in what.audience
    return what.visibility in FOR_ALL


def audience_of(visibility: str, audience: Iterable[str]) -> frozenset[str]:
    """The users who matter for who may see a post."""
    return frozenset(audience) if visibility == "custom" else frozenset()


def _add(log: SourceLog, record: Activity) -> None:
    key = (record.reason, record.post_id)
    audience = audience_of(record.visibility, record.audience)
    what = Standing(record.at, record.visibility, audience, record.author_id, record.is_reply)
    before = log.activities.get(key)
    if before is not None:
        if before.what == what:
            return
        _take(log, key, before)
    log.activities[key] = Added(what, log.place, 0 if log.is_heavy else log.place)
    insort(log.held, (record.at, record.post_id, record.reason))
    if len(log.held) > HELD:
        log.floor = max(log.floor, log.held.pop(0)[0])
    log.backfill = None


def _remove(log: SourceLog, record: Removal) -> None:
    key = (record.reason, record.post_id)
    before = log.activities.get(key)
    if before is not None and before.what.at == record.at:
        _take(log, key, before)


def _take(log: SourceLog, key: Key, before: Added) -> None:
    del log.activities[key]
    entry = (before.what.at, key[1], key[0])
    if entry in log.held:
        log.held.remove(entry)
    log.backfill = None
    log.shrunk.update(log.followers)
    if not key[0].startswith("t:"):
        log.shrunk.add(key[0][2:])


def activities(
    posts: dict[str, PostState], shared: dict[Key, Engagement]
) -> dict[str, dict[Key, Standing]]:
    """Source to the activities that the events imply; `shared` is (post, user) to the newest."""
    found: dict[str, dict[Key, Standing]] = {}
    public: dict[str, str] = {}
    for post_id, state in posts.items():
        newest = state.settle()
        if newest is None or state.created is None or state.is_deleted:
            continue
        author = state.created.author_id or ""
        audience = audience_of(newest.visibility, newest.audience)
        sources = [f"u:{author}"]
        if newest.visibility == "public":
            public[post_id] = author
            sources += topics(newest.content)
        what = Standing(state.created.at, newest.visibility, audience, author)
        for source in sources:
            found.setdefault(source, {})[(source, post_id)] = what
        if newest.reply_to:
            found[f"u:{author}"][(f"u:{author}", post_id)] = replace(what, is_reply=True)
    for (post_id, sharer), event in shared.items():
        if event.action == "share" and post_id in public:
            found.setdefault(f"u:{sharer}", {})[(f"s:{sharer}", post_id)] = Standing(
                event.at, "public", frozenset(), public[post_id]
            )
    return found


class Timelines:
    """Every user's timeline as ranks: 0 is the newest of all entries there are.

    `rows[user]` is ascending, so newest first; entry `rank` is `(at[rank], post[rank],
    reason[rank])`.
    """

    def __init__(
        self,
        implied: dict[str, dict[Key, Standing]],
        log: dict[str, SourceLog],
        relations: Relations,
    ) -> None:
        entries = sorted(
            (
                (what.at, post_id, reason, source)
                for source, standing in implied.items()
                for (reason, post_id), what in standing.items()
            ),
            reverse=True,
        )
        self.at = array("q", (entry[0] for entry in entries))
        self.post = [entry[1] for entry in entries]
        self.reason = [entry[2] for entry in entries]
        self.rank = {member(entry[1], entry[2]): rank for rank, entry in enumerate(entries)}
        self.rows: dict[str, array[int]] = {}
        self.shrunk: set[str] = set()
        """Users whose timeline was longer once."""
        self.pulled: dict[str, list[tuple[int, Standing]]] = {}
        """Heavy source to what it holds."""
        self._following = relations.following
        self._floors = {source: source_log.floor for source, source_log in log.items()}
        followers: dict[str, list[str]] = {}
        for user_id, sources in relations.following.items():
            for source in sources:
                followers.setdefault(source, []).append(user_id)
        for source, source_log in log.items():
            self.shrunk |= source_log.shrunk
            if source not in implied:
                continue
            self._spread(source, implied[source], source_log, followers.get(source, []))
        for source, source_log in log.items():
            if source_log.is_heavy:
                self.pulled.setdefault(source, [])
        for source in implied.keys() - log.keys():
            self._spread(source, implied[source], SourceLog(), followers.get(source, []))
        for user_id, row in self.rows.items():
            self.rows[user_id] = array("I", sorted(row))

    def _spread(
        self, source: str, standing: dict[Key, Standing], log: SourceLog, users: list[str]
    ) -> None:
        """Put a source's activities on the timelines of its followers, and on a user's own."""
        places = []
        for (reason, post_id), what in standing.items():
            added = log.activities.get((reason, post_id))
            place = added.pushed if added is not None else log.place + 1
            places.append((place, self.rank[member(post_id, reason)], what))
        places.sort(key=lambda entry: entry[0])
        if log.is_heavy:
            self.pulled[source] = [
                (self.rank[member(post_id, reason)], standing[(reason, post_id)])
                for _, post_id, reason in log.held
                if (reason, post_id) in standing
            ]
        ranks = array("I", (rank for _, rank, _ in places))
        at_place = [place for place, _, _ in places]
        whats = [what for _, _, what in places]
        restricted = [i for i, what in enumerate(whats) if what.visibility not in FOR_ALL]
        if source.startswith("u:"):
            self._extend(source[2:], ranks)
        for user_id in users:
            gifts = log.followers.get(user_id, [(log.place + 1, ())])
            began = gifts[0][0]
            first = bisect_right(at_place, began)
            if restricted and restricted[-1] >= first:
                pushed = array(
                    "I", (ranks[i] for i in range(first, len(ranks)) if may_see(whats[i], user_id))
                )
            else:
                pushed = ranks[first:]
            self._extend(user_id, pushed)
            given = {rank for gift in gifts for rank in self._kept(gift, began, standing, log)}
            self._extend(user_id, given)

    def _kept(
        self,
        gift: tuple[int, tuple[Key, ...]],
        began: int,
        standing: dict[Key, Standing],
        log: SourceLog,
    ) -> Iterator[int]:
        """The entries given at a place that were neither removed nor added again since, and were
        not pushed since the follow began."""
        place, keys = gift
        for reason, post_id in keys:
            added = log.activities.get((reason, post_id))
            if added is None or (reason, post_id) not in standing:
                continue
            if added.place < place and added.pushed <= began:
                yield self.rank[member(post_id, reason)]

    def _extend(self, user_id: str, ranks: Iterable[int]) -> None:
        row = self.rows.get(user_id)
        if row is None:
            row = self.rows[user_id] = array("I")
        row.extend(ranks)

    def entries(self, user_id: str) -> Iterator[tuple[int, str, str]]:
        """A user's entries (time, post id, reason), newest first."""
        for rank in self.rows.get(user_id, ()):
            yield self.at[rank], self.post[rank], self.reason[rank]

    def floor_of(self, user_id: str) -> int:
        """The time (ms) above which the user's sources hold all that they spread."""
        sources = (f"u:{user_id}", *self._following.get(user_id, ()))
        return max(self._floors.get(source, 0) for source in sources)

    def recents(self) -> dict[tuple[str, str, str], int]:
        """(source, post id, reason) to the time of what each heavy source holds."""
        return {
            (source, self.post[rank], self.reason[rank]): self.at[rank]
            for source, held in self.pulled.items()
            for rank, _ in held
        }

    def users(self) -> set[str]:
        """Who may find something on the timeline."""
        heavy = self.pulled.keys()
        pulling = (
            user for user, sources in self._following.items() if not heavy.isdisjoint(sources)
        )
        return {*self.rows, *pulling}

    def candidates(self, user_id: str) -> Iterator[tuple[int, str, str]]:
        """A user's entries and what the followed heavy sources hold for the user, newest first."""
        ranks = set(self.rows.get(user_id, ()))
        for source in self._following.get(user_id, ()):
            held = self.pulled.get(source, ())
            ranks.update(rank for rank, what in held if may_see(what, user_id))
        for rank in sorted(ranks):
            yield self.at[rank], self.post[rank], self.reason[rank]

    def served(self, user_id: str) -> list[tuple[str, frozenset[str]]]:
        """What a walk through `latest` must give: posts by their newest entry, with reasons."""
        reasons: dict[str, list[str]] = {}
        for _, post_id, reason in self.candidates(user_id):
            reasons.setdefault(post_id, []).append(reason)
        return [(post_id, frozenset(found)) for post_id, found in reasons.items()]


def log_differences(
    implied: dict[str, dict[Key, Standing]], log: dict[str, SourceLog], relations: Relations
) -> tuple[int, Iterator[tuple[str, object, object]]]:
    """How many rows were compared, and (name, expected, found) of those that are not the same."""
    rows: dict[str, dict[str, Row]] = {}
    favourers: dict[str, set[str]] = {}
    for (source, user_id), row in relations.rows.items():
        rows.setdefault(source, {})[user_id] = row
    for source, user_id in relations.favourites:
        favourers.setdefault(source, set()).add(user_id)
    compared = len(relations.rows) + sum(len(standing) for standing in implied.values())
    return compared, _log_differences(implied, log, rows, favourers)


def _log_differences(
    implied: dict[str, dict[Key, Standing]],
    log: dict[str, SourceLog],
    rows: dict[str, dict[str, Row]],
    favourers: dict[str, set[str]],
) -> Iterator[tuple[str, object, object]]:
    nothing = SourceLog()
    for source in implied.keys() | log.keys() | rows.keys():
        found = log.get(source, nothing)
        if len(found.partitions) > 1:
            yield f"partition of {source}", "one", sorted(found.partitions)
        if found.favourers.keys() != favourers.get(source, set()):
            yield f"favourers of {source}", favourers.get(source), set(found.favourers)
        standing = implied.get(source, {})
        for key in standing.keys() | found.activities.keys():
            added = found.activities.get(key)
            there = added.what if added is not None else None
            if standing.get(key) != there:
                yield f"activity {key[0]} {key[1]}", standing.get(key), there
        expected = rows.get(source, {})
        for user_id in expected.keys() | found.relations.keys():
            if expected.get(user_id) != found.relations.get(user_id):
                yield (
                    f"relation {source} {user_id}",
                    expected.get(user_id),
                    found.relations.get(user_id),
                )
