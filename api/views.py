"""What one request knows: Redis first, Cassandra for what is not there, and what is uncertain."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from api.errors import unavailable
from api.stores import CASSANDRA, REDIS, Degraded, Found, StoreDownError, Stores, Wanted
from api.visibility import UNRELATED, Relation, may_see
from schemas.views import CountersView, PostView, UserView

ABSENT_SECONDS = 30
MAX_ABSENT = 100_000


class Absent:
    """What Cassandra lately did not have, so that it is not asked again for each page.

    Redis is asked each time, so something new is seen at once.
    """

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], float] = {}

    def without(self, kind: str, ids: Iterable[str]) -> list[str]:
        """The ids of which nothing is known."""
        now = time.monotonic()
        return [name for name in ids if self._until.get((kind, name), 0.0) < now]

    def add(self, kind: str, ids: Iterable[str]) -> None:
        """Remember that there is nothing under these ids."""
        if len(self._until) >= MAX_ABSENT:
            self._until.clear()
        until = time.monotonic() + ABSENT_SECONDS
        for name in ids:
            self._until[kind, name] = until


class Needs(Struct, kw_only=True):
    """What a reader is to know; `mine` are posts of which it is what the viewer did with them,
    `hidden` those of which it is only whether the viewer hides them; `follows` are pairs (user,
    target), `blocks` the sources of which it is to be known whether they are blocked or muted,
    `favourites` those of which it is whether they are favourites: of them, ask for the follow
    too."""

    posts: Iterable[str] = ()
    counters: Iterable[str] = ()
    users: Iterable[str] = ()
    sources: Iterable[str] = ()
    mine: Iterable[str] = ()
    hidden: Iterable[str] = ()
    follows: Iterable[tuple[str, str]] = ()
    blocks: Iterable[str] = ()
    favourites: Iterable[str] = ()


_DEGRADED: tuple[Degraded, ...] = ("cassandra", "redis")
_OF_VIEWER = ("mine", "hidden", "follows", "blocks", "favourites")
_KINDS = ("posts", "counters", "users", "sources", *_OF_VIEWER)
_REFILLED = ("posts", "counters", "users", "sources")


class Reader:
    """Loads for one viewer (None: nobody in particular) and remembers what it has loaded: all of it
    as it is when the reader is made, or later."""

    def __init__(self, stores: Stores, absent: Absent, viewer: str | None) -> None:
        self.stores = stores
        self.viewer = viewer
        self.known = Found()
        self.down: set[str] = set()
        self._absent = absent
        self._asked: dict[str, set[object]] = {kind: set() for kind in _KINDS}
        self._uncertain: set[tuple[str, str]] = set()
        self._since = time.monotonic()

    @property
    def degraded(self) -> list[Degraded]:
        """The stores that would have been needed and are down."""
        return [store for store in _DEGRADED if store in self.down]

    def is_down(self, store: str) -> bool:
        """Whether a store has failed this request."""
        return store in self.down

    def mark_down(self, error: StoreDownError) -> None:
        """Note that a store is down.

        Raises:
            ProblemError: 503, when both are.
        """
        self.down.add(error.store)
        if {REDIS, CASSANDRA} <= self.down:
            raise unavailable("The stores cannot be reached now.") from error

    async def load(self, needs: Needs) -> None:
        """Know what is needed: one round trip to Redis, one concurrent read of Cassandra for
        what is not there; nothing for what is known."""
        fresh = self._fresh(needs)
        if fresh is None:
            return
        misses = fresh
        if not self.is_down(REDIS):
            try:
                found = await self.stores.cache.load(fresh)
                self._merge(found)
                misses = Wanted(viewer=self.viewer)
                for kind in _REFILLED:
                    there, asked = getattr(found, kind), getattr(fresh, kind)
                    if len(there) < len(asked):
                        missing = [name for name in asked if name not in there]
                        setattr(misses, kind, self._absent.without(kind, missing))
            except StoreDownError as error:
                self.mark_down(error)
        await self._refill(misses)

    async def _refill(self, misses: Wanted) -> None:
        if not any(getattr(misses, kind) for kind in _KINDS if kind != "blocks"):
            return
        if self.is_down(CASSANDRA):
            self._doubt(misses)
            return
        try:
            found = await self.stores.archive.load(misses)
        except StoreDownError as error:
            self.mark_down(error)
            self._doubt(misses)
            return
        self._merge(found)
        if not self.is_down(REDIS):
            for kind in _REFILLED:
                there = getattr(found, kind)
                absent = (name for name in getattr(misses, kind) if name not in there)
                self._absent.add(kind, absent)

    def _doubt(self, misses: Wanted) -> None:
        for kind in _REFILLED:
            self._uncertain.update((kind, name) for name in getattr(misses, kind))

    def _fresh(self, needs: Needs) -> Wanted | None:
        """What of the needs was not asked for before."""
        wanted = Wanted(viewer=self.viewer, since=self._since)
        is_empty = True
        for kind in _KINDS:
            names = getattr(needs, kind)
            if not names or (self.viewer is None and kind in _OF_VIEWER):
                continue
            asked = self._asked[kind]
            fresh = list(dict.fromkeys(names))
            if asked and not asked.isdisjoint(fresh):
                if asked.issuperset(fresh):
                    continue
                fresh = [name for name in fresh if name not in asked]
            if fresh:
                asked.update(fresh)
                setattr(wanted, kind, fresh)
                is_empty = False
        return None if is_empty else wanted

    def _merge(self, found: Found) -> None:
        known = self.known
        known.posts.update(found.posts)
        known.counters.update(found.counters)
        known.users.update(found.users)
        known.sources.update(found.sources)
        known.reactions |= found.reactions
        known.shared |= found.shared
        known.hidden |= found.hidden
        known.follows |= found.follows
        known.blocked |= found.blocked
        known.muted |= found.muted
        known.favourites |= found.favourites

    def is_certain(self, kind: str, name: str) -> bool:
        """Whether it is known if something is there, whatever store is down."""
        return (kind, name) not in self._uncertain

    def certain(self, kind: str, name: str) -> None:
        """Go on only if it is known whether something is there.

        Raises:
            ProblemError: 503, when the store that knows is down.
        """
        if not self.is_certain(kind, name):
            raise unavailable("The stores cannot be reached now.")

    def post(self, post_id: str) -> PostView | None:
        """A loaded post, deleted or not."""
        return self.known.posts.get(post_id)

    def counters(self, post_id: str) -> CountersView:
        """The counts of a loaded post; zeros when there are none."""
        return self.known.counters.get(post_id) or CountersView(post_id)

    def user(self, user_id: str) -> UserView:
        """A loaded user; an empty profile when there is none."""
        return self.known.users.get(user_id) or UserView(user_id)

    def is_blocked(self, source: str) -> bool | None:
        """Whether there is a block between the viewer and a source; None: not known now."""
        if source in self.known.blocked:
            return True
        return None if REDIS in self.down else False

    def is_muted(self, source: str) -> bool:
        """Whether the viewer mutes a source, as far as is known now."""
        return source in self.known.muted

    def is_favourite(self, source: str) -> bool:
        """Whether a source is the viewer's favourite."""
        return source in self.known.favourites

    def follows(self, user_id: str, target: str) -> bool:
        """Whether a user follows a source."""
        return (user_id, target) in self.known.follows

    async def load_rights(self, posts: Sequence[PostView]) -> None:
        """Know what decides who may see these posts, and which replies are of interest: authors,
        blocks, relations."""
        viewer = self.viewer
        others = {post.author_id for post in posts if not post.is_deleted} - {viewer}
        follows: list[tuple[str, str]] = []
        for post in posts if viewer is not None else ():
            if (post.visibility != "public" or post.reply_to) and (
                post.author_id != viewer and not post.is_deleted
            ):
                follows += self._deciding(viewer or "", post)
        await self.load(
            Needs(
                users={post.author_id for post in posts},
                blocks=[f"u:{author}" for author in others],
                follows=follows,
            )
        )

    def _deciding(self, viewer: str, post: PostView) -> Iterator[tuple[str, str]]:
        """The follows that decide about another's post."""
        author = post.author_id
        if post.visibility in ("followers", "friends", "custom"):
            yield viewer, f"u:{author}"
        if post.visibility == "friends":
            yield author, f"u:{viewer}"
        answered = self.post(post.reply_to) if post.reply_to else None
        if answered is not None:
            yield viewer, f"u:{author}"
            yield viewer, f"u:{answered.author_id}"

    def may_see(self, post: PostView) -> bool:
        """Whether the viewer may see a post whose rights are loaded."""
        viewer, author, known = self.viewer, post.author_id, self.known
        relation = UNRELATED
        if viewer is not None and viewer != author:
            if post.visibility != "public":
                relation = Relation(
                    is_following=self.follows(viewer, f"u:{author}"),
                    is_followed=self.follows(author, f"u:{viewer}"),
                    is_blocked=self.is_blocked(f"u:{author}"),
                )
            elif known.blocked or self.down:
                relation = Relation(is_blocked=self.is_blocked(f"u:{author}"))
        user = known.users.get(author)
        return may_see(post, "active" if user is None else user.status, viewer, relation)

    def joins(self, post: PostView) -> bool:
        """Whether the viewer is in the conversation that a post belongs to: of a reply, who wrote
        it or what it answers, and who follows the authors of both. `load` what it answers before
        `load_rights`; if that is not known, it is a reply to nobody."""
        if post.reply_to is None or post.author_id == self.viewer:
            return True
        answered = self.post(post.reply_to)
        if answered is None or self.viewer is None:
            return False
        if answered.author_id == self.viewer:
            return True
        ends = (post.author_id, answered.author_id)
        return all(self.follows(self.viewer, f"u:{end}") for end in ends)

    async def visible_post(self, post_id: str, needs: Needs | None = None) -> PostView | None:
        """A post if it is there and the viewer may see it.

        Raises:
            ProblemError: 503, when that cannot be known now.
        """
        needs = needs or Needs()
        needs.posts = [post_id]
        await self.load(needs)
        self.certain("posts", post_id)
        post = self.post(post_id)
        if post is None:
            return None
        await self.load_rights([post])
        self.certain("users", post.author_id)
        return post if self.may_see(post) else None

    async def holder(self, name: str) -> str | None:
        """Whose a user name is, in its common form; None for nobody's.

        Raises:
            ProblemError: 503, when that cannot be known now.
        """
        for store in (self.stores.cache, self.stores.archive):
            try:
                held = await store.holder(name)
            except StoreDownError as error:
                self.mark_down(error)
            else:
                if held is not None:
                    return held
        if self.down:
            raise unavailable("The stores cannot be reached now.")
        return None

    async def is_known(self, user_id: str) -> bool:
        """Whether there is any view of a user: profile, audience or posts."""
        await self.load(Needs(users=[user_id], sources=[f"u:{user_id}"]))
        if user_id in self.known.users or f"u:{user_id}" in self.known.sources:
            return True
        self.certain("users", user_id)
        try:
            return await self.stores.archive.has_posts(user_id)
        except StoreDownError as error:
            self.mark_down(error)
            raise unavailable("The stores cannot be reached now.") from error
