"""The fence of a partition in Redis: one writer at a time, and where it stands.

Beside the keys that a topic's partition writes stands its mark, in the same slot. Every write
is a transaction that takes effect only while the mark is what its writer left: a writer that
was taken over, and a Redis that lost writes, are found out before anything is written.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from redis.exceptions import ResponseError

from connectors.failpoints import reach
from connectors.log_id import ForeignStoreError
from connectors.redis_servers import Client, server_of
from connectors.redis_transaction import Argument, Transaction

COMMANDS_PER_ROUND_TRIP = 2_000


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
    has, None while nothing was written. All below `position` was written; of what stands from
    there to `reached` some was too, if that is set: by a write of several round trips, or one
    that was refused in part. `is_filled` once all was written that the log held when it was last
    found to be missing: until then, what is not there may exist all the same.
    """

    log_id: str
    epoch: str
    position: int | None
    reached: int | None = None
    is_filled: bool = False


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Mark).decode


def read_mark(raw: bytes) -> Mark:
    """A mark as it stands in Redis."""
    return _decode(raw)


class Fence:
    """Takes marks over, and writes behind them; `key` is that of a mark.

    A round trip whose answer is lost may have taken effect. So the fence knows all marks that
    it may have left; the next that is done with that partition finds out which of them stands.
    """

    def __init__(self, client: Client, log_id: str) -> None:
        self._client = client
        self._log_id = log_id
        self._left: dict[str, set[bytes]] = {}

    def take_over(self, key: str) -> int | None:
        """Become the writer: whoever was it can write no longer. Returns the position.

        Raises:
            ForeignStoreError: what is there is of another log.
        """
        self._left[key] = set()
        return self._claim(key, is_ours=lambda _: True)

    def position(self, key: str) -> int | None:
        """Where the partition stands, also after a write whose outcome is not known.

        Raises:
            StoreMovedError: the mark is none that this writer may have left.
        """
        left = self._left[key]
        if len(left) > 1:
            return self._claim(key, is_ours=left.__contains__)
        return _decode(next(iter(left))).position

    def check(self, key: str) -> None:
        """See whether the mark is one that this writer may have left.

        Raises:
            StoreMovedError: it is another, or none.
        """
        with server_of(self._client, key) as server:
            found = server.get(key)
        if found not in self._left[key]:
            raise StoreMovedError(key)

    def fill(self, key: str) -> None:
        """Say in the mark that the partition is filled.

        Raises:
            StoreMovedError: the mark is not what this writer left.
        """
        self.position(key)  # after a write whose outcome is not known
        (before,) = self._left[key]
        mark = _decode(before)
        if mark.is_filled:
            return
        after = _encode(replace(mark, is_filled=True))
        self._left[key] |= {after}
        with self._transaction(key) as transaction:
            if transaction.watch(key) != before:
                raise StoreMovedError(key)
            transaction.add("SET", key, after)
            if not transaction.execute():
                transaction.watch(key)  # raises if the mark went to another server
                raise StoreMovedError(key)
        self._left[key] = {after}

    @contextmanager
    def write(
        self, key: str, position: int, scripts: Iterable[str] = ()
    ) -> Iterator[FencedPipeline]:
        """A pipeline that is sent at the end of the context, together with the new position.

        Its commands may run `scripts` by their digests. To be called when `position` has said
        that it is not done yet; also after an error, with the same commands from the start.

        Raises:
            StoreMovedError: the mark is not what this writer left.
        """
        (before,) = self._left[key]
        mark = _decode(before)
        reached = position if mark.reached is None else max(position, mark.reached)
        within = _encode(replace(mark, reached=reached))
        rest = reached if reached > position else None
        after = _encode(replace(mark, position=position, reached=rest))
        self._left[key] |= {within, after}
        with self._transaction(key) as transaction:
            fenced = FencedPipeline(transaction, key, before, within, scripts)
            yield fenced
            fenced.add("SET", key, after)
            try:
                fenced.send()
            except ResponseError:
                self._put_back(key, within, after)
                raise
        self._left[key] = {after}

    def _claim(self, key: str, is_ours: Callable[[bytes | None], bool]) -> int | None:
        """Put a new mark in the place of one that is ours, at the same position.

        What was sent before and is still under way finds another mark, and has no effect.
        """
        while True:
            with self._transaction(key) as transaction:
                found = transaction.watch(key)
                if not is_ours(found):
                    raise StoreMovedError(key)
                mark = Mark(self._log_id, "", None) if found is None else _decode(found)
                if mark.log_id != self._log_id:
                    raise ForeignStoreError("Redis", mark.log_id, self._log_id)
                claimed = _encode(replace(mark, epoch=uuid.uuid4().hex))
                self._left[key].add(claimed)
                transaction.add("SET", key, claimed)
                if transaction.execute():
                    self._left[key] = {claimed}
                    return mark.position

    def _put_back(self, key: str, within: bytes, after: bytes) -> None:
        """A command was refused, those beside it and the mark were not: it must be done again."""
        with self._transaction(key) as transaction:
            if transaction.watch(key) == after:
                transaction.add("SET", key, within)
                transaction.execute()

    @contextmanager
    def _transaction(self, key: str) -> Iterator[Transaction]:
        with server_of(self._client, key) as server, Transaction(server) as transaction:
            yield transaction


class FencedPipeline:
    """Collects commands; each round trip takes effect only behind the mark.

    The first of several sets the mark `within`: from then on more is there than it says.
    """

    def __init__(
        self,
        transaction: Transaction,
        key: str,
        left: bytes,
        within: bytes,
        scripts: Iterable[str],
    ) -> None:
        self._transaction = transaction
        self._key = key
        self._left = left
        self._within = within
        self._scripts = tuple(scripts)
        self._begin()

    def add(self, *command: Argument) -> None:
        """Put a command at the end."""
        self._transaction.add(*command)

    def send_when_long(self) -> None:
        """Send what was collected when it is as much as one round trip should carry."""
        if len(self._transaction) >= COMMANDS_PER_ROUND_TRIP:
            if self._left != self._within:
                self.add("SET", self._key, self._within)
            self.send()
            self._left = self._within
            reach("mid-sink", self._key, COMMANDS_PER_ROUND_TRIP)
            self._begin()

    def send(self) -> None:
        """Send what was collected."""
        if not self._transaction.execute():
            self._transaction.watch(self._key)  # raises if the mark went to another server
            raise StoreMovedError(self._key)

    def _begin(self) -> None:
        if self._transaction.watch(self._key) != self._left:
            raise StoreMovedError(self._key)
        for script in self._scripts:  # a server that was restarted does not know them
            self._transaction.add("SCRIPT", "LOAD", script)
