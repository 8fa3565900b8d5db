"""What a function gave, kept for the arguments that come again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from schemas.views import PostView

Argument = TypeVar("Argument")
Value = TypeVar("Value")


class Memo(dict[Argument, Value]):
    """`memo[argument]` is `make(argument)`, computed once; all is forgotten when there are `most`.

    `functools.lru_cache` writes into neighbours at each hit, which are rarely in the processor's
    cache when there are tens of thousands.
    """

    def __init__(self, make: Callable[[Argument], Value], most: int = 50_000) -> None:
        super().__init__()
        self._make = make
        self._most = most

    def __missing__(self, argument: Argument) -> Value:
        """Make and keep a value."""
        value = self._make(argument)
        if len(self) >= self._most:
            self.clear()
        self[argument] = value
        return value


class PostMemo(Generic[Value]):
    """What was computed of a post, kept while its view is the very same; all is forgotten when
    there are `most`."""

    def __init__(self, make: Callable[[PostView], Value], most: int = 20_000) -> None:
        self._make = make
        self._most = most
        self._made: dict[str, tuple[PostView, Value]] = {}

    def of(self, post: PostView) -> Value:
        """Of a post."""
        found = self._made.get(post.post_id)
        if found is not None and found[0] is post:
            return found[1]
        value = self._make(post)
        if len(self._made) >= self._most:
            self._made.clear()
        self._made[post.post_id] = (post, value)
        return value
