"""A replica: the rows of one partition of a stage in one process, which owns or follows it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from connectors.records import Record
from schemas.topics import Topic
from schemas.translation import Translations
from streams.engine.outbox import Outbox
from streams.engine.rows import RowStore
from streams.engine.state import State


class Fold(ABC):
    """What a stage runs on each record: pure, it only reads and writes its tables and outbox.

    What a record gives rise to may be put off: it waits in the fold's tables, and is done piece by
    piece in later checkpoints, also when no record comes.
    """

    @property
    def writes(self) -> tuple[Topic, ...]:
        """The topics that it puts something out to; its changelog and the dead letters go without
        saying."""
        return ()

    @abstractmethod
    def apply(self, record: Record) -> None:
        """Fold one record in.

        Raises:
            RejectedError, UndecodableError: before anything was changed; the record goes to
                the dead letters.
        """

    def translate_by(self, _translations: Translations) -> None:  # noqa: B027
        """How the ids in the records of the next batch are translated, if a registry gives them:
        for what reads producers' records."""

    @property
    def backlog(self) -> int:
        """How many pieces of work waited at the last checkpoint."""
        return 0

    def work(self, _limit: int) -> int:
        """A checkpoint begins: do of what waits what takes some `limit` deliveries; how many of
        those it took."""
        return 0


MakeFold = Callable[[State, Outbox], Fold]


class Replica:
    """The state of a partition, with the tables that the fold has declared.

    Only an owner uses the fold and the outbox.
    """

    def __init__(self, store: RowStore, make_fold: MakeFold, partitions: int) -> None:
        self.state = State(store)
        self.outbox = Outbox(partitions)
        self.fold = make_fold(self.state, self.outbox)
