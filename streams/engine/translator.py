"""How the ids in a batch of producers' records are translated; waits while the registry is away.

It waits before the batch is folded: its partition's slot holds back what comes after it, and what
needs no id that is new goes on.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Set
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from connectors.batch import Batch
from connectors.owner import LeavingError
from connectors.registry import RegistryDownError
from connectors.translations import TranslationCache
from schemas.translation import Translations, headers_in, number_of
from streams.engine.outage import Outage, Place, pause_before

log = structlog.get_logger(__name__)

STORE = "registry"
THREADS = 2
"""Of its own: who waits for the registry takes none from those who need it for nothing."""

Result = TypeVar("Result")


class Translator:
    """Gets the translations that batches need; `leaving` is set while partitions may go to another
    worker: then nothing is waited for."""

    def __init__(self, cache: TranslationCache, leaving: Callable[[], asyncio.Event]) -> None:
        self.outage = Outage(STORE)
        self._cache = cache
        self._leaving = leaving
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix=STORE)

    async def of(self, batch: Batch) -> Translations:
        """The translations of all records of a batch.

        Raises:
            LeavingError: the registry could not be reached, and the partition may be another's now.
        """
        headers = headers_in(record.value for record in batch.records)
        kept = self._cache.kept(headers)
        if kept is not None:
            return kept
        return await self._fetched(Place(batch.tp.topic, batch.tp.partition), headers)

    async def _fetched(self, place: Place, headers: Set[bytes]) -> Translations:
        loop = asyncio.get_running_loop()
        try:
            for attempt in itertools.count(1):
                asked = loop.run_in_executor(self._pool, self._cache.of, headers)
                try:
                    found = await self._unless_leaving(asked)
                except RegistryDownError as error:
                    self.outage.failed(place, error)
                else:
                    self.outage.succeeded(place)
                    log.info("schemas fetched", ids=sorted(map(number_of, headers)))
                    return found
                await self._unless_leaving(asyncio.sleep(pause_before(attempt)))
            raise AssertionError("unreachable")
        finally:
            self.outage.gave_up(place)

    async def _unless_leaving(self, awaitable: Awaitable[Result]) -> Result:
        wanted = asyncio.ensure_future(awaitable)
        leaving = asyncio.ensure_future(self._leaving().wait())
        try:
            await asyncio.wait({wanted, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not wanted.done():
                raise LeavingError
            return wanted.result()
        finally:
            wanted.cancel()
            leaving.cancel()
