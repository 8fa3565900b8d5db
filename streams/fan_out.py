"""Fan-out: brings what a source spreads to its followers, or to those who favour it, at once or
piece by piece.

A source whose followers are few is dealt with at once. Other work waits in a queue of its source,
a *job* for each activity or removal; sources with a queue take turns, so that a large one delays
nobody. How work is cut and when it is done changes no timeline:

- A source's jobs are done in the order of its log, and nothing of it is done at once while one
  waits. Timelines of different sources share no entry, so their order does not matter.
- Who is dormant is passed over by what is pushed, and given what the source holds on waking up.
- A job is for who followed when it stood in the log: followers since an earlier place. Whoever came
  later was given what the source held then; whoever left lost all of that source's entries, and is
  passed over by what is still to come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from schemas.events import Visibility
from streams.engine.outbox import Outbox
from streams.engine.owners import of_sub
from streams.engine.state import GroupTable, State
from streams.relations import Relation

DELIVERIES_AT_ONCE = 1_000
DELIVERIES_PER_TURN = 2_500
JOBS_TOGETHER = 20
_ALL = ""


class SourceRelation(Relation, frozen=True, array_like=True, gc=False):
    """A relation as its source has it; `since` is the place in the source's log at which the
    follow began that is in force. To a follower who is dormant nothing is pushed."""

    since: int = 0
    is_dormant: bool = False


class Spread(Struct, frozen=True, array_like=True, gc=False):
    """What goes onto timelines, or off them (`is_push` false): an entry, and who may see it, which
    is the same of both."""

    is_push: bool
    post_id: str
    reason: str
    at: int
    visibility: Visibility = "public"
    audience: tuple[str, ...] = ()

    def is_for(self, user_id: str) -> bool:
        """Whether a follower is meant. Who is a friend is judged where it is read."""
        match self.visibility:
            case "public" | "followers" | "friends":
                return True
            case "custom":
                return user_id in self.audience
            case _:
                return False


class Job(Struct, frozen=True, array_like=True, gc=False):
    """A spread at its place in the source's log."""

    place: int
    spread: Spread


class Queue(Struct, frozen=True, array_like=True, gc=False):
    """The numbers of the jobs of a source that wait: `first`, up to before `end`. The first of
    them, `together`, are being done in one pass over the followers, which has come to `done`."""

    first: int
    end: int
    together: int = 0
    done: str = ""


Follower = TypeVar("Follower")
Deliver = Callable[[Spread, int, Iterable[tuple[str, Follower]]], None]
"""Given what is spread, its place in the source's log, and followers: brings it to those who are
meant."""


def to_timelines(outbox: Outbox) -> Deliver[SourceRelation]:
    """Onto timelines, or off them."""

    def deliver(
        spread: Spread, place: int, followers: Iterable[tuple[str, SourceRelation]]
    ) -> None:
        owners = [
            user_id
            for user_id, follower in followers
            if follower.is_following
            and follower.since < place
            and not (follower.is_dormant and spread.is_push)
            and spread.is_for(user_id)
        ]
        if spread.is_push:
            outbox.push(spread.post_id, spread.reason, spread.at, owners)
        else:
            outbox.remove(spread.post_id, spread.reason, spread.at, owners, spread.visibility)

    return deliver


class FanOut(Generic[Follower]):
    """A fan-out of one partition's sources; `name` begins the names of its tables.

    A job costs one row, and for each follower what is to be delivered. A piece of work looks at the
    sources that have a queue, and at the followers that it deals with. Jobs of a source that wait
    together are done together: what comes to one follower at a time costs less in the store.
    """

    def __init__(
        self,
        state: State,
        followers: GroupTable[Follower],
        deliver: Deliver[Follower],
        name: str = "",
    ) -> None:
        self._followers = followers
        self._queues = state.group_table(f"{name}queue", Queue, of_sub)
        self._jobs = state.table(f"{name}job", Job)
        self._deliver = deliver
        self._turn = ""
        self._at_once: dict[str, int] = {}

    @property
    def backlog(self) -> int:
        """The jobs that waited at the last checkpoint."""
        return self._jobs.count()

    def spread(self, source: str, spread: Spread, place: int, size: int) -> None:
        """Deliver to the followers of a source, of which there are about `size`; `place` is that in
        the source's log."""
        queue = self._queues.get(_ALL, source)
        room = DELIVERIES_AT_ONCE - self._at_once.get(source, 0)
        if queue is None and size <= room:
            self._at_once[source] = DELIVERIES_AT_ONCE - room + size
            self._deliver(spread, place, self._followers.scan(source))
            return
        queue = queue or Queue(0, 0)
        self._jobs.put(_key(source, queue.end), Job(place, spread))
        self._queues.put(_ALL, source, replace(queue, end=queue.end + 1))

    def work(self, limit: int) -> int:
        """A checkpoint begins: go on with what waits, with some `limit` deliveries; how many it
        were, or were looked at."""
        self._at_once.clear()
        done = 0
        while done < limit and (source := self._next()) is not None:
            done += self._take_turn(source, min(limit - done, DELIVERIES_PER_TURN))
        return done

    def _next(self) -> str | None:
        page = self._queues.page(_ALL, self._turn, 1) or self._queues.page(_ALL, "", 1)
        if not page:
            return None
        self._turn = page[0][0]
        return self._turn

    def _take_turn(self, source: str, limit: int) -> int:
        """Go on with a source's first jobs; what of `limit` that took."""
        queue = self._queues.get(_ALL, source)
        assert queue is not None
        together = queue.together or min(queue.end - queue.first, JOBS_TOGETHER)
        keys = [_key(source, queue.first + n) for n in range(together)]
        size = max(1, limit // together)
        page = self._followers.page(source, queue.done, size)
        for key in keys:
            job = self._jobs.get(key)
            assert job is not None
            self._deliver(job.spread, job.place, page)
        if len(page) == size:
            queue = replace(queue, together=together, done=page[-1][0])
            self._queues.put(_ALL, source, queue)
            return size * together
        for key in keys:
            self._jobs.delete(key)
        if queue.first + together == queue.end:
            self._queues.delete(_ALL, source)
        else:
            self._queues.put(_ALL, source, Queue(queue.first + together, queue.end))
        return max(1, len(page) * together)


def _key(source: str, number: int) -> str:
    return f"{source}\0{number}"
