"""Follows from edge lists: SNAP's `u v` files and MUSAE's `from,to` CSV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from connectors.sources.files import SourceError, columns_of, lines_of
from schemas.events import Follow

_HEADERS = frozenset(
    {("from", "to"), ("source", "target"), ("id_1", "id_2"), ("follower", "followee")}
)
_UNDIRECTED_NAMES = ("facebook_combined", "edges.csv")


class FollowFile(Struct, frozen=True):
    """The follows of an edge list: (follower, followee) in file order, without what was dropped."""

    pairs: list[tuple[str, str]]
    is_undirected: bool
    duplicates: int
    self_loops: int


def is_undirected_name(path: Path | str) -> bool:
    """Whether a file of this name is known to hold friendships (ego-Facebook, MUSAE Twitch)."""
    name = Path(path).name
    return any(known in name for known in _UNDIRECTED_NAMES)


def read_follows(path: Path | str, undirected: bool | None = None) -> FollowFile:
    """The follows in an edge list, and what was dropped.

    Args:
        path: Lines `u v` or `u,v`, gzipped or plain, with or without a header.
        undirected: True: each edge is a follow each way. False: the first follows the second.
            None: by the file's name (`facebook_combined*` and `*edges.csv*` are undirected).

    Raises:
        SourceError: a line is not an edge, or the file cannot be read.
    """
    is_undirected = is_undirected_name(path) if undirected is None else undirected
    found: dict[tuple[str, str], None] = {}
    names: dict[str, str] = {}  # one object per id, however many edges it has
    read = self_loops = 0
    for number, line in lines_of(path):
        columns = columns_of(line)
        if len(columns) != 2 or not all(columns):
            raise SourceError(
                f"{path}, line {number} is not an edge.\nIt is {line[:80]!r}.\n"
                "hint: an edge is `follower followee` or `follower,followee`."
            )
        if read == self_loops == 0 and (columns[0].lower(), columns[1].lower()) in _HEADERS:
            continue
        first, second = (names.setdefault(column, column) for column in columns)
        if first == second:
            self_loops += 1
            continue
        read += 1
        found[first, second] = None
        if is_undirected:
            read += 1
            found[second, first] = None
    return FollowFile(list(found), is_undirected, read - len(found), self_loops)


def load_follows(path: Path | str, undirected: bool | None = None) -> list[tuple[str, str]]:
    """The (follower, followee) pairs of an edge list; see `read_follows`."""
    return read_follows(path, undirected).pairs


def follow_events(pairs: Iterable[tuple[str, str]], at: int, prefix: str = "f") -> Iterator[Follow]:
    """A follow event per (follower, followee), all at the time `at`, with ids `f:0`, `f:1`, ..."""
    for number, (follower, followee) in enumerate(pairs):
        yield Follow(
            event_id=f"{prefix}:{number}",
            action="follow",
            user_id=follower,
            target=f"u:{followee}",
            at=at,
        )
