"""What waits to be sent to one client, in the order of each log, and how far that has come."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from api.live.changes import Change, Found
from api.live.places import Log, Place, Places
from schemas.views import CountersView, NotificationView

ROOM = 1_000
NOTICES = 100
COUNTED = 500
_NOWHERE = Place(0)


class Item(NamedTuple):
    """A change, the place behind it, and its record's time in ms."""

    log: Log
    place: Place
    at: int
    change: Change


class Notice(NamedTuple):
    """The newest state of a notification that was not sent, and the offset of the first that was
    not."""

    first: int
    item: Item
    view: NotificationView


class Inbox:
    """A bounded queue. Of counts and of a notification the newest state alone is kept; when there
    is no room for another change, all are dropped and `is_overrun` says so."""

    def __init__(self) -> None:
        self.places: Places = {}
        self.is_overrun = False
        self._starts: dict[Log, int] = {}
        self._queue: deque[Item] = deque()
        self._notices: OrderedDict[str, Notice] = OrderedDict()
        self._counts: OrderedDict[str, CountersView] = OrderedDict()
        self._hidden: OrderedDict[str, None] = OrderedDict()
        self._newest: dict[Log, Place] = {}
        self._had: Places = {}

    def begin(self, log: Log, offset: int) -> None:
        """Take in what comes from an offset on; what came before is `missed`."""
        if log not in self._starts:
            self._starts[log] = offset
            self.places[log] = Place(offset)

    @property
    def starts(self) -> Mapping[Log, int]:
        """The logs that are taken in, and from where on."""
        return self._starts

    def take(self, found: Found, change: Change) -> None:
        """A change of a record has come; of one record in their order."""
        start = self._starts.get(found.log)
        if self.is_overrun or start is None or found.offset < start:
            return
        if isinstance(change, CountersView):
            return
        self._add(found, change)

    def count(self, view: CountersView) -> None:
        """The counts of a post that was sent have changed."""
        self._counts[view.post_id] = view
        self._counts.move_to_end(view.post_id)
        if len(self._counts) > COUNTED:
            self._counts.popitem(last=False)

    def hide(self, post_id: str) -> None:
        """A post that was sent is for its author alone now, who is another."""
        self._hidden[post_id] = None
        if len(self._hidden) > COUNTED:
            self._hidden.popitem(last=False)

    def missed(self, found: Iterable[tuple[Found, Change]], places: Mapping[Log, Place]) -> None:
        """Put before all else what was missed since `places`."""
        waiting, self._queue = self._queue, deque()
        newest, self._newest = self._newest, {}
        for log, place in places.items():
            if self.places.get(log) == Place(self._starts.get(log, -1)):
                self.places[log] = place
            self._had[log] = place
        for record, change in found:
            self._add(record, change)
        self._queue.extend(waiting)
        self._newest.update(newest)

    def _add(self, found: Found, change: Change) -> None:
        """Add a change, unless the client had it before."""
        log, offset = found.log, found.offset
        before = self._newest.get(log)
        skip = before.skip + 1 if before is not None and before.offset == offset else 1
        place = self._newest[log] = Place(offset, skip)
        if place <= self._had.get(log, _NOWHERE):
            return
        item = Item(log, place, found.at, change)
        if isinstance(change, NotificationView):
            held = self._notices.pop(change.key, None)
            self._notices[change.key] = Notice(held.first if held else offset, item, change)
            if len(self._notices) > NOTICES:
                self._notices.popitem(last=False)
            return
        if len(self._queue) >= ROOM:
            self.overrun()
            return
        self._queue.append(item)

    def overrun(self) -> None:
        """Drop all that waits."""
        self.is_overrun = True
        self._queue.clear()
        self._notices.clear()
        self._counts.clear()
        self._hidden.clear()

    def waiting(self, limit: int) -> list[Item]:
        """The first changes that wait; they go on waiting."""
        return [self._queue[n] for n in range(min(limit, len(self._queue)))]

    def done(self, item: Item) -> bool:
        """The first change that waits was sent, or is not to be; False if it waits no more."""
        if not self._queue or self._queue[0] is not item:
            return False
        self._queue.popleft()
        self._advance(item.log, item.place)
        return True

    def first_notice_at(self) -> int | None:
        """The time (ms) of the notification that has waited longest."""
        held = next(iter(self._notices.values()), None)
        return None if held is None else held.item.at

    def notices(self, until: int) -> list[Notice]:
        """The notifications up to a time (ms); they go on waiting."""
        return [held for held in self._notices.values() if held.item.at <= until]

    def done_notices(self, sent: list[Notice]) -> None:
        """Notifications were sent, or are not to be; what has come since waits."""
        for each in sent:
            if self._notices.get(each.view.key) is each:
                del self._notices[each.view.key]
        if sent:
            last = max(each.item.place for each in sent)
            firsts = (Place(held.first) for held in self._notices.values())
            self._advance(sent[0].item.log, min([last, *firsts]))

    @property
    def has_counts(self) -> bool:
        """Whether counts wait."""
        return bool(self._counts)

    def take_counts(self) -> list[CountersView]:
        """The newest counts of each post whose counts have changed."""
        taken = list(self._counts.values())
        self._counts.clear()
        return taken

    @property
    def has_hidden(self) -> bool:
        """Whether there are posts to be taken away."""
        return bool(self._hidden)

    def take_hidden(self) -> list[str]:
        """The posts that are for their authors alone since they were sent."""
        taken = list(self._hidden)
        self._hidden.clear()
        return taken

    def catch_up(self, reached: Mapping[Log, int]) -> None:
        """All below `reached` was looked through: with nothing waiting, that is how far the client
        has come."""
        if not self._queue and not self._notices:
            for log in self._starts:
                self._advance(log, Place(reached.get(log, 0)))

    def _advance(self, log: Log, place: Place) -> None:
        self.places[log] = max(self.places[log], place)
