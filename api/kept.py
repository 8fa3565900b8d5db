"""Values that are kept by key, up to a bound."""

from __future__ import annotations

from collections.abc import Sized
from typing import Generic, TypeVar

Value = TypeVar("Value", bound=Sized)


class Kept(Generic[Value]):
    """Values by key, of which each counts as one and what is in it; when there would be more than
    `most`, all are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: dict[str, Value] = {}
        self._size = 0

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def get(self, key: str) -> Value | None:
        """What is kept."""
        return self._values.get(key)

    def keep(self, key: str, value: Value) -> None:
        """Keep a value in place of what was kept."""
        self.forget(key)
        size = 1 + len(value)
        if self._size + size > self._most:
            self.clear()
        self._values[key] = value
        self._size += size

    def forget(self, key: str) -> None:
        """Keep nothing more of a key."""
        if (value := self._values.pop(key, None)) is not None:
            self._size -= 1 + len(value)

    def clear(self) -> None:
        """Forget all."""
        self._values.clear()
        self._size = 0
