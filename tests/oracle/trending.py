"""What is on the rise, by plain sets of all that users did (docs/rules.md, "Trending").

Lists are compared as of the time that each states. The product keeps a sample of the acts of keys
that have many: of those the comparison allows four times the standard error.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import log, sqrt

from schemas.events import Engagement, Post
from schemas.partitioning import partition_of
from tests.oracle.compare import Tally
from tests.oracle.posts import PostState, topics

FIVE_MINUTES = 300_000
KEPT = 576
WINDOWS = {"1h": 12, "24h": 288}
LISTED = 50
LEAST_USERS = 3
LEAST_LEVEL = 20
VIRAL_USERS = 30
VIRAL_GROWTH = 3
EXACT_UP_TO = 1_024
SAMPLE = 2_048
SIGMAS = 4

Acts = set[tuple[int, str]]
"""(5 minutes, user)."""
Place = tuple[str, str, int, str]
"""Kind, window, partition, language."""
Entry = tuple[str, float, int, int, bool]
"""Key, score, users, velocity, whether it is viral."""
Found = dict[Place, tuple[int, list[Entry]]]
"""The time that a list states, and its entries."""


@dataclass
class Key:
    """A post or a topic with all acts upon it; in `languages` of its lists "" is that of all."""

    name: str
    languages: tuple[str, ...]
    acts: Acts
    sampled_of: int = 0
    """The acts of which a sample is kept of some; 0 if all are kept."""


@dataclass(frozen=True)
class Range:
    """What may be said of a key: levels are scores in tenths, 0 if it is on no list."""

    low: int
    high: int
    users: tuple[float, float]
    velocity: tuple[float, float]
    viral: Collection[bool]

    def has(self, entry: Entry) -> bool:
        """Whether an entry says that."""
        _, score, users, velocity, is_viral = entry
        return (
            self.low <= round(score * 10) <= self.high
            and self.users[0] <= users <= self.users[1]
            and self.velocity[0] <= velocity <= self.velocity[1]
            and is_viral in self.viral
        )


@dataclass
class Trending:
    """All posts and topics with their acts."""

    keys: dict[str, list[Key]] = field(default_factory=dict)
    """Kind to keys."""

    def lists(
        self, kind: str, window: str, partition: int, partitions: int, at: int
    ) -> dict[str, dict[str, Range]]:
        """Language to what may stand in the list of a partition at a time."""
        found: dict[str, dict[str, Range]] = {}
        for key in self.keys.get(kind, ()):
            if partition_of(key.name, partitions) == partition:
                said = _range(key, window, at // FIVE_MINUTES)
                if said is not None:
                    for language in key.languages:
                        found.setdefault(language, {})[key.name] = said
        return found


def fold_acts(
    events: Iterable[Post],
    engagements: Iterable[Engagement],
    posts: Mapping[str, PostState],
    hidden: Collection[str] = (),
) -> Trending:
    """Who acts upon posts, and so upon their topics; `posts` are what the events come to, less the
    `hidden` ones."""
    upon: dict[str, Acts] = {}
    for post in events:
        if post.action == "created":
            acts = upon.setdefault(post.post_id, set())
            acts.add((post.at // FIVE_MINUTES, post.author_id or ""))
    for each in engagements:
        if each.post_id is not None and _is_act(each):
            upon.setdefault(each.post_id, set()).add((each.at // FIVE_MINUTES, each.user_id))
    return Trending(_keys(upon, posts, hidden))


def _is_act(event: Engagement) -> bool:
    if event.action in ("like", "react"):
        return not event.comment_id
    return event.action in ("comment", "share")


def _keys(
    upon: dict[str, Acts], posts: Mapping[str, PostState], hidden: Collection[str]
) -> dict[str, list[Key]]:
    found: list[Key] = []
    about: dict[tuple[str, str], Acts] = {}
    ever_about: Counter[str] = Counter()
    for post_id, state in posts.items():
        acts = upon.get(post_id, set())
        for topic in {t for version in state.versions for t in topics(version.content)}:
            ever_about[topic] += len(acts)
        newest = state.settle()
        if newest is None or state.is_deleted or newest.visibility != "public" or post_id in hidden:
            continue
        languages = ("", spoken) if (spoken := language(newest.language)) else ("",)
        found.append(Key(post_id, languages, acts, _sampled(len(acts))))
        for topic in topics(newest.content):
            for each in languages:
                about.setdefault((topic, each), set()).update(acts)
    by_topic = [
        Key(topic, (spoken,), acts, _sampled(ever_about[topic]))
        for (topic, spoken), acts in about.items()
    ]
    return {"posts": found, "topics": by_topic}


def _sampled(acts: int) -> int:
    return acts if acts > EXACT_UP_TO else 0


def language(tag: str | None) -> str:
    """The language of a tag as in `pt-BR`, if it has two or three letters."""
    first = (tag or "").replace("_", "-").split("-")[0].lower()
    return first if len(first) in (2, 3) and all("a" <= c <= "z" for c in first) else ""


def _range(key: Key, window: str, now: int) -> Range | None:
    """What may be said of a key when the 5 minutes `now` have begun; None: nothing."""
    kept = sorted(act for act in key.acts if act[0] > now - KEPT)
    begin, hour = now - WINDOWS[window], now - WINDOWS["1h"]
    before = bisect_right(kept, begin, key=lambda act: act[0])
    inside = len(kept) - before
    users = len({user for _, user in kept[before:]})
    lately = kept[bisect_right(kept, hour, key=lambda act: act[0]) :]
    velocity = len({user for _, user in lately})
    scale = WINDOWS[window] / (KEPT - WINDOWS[window])
    of_hour = 12 / (KEPT - 12)
    rate = (len(kept) - len(lately)) * of_hour
    if not key.sampled_of:
        if users < LEAST_USERS:
            return None
        value = score(inside, before * scale)
        low, high = int((value - 1e-9) * 10), int((value + 1e-9) * 10)
        if high < LEAST_LEVEL:
            return None
        is_viral = velocity >= VIRAL_USERS and len(lately) >= VIRAL_GROWTH * rate
        return Range(low, high, (users, users), (velocity, velocity), {is_viral})
    coarse = max(1.0, 4 * key.sampled_of / SAMPLE)

    def about(acts: Sequence[tuple[int, str]]) -> tuple[float, float]:
        squares = sum(times * times for times in Counter(user for _, user in acts).values())
        error = SIGMAS * sqrt(max(squares, coarse) * coarse) if acts else 0.0
        return max(0.0, len(acts) - error), len(acts) + error

    def some(count: int) -> tuple[float, float]:
        error = SIGMAS * sqrt(max(count, coarse) * coarse) if count else 0.0
        return max(0.0, count - error), count + error

    less, more = about(kept[before:])
    rarer, oftener = about(kept[:before])
    low = int((score(less, oftener * scale) - 1e-9) * 10)
    high = int((score(more, rarer * scale) + 1e-9) * 10)
    if high < LEAST_LEVEL or some(users)[1] < LEAST_USERS:
        return None
    if some(users)[0] < LEAST_USERS:
        low = 0
    return Range(low, high, some(users), some(velocity), {True, False})


@lru_cache(100_000)
def score(acts: float, expected: float) -> float:
    """By how many standard deviations `acts` exceed what is expected, of counts whose variance is
    m + m**2/4: four times the difference of arsinh(sqrt(m/4)), here by its logarithm."""
    return 4 * (_stable(acts) - _stable(expected))


def _stable(count: float) -> float:
    return log(sqrt(count / 4) + sqrt(count / 4 + 1))


def compare_trending(
    tally: Tally,
    trending: Trending,
    found: Found,
    partitions: int,
    ticks: Mapping[tuple[str, int], int],
) -> Tally:
    """Compare the lists of all partitions, each as of the time that it states; none may be of an
    earlier five minutes than `ticks` (of a kind in a partition). One that is not there must have
    nothing to say then."""
    by_place: dict[tuple[str, str, int], dict[str, tuple[int, list[Entry]]]] = {}
    for (kind, window, partition, language), said in found.items():
        by_place.setdefault((kind, window, partition), {})[language] = said
    for kind, partition in ticks:
        for window in WINDOWS:
            there = by_place.pop((kind, window, partition), {})
            tick = ticks[kind, partition]
            for name, expected, at, entries in _pairs(
                trending, (kind, window, partition), partitions, tick, there
            ):
                if entries and at // FIVE_MINUTES < tick // FIVE_MINUTES:
                    tally.differ(name, f"as of {tick}", f"as of {at}")
                compare_list(tally, name, expected, entries)
    for place in by_place:
        tally.differ(" ".join(map(str, place)), None, by_place[place])
    return tally


def _pairs(
    trending: Trending,
    where: tuple[str, str, int],
    partitions: int,
    tick: int,
    there: dict[str, tuple[int, list[Entry]]],
) -> Iterator[tuple[str, dict[str, Range], int, list[Entry]]]:
    """Each language's list with what may stand in it: its name, that, its time, its entries."""
    by_time: dict[int, dict[str, dict[str, Range]]] = {}

    def implied(at: int) -> dict[str, dict[str, Range]]:
        if at // FIVE_MINUTES not in by_time:
            by_time[at // FIVE_MINUTES] = trending.lists(*where, partitions, at)
        return by_time[at // FIVE_MINUTES]

    for language in {*implied(tick), *there}:
        at, entries = there.get(language, (tick, []))
        if not entries:
            at = max(at, tick)
        name = f"{where[0]} {where[1]} p{where[2]} {language or 'all'}"
        yield name, implied(at).get(language, {}), at, entries


def compare_list(tally: Tally, name: str, expected: dict[str, Range], entries: list[Entry]) -> None:
    """Compare one list with what may stand in it."""
    there = {entry[0]: entry for entry in entries}
    if len(there) != len(entries) or len(entries) > LISTED:
        tally.differ(name, f"{LISTED} keys at most, each once", f"{len(entries)} entries")
    if [entry[0] for entry in entries] != sorted(there, key=lambda key: _rank(there[key])):
        tally.differ(name, "in order", "out of order")
    for key, entry in there.items():
        tally.compared += 1
        if key not in expected or not expected[key].has(entry):
            tally.differ(f"{name}: {key}", expected.get(key), entry)
    for key in _missing(expected, entries):
        tally.compared += 1
        tally.differ(f"{name}: {key}", expected[key], None)


def _missing(expected: dict[str, Range], entries: list[Entry]) -> Iterator[str]:
    """Those that must be there: surely on the rise, and before the last of a full list."""
    there = {entry[0] for entry in entries}
    last = _rank(entries[-1]) if len(entries) >= LISTED else (0, "")
    for key, said in expected.items():
        if key not in there and said.low >= LEAST_LEVEL and (-said.low, key) < last:
            yield key


def _rank(entry: Entry) -> tuple[int, str]:
    return (-round(entry[1] * 10), entry[0])
