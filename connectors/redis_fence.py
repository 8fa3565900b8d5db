"""The fence of a partition in Redis: one writer at a time, and where it stands.

Beside the keys that a topic's partition writes stands its mark, in the same slot. Every write
is a transaction that takes effect only while the mark is what its writer left: a writer that
was taken over, and a Redis that lost writes, are found out before anything is written.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec
from msgspec import Struct
from redis import Redis, WatchError
from redis.client import Pipeline

from connectors.failpoints import reach
from connectors.log_id import ForeignStoreError

COMMANDS_PER_ROUND_TRIP = 5_000


class StoreMovedError(Exception):
    """Redis does not hold what this writer left there."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"{key} is not what this worker left: Redis lost writes, or another worker has taken "
            "the partition over; what is missing is written after a restart"
        )


class Mark(Struct, frozen=True):
    """What stands beside the keys, as JSON.

    `epoch` names who took the partition over last, `position` the offset that the next write
    has, None while nothing was written.
    """

    log_id: str
    epoch: str
    position: int | None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Mark).decode


class Fence:
    """Takes marks over, and writes behind them; `key` is that of a mark."""

    def __init__(self, client: Redis, log_id: str) -> None:
        self._client = client
        self._log_id = log_id
        self._epoch = uuid.uuid4().hex
        self._left: dict[str, bytes] = {}

    def take_over(self, key: str) -> int | None:
        """Become the writer: whoever was it can write no longer. Returns the position.

        Raises:
            ForeignStoreError: what is there is of another log.
        """
        while True:
            with self._client.pipeline(transaction=True) as pipe:
                found = _watch(pipe, key)
                mark = Mark(self._log_id, "", None) if found is None else _decode(found)
                if mark.log_id != self._log_id:
                    raise ForeignStoreError("Redis", mark.log_id, self._log_id)
                left = self._mark(mark.position)
                pipe.multi()
                pipe.set(key, left)
                with suppress(WatchError):
                    pipe.execute()
                    self._left[key] = left
                    return mark.position

    @contextmanager
    def write(self, key: str, position: int) -> Iterator[FencedPipeline]:
        """A pipeline that is sent at the end of the context, together with the new position.

        Raises:
            StoreMovedError: the mark is not what this writer left.
        """
        left = self._mark(position)
        with self._client.pipeline(transaction=True) as pipe:
            fenced = FencedPipeline(pipe, key, self._left[key])
            yield fenced
            pipe.set(key, left)
            fenced.send()
        self._left[key] = left

    def _mark(self, position: int | None) -> bytes:
        return _encode(Mark(self._log_id, self._epoch, position))


class FencedPipeline:
    """Collects commands; each round trip takes effect only behind the mark."""

    def __init__(self, pipe: Pipeline, key: str, left: bytes) -> None:
        self.commands = pipe
        self._key = key
        self._left = left
        self._begin()

    def send_when_long(self) -> None:
        """Send what was collected when it is as much as one round trip should carry."""
        if len(self.commands) >= COMMANDS_PER_ROUND_TRIP:
            self.send()
            reach("mid-sink", self._key, COMMANDS_PER_ROUND_TRIP)
            self._begin()

    def send(self) -> None:
        """Send what was collected."""
        try:
            self.commands.execute()
        except WatchError as error:
            raise StoreMovedError(self._key) from error

    def _begin(self) -> None:
        if _watch(self.commands, self._key) != self._left:
            raise StoreMovedError(self._key)
        self.commands.multi()


def _watch(pipe: Pipeline, key: str) -> bytes | None:
    """Watch a mark and read it."""
    pipe.watch(key)  # type: ignore[no-untyped-call]
    found: bytes | None = pipe.get(key)  # type: ignore[assignment]
    return found
