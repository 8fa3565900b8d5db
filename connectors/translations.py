"""What the ids in producers' records stand for, as a schema registry says; asked once for each."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol, TypeVar

from connectors.registry import Registered, Registry
from schemas.codec import UndecodableError
from schemas.translation import (
    Translate,
    Translations,
    headers_in,
    number_of,
    refused,
    translated,
    translation,
)

Value = TypeVar("Value")

MAX_KEPT = 1_000
ABSENT_SECONDS = 60.0
"""How long an id that nothing is registered under is not asked for again."""
SECOND_LOOK_SECONDS = 1.0
"""After which the registry is asked again for what it does not have: a server of it may not know
yet what another has registered a moment ago."""


class Schemas(Protocol):
    """Knows schemas by their ids; see `Registry`."""

    def schema(self, number: int) -> Registered | None:
        """What is registered under an id; raises `RegistryDownError`."""


class _Absent(NamedTuple):
    translate: Translate
    until: float


class TranslationCache:
    """The translations of the ids asked for last, at most 1,000, and as many that nothing is
    registered under: ids that mean nothing push out none that do. For several threads."""

    def __init__(
        self,
        registry: Schemas,
        *,
        max_kept: int = MAX_KEPT,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._registry = registry
        self._max_kept = max_kept
        self._clock = clock
        self._sleep = sleep
        self._kept: OrderedDict[bytes, Translate] = OrderedDict()
        self._absent: OrderedDict[bytes, _Absent] = OrderedDict()
        self._lock = threading.Lock()

    def kept(self, headers: Iterable[bytes]) -> Translations | None:
        """The translations for all these beginnings of records, None if one is not known; asks
        nobody."""
        found: dict[bytes, Translate] = {}
        for header in headers:
            known = self._known(header)
            if known is None:
                return None
            found[header] = known
        return found

    def of(self, headers: Iterable[bytes]) -> Translations:
        """The translations for all these beginnings of records, for as long as the caller needs
        them.

        Raises:
            RegistryDownError: the registry must be asked, and cannot be now.
        """
        found: dict[bytes, Translate] = {}
        absent = []
        for header in headers:
            known = self._known(header) or self._fetched(header)
            if known is None:
                absent.append(header)
            else:
                found[header] = known
        if absent:
            self._sleep(SECOND_LOOK_SECONDS)
        for header in absent:
            found[header] = self._fetched(header) or self._refused(header)
        return found

    def translated(self, raw: bytes) -> bytes:
        """A record with an id of our own.

        Raises:
            UndecodableError: there can be none.
            RegistryDownError: the registry must be asked, and cannot be now.
        """
        return translated(raw, self.of(headers_in([raw])))

    def _known(self, header: bytes) -> Translate | None:
        with self._lock:
            translate = self._kept.get(header)
            if translate is not None:
                self._kept.move_to_end(header)
                return translate
            absent = self._absent.get(header)
            return absent.translate if absent and absent.until >= self._clock() else None

    def _fetched(self, header: bytes) -> Translate | None:
        number = number_of(header)
        registered = self._registry.schema(number)
        if registered is None:
            return None
        translate = _translation(number, registered)
        with self._lock:
            self._put(self._kept, header, translate)
        return translate

    def _refused(self, header: bytes) -> Translate:
        said = f"the registry has no schema with id {number_of(header)}"
        translate = refused(UndecodableError("unknown_schema", said))
        with self._lock:
            self._put(self._absent, header, _Absent(translate, self._clock() + ABSENT_SECONDS))
        return translate

    def _put(self, into: OrderedDict[bytes, Value], header: bytes, value: Value) -> None:
        into[header] = value
        into.move_to_end(header)
        if len(into) > self._max_kept:
            into.popitem(last=False)


@contextmanager
def own_ids(registry_url: str) -> Iterator[Callable[[bytes], bytes]]:
    """For records of producers that the registry at an address gave ids to, or none if it is empty:
    makes each a record with an id of our own. Raises as `TranslationCache.translated` does."""
    if not registry_url:
        yield bytes
        return
    registry = Registry(registry_url)
    try:
        yield TranslationCache(registry).translated
    finally:
        registry.close()


def _translation(number: int, registered: Registered) -> Translate:
    named = f"the schema with id {number}"
    if registered.kind != "AVRO":
        return refused(UndecodableError("unknown_schema", f"{named} is {registered.kind}"))
    if registered.references:
        said = f"{named} refers to others, which ours never do"
        return refused(UndecodableError("unknown_schema", said))
    return translation(number, registered.text)
