"""Turns: what takes long on the event loop lets other requests go on between its parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

AT_A_TURN = 250
"""Things that are worked on before others have their turn: half a millisecond or less."""

T = TypeVar("T")


async def turn(after: int = AT_A_TURN) -> None:
    """Let others have their turn after work on so many things; less than `AT_A_TURN` need none, so
    that what is short does not wait for others."""
    if after >= AT_A_TURN:
        await asyncio.sleep(0)


async def in_turns(things: Sequence[T]) -> AsyncIterator[Sequence[T]]:
    """Things, some at a time, and the others' turn after each."""
    for start in range(0, len(things), AT_A_TURN):
        yield things[start : start + AT_A_TURN]
        await turn()
