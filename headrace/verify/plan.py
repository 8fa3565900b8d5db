"""Which events a verification publishes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Literal, get_args

from msgspec import Struct

from connectors.settings import settings
from connectors.sources import (
    Upheaval,
    follow_events,
    generate_activity,
    generate_network,
    higgs_span,
    load_follows,
    load_higgs,
    profile_events,
    reading_events,
)
from schemas.events import Event

BEFORE_MS = 60_000
HOURS = 72.0
LATE_READERS = 2_000

Mix = Literal["everyday", "full"]
MIXES: tuple[Mix, ...] = get_args(Mix)


class Plan(Struct, frozen=True):
    """What to publish: files, or generated people and activity; `mix` `full` has about as many more
    events between the generated ones, of all that is rare (see `Upheaval`)."""

    follows: Path | None = None
    activity: Path | None = None
    generate: int = 0
    users: int = 2_000
    seed: int = 1
    mix: Mix = "everyday"

    def events(self, now_ms: int) -> Iterator[Event]:
        """The events: profiles and follows, dated before the first action, then the activity.

        Half of the people read before they follow anyone, and up to 2,000 when they follow already.
        """
        first_ms = now_ms - int(HOURS * 3_600_000)
        if self.activity is not None:
            span = higgs_span(self.activity)
            first_ms = min(first_ms, now_ms - (span.last_s - span.first_s) * 1000)
        pairs = self._pairs()
        people = list(dict.fromkeys(chain.from_iterable(pairs)))
        early, late = people[::2], people[1::2][:LATE_READERS]
        streams: list[Iterable[Event]] = [reading_events(early, now_ms)]
        if self.follows is None and pairs:
            streams.append(profile_events(people, first_ms - BEFORE_MS, self.seed))
        streams.append(follow_events(pairs, first_ms - BEFORE_MS))
        streams.append(reading_events(late, now_ms))
        if self.activity is not None:
            streams.append(load_higgs(self.activity, now_ms))
        if self.generate:
            activity = generate_activity(pairs, self.generate, self.seed, now_ms, hours=HOURS)
            if self.mix == "full":
                upheaval = Upheaval(
                    people, self.seed, settings().heavy_followers, settings().reports_to_hide
                )
                activity = upheaval.among(activity)
            streams.append(activity)
        return chain.from_iterable(streams)

    def _pairs(self) -> list[tuple[str, str]]:
        if self.follows is not None:
            return load_follows(self.follows)
        if self.activity is not None and not self.generate:
            return []
        return generate_network(self.users, self.seed)
