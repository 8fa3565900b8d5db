"""What can go wrong with the local stack: a message, a detail and a hint each."""

from __future__ import annotations


class StackError(Exception):
    """The local stack could not do what was asked.

    `message` says what failed, `detail` why, `hint` what to do next.
    """

    def __init__(self, message: str, detail: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.message]
        if self.detail:
            lines.append(self.detail)
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class PartDied(StackError):
    """A part ended by itself; the detail is the tail of its log."""


class StackBusy(StackError):
    """Another process holds the data directory."""


class Cancelled(StackError):
    """Stopped while starting, because another part failed or the stack is being stopped."""
