"""Users: their profile, whom they follow and block, and to whom they are close."""

from __future__ import annotations

from itertools import islice
from typing import get_args

from msgspec import Struct
from msgspec.structs import replace

from connectors.records import Record
from schemas.codec import UndecodableError
from schemas.events import Engagement, Event, Feedback, Follow, User
from schemas.topics import Topic
from schemas.views import RelationView
from streams.affinity import Affinities
from streams.engine.outbox import Outbox
from streams.engine.owners import of_partition, of_sub
from streams.engine.records import decode_record
from streams.engine.replica import Fold
from streams.engine.state import State
from streams.erasure import Erasure
from streams.facts import (
    AffinityFact,
    AversionFact,
    Claim,
    Fact,
    Mentioned,
    Met,
    Named,
    Notice,
    NoticesGone,
    RelationFact,
    RelationKind,
    Release,
    TargetErased,
    Tick,
    Touched,
)
from streams.interests import Interests
from streams.names import Names
from streams.notices import Notices, tell_of_follow
from streams.profiles import Profiles
from streams.readers import HOURS_A_DAY, Readers
from streams.relations import UserRelation, advance
from streams.subjects import TOPIC, USER

HOUR_MS = 3_600_000
MESSAGE_WEIGHT = 10.0
PROFILE_VIEW_WEIGHT = 1.0
SEEN_HOURS = 24
AWAKE_DAYS = 30
FORGOTTEN_PER_TICK = 10_000  # ids; a partition may see as many in the 10 s between two ticks

_RELATION_KINDS: dict[str, RelationKind] = {
    "follow": "follow",
    "unfollow": "unfollow",
    "block": "block",
    "unblock": "unblock",
}
_SEEN_BY_TARGET: dict[str, RelationKind] = {"block": "blocked", "unblock": "unblocked"}


class Seen(Struct, frozen=True, array_like=True, gc=False):
    """An act that was counted under an event id, for 24 h."""

    act: str = ""
    """Empty in rows of older versions, which took every act under the id for the same."""


class Clock(Struct, frozen=True, array_like=True, gc=False):
    """The partition's newest tick, the oldest hour whose seen ids are still kept, and the oldest
    day of whose users it is not known yet that they are dormant.

    What was seen before the first tick counts as seen in that tick's hour.
    """

    at: int = 0
    first_hour: int = 0
    oldest_hour: int = 0
    oldest_day: int = 0


_Event = (
    AffinityFact
    | Touched
    | Notice
    | Met
    | Engagement
    | RelationFact
    | Follow
    | User
    | Feedback
    | AversionFact
    | Named
    | NoticesGone
    | TargetErased
)
_OfName = Claim | Release | Mentioned
_EVENTS = get_args(_Event)  # in the order of how many there are, and a tuple: ten times as fast
_KNOWN = (*_EVENTS, Tick, *get_args(_OfName))


class UserFold(Fold):
    """Folds a user's log: user events, follows, profile views and messages, feedback, and what
    others are told of; and the logs of user names.

    Every event costs O(1) rows, one for each subject of a post; a tick costs what it forgets, at
    most `FORGOTTEN_PER_TICK` ids: the rest of an hour is left to the next ticks. Erasing a user
    costs O(rows about the user), put off piece by piece (see `Erasure`).
    """

    writes = (
        *(Topic.BY_POST, Topic.BY_USER, Topic.BY_SOURCE, Topic.TIMELINE_WRITES),
        *(Topic.VIEW_USERS, Topic.VIEW_RELATIONS, Topic.VIEW_AFFINITY, Topic.VIEW_NAMES),
        *(Topic.VIEW_DEVICES, Topic.VIEW_INTERESTS, Topic.VIEW_NOTIFICATIONS),
    )

    def __init__(self, state: State, outbox: Outbox) -> None:
        self._profiles = Profiles(state, outbox)
        self._relations = state.group_table("relation", UserRelation)
        self._affinities = Affinities(state, outbox)
        self._interests = Interests(state, outbox, self._affinities)
        self._notices = Notices(state, outbox)
        self._seen = state.group_table("seen", Seen)
        self._seen_in_hour = state.group_table("seen_in_hour", Seen, of_sub)
        self._clock = state.table("clock", Clock, of_partition)
        self._outbox = outbox
        self._names = Names(state, outbox)
        self._readers = Readers(state, outbox, self._relations, self._profiles.note_sleep)
        self._erasure = Erasure(
            state,
            outbox,
            self._relations,
            self._affinities,
            self._interests,
            self._notices,
            self._seen,
        )

    @property
    def backlog(self) -> int:
        """The users that were being erased at the last checkpoint."""
        return self._erasure.backlog

    def work(self, limit: int) -> int:
        """A checkpoint begins: go on with who is being erased, for `limit` rows."""
        return self._erasure.work(limit)

    def apply(self, record: Record) -> None:
        """Fold one record of the by-user log."""
        event = decode_record(record.value)
        if not isinstance(event, _KNOWN):
            raise UndecodableError("wrong_topic", f"a {type(event).__name__} in a user's log")
        self.fold(event)

    def fold(self, event: Event | Fact) -> None:
        """Fold one event or fact."""
        if isinstance(event, _EVENTS):
            if self._profiles.of(event.user_id).is_deleted:
                self._erasure.answer(event)
            else:
                self._fold(event)
        elif isinstance(event, Tick):
            self._tick(event.at)
        elif isinstance(event, _OfName):
            self._names.fold(event)

    def _fold(self, event: _Event) -> None:
        match event:
            case AffinityFact(user_id, target_id, weight, at, about):
                self._affinities.come_closer(user_id, target_id, weight, at)
                self._interests.like(user_id, about, weight, at)
            case AversionFact(user_id, subjects, weight, at):
                self._interests.avert(user_id, subjects, weight, at)
            case Feedback():
                self._interests.say(event)
            case Notice() | NoticesGone():
                self._notices.fold(event)
            case Touched() | Met():
                self._erasure.note(event)
            case Engagement():
                self._between_users(event)
            case Follow():
                self._follow(event)
            case RelationFact():
                self._relate(event)
            case User():
                self._user(event)
            case Named():
                self._profiles.name(event)
            case TargetErased(user_id, target_id):
                self._forget(user_id, target_id)

    # Relations

    def _follow(self, event: Follow) -> None:
        source = event.target
        if source.startswith(TOPIC):
            source = source.casefold()  # as hashtags are
        kind = _RELATION_KINDS.get(event.action)
        if kind is None:
            self._mute(event, source)
            return
        is_favourite = kind == "follow" and event.is_favourite and source.startswith(USER)
        fact = RelationFact(source, event.user_id, kind, event.at, event.event_id, is_favourite)
        if not self._relate(fact):
            return
        if kind == "follow":
            self._readers.follow(event.user_id, self._hour())
        self._outbox.tell(Topic.BY_SOURCE, source, fact)
        seen_by_target = _SEEN_BY_TARGET.get(kind)
        if seen_by_target is not None and source.startswith(USER):
            own_source = f"{USER}{event.user_id}"
            target_id = source.removeprefix(USER)
            mirrored = RelationFact(own_source, target_id, seen_by_target, event.at, event.event_id)
            self._outbox.tell(Topic.BY_SOURCE, own_source, mirrored)
            self._outbox.tell(Topic.BY_USER, target_id, mirrored)

    def _mute(self, event: Follow, source: str) -> None:
        """Take a mute's stamp, or an unmute's, into the user's row: it hides what is read, and
        changes nothing else."""
        relation = self._relations.get(event.user_id, source) or UserRelation()
        stamp = (event.at, event.event_id)
        if stamp > getattr(relation, event.action):
            self._put_relation(event.user_id, source, replace(relation, **{event.action: stamp}))

    def _relate(self, fact: RelationFact) -> bool:
        """Take a stamp into the user's row; whether it was a new greatest one."""
        before = self._relations.get(fact.user_id, fact.source) or UserRelation()
        if before.is_erased:
            return False
        after = advance(before, fact)
        if after is None:
            return False
        self._put_relation(fact.user_id, fact.source, after)
        tell_of_follow(self._outbox, fact.source, fact.user_id, before.followed, after.followed)
        self._profiles.count_following(fact.user_id, after.is_following - before.is_following)
        return True

    def _put_relation(self, user_id: str, source: str, relation: UserRelation) -> None:
        self._relations.put(user_id, source, relation)
        view = RelationView(
            user_id,
            source,
            relation.is_following,
            relation.follow[0] if relation.is_following else 0,
            relation.is_blocking,
            relation.is_blocked,
            relation.is_muting,
            relation.favours,
            relation.has_blocked,
        )
        self._outbox.show(Topic.VIEW_RELATIONS, user_id, f"{user_id}\0{source}", view)

    # Profile and standing

    def _user(self, event: User) -> None:
        if event.action == "active":
            self._readers.read(event.user_id, self._hour(), event.event_id)
            self._notices.see(event.user_id, min(event.seen_to or 0, event.at))
        after = self._profiles.fold(event)
        if after.is_deleted:
            self._readers.erase(event.user_id)
            self._erasure.begin(event.user_id)
            self._notices.forget(event.user_id)

    # Affinity

    def _between_users(self, event: Engagement) -> None:
        weight = MESSAGE_WEIGHT if event.action == "message" else PROFILE_VIEW_WEIGHT
        if event.target is None or event.target == event.user_id:
            return
        if not self._is_new(event):
            return
        self._affinities.come_closer(event.user_id, event.target, weight, event.at)
        self._outbox.tell(Topic.BY_USER, event.target, Met(event.target, event.user_id))

    def _is_new(self, event: Engagement) -> bool:
        """Whether an act is counted for the first time. Acts that differ under one event id are
        several, in whatever order they come: all but the first have rows by themselves."""
        act = f"{event.action}\0{event.target}\0{event.at}"
        name = event.event_id
        row = self._seen.get(event.user_id, name)
        if row is not None and row.act not in ("", act):
            name = f"{name}\0{act}"
            row = self._seen.get(event.user_id, name)
        if row is not None:
            return False
        self._seen.put(event.user_id, name, Seen(act))
        self._seen_in_hour.put(str(self._hour()), f"{event.user_id}\0{name}", Seen())
        return True

    def _forget(self, user_id: str, target_id: str) -> None:
        """Another is erased: what is left of a row says that, and takes in nothing more."""
        source = f"{USER}{target_id}"
        relation = self._relations.get(user_id, source)
        if relation is not None and not relation.is_erased:
            left = UserRelation(mute=relation.mute, unmute=relation.unmute, is_erased=True)
            self._put_relation(user_id, source, left)
            self._profiles.count_following(user_id, -relation.is_following)
        self._affinities.forget(user_id, target_id)
        self._interests.forget(user_id, target_id)

    # The clock: after a day, event ids that were seen are forgotten, and timelines closed; after 30
    # days nothing is brought to them

    def _hour(self) -> int:
        clock = self._clock.get("") or Clock()
        return clock.at // HOUR_MS

    def _tick(self, at: int) -> None:
        clock = self._clock.get("") or Clock()
        if at <= clock.at:
            return
        hour = at // HOUR_MS
        first = clock.first_hour or hour
        oldest = clock.oldest_hour or hour
        room = FORGOTTEN_PER_TICK
        while oldest < hour - SEEN_HOURS and room > 0:
            for past in _with_unknown(oldest, first):
                room -= self._forget_seen(past, room)
                room -= self._readers.sweep(past, room)
            oldest += room > 0
        day = clock.oldest_day or first // HOURS_A_DAY
        while day < hour // HOURS_A_DAY - AWAKE_DAYS and room > 0:
            for past in _with_unknown(day, first // HOURS_A_DAY):
                room -= self._readers.put_to_sleep(past, max(0, room))
            day += room > 0
        self._clock.put("", Clock(at, first, oldest, day))

    def _forget_seen(self, hour: int, limit: int) -> int:
        """Forget at most `limit` ids that were seen in an hour; how many that were."""
        keys = [key for key, _ in islice(self._seen_in_hour.scan(str(hour)), limit)]
        for key in keys:
            user_id, _, name = key.partition("\0")
            self._seen.delete(user_id, name)
            self._seen_in_hour.delete(str(hour), key)
        return len(keys)


def _with_unknown(past: int, first: int) -> tuple[int, ...]:
    """An hour or day; with the first also 0, that of what came before the first tick."""
    return (past, 0) if past == first else (past,)
