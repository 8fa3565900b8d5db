"""A reaction of a user to a post, as lists of them have it."""

from __future__ import annotations

from msgspec import Struct


class Reacted(Struct, frozen=True):
    """A reaction in force: its time in ms, the post, and the kind."""

    at: int
    post_id: str
    kind: str

    @property
    def place(self) -> tuple[int, str]:
        """What reactions are ordered by, descending."""
        return self.at, self.post_id
