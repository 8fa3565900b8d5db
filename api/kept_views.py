"""Views as they were decoded, kept until Redis says that they have changed."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from typing import Any

import structlog
from msgspec import Struct
from msgspec.msgpack import Decoder
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError

from api.held import Entries
from api.kept import Kept
from api.of_viewer import Command, ViewerSet, small
from api.redis_answers import decoded, filled
from api.redis_link import Link, Told
from api.turns import turn

MOST = 20_000
"""Views, of some 1 KB each. When there are more, all are forgotten."""

MOST_ENTRIES = 250_000
"""Feeds and their entries, of some 200 bytes each."""

MOST_MEMBERS = 250_000
"""Sets of viewers and their members, of some 100 bytes each."""

_TRACKING = ("CLIENT", "TRACKING", "ON", "OPTIN")
_TRACK_NEXT = ("CLIENT", "CACHING", "YES")
_BARRIER = ("PING",)

log = structlog.get_logger(__name__)


class Lookup(Struct):
    """Views of a kind that are wanted, by id and by key, and those that were found, by id."""

    ids: Sequence[str]
    keys: Sequence[str]
    decoder: Decoder[Any]
    into: dict[str, Any]

    def note(self, name: str, raw: bytes | None) -> Any:
        """Note what was read of an id; None if there is nothing, or it cannot be decoded."""
        view = decoded(self.decoder, raw)
        if view is not None:
            self.into[name] = view
        return view


class Question(Struct):
    """What is to be known of a viewer: by sets that may be kept, and by commands. What is not there
    is none only where the partitions are filled whose marks are asked for behind them."""

    sets: Sequence[ViewerSet] = ()
    commands: Sequence[Command] = ()
    marks: Sequence[Command] = ()


class KeptViews:
    """Views of one server, the entries of feeds, and small sets of viewers, by key.

    What is kept is looked up behind an answer, on the connection that tells of what has changed
    (`Link`): so it is what Redis held when it gave that answer, or later. What changes all the time
    is told of once for each time that it was read. Who has nothing to ask looks it up behind an
    answer to others, if these asked after `since`, a time of `time.monotonic`.

    Feeds are read on another connection. That it is to be told of changes of one is said on
    the first with what is asked there next, and what is read after the answer to that is kept.
    """

    def __init__(self, open_link: Callable[[Told, int], Awaitable[Link]]) -> None:
        self._open_link = open_link
        self._link: Link | None = None
        self._flat: Link | None = None
        self._is_tracking = True
        self._kept: dict[str, Any] = {}
        self._feeds: Kept[Entries] = Kept(MOST_ENTRIES)
        self._members: Kept[Set[str]] = Kept(MOST_MEMBERS)
        self._large: set[str] = set()
        self._known_since = -math.inf
        self._to_tell_of: set[str] = set()
        self._told_of: dict[str, object] = {}
        self._asked: dict[str, object] = {}

    def views(self, keys: Iterable[str]) -> list[Any]:
        """What is kept of keys, or None of each; it may have changed."""
        return list(map(self._kept.get, keys))

    async def read(
        self, lookups: Sequence[Lookup], question: Question, since: float = math.inf
    ) -> list[Any]:
        """Look views up and note what a question's sets tell, and give the answers to its commands;
        in one round trip, and in one more when what was kept has changed meanwhile, or a set turns
        out to be large of which many names are wanted; in none when all is kept.

        Raises:
            RedisError, OSError: Redis refuses, or cannot be reached.
            StoreDownError: a partition is not filled.
        """
        kept = self._kept
        missing = [
            (name, key, each)
            for each in lookups
            if not all(map(kept.__contains__, each.keys))
            for name, key in zip(each.ids, each.keys, strict=True)
            if key not in kept
        ]
        sets = question.sets
        unknown = [each for each in sets if not self._is_known(each)]
        by_name = [each for each in sets if self._is_by_name(each)]
        commands = [*question.commands, *(asked for each in by_name for asked in each.of_each)]
        answers: list[Any] = []
        whole: dict[str, Set[str] | None] = {}
        if missing or unknown or commands or self._known_since < since:
            marks = question.marks if unknown or commands else ()
            answers, whole = await self._ask(missing, unknown, commands, marks)
            names = iter(answers[len(question.commands) :])
            for each in by_name:
                each.note_each(names)
        asked = {key for _, key, _ in missing}
        changed = []
        for lookup in lookups:
            views = list(map(kept.get, lookup.keys))
            if all(views):
                lookup.into.update(zip(lookup.ids, views, strict=True))
                continue
            for name, key, view in zip(lookup.ids, lookup.keys, views, strict=True):
                if view is not None:
                    lookup.into[name] = view
                elif key not in asked:
                    changed.append((name, key, lookup))
        open_ones = [each for each in sets if each not in by_name and not self._note(each, whole)]
        if changed or open_ones:
            commands = [asked for each in open_ones for asked in each.of_each]
            marks = question.marks if open_ones else ()
            answers_of_each, _ = await self._ask(changed, (), commands, marks)
            names = iter(answers_of_each)
            for each in open_ones:
                each.note_each(names)
        return answers[: len(question.commands)]

    async def entries(
        self, question: Sequence[Any], commands: Sequence[Sequence[Any]]
    ) -> tuple[Entries, list[Any]]:
        """The entries of the sorted set that a question (ZREVRANGE with scores, always the same of
        a key) asks for, and the answers to commands that are carried out behind it; in one round
        trip, and in one more when what was kept has changed meanwhile.

        Raises:
            RedisError, OSError: Redis refuses, or cannot be reached.
        """
        key = question[1]
        if key in self._feeds:
            answers, _ = await self._ask((), (), commands, ())
            if (kept := self._feeds.get(key)) is not None:
                return kept, answers
        told_of = self._told_of.get(key)
        flat, *answers = await self.ask_flat([question, *commands])
        entries = Entries(flat)
        if told_of is None:
            self._to_tell_of.add(key)
        elif told_of is self._told_of.get(key) and len(entries):
            self._feeds.keep(key, entries)
        return entries, answers

    async def ask_flat(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """The answers to commands in RESP2: sorted sets are flat there, where RESP3 has a list for
        each member, which takes two to four times as long to parse.

        Raises:
            RedisError, OSError: Redis refuses, or cannot be reached.
        """
        return await self._answers(self._flatly_linked, commands)

    def close(self) -> None:
        """Close the connections."""
        for link in (self._link, self._flat):
            if link is not None:
                link.close()

    async def _ask(
        self,
        missing: Sequence[tuple[str, str, Lookup]],
        unknown: Sequence[ViewerSet],
        commands: Sequence[Command],
        marks: Sequence[Command],
    ) -> tuple[list[Any], dict[str, Set[str] | None]]:
        """Read and keep the views that are missing and the sets that are unknown, and give the
        answers to commands and the members of those sets, None of large ones.

        Raises:
            StoreDownError: a mark that is asked for says that a partition is not filled.
        """
        await self._linked()
        keys = [key for _, key, _ in missing]
        await turn(len(keys))
        to_tell_of, self._to_tell_of = self._to_tell_of, set()
        read: list[Command] = []
        if to_tell_of and self._is_tracking:
            read += [_TRACK_NEXT, ("EXISTS", *to_tell_of)]
        wholes = []
        for each in unknown:
            read += [_TRACK_NEXT, each.whole] if self._is_tracking else [each.whole]
            wholes.append(len(read) - 1)
        if keys:
            read += [_TRACK_NEXT, ("MGET", *keys)] if self._is_tracking else [("MGET", *keys)]
        with self._asking([*keys, *to_tell_of, *(each.key for each in unknown)]) as is_same:
            asked_at = time.monotonic()
            answers = await self._answers(self._linked, [*read, *commands, *marks] or [_BARRIER])
            self._known_since = max(self._known_since, asked_at)
            if marks:
                filled(mark for group in answers[-len(marks) :] for mark in group)
            self._note_told_of(filter(is_same, to_tell_of))
            whole = {
                each.key: small(answers[place]) for each, place in zip(unknown, wholes, strict=True)
            }
            await turn(len(keys))
            raws = answers[len(read) - 1] if keys else ()
            for (name, key, lookup), raw in zip(missing, raws, strict=True):
                view = lookup.note(name, raw)
                if view is not None and is_same(key):
                    self._keep(key, view)
            for each in unknown:
                if is_same(each.key):
                    self._keep_members(each.key, whole[each.key])
        return answers[len(read) : len(read) + len(commands)], whole

    def _note_told_of(self, keys: Iterable[str]) -> None:
        if len(self._told_of) >= MOST:
            self._told_of.clear()
        for key in keys:
            self._told_of[key] = object()

    @contextmanager
    def _asking(self, keys: Sequence[str]) -> Iterator[Callable[[str], bool]]:
        """While keys are asked for: gives what says of each whether it may be kept, because Redis
        would have told if it had changed meanwhile, and has not."""
        asking = object()
        if self._is_tracking:
            self._asked.update(dict.fromkeys(keys, asking))
        try:
            yield lambda key: self._asked.get(key) is asking
        finally:
            for key in keys:
                if self._asked.get(key) is asking:
                    del self._asked[key]

    def _keep(self, key: str, view: Any) -> None:
        if len(self._kept) >= MOST:
            self._kept.clear()
        self._kept[key] = view

    def _keep_members(self, key: str, members: Set[str] | None) -> None:
        if members is not None:
            self._members.keep(key, members)
            return
        if len(self._large) >= MOST:
            self._large.clear()
        self._large.add(key)

    def _is_known(self, each: ViewerSet) -> bool:
        """Whether a set need not be asked for as a whole."""
        if each.key in self._members or each.key in self._large:
            return True
        return each.is_short and not self._is_tracking

    def _is_by_name(self, each: ViewerSet) -> bool:
        """Whether a set is to be asked for each name at once: what is kept of it does not tell, or
        it may be large."""
        if (members := self._members.get(each.key)) is not None:
            return not each.tells(members)
        return each.is_short or each.key in self._large

    def _note(self, each: ViewerSet, whole: Mapping[str, Set[str] | None]) -> bool:
        """Note what a set tells, by what was answered or is kept; whether that is all."""
        members = whole[each.key] if each.key in whole else self._members.get(each.key)
        if members is None or not each.tells(members):
            return False
        each.note(members)
        return True

    async def _answers(
        self, linked: Callable[[], Awaitable[Link]], commands: Sequence[Sequence[Any]]
    ) -> list[Any]:
        """The answers to commands. A connection that was idle may be gone: then another is made,
        and they are sent once more."""
        link = await linked()
        try:
            return await link.ask(commands)
        except RedisConnectionError:
            link.close()
        return await (await linked()).ask(commands)

    async def _linked(self) -> Link:
        """The connection that tells of changes."""
        if self._link is not None and self._link.is_open:
            return self._link
        link = await self._open_link(self._changed, 3)
        try:
            await link.ask([_TRACKING])
        except NoPermissionError as error:
            self._is_tracking = False
            log.warning("views are not kept", error=str(error))
        except BaseException:
            link.close()
            raise
        if self._link is not None and self._link.is_open:  # another request was faster
            link.close()
            return self._link
        self._link = link
        return link

    async def _flatly_linked(self) -> Link:
        """The one whose answers are flat."""
        if self._flat is not None and self._flat.is_open:
            return self._flat
        link = await self._open_link(lambda _: None, 2)
        if self._flat is not None and self._flat.is_open:  # another request was faster
            link.close()
            return self._flat
        self._flat = link
        return link

    def _changed(self, keys: Sequence[bytes] | None) -> None:
        """Forget keys; None: all."""
        if keys is None:
            self._kept.clear()
            self._feeds.clear()
            self._members.clear()
            self._large.clear()
            self._known_since = -math.inf
            self._told_of.clear()
            self._asked.clear()
            return
        for raw in keys:
            key = raw.decode()
            self._kept.pop(key, None)
            self._asked.pop(key, None)
            self._told_of.pop(key, None)
            self._feeds.forget(key)
            self._members.forget(key)
            self._large.discard(key)
