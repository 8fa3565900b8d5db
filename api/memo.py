"""What a function gave, kept for the arguments that come again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

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
