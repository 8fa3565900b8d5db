"""A model that is loaded anew when its file has changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import structlog

from api.ranking.model import Model, ModelError, read_model

LOOK_SECONDS = 2.0

log = structlog.get_logger(__name__)

Stamp = tuple[int, int, int]


class WatchedModel:
    """The model of a file. Whether the file has changed is looked at every 2 s at most; one that
    cannot be used leaves the former model in place, and is logged once.

    Raises:
        ModelError: there is none to begin with.
    """

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._looked_at = clock()
        self._stamp = self._stamp_of()
        self._model = read_model(path)

    def current(self) -> Model:
        """The newest model that could be loaded."""
        now = self._clock()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            stamp = self._stamp_of()
            if stamp != self._stamp:
                self._stamp = stamp
                self._load()
        return self._model

    def _load(self) -> None:
        try:
            self._model = read_model(self._path)
        except ModelError as error:
            log.error("model not loaded, the former stays", reason=str(error))
        else:
            log.info("model loaded", trained_to=self._model.header.trained_to)

    def _stamp_of(self) -> Stamp | None:
        try:
            found = Path(self._path).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size
