"""What Redis answers, as the values that stand for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import structlog

from api.stores import NEGLIGIBLE, REDIS, NotFilledError
from connectors.redis_fence import read_mark
from connectors.redis_keys import faded_score

LIKE = "like"

log = structlog.get_logger(__name__)


def in_order(
    names: Iterable[str], groups: Sequence[Sequence[str]], answers: Iterator[Any]
) -> Iterable[bytes | None]:
    """The values of names that were asked for in groups."""
    if len(groups) == 1:
        found: list[bytes | None] = next(answers)
        return found
    values: dict[str, bytes | None] = {}
    for group in groups:
        values.update(zip(group, next(answers), strict=True))
    return [values[name] for name in names]


def filled(marks: Iterable[bytes | None]) -> None:
    """Go on only if partitions are filled, by their marks.

    Raises:
        NotFilledError: one is not, as of a Redis that has lost what it had.
    """
    if not all(raw is not None and read_mark(raw).is_filled for raw in marks):
        raise NotFilledError(REDIS)


def decode(
    decoder: msgspec.msgpack.Decoder[Any],
    ids: Iterable[str],
    values: Iterable[bytes | None],
    into: dict[str, Any],
) -> None:
    """Decode one value for each id; one that cannot be is as if it were not there."""
    for name, raw in zip(ids, values, strict=False):
        view = decoded(decoder, raw)
        if view is not None:
            into[name] = view


def decoded(decoder: msgspec.msgpack.Decoder[Any], raw: bytes | None) -> Any:
    """A view; None if there is none, or it cannot be decoded."""
    if raw is None:
        return None
    try:
        return decoder.decode(raw)
    except msgspec.MsgspecError as error:
        log.warning("undecodable view", view=decoder.type.__name__, error=type(error).__name__)
        return None


def reactions(
    posts: Iterable[str], times: Iterable[float | None], kinds: Iterable[bytes | None]
) -> dict[str, str]:
    """Post to the kind of reaction; a like is one without a kind."""
    return {
        post_id: LIKE if kind is None else kind.decode()
        for post_id, at, kind in zip(posts, times, kinds, strict=True)
        if at is not None
    }


def faded(flat: Sequence[bytes], now: int, per_day: float) -> list[tuple[str, float]]:
    """Members and their scores of now, of a sorted set by `fading_rank`; negligible ones are not
    there."""
    pairs = zip(flat[::2], flat[1::2], strict=True)
    scores = ((name.decode(), faded_score(float(rank), now, per_day)) for name, rank in pairs)
    return [(name, score) for name, score in scores if score >= NEGLIGIBLE]


def marked(names: Iterable[str], marks: Iterable[Any]) -> list[str]:
    """The names that are members, by the answer to SMISMEMBER."""
    return [name for name, mark in zip(names, marks, strict=True) if mark]


def scored(names: Iterable[str], scores: Iterable[float | None]) -> list[str]:
    """The names that have a score."""
    pairs = zip(names, scores, strict=True)
    return [name for name, score in pairs if score is not None]
