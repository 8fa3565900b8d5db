"""What a client was sent lately: entries and notifications, so that none comes twice, and whose
counts follow."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

ENTRIES = 1_000
POSTS = 200
NOTICES = 500

NoticeState = tuple[int, int, tuple[str, ...], str]
"""Of a notification as it is shown: how many acts, the time of the newest (ms), who did it, and
what the newest is."""


class Memory:
    """The newest entries (post, reason), and the newest posts with their authors."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._posts: OrderedDict[str, str] = OrderedDict()
        self._notices: OrderedDict[str, NoticeState] = OrderedDict()

    def has(self, post_id: str, reason: str) -> bool:
        """Whether an entry was sent, and not taken away since."""
        return (post_id, reason) in self._entries

    def add(self, post_id: str, reason: str, author_id: str) -> list[str]:
        """An entry is sent; the posts whose counts are followed no longer."""
        self._entries[post_id, reason] = None
        if len(self._entries) > ENTRIES:
            self._entries.popitem(last=False)
        self._posts[post_id] = author_id
        self._posts.move_to_end(post_id)
        return [self._posts.popitem(last=False)[0]] if len(self._posts) > POSTS else []

    def notify(self, key: str, state: NoticeState, *, is_newest_seen: bool) -> bool:
        """Whether a notification is to be sent: not if what has changed is what the client may not
        see, which leaves it as it was. Of one that comes for the first time that is said by who did
        it last."""
        before = self._notices.pop(key, None)
        self._notices[key] = state
        if len(self._notices) > NOTICES:
            self._notices.popitem(last=False)
        return is_newest_seen if before is None else before != state

    def forget(self, post_id: str, reason: str) -> list[str]:
        """An entry is taken away."""
        return self._forget(lambda entry: entry == (post_id, reason))

    def forget_reasons(self, reasons: tuple[str, ...]) -> list[str]:
        """All entries with a reason are taken away."""
        return self._forget(lambda entry: entry[1] in reasons)

    def forget_author(self, user_id: str) -> list[str]:
        """All posts by a user are taken away, and what the user has shared."""
        theirs = {post for post, author in self._posts.items() if author == user_id}
        reasons = (f"u:{user_id}", f"s:{user_id}")
        return self._forget(lambda entry: entry[0] in theirs or entry[1] in reasons)

    def forget_post(self, post_id: str) -> list[str]:
        """A post is gone."""
        return self._forget(lambda entry: entry[0] == post_id)

    def posts(self) -> list[str]:
        """The posts whose counts are followed."""
        return list(self._posts)

    def _forget(self, is_gone: Callable[[tuple[str, str]], bool]) -> list[str]:
        for entry in [entry for entry in self._entries if is_gone(entry)]:
            del self._entries[entry]
        kept = {post for post, _ in self._entries}
        gone = [post for post in self._posts if post not in kept]
        for post in gone:
            del self._posts[post]
        return gone
