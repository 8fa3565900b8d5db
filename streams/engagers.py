"""Engagers: what each user has done with a post: a reaction, a share, a hide."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from schemas.events import Engagement
from schemas.topics import Topic
from schemas.views import MineView
from streams.acts import Act, TellAct
from streams.engine.outbox import Outbox
from streams.engine.rows import SEPARATOR
from streams.engine.state import State
from streams.facts import Touched
from streams.relations import NEVER, Stamp


class Reaction(Struct, frozen=True, array_like=True, gc=False):
    """A user's newest reaction to a post; `kind` None: taken back. `is_again`: there were
    others."""

    stamp: Stamp
    kind: str | None
    is_again: bool = False


NO_REACTION = Reaction(NEVER, None)


class Share(Struct, frozen=True, array_like=True, gc=False):
    """A user's newest share or unshare of a post."""

    stamp: Stamp
    is_shared: bool

    @property
    def at(self) -> int:
        return self.stamp[0]


NO_SHARE = Share(NEVER, False)


class Hide(Struct, frozen=True, array_like=True, gc=False):
    """A user hides a post, since a time (ms): the first."""

    at: int


class Engagers:
    """Folds what users do with posts, one row for each. An engagement costs O(1) rows."""

    def __init__(self, state: State, outbox: Outbox, tell: TellAct) -> None:
        self._reactions = state.group_table("react", Reaction)
        self._shares = state.group_table("share", Share)
        self._hides = state.group_table("hide", Hide)
        self._outbox = outbox
        self._tell = tell

    def react(
        self, post_id: str, event: Engagement, kind: str | None
    ) -> tuple[Reaction, Reaction] | None:
        """A user reacts, or no longer (None); the reactions before and after, if it is newer.

        The rows are as they were until `put_reaction`, but that an older one is noted.
        """
        before = self._reactions.get(post_id, event.user_id) or NO_REACTION
        after = Reaction((event.at, event.event_id), kind, before is not NO_REACTION)
        if after.stamp > before.stamp:
            return before, after
        if after.stamp < before.stamp and not before.is_again:  # in whatever order the two came
            self._reactions.put(post_id, event.user_id, replace(before, is_again=True))
            self._show(post_id, event.user_id, is_first=False)
        return None

    def put_reaction(self, post_id: str, user_id: str, before: Reaction, after: Reaction) -> None:
        """Keep a user's newest reaction, and tell of it."""
        self._reactions.put(post_id, user_id, after)
        self._show(post_id, user_id, is_first=before is NO_REACTION)
        for reaction, is_in_force in ((before, False), (after, True)):
            if reaction.kind is not None:
                self._tell(post_id, Act("like", user_id, reaction.stamp[0]), is_in_force)

    def share(self, post_id: str, event: Engagement) -> tuple[Share, Share] | None:
        """A user shares a post, or no longer; the shares before and after, if it is newer."""
        user_id = event.user_id
        before = self._shares.get(post_id, user_id) or NO_SHARE
        after = Share((event.at, event.event_id), event.action == "share")
        if after.stamp <= before.stamp:
            return None
        self._shares.put(post_id, user_id, after)
        self._show(post_id, user_id, is_first=before is NO_SHARE)
        for share, is_in_force in ((before, False), (after, True)):
            if share.is_shared:
                self._tell(post_id, Act("share", user_id, share.at), is_in_force)
        return before, after

    def hide(self, post_id: str, event: Engagement) -> int:
        """A user hides a post; how many more do so."""
        user_id = event.user_id
        before = self._hides.get(post_id, user_id)
        if before is not None and before.at <= event.at:
            return 0
        self._hides.put(post_id, user_id, Hide(event.at))
        self._show(post_id, user_id, is_first=before is None)
        if before is not None:
            self._tell(post_id, Act("hide", user_id, before.at), False)
        self._tell(post_id, Act("hide", user_id, event.at), True)
        return before is None

    def shares(self, post_id: str) -> list[tuple[str, int]]:
        """(user, time in ms) of the shares in force; O(the post's shares)."""
        found = self._shares.scan(post_id)
        return [(user_id, share.at) for user_id, share in found if share.is_shared]

    def acts(self, post_id: str) -> Iterator[Act]:
        """All that is in force at a post; O(its engagers)."""
        for user_id, reaction in self._reactions.scan(post_id):
            if reaction.kind is not None:
                yield Act("like", user_id, reaction.stamp[0])
        for user_id, share in self._shares.scan(post_id):
            if share.is_shared:
                yield Act("share", user_id, share.at)
        for user_id, hide in self._hides.scan(post_id):
            yield Act("hide", user_id, hide.at)

    def erase(self, post_id: str, user_id: str) -> tuple[Reaction, Share, bool]:
        """A user is erased; what the user had done with the post: a reaction, a share, a hide.

        It is said each time that it is not hidden: who reads the view may see the last time alone.
        """
        reaction = self._reactions.get(post_id, user_id)
        share = self._shares.get(post_id, user_id)
        hide = self._hides.get(post_id, user_id)
        if reaction is not None:
            self._reactions.delete(post_id, user_id)
            if reaction.kind is not None:
                self._tell(post_id, Act("like", user_id, reaction.stamp[0]), False)
        if share is not None:
            self._shares.delete(post_id, user_id)
            if share.is_shared:
                self._tell(post_id, Act("share", user_id, share.at), False)
        if hide is not None:
            self._hides.delete(post_id, user_id)
        if reaction is not None or share is not None or hide is not None:
            self._show(post_id, user_id, is_first=False, unhidden=0)
        return reaction or NO_REACTION, share or NO_SHARE, hide is not None

    def _show(
        self, post_id: str, user_id: str, *, is_first: bool, unhidden: int | None = None
    ) -> None:
        """Show what a user did; of the first time the user's own log is told, too."""
        reaction = self._reactions.get(post_id, user_id)
        share = self._shares.get(post_id, user_id)
        hide = self._hides.get(post_id, user_id)
        view = MineView(
            user_id,
            post_id,
            reaction.kind if reaction else None,
            reaction.stamp[0] if reaction else 0,
            share.is_shared if share else False,
            share.at if share else 0,
            hide.at if hide else unhidden,
            reaction.is_again if reaction else False,
        )
        self._outbox.show(Topic.VIEW_MINE, user_id, f"{user_id}{SEPARATOR}{post_id}", view)
        if is_first:
            self._outbox.tell(Topic.BY_USER, user_id, Touched(user_id, post_id))
