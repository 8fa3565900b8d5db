"""Interests: what a user likes to see, and what not: topics, languages and kinds of media."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from schemas.events import Feedback
from schemas.topics import Topic
from schemas.views import AVERSION_PER_DAY, CLOSENESS_PER_DAY, InterestView
from streams.affinity import Affinities
from streams.decay import NOTHING, Faded, add
from streams.engine.outbox import Outbox
from streams.engine.rows import SEPARATOR
from streams.engine.state import State
from streams.facts import Met
from streams.relations import NEVER, Stamp
from streams.subjects import LANGUAGE, TOPIC, USER

AVERSION_WEIGHT = 5.0


class Interest(Struct, frozen=True, array_like=True, gc=False):
    """How much a user likes to see a subject, and how averse the user is to it; None when never."""

    liking: Faded = NOTHING
    aversion: Faded | None = None


NO_INTEREST = Interest(aversion=NOTHING)


class Said(Struct, frozen=True, array_like=True, gc=False):
    """A user's newest feedback on a subject."""

    stamp: Stamp = NEVER
    is_averse: bool = False


class Interests:
    """The interests of one partition of users. A fact costs O(1) rows for each of its subjects."""

    def __init__(self, state: State, outbox: Outbox, affinities: Affinities) -> None:
        self.rows = state.group_table("interest", Interest)
        self.said = state.group_table("feedback", Said)
        self._affinities = affinities
        self._outbox = outbox

    def like(self, user_id: str, subjects: Iterable[str], weight: float, at: int) -> None:
        """The user did something with what is about these, or took it back (`weight` < 0)."""
        for subject in subjects:
            row = self.rows.get(user_id, subject) or Interest()
            liking = add(row.liking, weight, at, CLOSENESS_PER_DAY)
            self._put(user_id, subject, replace(row, liking=liking))

    def avert(self, user_id: str, subjects: Iterable[str], weight: float, at: int) -> None:
        """The user wants to see less of these, or no longer so (`weight` < 0); `u:` is a user."""
        for subject in subjects:
            if subject.startswith(USER):
                self._affinities.avert(user_id, subject.removeprefix(USER), weight, at)
            else:
                row = self.rows.get(user_id, subject) or Interest()
                aversion = add(row.aversion or NOTHING, weight, at, AVERSION_PER_DAY)
                self._put(user_id, subject, replace(row, aversion=aversion))

    def say(self, event: Feedback) -> None:
        """The user says of a subject whether it is of interest; the newest counts."""
        subject = subject_of(event)
        before = self.said.get(event.user_id, subject) or Said()
        after = Said((event.at, event.event_id), event.action == "not_interested")
        if after.stamp <= before.stamp:
            return
        self.said.put(event.user_id, subject, after)
        if subject.startswith(USER):
            other = subject.removeprefix(USER)
            self._outbox.tell(Topic.BY_USER, other, Met(other, event.user_id))
        for said, weight in ((before, -AVERSION_WEIGHT), (after, AVERSION_WEIGHT)):
            if said.is_averse:
                self.avert(event.user_id, (subject,), weight, said.stamp[0])

    def forget(self, user_id: str, target_id: str) -> None:
        """Another is erased: it is not known any more what was said of that one."""
        if self.said.get(user_id, f"{USER}{target_id}") is not None:
            self.said.delete(user_id, f"{USER}{target_id}")

    def show(self, user_id: str, subject: str, row: Interest) -> None:
        """Show a row, whether it is kept or not."""
        near, far = row.liking, row.aversion
        averse = (0.0, None) if far is None else (far.score, far.at)
        view = InterestView(user_id, subject, near.score, near.at, *averse)
        self._outbox.show(Topic.VIEW_INTERESTS, user_id, f"{user_id}{SEPARATOR}{subject}", view)

    def _put(self, user_id: str, subject: str, row: Interest) -> None:
        self.rows.put(user_id, subject, row)
        self.show(user_id, subject, row)


def subject_of(event: Feedback) -> str:
    """What feedback is about; topics and languages are case folded."""
    subject = event.subject
    return subject.casefold() if subject.startswith((TOPIC, LANGUAGE)) else subject
